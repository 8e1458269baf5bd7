"""Running a model here and in runtimes that share no code with it, and comparing every number."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

import flextune.onnx_backend as backend

Arrays = Mapping[str, np.ndarray]


def ours(
    proto: onnx.ModelProto, inputs: Arrays, schedules: str = "default", only_own: bool = False
) -> list[np.ndarray]:
    """What flextune's build of the model gives."""
    copied = onnx.ModelProto()
    copied.CopyFrom(proto)
    options = backend.BackendOptions(schedules, 1, only_own)
    return [np.asarray(each) for each in backend.PreparedModel(copied, options).run(dict(inputs))]


def evaluated(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray] | None:
    """What ONNX's own evaluator gives; None where it cannot run the model."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return [np.asarray(each) for each in ReferenceEvaluator(proto).run(None, dict(inputs))]
    except Exception:  # noqa: BLE001  what it lacks fails in any way
        return None


def of_onnxruntime(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray] | None:
    """What ONNX Runtime gives, every node as it is; None where it is not installed, or refuses the model."""
    try:
        import onnxruntime
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return [np.asarray(each) for each in session.run(None, dict(inputs))]
    except Exception:  # noqa: BLE001  each refusal has a class of its own
        return None


TOLERANCES = {"float16": 4e-3, "float64": 1e-7}
"""Of the largest number, where it is not that of float32."""


def difference(got: np.ndarray, wanted: np.ndarray, tolerance: float) -> str:
    """How they differ by more than `tolerance` of the largest number; empty where they do not.

    NaN and infinities must be in the same places.
    """
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        return f"{got.dtype}{list(got.shape)}, expected {wanted.dtype}{list(wanted.shape)}"
    if wanted.dtype.kind in "biu":
        return "" if np.array_equal(got, wanted) else f"{got.reshape(-1)[:8]}, expected {wanted.reshape(-1)[:8]}"
    left, right = got.astype(np.float64), wanted.astype(np.float64)
    finite = np.isfinite(right)
    if not np.array_equal(np.where(finite, 0, left), np.where(finite, 0, right), equal_nan=True):
        return f"NaN or infinities in other places: {left.reshape(-1)[:8]}, expected {right.reshape(-1)[:8]}"
    gap = np.abs(left[finite] - right[finite]).max(initial=0.0)
    scale = max(np.abs(right[finite]).max(initial=0.0), 1e-30)
    return "" if gap <= tolerance * scale else f"off by {gap / scale:.2g} of the largest"


UNCOMPARED = "no peer runs the model"


def differences(
    proto: onnx.ModelProto,
    inputs: Arrays,
    tolerance: float = 2e-4,
    schedules: str = "default",
    only_own: bool = False,
) -> str:
    """How the model's outputs differ from those of every peer that can run it; empty where one agrees in all of them.

    ONNX Runtime and ONNX's evaluator differ from each other in places that ONNX leaves open. `UNCOMPARED` where neither
    can run it: that says nothing for the outputs.
    """
    got = ours(proto, inputs, schedules, only_own)
    said = []
    for peer in (of_onnxruntime, evaluated):
        wanted = peer(proto, inputs)
        if wanted is None:
            continue
        pairs = zip(got, wanted, strict=True)
        found = [difference(left, right, TOLERANCES.get(left.dtype.name, tolerance)) for left, right in pairs]
        if not any(found):
            return ""
        said.append(f"{peer.__name__}: {next(filter(None, found))}")
    return "; ".join(said) or UNCOMPARED
