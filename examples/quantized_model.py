"""A quantised model (QDQ int8): made with ONNX Runtime's tools, compiled here, its outputs beside ONNX Runtime's.

    python examples/quantized_model.py MODEL.onnx [OUT.onnx]

Needs onnx and onnxruntime. Calibration inputs are random; for a real model give `quantize_static` real ones.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.plan.partition import partition_model
from flextune.target.detect import detect

CALIBRATION_INPUTS = 4
OPSET = 17
"""Scales per channel need opset 13 or newer."""


class RandomInputs(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """What ranges of activations are measured on."""

    def __init__(self, model: Model) -> None:
        self._inputs: Iterator[Any] = (model.random_inputs(seed) for seed in range(CALIBRATION_INPUTS))

    def get_next(self) -> Any:
        return next(self._inputs, None)


def quantize(path: Path, out: Path) -> None:
    """Write the QDQ form of the model at `path`: unsigned activations, signed weights with a scale per channel."""
    with tempfile.TemporaryDirectory() as folder:
        newer, prepared = Path(folder) / "newer.onnx", Path(folder) / "prepared.onnx"
        onnx.save(version_converter.convert_version(onnx.load(path), OPSET), newer)
        quant_pre_process(str(newer), str(prepared))
        quantize_static(
            str(prepared),
            str(out),
            RandomInputs(load_model(path)),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
        )


def main(arguments: list[str]) -> None:
    path = Path(arguments[0])
    out = Path(arguments[1]) if len(arguments) > 1 else Path(path.stem + ".int8.onnx")
    quantize(path, out)
    model = load_model(out)
    executable = compile_model(partition_model(model), {}, detect()).executable
    session = onnxruntime.InferenceSession(out)
    for seed in range(10, 13):
        inputs = model.random_inputs(seed)
        ours, theirs = executable.run(inputs), session.run(None, inputs)
        for (name, got), expected in zip(ours.items(), theirs, strict=True):
            error = np.abs(got - expected).max() / np.abs(expected).max()
            print(f"{name}: largest difference from ONNX Runtime {error:.4f} of the largest output")
    print(f"quantised model: {out}")


if __name__ == "__main__":
    main(sys.argv[1:])
