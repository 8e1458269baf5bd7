"""A scheduled GPU program in plain form: loops of threads are serial, buffers lie in memory, one CPU thread runs it.

It shows wrong index arithmetic, tiles and predicates; it cannot show missing barriers, races, or what the passes and
the code generator for GPUs do.
"""

from __future__ import annotations

import tvm
import tvm_ffi
from tvm import tirx
from tvm.tirx.stmt import ForKind

from flextune.tvm_types import Buffer, IRModule, Statement

_ONLY_FOR_GPUS = (
    "software_pipeline",
    "permuted_layout",
    "double_buffer",
    "buffer_dim_align",
    "tirx.manifest",
    "pragma_",
)


def serial_form(module: IRModule) -> IRModule:
    """The module's `main` for a CPU; it must not be tensorized."""
    function = module["main"]
    replaced: dict[Buffer, Buffer] = {}

    def in_memory(variable: Buffer) -> Buffer:
        if not tirx.buffer.is_buffer_var(variable) or variable.scope() == "global":
            return variable
        if variable not in replaced:
            kind = variable.ty
            replaced[variable] = tirx.decl_buffer(
                kind.shape, kind.dtype, variable.name, None, kind.strides, kind.elem_offset, "global",
                kind.data_alignment, kind.offset_factor,
            )  # fmt: skip
        return replaced[variable]

    def one_after_the_other(loop: Statement) -> Statement:
        kind = ForKind.SERIAL if loop.kind == ForKind.THREAD_BINDING else loop.kind
        kept = {key: value for key, value in loop.annotations.items() if not key.startswith(_ONLY_FOR_GPUS)}
        return tirx.For(loop.loop_var, loop.min, loop.extent, kind, loop.body, None, kept)

    mutators = [(tirx.For, one_after_the_other), (tirx.Var, in_memory)]
    body = tvm_ffi.structural_map(function.body, mutators, order="post")
    plain = tirx.PrimFunc(function.params, body, function.ret_type, function.attrs)
    return tvm.IRModule({"main": plain})
