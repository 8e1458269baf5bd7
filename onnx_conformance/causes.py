"""Why tests did not pass, in classes: the messages name nodes and values, a reader wants the kinds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from onnx_conformance.verdict import FAULTS, TestResult

PATTERNS: Sequence[tuple[str, str]] = (
    (r"is not a tensor|is no tensor", "Sequences, optionals and maps: inputs and outputs are tensors"),
    (r"cannot be imported: \S*ai\.onnx\.ml::", "Operators of ai.onnx.ml (trees, label encoders and the like)"),
    (r"cannot be imported: \S*ai\.onnx\.preview", "Operators of ai.onnx.preview (training)"),
    (
        r"cannot be imported:.*\b(Loop|Scan|SequenceMap)\b",
        "Loops: `Loop` and `Scan` (also where a function expands to one)",
    ),
    (r"\d+ operator\(s\) that cannot be imported", "Operators that are not supported"),
    (r"training mode|running statistics", "Training: batch norm and dropout run in inference mode only"),
    (r"outputs without elements", "Constant outputs without elements"),
    (r"dynamic dimensions|depends on values|not static", "Shapes that depend on values: outputs have static shapes"),
    (r"element type|dtype", "Element types without arithmetic here"),
)
"""A pattern of the message -> the class; the first that fits."""


def cause_of(result: TestResult) -> str:
    """The class of a result that is not a pass."""
    if result.verdict in FAULTS:
        return f"**{str(result.verdict).capitalize()}**: {_short(result.reason)}"
    for pattern, title in PATTERNS:
        if re.search(pattern, result.reason, re.DOTALL):
            return title
    return _imported_as(result.reason)


def _imported_as(reason: str) -> str:
    """The class of what the importer cannot convert: by operator."""
    operator = re.search(r"operator (\w+) cannot be imported as it is used", reason)
    return f"`{operator.group(1)}` as it is used" if operator else _short(reason)


def _short(reason: str) -> str:
    text = re.sub(r"model '[^']*'", "the model", " ".join(reason.split()))
    return text if len(text) <= 160 else f"{text[:157]}..."
