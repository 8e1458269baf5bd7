"""Names for TVM's objects in type annotations.

TVM's Python package is not typed, and most of our modules must not load it (a heavy import). So each name here is `Any`
to a type checker, and says to the reader which of TVM's classes a value is; `Any` itself then means: really anything.

Two languages occur. A *kernel* is a `PrimFunc` in TensorIR (`tvm.tirx`, `tvm.s_tir`); operators describe themselves as
tensor expressions (`tvm.te`) that become one. A *model* is an `IRModule` whose `main` is a function in Relax
(`tvm.relax`) that calls kernels.
"""

from typing import Any, TypeAlias

# Both languages
IRModule: TypeAlias = Any  # tvm.IRModule: functions by name, of both languages

# TensorIR and tensor expressions
PrimFunc: TypeAlias = Any  # tvm.tirx.PrimFunc: one kernel
Statement: TypeAlias = Any  # tvm.tirx.Stmt: For, SeqStmt, BufferStore, SBlockRealize, ...
Block: TypeAlias = Any  # tvm.s_tir.SBlock: iterators, reads, writes and a body; what schedules transform
Expression: TypeAlias = Any  # tvm.tirx.Expr: a scalar: an index, an extent, an element's value
Variable: TypeAlias = Any  # tvm.tirx.Var: a loop's variable, a block's iterator, a parameter
IterVar: TypeAlias = Any  # tvm.tirx.IterVar: a block's iterator: its variable, extent and kind (spatial or reduce)
Buffer: TypeAlias = Any  # tvm.tirx.Buffer
BufferRegion: TypeAlias = Any  # tvm.tirx.BufferRegion: the part of a buffer that a block reads or writes
BufferLoad: TypeAlias = Any  # tvm.tirx.BufferLoad: an element read
BufferStore: TypeAlias = Any  # tvm.tirx.BufferStore: an element written
Tensor: TypeAlias = Any  # tvm.te.Tensor: a tensor expression's result

# Relax
RelaxFunction: TypeAlias = Any  # tvm.relax.Function
RelaxExpr: TypeAlias = Any  # tvm.relax.Expr: a variable, a constant, a call, a tuple, ...
RelaxVar: TypeAlias = Any  # tvm.relax.Var
RelaxCall: TypeAlias = Any  # a call in Relax: an operator (`relax.nn.conv2d`) or `relax.call_tir` of a kernel
RelaxConstant: TypeAlias = Any  # a tensor known when the model is built
RelaxBuilder: TypeAlias = Any  # tvm.relax.BlockBuilder: where new bindings go
