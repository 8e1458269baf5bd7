"""What a model gives, computed by programs that share nothing with what is built here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx

from flextune.apply.model_check import onnxruntime_session


def reference_outputs(model: Path, inputs: Mapping[str, np.ndarray], threads: int) -> tuple[dict[str, np.ndarray], str]:
    """The outputs of an ONNX file by name, and what computed them: ONNX Runtime, or ONNX's own evaluator on NumPy."""
    proto = onnx.load(model)
    names = [output.name for output in proto.graph.output]
    if find_spec("onnxruntime") is None:
        from onnx.reference import ReferenceEvaluator

        return dict(zip(names, ReferenceEvaluator(proto).run(names, dict(inputs)), strict=True)), "ONNX's evaluator"
    session = onnxruntime_session(str(model), threads)
    return dict(zip(names, session.run(names, dict(inputs)), strict=True)), "ONNX Runtime"
