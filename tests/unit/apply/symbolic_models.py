"""Models with symbolic sizes, as Relax over kernels without a schedule: for tests of what runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tvm
from tvm import relax, tirx

from flextune.apply.assemble import assemble
from flextune.apply.executable import Executable
from flextune.apply.signature import Signature
from flextune.importing.values import ValueSpec
from flextune.target.detect import detect
from flextune.tvm_types import IRModule, RelaxExpr, RelaxVar, Variable
from flextune.workload.dim import parse_dims
from flextune.workload.dim_expr import DimExpr

Emit = Callable[[RelaxExpr], RelaxVar]
Body = Callable[[Emit, Sequence[RelaxVar], dict[str, Variable]], Sequence[RelaxExpr]]


def lowered(inputs: Sequence[tuple[str, str]], body: Body) -> IRModule:
    """`main` with these inputs (sizes with commas, and the element type), kernels fused."""
    names = sorted({name for shape, _ in inputs for size in _sizes(shape) for name in size.names})
    variables = {name: tirx.Var(name, "int64") for name in names}
    builder = relax.BlockBuilder()
    parameters = [
        relax.Var(f"x{index}", relax.TensorType([_parameter_size(size, variables) for size in _sizes(shape)], dtype))
        for index, (shape, dtype) in enumerate(inputs)
    ]
    with builder.function("main", parameters):
        with builder.dataflow():
            results = [builder.emit_output(each) for each in body(builder.emit, parameters, variables)]
        builder.emit_func_output(relax.Tuple(results))
    passes = ("LegalizeOps", "AnnotateTIROpPattern", "FuseOps", "FuseTIR")
    return tvm.transform.Sequential([getattr(relax.transform, name)() for name in passes])(builder.get())


def signature(
    inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]], dims: Sequence[str], threads: int = 2
) -> Signature:
    """Of a model whose inputs are x0, x1, ... and whose outputs y0, y1, ..."""
    given, made = (
        tuple(ValueSpec.symbolic(f"{letter}{n}", _sizes(shape), dtype) for n, (shape, dtype) in enumerate(ports))
        for letter, ports in (("x", inputs), ("y", outputs))
    )
    return Signature("m", given, made, str(detect()), threads, dims=parse_dims(dims))


def built(
    inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]], dims: Sequence[str], body: Body
) -> Executable:
    return assemble(lowered(inputs, body), signature(inputs, outputs, dims), detect())


def _sizes(shape: str) -> tuple[DimExpr, ...]:
    return tuple(map(DimExpr.parse, shape.split(","))) if shape else ()


def _parameter_size(size: DimExpr, variables: dict[str, Variable]) -> int | Variable:
    return int(size.value) if size.value is not None else variables[str(size.name)]
