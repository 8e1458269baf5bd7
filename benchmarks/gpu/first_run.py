"""The first run on a GPU: numbers of prepared kernels, then their times in turns with PyTorch's.

    python -m benchmarks.gpu prepare --output gpu-kernels         # beforehand, anywhere
    benchmarks/gpu/first_run.sh gpu-kernels result.json           # on the machine with the GPU

Needs Python, NumPy, NVIDIA's driver and, for times, PyTorch; neither TVM nor a registry. A member that faults or hangs
ends one process, and the next goes on behind it.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import Empty, Queue
from statistics import median
from threading import Thread
from typing import IO, Any

import numpy as np

from benchmarks.gpu import peers
from benchmarks.gpu.prepared import NUMBERS, TIMES, Member, read_members
from flextune.errors import DeviceLostError, EnvironmentFault, FlextuneError
from flextune.measure.output_check import check_inputs, check_outputs, poison
from flextune.platforms.cuda.driver import open_driver
from flextune.platforms.cuda.kernel import CudaKernel
from flextune.workload.parse import parse_workload

_MODULE = "benchmarks.gpu.first_run"
MEMBER_SECS, TIMED_SECS = 30.0, 120.0
_ROUNDS = 5
_LEAST_SECS = 0.02
"""Of a round: calls are repeated for so long."""
_TURNS_WITHIN = 1.5
"""Only members that are no more than so many times slower than the fastest are timed in turns with the peers."""
_ALLOWED = 3e-2
"""Largest error of a large result, of the largest number in it: PyTorch's own is rounded to the operands' type."""

Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="first_run", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0, help="begin nothing after this time")
    parser.add_argument("--serve", choices=[NUMBERS, TIMES], help="(for its own processes)")
    parser.add_argument("--begin", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.serve:
        return serve(given.folder, given.serve, given.begin)
    report = first_run(given.folder, time.monotonic() + 60 * given.minutes)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"numbers: {report['checked']} members, {report['wrong']} wrong; {len(report['times'])} shapes timed")
    return 1 if report["wrong"] or not report["checked"] else 0


def first_run(folder: Path, deadline: float) -> Row:
    """All of it as one value."""
    arch, _ = read_members(folder)
    driver = open_driver()
    facts = driver.facts(0)
    here = f"sm_{facts.number('major')}{facts.number('minor')}"
    if arch.rstrip("a") != here:
        raise EnvironmentFault(f"{folder} is for {arch}, and {facts.name} is {here}: prepare for that device")
    numbers = list(_rows(folder, NUMBERS, MEMBER_SECS, deadline))
    for row in numbers:
        print(f"{row['kind']} {row['workload']}: {row['error'] or 'ok'}", flush=True)
    wrong = [row for row in numbers if row["error"]]
    times = list(_rows(folder, TIMES, TIMED_SECS, deadline))
    for row in times:
        print(_line(row), flush=True)
    return {
        "device": facts.name, "arch": here, "driver": driver.version, "checked": len(numbers), "wrong": len(wrong),
        "faults": wrong, "times": times, "ended_early": time.monotonic() > deadline,
    }  # fmt: skip


def _line(row: Row) -> str:
    if row["error"]:
        return f"{row['workload']}: {row['error']}"
    ratios = ", ".join(f"{name} {secs * 1e6:.1f} us" for name, secs in row["secs"].items())
    return f"{row['workload']}: {ratios}; {row['ratio']:.2f} x PyTorch's speed"


def _rows(folder: Path, purpose: str, item_secs: float, deadline: float) -> Iterator[Row]:
    """The rows of all items, from processes that each go on behind the item at which the one before has ended."""
    items, done = _items(folder, purpose), 0
    while done < len(items) and time.monotonic() < deadline:
        served = [sys.executable, "-m", _MODULE, str(folder), "--serve", purpose, "--begin", str(done)]
        with subprocess.Popen(served, stdout=subprocess.PIPE, text=True) as process:
            lines: Queue[str] = Queue()
            Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
            while done < len(items) and time.monotonic() < deadline:
                line = _next(lines, min(item_secs, max(deadline - time.monotonic(), 1.0)))
                yield json.loads(line) if line.startswith("{") else {**items[done], "error": line.strip()}
                done += 1
                if not line.startswith("{"):
                    break
            process.kill()


def _read(stream: IO[str], lines: Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("its process ended")


def _next(lines: Queue[str], secs: float) -> str:
    """The next row, or why there is none."""
    try:
        return lines.get(timeout=secs)
    except Empty:
        return f"took more than {secs:.0f} s"


def _items(folder: Path, purpose: str) -> list[Row]:
    """What there is to do: members to check, or shapes to time."""
    members = [each for each in read_members(folder)[1] if each.purpose == purpose]
    if purpose == NUMBERS:
        return [{"workload": each.workload, "kind": each.kind, "assignment": dict(each.assignment)} for each in members]
    return [{"workload": text} for text in dict.fromkeys(each.workload for each in members)]


def serve(folder: Path, purpose: str, begin: int) -> int:
    """Print a row for each item from number `begin` on. A device that is lost ends the process."""
    members = [each for each in read_members(folder)[1] if each.purpose == purpose]
    for number, item in enumerate(_items(folder, purpose)[begin:], begin):
        row = {**item, "error": ""}
        try:
            if purpose == NUMBERS:
                row["error"] = wrong_numbers(folder, members[number])
            else:
                row |= times_of(folder, [each for each in members if each.workload == item["workload"]])
        except DeviceLostError as error:
            print(f"{type(error).__name__}: {error}", flush=True)  # no row: nothing comes behind it
            return 1
        except (FlextuneError, ValueError, RuntimeError, ImportError) as error:
            row["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(row), flush=True)
    return 0


def loaded(folder: Path, member: Member) -> CudaKernel:
    codes = member.codes(folder)
    first = codes.pop(next(iter(codes)))
    return CudaKernel(open_driver(), 0, first, member.plan, codes)


def wrong_numbers(folder: Path, member: Member) -> str:
    """What is wrong with a small member's results, compared with NumPy; empty where nothing is."""
    workload = parse_workload(member.workload)
    inputs = workload.random_inputs(0)
    references = workload.reference(list(inputs))
    outputs = [poison(array, spec.element) for array, spec in zip(references, workload.outputs, strict=True)]
    given = [array.copy() for array in inputs]
    kernel = loaded(folder, member)
    kernel.bind(given, outputs)
    kernel.run()
    kernel.close()
    return check_outputs(workload, outputs, references).error or check_inputs(workload, given, inputs).error


def times_of(folder: Path, members: Sequence[Member]) -> Row:
    """Members of one shape and PyTorch in turns: medians of rounds in seconds, and how much faster ours is."""
    import torch  # only where it is timed with

    device = "cuda" if torch.cuda.is_available() else "cpu"
    workload = parse_workload(members[0].workload)
    inputs = [np.ascontiguousarray(array) for array in workload.random_inputs(0)]
    call = peers.torch_call(torch, workload, inputs, device)
    expected = call().float().cpu().numpy()
    kernels, faults = [], []
    for member in members:
        kernel = loaded(folder, member)
        [output] = [np.full(spec.shape, 0, spec.element.storage) for spec in workload.outputs]
        kernel.bind(inputs, [output])
        kernel.run()
        fault = _far_from(workload.outputs[0].element.decode(output).astype(np.float32), expected)
        if fault:
            faults.append({"kind": member.kind, "assignment": dict(member.assignment), "error": fault})
            kernel.close()
        else:
            kernels.append((member, kernel, min(kernel.time(3, 2))))
    if not kernels:
        return {"error": f"none of {len(members)} members is right: {faults[0]['error']}", "faults": faults}
    fastest = min(secs for _, _, secs in kernels)
    chosen = [each for each in kernels if each[2] <= _TURNS_WITHIN * fastest]
    rounds: dict[str, list[float]] = {"torch": []}
    for _ in range(_ROUNDS):
        rounds["torch"].append(peers.timed(torch, call, _calls(fastest), device))
        for index, (member, kernel, _) in enumerate(chosen):
            rounds.setdefault(f"{member.kind} {index}", []).append(kernel.time(_calls(fastest), 1)[0])
    secs = {name: median(times) for name, times in rounds.items()}
    ours = min((name for name in secs if name != "torch"), key=secs.__getitem__)
    best = chosen[int(ours.rpartition(" ")[2])][0]
    return {
        "secs": secs, "ratio": secs["torch"] / secs[ours], "best": {"kind": best.kind, **best.assignment},
        "faults": faults, "peer_device": device, "rounds": rounds,
    }  # fmt: skip


def _calls(secs: float) -> int:
    return max(1, min(1000, math.ceil(_LEAST_SECS / max(secs, 1e-9))))


def _far_from(found: np.ndarray, expected: np.ndarray) -> str:
    """What is wrong with a large result, compared with PyTorch's; empty where nothing is."""
    if found.shape != expected.shape:
        return f"the result has shape {found.shape}, PyTorch's {expected.shape}"
    error = float(np.abs(found - expected).max())
    return "" if error <= _ALLOWED * float(np.abs(expected).max()) else f"it differs by {error:.3g} from PyTorch's"


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except FlextuneError as fault:
        print(f"error: {fault}", file=sys.stderr)
        raise SystemExit(2) from None
