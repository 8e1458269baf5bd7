"""Tunes a real ONNX model on this machine and shows what came of it; `make demo` runs this.

SqueezeNet comes with the onnx package, without trained weights, so it gets random ones. After a hundred seconds of
tuning the model is timed with default ("before") and with tuned schedules ("after") next to ONNX Runtime on as many
threads, in turns, and the faster one is written as a shared library.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from flextune.apply.build import compile_model, compile_unscheduled
from flextune.apply.executable import Executable
from flextune.apply.model_check import MAX_RELATIVE_ERROR, OnnxRuntime, max_relative_error
from flextune.apply.saved_library import save_executable
from flextune.cli.live import LiveView
from flextune.cli.output import seconds
from flextune.errors import EnvironmentFault
from flextune.importing.model import Model, load_model
from flextune.importing.random_weights import with_random_weights
from flextune.interface import optimize_partition
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.tuning.budget import Budget

ROUNDS = 9
RUNS_PER_ROUND = 8

Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=1.7, help="time for tuning")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="folder of the records and the library")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    target = detect()
    print(f"machine  {target}", flush=True)
    budget = Budget(minutes=arguments.minutes)
    model = with_random_weights(load_model(squeezenet()), seed=0)
    model.save(arguments.out / "squeezenet.onnx")
    partition = partition_model(model)
    kernels = sum(task.count for task in partition.tasks)
    print(f"model    {model.name}: {kernels} kernels, {len(partition.tasks)} distinct", flush=True)

    with LiveView(budget, f"tuning {model.name}") as view:
        found = optimize_partition(partition, target, budget, arguments.out / "records.db", callbacks=(view,))
    if found.tuned is None or found.shipment is None:
        sys.exit("interrupted; `make demo` goes on from the records that are there")
    tasks = found.tuned.tasks
    print(f"tuned    {tasks.trials} trials, {tasks.failed} failed, {found.tuned.elapsed_secs:.0f} s", flush=True)

    inputs = model.random_inputs(seed=1)
    unscheduled = compile_unscheduled(partition, target).benchmark(inputs, min_runs=3, min_secs=0.0, warmup=1)
    print(f"before   TVM without schedules: {seconds(statistics.median(unscheduled.run_secs))}", flush=True)
    before, after = compile_model(partition, {}, target).executable, found.shipment.build.executable
    runs: dict[str, Run] = {"before": runner(before, inputs), "after": runner(after, inputs)}
    if (peer := onnx_runtime(model, after, inputs)) is not None:
        runs["ONNX Runtime"] = peer
    secs = medians(runs)
    faster = after if secs["after"] <= secs["before"] else before
    print(summary(secs, save_executable(faster, arguments.out / "squeezenet.so")))


def squeezenet() -> Path:
    return Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"


def runner(executable: Executable, inputs: dict[str, np.ndarray]) -> Run:
    return lambda: executable.run(inputs)


def onnx_runtime(model: Model, executable: Executable, inputs: dict[str, np.ndarray]) -> Run | None:
    """One run of the same model by ONNX Runtime on as many threads, after a check that both compute the same.

    None where ONNX Runtime is not installed.
    """
    try:
        peer = OnnxRuntime(model, executable.signature.threads)
    except EnvironmentFault as error:
        print(f"peer     {error}")
        return None
    difference = max_relative_error(executable.run(inputs), peer.run(inputs))
    if difference > MAX_RELATIVE_ERROR:
        sys.exit(f"the tuned model computes something else than ONNX Runtime: largest relative error {difference:.2g}")
    print(f"checked  outputs equal ONNX Runtime's, largest relative error {difference:.2g}", flush=True)
    return lambda: peer.run(inputs)


def medians(runs: dict[str, Run]) -> dict[str, float]:
    """Median seconds of one run each, timed in turns so that disturbances meet all of them alike."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            time.sleep(0.05)  # the other runtime's threads go on looking for work for a while
            run()
            for _ in range(RUNS_PER_ROUND):
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def summary(secs: dict[str, float], library: Path) -> str:
    gain = secs["before"] / secs["after"]
    parts = [f"before {seconds(secs['before'])}", f"after {seconds(secs['after'])} ({gain:.2f}x)"]
    if "ONNX Runtime" in secs:
        parts.append(f"ONNX Runtime {seconds(secs['ONNX Runtime'])}")
    return f"squeezenet: {', '.join(parts)}; library {library}"


if __name__ == "__main__":
    main()
