"""A group of a model as an operator with a name, for devices that compute few operators and know these by name.

What a group's program is called and the shapes of its tensors say what it may be; that it is this is tried on numbers,
also on small ones, with which other constants than the expected ones inside of the program would show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from flextune.errors import UsageError
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

_EPILOGUES = {
    "matmul": "none",
    "matmul_add": "bias",
    "matmul_relu": "relu",
    "matmul_add_relu": "bias+relu",
}
"""What products are called, and how their names as workloads say it."""

_VECTORS = {"matmul": 0, "matmul_add": 1, "matmul_subtract": -1}
"""Products of whole numbers, and the sign of the vector that is added to each row."""

_HALF_RANGE = 128
"""What unsigned bytes are more than signed ones."""

_SCALES = (1.0, 1e-3)
"""Of the numbers it is tried on: in variances of 1e-6 another epsilon than the usual one shows."""

_RELATIVE = 1e-4


@lru_cache(maxsize=256)
def named_workload(workload: Workload) -> Workload | None:
    """What a model's float32 program computes as an operator with a name; None where it is none that is known here.

    Its inputs and outputs hold the same numbers in the same order; their shapes may have fewer axes.
    """
    return next((each for each in _guesses(workload) if _is_same(workload, each)), None)


@lru_cache(maxsize=256)
def byte_product(workload: Workload) -> Workload | None:
    """The product of signed bytes inside of a program that multiplies unsigned by signed bytes; None for others.

    The program is that product of its first input less 128, with a vector added to each row, which follows from its
    second input and its third one. So are products of whole numbers in models, whose zero points are in that vector.
    """
    sign = _VECTORS.get(str(workload.param("name")))
    if sign is None or [spec.dtype for spec in workload.inputs] != ["uint8", "int8", "int32"][: 3 if sign else 2]:
        return None
    left, right = (spec.shape for spec in workload.inputs[:2])
    if len(right) != 2 or not left or left[-1] != right[0] or [each.dtype for each in workload.outputs] != ["int32"]:
        return None
    a, b, *vector = workload.random_inputs(0)
    [want] = workload.reference([a, b, *vector])
    product = (a.astype(np.int64) - _HALF_RANGE).reshape(-1, right[0]) @ b.astype(np.int64)
    added = _HALF_RANGE * b.astype(np.int64).sum(axis=0) + sum(
        sign * each.reshape(-1).astype(np.int64) for each in vector
    )
    if added.shape != (right[1],) or not np.array_equal((product + added).reshape(-1), want.reshape(-1)):
        return None
    return parse_workload(f"gemm:m={len(product)},n={right[1]},k={right[0]},dtype=int8")


def _guesses(workload: Workload) -> Iterator[Workload]:
    if {spec.dtype for spec in (*workload.inputs, *workload.outputs)} != {"float32"} or len(workload.outputs) != 1:
        return
    name, shape = str(workload.param("name")), workload.outputs[0].shape
    if not shape:
        return
    columns, rows = shape[-1], math.prod(shape[:-1])
    try:
        if name in ("softmax", "layer_norm"):
            yield parse_workload(f"{name}:rows={rows},cols={columns}")
        if name in _EPILOGUES and len(workload.inputs) >= 2 and len(workload.inputs[1].shape) == 2:
            depth = workload.inputs[0].shape[-1]
            for transposed in (0, 1):
                yield parse_workload(f"gemm:m={rows},n={columns},k={depth},tb={transposed},epilogue={_EPILOGUES[name]}")
    except UsageError:
        return


def _is_same(workload: Workload, named: Workload) -> bool:
    if [spec.elements for spec in workload.inputs] != [spec.elements for spec in named.inputs]:
        return False
    for scale in _SCALES:
        inputs = [(scale * array).astype(array.dtype) for array in workload.random_inputs(0)]
        [want] = workload.reference(inputs)
        shaped = [each.reshape(spec.shape) for each, spec in zip(inputs, named.inputs, strict=True)]
        [got] = named.reference(shaped)
        if not np.allclose(got.reshape(want.shape), want, _RELATIVE, _RELATIVE * float(np.abs(want).max(initial=0))):
            return False
    return True
