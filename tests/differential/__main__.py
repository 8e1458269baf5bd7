"""python -m tests.differential [--operators A,B] [--seeds FIRST:END]: random models against ONNX Runtime and ONNX."""

from __future__ import annotations

import argparse

from flextune.errors import FlextuneError
from tests.differential.cases import random_case
from tests.differential.comparison import differences
from tests.differential.operators import GENERATORS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--operators", default=",".join(GENERATORS), help="comma-separated; all by default")
    parser.add_argument("--seeds", default="0:5", help="FIRST:END, END left out")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    wrong = refused = total = 0
    for operator in options.operators.split(","):
        for seed in range(first, end):
            case = random_case(operator, seed, behind_convolution=seed % 3 != 2)
            total += 1
            try:
                said = differences(case.proto, case.inputs)
            except FlextuneError as error:
                refused += 1
                print(f"refused: {case.text}: {error}", flush=True)
                continue
            if said:
                wrong += 1
                print(f"wrong: {case.text}: {said}", flush=True)
    print(f"{total} cases, {wrong} wrong, {refused} refused")
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
