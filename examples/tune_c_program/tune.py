"""Tune the compiler's flags and the block sizes of a C program: `python examples/tune_c_program/tune.py --trials 60`.

Needs gcc. Every trial compiles matmul.c in a folder of its own, runs it three times, and compares the checksum that it
prints with the one of the plainest build. Run it again with more trials, and it goes on from matmul.db.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import flextune
from flextune.tuning.minimize_result import MinimizeResult

SOURCE = Path(__file__).with_name("matmul.c")
CACHE_BYTES = 256 * 1024

SPACE = [
    flextune.Parameter("level", ("-O1", "-O2", "-O3", "-Ofast")),
    flextune.Parameter("arch", ("-march=x86-64", "-march=native")),
    flextune.Parameter("unroll", ("", "-funroll-loops")),
    flextune.Parameter("vectorize", ("-fno-tree-vectorize", "-ftree-vectorize")),
    flextune.Parameter.powers_of_two("bi", 4, 512),
    flextune.Parameter.powers_of_two("bj", 8, 512),
    flextune.Parameter.powers_of_two("bk", 4, 512),
]
CONSTRAINTS = [
    f"4 * (bi * bk + bk * bj + bi * bj) <= {CACHE_BYTES}",
    "level != '-O1' or vectorize == '-fno-tree-vectorize'",
]
DEFAULT = {
    "level": "-O2",
    "arch": "-march=x86-64",
    "unroll": "",
    "vectorize": "-fno-tree-vectorize",
    "bi": 64,
    "bj": 64,
    "bk": 64,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=384, help="rows and columns of the matrices")
    parser.add_argument("--db", default="matmul.db")
    arguments = parser.parse_args()
    flags = ("{level}", "{arch}", "{unroll}", "{vectorize}", "-DBI={bi}", "-DBJ={bj}", "-DBK={bk}")
    command = flextune.Command(
        build=("gcc", *flags, f"-DN={arguments.size}", str(SOURCE), "-o", "{folder}/matmul"),
        run=("{folder}/matmul",),
        value=r"seconds (\S+)",
        expect=rf"(?m)^checksum {checksum(arguments.size)}$",
    )
    result = flextune.minimize(
        command,
        SPACE,
        arguments.trials,
        arguments.strategy,
        constraints=CONSTRAINTS,
        default=DEFAULT,
        seed=arguments.seed,
        db=arguments.db,
        repeats=3,
        timeout_secs=10,
    )
    report(result)


def checksum(size: int) -> str:
    """What the program prints when nothing is optimised."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "matmul")
        blocks = (f"-DN={size}", "-DBI=1", f"-DBJ={size}", "-DBK=1")
        subprocess.run(["gcc", "-O0", *blocks, str(SOURCE), "-o", str(program)], check=True)
        printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    found = re.search(r"checksum (\S+)", printed)
    assert found is not None
    return found.group(1)


def report(result: MinimizeResult) -> None:
    tried = f"{result.trials} tried ({result.recorded} of them before), {result.failed} failed"
    print(f"{result.space_size} configurations, {tried}")
    for cause, count in result.failures:
        print(f"  {count} x {cause}")
    if result.best_trial is None:
        return
    default = next((trial for trial in result.history if trial.values == DEFAULT), None)
    if default is not None and default.ok:
        print(f"default  {default.value * 1e3:8.3f} ms  {shown(default.values)}")
    print(f"best     {result.best_value * 1e3:8.3f} ms  {shown(result.best_trial.values)}")


def shown(values: object) -> str:
    assert isinstance(values, dict)
    return " ".join(
        str(value) if str(value).startswith("-") else f"{name}={value}" for name, value in values.items() if value
    )


if __name__ == "__main__":
    main()
