"""Run by the Python of an environment that has nothing but the wheel: makes a model, or checks its library.

`make FILE` writes SqueezeNet with random weights. `check FILE LIBRARY` runs the library and compares its outputs with
those of ONNX's reference evaluator, which shares no code with flextune.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import version_converter
from onnx.reference import ReferenceEvaluator

import flextune
from flextune.importing.random_weights import with_random_weights

SQUEEZENET = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_squeezenet.onnx"
_MAX_RELATIVE_ERROR = 1e-4
_OPSET = 13
"""The evaluator takes a Softmax of older sets for one of this set, which is over another axis."""


def make(file: str) -> None:
    with_random_weights(flextune.load_model(SQUEEZENET), seed=0).save(Path(file))


def check(file: str, library: str) -> None:
    image = np.random.default_rng(0).standard_normal((1, 3, 224, 224), dtype=np.float32)
    converted = version_converter.convert_version(onnx.load(file), _OPSET)
    (expected,) = ReferenceEvaluator(converted).run(None, {"data_0": image})
    model = flextune.load(library)
    (found,) = model.run({"data_0": image}).values()
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    if not error <= _MAX_RELATIVE_ERROR:
        sys.exit(f"{library} is wrong: largest relative error {error:.2e}")
    print(f"{library} equals ONNX's reference evaluator, largest relative error {error:.1e}")


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[1]](*sys.argv[2:])
