"""What an Ascend core computes: products of matrices with biases and relu, and rows that are normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.errors import UsageError
from flextune.platforms.base import Array
from flextune.workload.workload import Workload

FRACTAL = 16
"""Rows and columns of what the cube multiplies at once."""
LINE_BYTES = 32
"""What memories on the core are read and written by."""
HALF_BYTES, FLOAT_BYTES = 2, 4

MOST_COLUMNS = (1 << 16) - 1
"""What the field of a copy holds that says how long a row in memory is."""

ROW_OPERATORS = ("layer_norm", "softmax")
_EPILOGUES = ((), ("bias",), ("relu",), ("bias", "relu"))


@dataclass(frozen=True, slots=True)
class Product:
    """`out[m, n] = sum over k of a[m, k] * b[k, n]` in float16, summed in float32 and rounded once."""

    m: int
    n: int
    k: int
    ta: bool
    """Whether `a` is stored as [k, m]."""
    tb: bool
    """Whether `b` is stored as [n, k]."""
    has_bias: bool
    has_relu: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """Each of `rows` rows of `columns` float32 numbers by itself."""

    operator: str
    rows: int
    columns: int
    epsilon: float = 0.0
    """What layer norm adds to a variance."""

    @property
    def pitch(self) -> int:
        """Numbers from one row to the next in the unified buffer: rows begin at multiples of 32 bytes."""
        return filled(self.columns, LINE_BYTES // FLOAT_BYTES)


def filled(extent: int, block: int) -> int:
    """The extent of whole blocks that hold it."""
    return -(-extent // block) * block


def form_of(workload: Workload) -> Product | Rows:
    """Raises `UsageError` that says what is computed for any other workload."""
    params, dtype = workload.checked_params, workload.dtype
    if workload.operator in ROW_OPERATORS and dtype == "float32":
        epsilon = float(params.text("epsilon")) if workload.operator == "layer_norm" else 0.0
        rows, columns = params.integers("rows", "cols")
        return Rows(workload.operator, rows, columns, epsilon)
    if workload.operator != "gemm" or dtype != "float16":
        raise UsageError(f"ascend computes gemm of dtype=float16, layer_norm and softmax of float32, not {workload}")
    epilogue = params.chain("epilogue")
    if epilogue not in _EPILOGUES:
        raise UsageError(f"ascend ends a gemm with none, bias, relu or bias+relu, not with {'+'.join(epilogue)}")
    m, n, k = params.integers("m", "n", "k")
    if max(m, n, k) > MOST_COLUMNS:
        raise UsageError(f"ascend copies rows of at most {MOST_COLUMNS} numbers, and {workload} has longer ones")
    ta, tb = (bool(params.integer(name)) for name in ("ta", "tb"))
    return Product(m, n, k, ta, tb, "bias" in epilogue, "relu" in epilogue)


def arguments_of(form: Product | Rows, inputs: Sequence[Array]) -> tuple[Array, ...]:
    """Inputs as a kernel takes them: biases in float32, filled up with zeros to whole fractals."""
    if isinstance(form, Rows) or not form.has_bias:
        return tuple(np.ascontiguousarray(each) for each in inputs)
    a, b, bias = inputs
    packed = np.zeros(filled(form.n, FRACTAL), np.float32)
    packed[: form.n] = bias.reshape(-1)
    return (np.ascontiguousarray(a), np.ascontiguousarray(b), packed)
