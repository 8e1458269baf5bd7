"""The light models of the onnx package with random weights, held against ONNX Runtime.

As they come their weights are one constant each, so that their outputs say little about what was computed.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import onnx

from flextune.importing.model import load_model
from flextune.importing.random_weights import with_random_weights
from onnx_conformance.cases import Case, Elements, WatchedBackend

FOLDER = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"

MAX_RELATIVE_ERROR = 1e-4
"""Of any output element, relative to the largest of the reference's."""


def light_cases(backend: WatchedBackend) -> dict[str, Case]:
    """One test per light model."""
    files = sorted(FOLDER.glob("light_*.onnx"))
    return {
        path.stem: Case(path.stem, "light", "", Elements.FLOAT32, _LightTest(backend, path), None, backend.is_own)
        for path in files
    }


class _LightTest:
    """A light model with random weights on random inputs: `AssertionError` where the outputs differ."""

    def __init__(self, backend: WatchedBackend, path: Path) -> None:
        self._backend = backend
        self._path = path

    def __call__(self) -> None:
        model = with_random_weights(load_model(self._path), seed=1)
        inputs = model.random_inputs(seed=2)
        expected = _reference(model.proto, inputs)
        outputs = self._backend.prepare(model.proto).run(list(inputs.values()))
        for name, output, wanted in zip(model.outputs, outputs, expected, strict=True):
            assert output.shape == wanted.shape, f"{name}: expected shape {wanted.shape}, got {output.shape}"
            error = float(np.max(np.abs(output - wanted)) / np.max(np.abs(wanted)))
            assert error <= MAX_RELATIVE_ERROR, f"{name}: relative error {error:.1e}, at most {MAX_RELATIVE_ERROR:.0e}"


def _reference(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    runtime = import_module("onnxruntime")
    session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, inputs)
    return outputs
