"""The main job from Python: tune a model on this machine, save it, load it, run it.

    python examples/from_python.py --minutes 0.2

SqueezeNet comes with the onnx package, without trained weights, so it gets random ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

import flextune
from flextune.cli.output import seconds
from flextune.importing.random_weights import with_random_weights
from flextune.tuning.events import Event, TrialMeasured

SQUEEZENET = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0.2, help="time for tuning")
    parser.add_argument("--out", type=Path, default=Path("from-python-out"), help="folder of records and library")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    trials = 0

    def count(event: Event) -> None:
        nonlocal trials
        trials += isinstance(event, TrialMeasured)

    records = arguments.out / "records.db"
    executable = flextune.optimize(
        with_random_weights(flextune.load_model(SQUEEZENET), seed=0),
        minutes=arguments.minutes,
        database=records,
        on_progress=count,
    )
    print(f"tuned   {trials} trials, {records}")

    library = executable.save(arguments.out / "squeezenet.so")
    loaded = flextune.load(library)
    inputs = loaded.random_inputs(seed=1)
    outputs = loaded.run(inputs)
    print(f"loaded  {library}, {loaded.threads} threads")
    for name, array in {**inputs, **outputs}.items():
        print(f"        {name}: {array.dtype} {array.shape}")
    print(f"runs    {seconds(loaded.benchmark(inputs).median_secs)}")


if __name__ == "__main__":
    main()
