"""What concatenations in place are worth: models built with copies and without, timed in turns.

python -m benchmarks.in_place --models squeezenet,densenet121 --threads 1
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.model_zoo.catalog import ZooModel, choose_models
from benchmarks.model_zoo.files import model_file
from flextune.apply.build import Build, Origin, compile_model
from flextune.apply.executable import Executable
from flextune.graph.model import load_model
from flextune.graph.partition import partition_model
from flextune.target.detect import detect
from flextune.target.target import Target

ROUNDS = 12
MODELS = "squeezenet,densenet121,inception_v1,inception_v2,shufflenet"


def run_secs(executables: list[Executable]) -> list[float]:
    """The lower quartile of each one's runs; they take turns, so that disturbances meet all alike."""
    times: list[list[float]] = [[] for _ in executables]
    for _ in range(ROUNDS):
        for executable, found in zip(executables, times, strict=True):
            found += executable.benchmark(min_runs=5, min_secs=0.1, warmup=1).run_secs
    return [float(np.quantile(found, 0.25)) for found in times]


def table_row(model: ZooModel, target: Target, threads: int | None) -> str:
    """Both builds of one model, with default schedules."""
    partition = partition_model(load_model(model_file(model)))
    copied, in_place = (compile_model(partition, {}, target, threads, each) for each in (False, True))
    secs = run_secs([copied.executable, in_place.executable])
    gone = sum(task.count for task in in_place.tasks if task.origin is Origin.IN_PLACE)
    memory = " | ".join(f"{_activation_bytes(build) / 1e6:.2f} MB" for build in (copied, in_place))
    times = f"{1e3 * secs[0]:.2f} ms | {1e3 * secs[1]:.2f} ms | {secs[0] / secs[1]:.2f}"
    return f"| {model.name} | {gone} | {times} | {memory} |"


def _activation_bytes(build: Build) -> int:
    return build.executable.signature.activation_bytes or 0


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=MODELS, help="names of benchmarks/model_zoo, with commas")
    parser.add_argument("--threads", type=int, help="threads of a run (default: all cores)")
    arguments = parser.parse_args()
    target = detect()
    print("| model | steps gone | copied | in place | ratio | activations, copied | in place |", flush=True)
    print("|---|---|---|---|---|---|---|")
    for model in choose_models(arguments.models.split(",")):
        print(table_row(model, target, arguments.threads), flush=True)


if __name__ == "__main__":
    main()
