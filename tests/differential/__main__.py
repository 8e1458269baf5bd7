"""python -m tests.differential [--operators A,B] [--seeds FIRST:END]: random models against ONNX Runtime and ONNX."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable

from flextune.errors import FlextuneError
from tests.differential.cases import Case, random_case
from tests.differential.comparison import UNCOMPARED, differences
from tests.differential.operators import GENERATORS
from tests.differential.typed import ALL, typed_case

FORMS: dict[str, Callable[[str, int], Case | None]] = {
    "types": typed_case,
    "layouts": lambda operator, seed: random_case(operator, seed) if operator in GENERATORS else None,
    "alone": lambda operator, seed: random_case(operator, seed, False) if operator in GENERATORS else None,
}
"""Any element type and rank; behind a convolution, which changes the layout; float32 of four axes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--operators", default=",".join(ALL), help="comma-separated; all by default")
    parser.add_argument("--seeds", default="0:5", help="FIRST:END, END left out")
    parser.add_argument("--forms", default=",".join(FORMS), help=f"comma-separated, of {', '.join(FORMS)}")
    parser.add_argument("--schedules", default="default", help="default, or none, which is quicker")
    parser.add_argument("--only-own", action="store_true", help="nothing in ONNX Runtime: what is not ours is refused")
    parser.add_argument("--verbose", action="store_true", help="name every case before it runs")
    options = parser.parse_args()
    first, end = map(int, options.seeds.split(":"))
    counts: Counter[str] = Counter()
    for operator in options.operators.split(","):
        for form in options.forms.split(","):
            for seed in range(first, end):
                case = FORMS[form](operator, seed)
                if case is None:
                    continue
                if options.verbose:
                    print(f"{form}: {case.text}", flush=True)
                verdict, said = _verdict(case, options)
                counts[verdict] += 1
                if said:
                    print(f"{verdict}: {form}: {case.text}: {said}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
    return int(bool(counts["wrong"] or counts["error"]))


def _verdict(case: Case, options: argparse.Namespace) -> tuple[str, str]:
    """What came out, and what there is to say about it."""
    try:
        said = differences(case.proto, case.inputs, schedules=options.schedules, only_own=options.only_own)
    except FlextuneError as error:
        return "refused", " ".join(str(error).split())[:300]
    except Exception as error:  # noqa: BLE001  whatever is raised by mistake is a finding
        return "error", f"{type(error).__name__}: {' '.join(str(error).split())[-300:]}"
    if said == UNCOMPARED:
        return "uncompared", said
    return ("wrong", said) if said else ("right", "")


if __name__ == "__main__":
    raise SystemExit(main())
