"""Random models of one operator on any element type that it has, of any rank, with sizes of 1 and 0 among them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from onnx.onnx_cpp2py_export.defs import SchemaError

from tests.differential.cases import Case, case_of
from tests.differential.draw import Draw, values_of
from tests.differential.elements import ELEMENTS
from tests.differential.images import IMAGES
from tests.differential.layers import LAYERS
from tests.differential.operators import GENERATORS

ALL = {**GENERATORS, **ELEMENTS, **IMAGES, **LAYERS}
"""Operator, and after a point the form of it where there are several -> what draws one."""

OPSETS = (18, 19, 20, 21, 22, 23)
TYPES = (
    *("float32", "float32", "float32", "float16", "float64", "int64", "int32"),
    *("int8", "int16", "uint8", "uint16", "uint32", "uint64", "bool"),
)
_ATTEMPTS = 60


def typed_case(operator: str, seed: int) -> Case | None:
    """The same case for the same arguments; None where no type and shape goes with the operator."""
    rng = np.random.default_rng([seed, *operator.encode()])
    for _ in range(_ATTEMPTS):
        case = _drawn(operator, rng)
        if case is None:
            continue
        found = case_of(operator, seed, case)
        try:
            onnx.checker.check_model(found.proto, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError):
            continue
        return found
    return None


def _drawn(operator: str, rng: np.random.Generator) -> Draw | None:
    dtype, opset = np.dtype(rng.choice(TYPES)), int(rng.choice(OPSETS))
    rank = int(rng.choice([0, 1, 2, 3, 3, 4, 4, 4, 5]))
    shape = tuple(int(size) for size in rng.choice([1, 2, 3, 4, 5, 6], rank))
    if rank and rng.integers(12) == 0:
        shape = (*shape[:-1], 0)
    case = Draw(rng, "x", shape, inputs={"x": values_of(rng, shape, dtype)}, dtype=dtype, opset=opset)
    try:
        ALL[operator](case)
        return case if _takes(case) else None
    except (
        ValueError,
        IndexError,
        TypeError,
        ZeroDivisionError,
        StopIteration,
        AttributeError,
        OverflowError,
        SchemaError,
    ):
        return None


def _takes(case: Draw) -> bool:
    """Whether the operator's first input may have this type."""
    node = case.nodes[-1]
    if not node.input or node.op_type == "If":
        return True
    given = case.inputs.get(node.input[0], case.constants.get(node.input[0]))
    if given is None:
        return True
    schema = onnx.defs.get_schema(node.op_type, case.opset)
    named = helper.tensor_dtype_to_string(helper.np_dtype_to_tensor_dtype(given.dtype)).split(".")[1].lower()
    return f"tensor({named})" in schema.inputs[0].types
