"""Names for PyTorch's objects in type annotations.

Torch is optional, and slow to load, so nothing imports it to say what a value is. Each name here is `Any` to a type
checker, and says to the reader which of PyTorch's classes a value is. `tvm_types.py` does the same for TVM.
"""

from typing import Any, TypeAlias

Torch: TypeAlias = Any  # the package `torch` itself, as `load_torch` gives it
TorchModule: TypeAlias = Any  # torch.nn.Module: a model with its weights
TorchTensor: TypeAlias = Any  # torch.Tensor
ExportedProgram: TypeAlias = Any  # torch.export.ExportedProgram: a module's graph for inputs of given shapes
GraphModule: TypeAlias = Any  # torch.fx.GraphModule: a module that runs a graph of calls
GraphNode: TypeAlias = Any  # torch.fx.Node: one call, input or output of such a graph
SymbolicSize: TypeAlias = Any  # torch.SymInt: a size that differs from call to call
SizeCondition: TypeAlias = Any  # sympy.Basic: what holds of the symbols that sizes are made of
TorchOperator: TypeAlias = Any  # an operator as graphs name it: torch.ops.aten.sign.default, or a built-in function
