"""What concatenations in place are worth: models built with copies and without, timed in turns.

python -m benchmarks.in_place --models squeezenet,densenet121 --threads 1
"""

from __future__ import annotations

import argparse
from collections import defaultdict

import numpy as np

from benchmarks.model_zoo.catalog import ZooModel, choose_models
from benchmarks.model_zoo.files import model_file
from flextune.apply.build import Build, Origin, compile_model
from flextune.apply.executable import Executable
from flextune.importing.model import load_model
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.target.target import Target

ROUNDS, RUNS = 12, 4
MODELS = "squeezenet,densenet121,inception_v1,inception_v2,shufflenet"


def kernel_secs(executables: list[Executable]) -> list[dict[str, float]]:
    """Seconds of a run in each kernel: the lower quartile of each call; the executables take turns."""
    times: list[dict[str, list[np.ndarray]]] = [defaultdict(list) for _ in executables]
    for _ in range(ROUNDS):
        for executable, found in zip(executables, times, strict=True):
            for name, secs in executable.kernel_secs(RUNS, warmup=1).items():
                found[name].append(np.reshape(secs, (RUNS, -1)))
    return [
        {name: float(np.quantile(np.concatenate(runs), 0.25, axis=0).sum()) for name, runs in found.items()}
        for found in times
    ]


def table_row(model: ZooModel, target: Target, threads: int | None) -> str:
    """Both builds of one model, with default schedules."""
    partition = partition_model(load_model(model_file(model)))
    builds = [compile_model(partition, {}, target, threads, in_place) for in_place in (False, True)]
    copied, in_place = kernel_secs([build.executable for build in builds])
    gone = {task.workload_key: task.count for task in builds[1].tasks if task.origin is Origin.IN_PLACE}
    keys = builds[0].executable.workload_keys
    copies = 1e3 * sum(secs for name, secs in copied.items() if keys.get(name) in gone)
    before, after = (1e3 * sum(secs.values()) for secs in (copied, in_place))
    memory = " | ".join(f"{_activation_bytes(build) / 1e6:.2f} MB" for build in builds)
    times = f"{copies:.2f} ms | {before:.2f} ms | {after:.2f} ms | {before / after:.2f}"
    return f"| {model.name} | {sum(gone.values())} | {times} | {memory} |"


def _activation_bytes(build: Build) -> int:
    return build.executable.signature.activation_bytes or 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, help="names of benchmarks/model_zoo, with commas")
    parser.add_argument("--threads", type=int, help="threads of a run (default: all cores)")
    arguments = parser.parse_args()
    target = detect()
    print("| model | copies | their time | run with copies | in place | ratio | activations with copies | in place |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for model in choose_models(arguments.models.split(",")):
        print(table_row(model, target, arguments.threads), flush=True)


if __name__ == "__main__":
    main()
