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

GlobalVariable: TypeAlias = Any  # tvm.ir.GlobalVar: what a function of a module is called by
LoadedModule: TypeAlias = Any  # tvm.runtime.Module: functions as machine code, which can be called
BuiltExecutable: TypeAlias = Any  # what tvm.compile returns, before it is loaded
DeviceTensor: TypeAlias = Any  # tvm.runtime.Tensor: elements in a device's memory

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
TirTree: TypeAlias = Any  # a statement or an expression: whatever `tvm_ffi.structural_map` takes and gives back
ForKind: TypeAlias = Any  # tvm.tirx.ForKind: whether a loop is serial, parallel, vectorized or unrolled
Tensor: TypeAlias = Any  # tvm.te.Tensor: a tensor expression's result
Reducer: TypeAlias = Any  # what tvm.te.comm_reducer returns: a reduction with its identity, such as max
Schedule: TypeAlias = Any  # tvm.s_tir.Schedule: a function, and the primitives that transform it
LoopHandle: TypeAlias = Any  # tvm.s_tir.schedule.LoopRV: a loop as a schedule's primitives name it
BlockHandle: TypeAlias = Any  # tvm.s_tir.schedule.SBlockRV: a block likewise
Annotation: TypeAlias = Any  # the value of a block's annotation: a number or a text

# Relax
RelaxFunction: TypeAlias = Any  # tvm.relax.Function
RelaxExpr: TypeAlias = Any  # tvm.relax.Expr: a variable, a constant, a call, a tuple, ...
RelaxVar: TypeAlias = Any  # tvm.relax.Var
RelaxBody: TypeAlias = Any  # tvm.relax.SeqExpr: the bindings of a function or of a branch, and its result
RelaxBinding: TypeAlias = Any  # a variable and the expression that is its value
RelaxType: TypeAlias = Any  # tvm.ir.Type: of a tensor (shape and dtype), a tuple, a function
RelaxMutator: TypeAlias = Any  # tvm.relax.PyExprMutator
RelaxCall: TypeAlias = Any  # a call in Relax: an operator (`relax.nn.conv2d`) or `relax.call_tir` of a kernel
RelaxConstant: TypeAlias = Any  # a tensor known when the model is built
RelaxBuilder: TypeAlias = Any  # tvm.relax.BlockBuilder: where new bindings go
