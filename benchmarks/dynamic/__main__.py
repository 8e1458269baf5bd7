"""`python -m benchmarks.dynamic [--json FILE] [--only kernels|models|runtime|decode] [--full]`

Kernels at sizes that the tuner never saw, models beside static builds and other runtimes, what sizes cost in the
runtime, and decoding. Without `--full` it ends in about five minutes; run it with nothing else on the machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.dynamic import decode, kernels, models, runtime

PARTS = ("kernels", "models", "runtime", "decode")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynamic", description=__doc__.split("\n\n")[1])
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--full", action="store_true", help="40 sizes for each kernel, all models tuned: half an hour")
    given = parser.parse_args()
    parts = PARTS if given.only is None else (given.only,)
    found: dict[str, object] = {}
    for part in parts:
        found[part] = _PARTS[part](given.full)
        if given.json is not None:  # what there is by now, whatever comes
            given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def _kernels(full: bool) -> object:
    rows = []
    for row in kernels.measured(kernels.WORKLOADS, 40 if full else 6, 64 if full else 8, 2.0 if full else 0.25):
        rows.append(row)
        print(
            f"{row['workload']}: {row['variants']} of {row['candidates']} schedules, {row['measurements']} times; over "
            f"the best for each size alone {row['mean']:.3f}x, at most {row['worst']:.3f}x; chosen by windows "
            f"{row['windows_mean']:.3f}x, at most {row['windows_worst']:.3f}x",
            flush=True,
        )
    return rows


def _models(full: bool) -> object:
    rows = []
    names = tuple(models.NETWORKS) if full else ("encoder",)
    for row in models.measured(names, 8 if full else 3, 3.0 if full else 0.75, 3.0 if full else 1.0):
        rows.append(row)
        times = ", ".join(f"{name} {1e3 * secs:.2f} ms" for name, secs in row["secs"].items())  # type: ignore[attr-defined]
        print(f"{row['model']} at {row['sizes']}: {times}; over static {row['over_static']:.3f}x", flush=True)
    print(json.dumps(models.summary(rows)))
    return {"sizes": rows, "summary": models.summary(rows)}


def _runtime(full: bool) -> object:
    row = runtime.measured(12 if full else 4, 2.0 if full else 1.0)
    print(
        f"{row['layers']} layers: a new size {1e6 * row['new_size_secs']:.0f} us, a repeated one "  # type: ignore[operator]
        f"{1e6 * row['repeated_over_static_secs']:.1f} us over static, alternating "  # type: ignore[operator]
        f"{row['alternating_over_repeated']:.3f}x"
    )
    return row


def _decode(full: bool) -> object:
    rows = decode.measured(("llama", "gpt") if full else ("llama",), 200 if full else 50, 3 if full else 1)
    for row in rows:
        print(f"{row['model']}: {row['tokens_per_sec']}, over the best peer {row['over_best_peer']}", flush=True)
    return rows


_PARTS = {"kernels": _kernels, "models": _models, "runtime": _runtime, "decode": _decode}

if __name__ == "__main__":
    main()
