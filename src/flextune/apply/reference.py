"""What a model gives, computed by programs that share nothing with what is built here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx


def reference_outputs(model: Path, inputs: Mapping[str, np.ndarray], threads: int) -> tuple[dict[str, np.ndarray], str]:
    """The outputs of an ONNX file by name, and what computed them: ONNX Runtime, or ONNX's own evaluator on NumPy."""
    proto = onnx.load(model)
    names = [output.name for output in proto.graph.output]
    if find_spec("onnxruntime") is None:
        from onnx.reference import ReferenceEvaluator

        return dict(zip(names, ReferenceEvaluator(proto).run(names, dict(inputs)), strict=True)), "ONNX's evaluator"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, dict(inputs)), strict=True)), "ONNX Runtime"
