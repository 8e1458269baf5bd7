"""The products of matrices that the kernels in Triton compute."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.workload.workload import Workload

_EPILOGUES = ((), ("bias",), ("relu",), ("bias", "relu"))
_POINTERS = {
    "float32": "*fp32",
    "tf32": "*fp32",
    "bfloat16": "*bf16",
    "float16": "*fp16",
    "int8": "*i8",
    "int32": "*i32",
}
_MOST_ELEMENTS = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Product:
    """`out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n]`, then a bias of columns and relu."""

    batch: int
    m: int
    n: int
    k: int
    ta: bool
    """Whether `a` is stored as [k, m]."""
    tb: bool
    """Whether `b` is stored as [n, k]."""
    has_bias: bool
    has_relu: bool
    operand: str
    """The name of the operands' element type."""
    result: str

    @property
    def sums(self) -> str:
        """The type that products are summed in, as Triton calls it."""
        return "int32" if self.result == "int32" else "float32"

    @property
    def operand_bytes(self) -> int:
        return {"*fp32": 4, "*i8": 1}.get(_POINTERS[self.operand], 2)

    @property
    def precision(self) -> str:
        """How float32 operands are multiplied; others are as they are."""
        return "tf32" if self.operand == "tf32" else "ieee"

    def pointers(self) -> dict[str, str]:
        """Triton's types of the arrays, by their parameters in the kernels."""
        return {"a": _POINTERS[self.operand], "b": _POINTERS[self.operand], "bias": _POINTERS[self.result],
                "c": _POINTERS[self.result], "parts": _POINTERS[self.sums]}  # fmt: skip


def product_of(workload: Workload) -> Product:
    """Raises `UsageError` for what these kernels do not compute."""
    if workload.operator not in ("gemm", "bmm"):
        raise UsageError(f"{workload}: the kernels in Triton compute gemm and bmm, not {workload.operator}")
    params = workload.checked_params
    epilogue = params.chain("epilogue")
    if epilogue not in _EPILOGUES:
        raise UsageError(
            f"{workload}: the kernels in Triton end with bias, relu or bias+relu, not {'+'.join(epilogue)}"
        )
    operands = {spec.element.name for spec in workload.inputs[:2]}
    [output] = workload.outputs
    if len(operands) > 1 or not {*operands, output.element.name} <= set(_POINTERS):
        raise UsageError(f"{workload}: the kernels in Triton take operands of one type among {', '.join(_POINTERS)}")
    if max(spec.elements for spec in (*workload.inputs, output)) > _MOST_ELEMENTS:
        raise UsageError(f"{workload}: the kernels in Triton address at most {_MOST_ELEMENTS} elements")
    is_gemm = workload.operator == "gemm"
    return Product(
        batch=1 if is_gemm else params.integer("b"),
        m=params.integer("m"),
        n=params.integer("n"),
        k=params.integer("k"),
        ta=is_gemm and bool(params.integer("ta")),
        tb=bool(params.integer("tb")),
        has_bias="bias" in epilogue,
        has_relu="relu" in epilogue,
        operand=operands.pop(),
        result=output.element.name,
    )
