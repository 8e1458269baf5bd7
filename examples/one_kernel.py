"""One operator: the fastest schedule for it on this machine, what it is, and how it came to that.

python examples/one_kernel.py softmax:rows=512,columns=1000 --trials 32
"""

from __future__ import annotations

import argparse

import flextune


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="?", default="gemm:m=256,n=256,k=256,epilogue=bias+relu")
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--db", default="kernels.db", help="the records; a second run goes on from them")
    arguments = parser.parse_args()

    workload = flextune.parse_workload(arguments.workload)
    result = flextune.tune(workload, arguments.trials, database=arguments.db)
    print(f"{workload}: {result.trials} trials, {result.failed} failed, of {result.space_size} schedules")
    print(f"best    {result.best_secs * 1e6:.1f} us, {result.best_gflops:.1f} GFLOP/s")
    print(f"default {result.default_secs * 1e6:.1f} us")
    if result.trace is not None and result.best is not None:
        print(result.trace.python(result.best))


if __name__ == "__main__":
    main()
