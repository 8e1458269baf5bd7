"""The light models as PyTorch modules: each ONNX node becomes the module or function that a PyTorch user would write.

They come as ONNX graphs only, and PyTorch is to be compared with on them too. Only the operators of these models are
known. Batch norms, dropouts and the like stay as they are: what eager mode or the compiler makes of them is theirs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import fx, nn

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import fold_constants, static_shapes


class ConversionError(Exception):
    """An operator, or a form of one, that the light models do not have."""


def light_module(path: str | Path) -> nn.Module:
    """The model in inference mode; takes its inputs by position, returns a tuple of tensors."""
    graph = OnnxGraph.of(onnx.load(str(path)))
    fold_constants(graph)
    return _Conversion(graph).module().eval()


class _Conversion:
    """One graph on its way: `values` holds the traced value of every tensor that is not a constant."""

    def __init__(self, graph: OnnxGraph) -> None:
        self.source = graph
        self.shapes = static_shapes(graph)
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.values: dict[str, fx.Node] = {}

    def module(self) -> nn.Module:
        for index, value in enumerate(self.source.inputs):
            self.values[value.name] = self.graph.placeholder(f"input_{index}")
        for index, node in enumerate(self.source.nodes):
            convert = _OPERATORS.get(node.op_type)
            if convert is None:
                raise ConversionError(f"no conversion of {node.op_type}")
            self.values[node.output[0]] = convert(self, node, f"{node.op_type.lower()}_{index}")
        self.graph.output(tuple(self.values[value.name] for value in self.source.outputs))
        return fx.GraphModule(self.root, self.graph)

    def add(self, name: str, module: nn.Module, data: str) -> fx.Node:
        """The module called on the value named `data`."""
        self.root.add_module(name, module)
        return self.graph.call_module(name, (self.values[data],))

    def call(self, function: Callable[..., Any], *arguments: object) -> fx.Node:
        return self.graph.call_function(function, arguments)

    def operand(self, name: str, own_name: str) -> fx.Node:
        """A tensor of the graph; a constant becomes a parameter."""
        if name not in self.source.constants:
            return self.values[name]
        self.root.register_parameter(own_name, _parameter(self.source.constants[name]))
        return self.graph.get_attr(own_name)

    def tensor(self, name: str) -> nn.Parameter:
        return _parameter(self.source.constants[name])


def _parameter(array: np.ndarray) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(array)), requires_grad=False)


def _convolution(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    weight = into.tensor(node.input[1])
    before, after = _pads(node)
    _only(before == after, "convolutions padded on both sides alike")
    groups = attribute(node, "group", 1)
    module = nn.Conv2d(
        weight.shape[1] * groups,
        weight.shape[0],
        tuple(weight.shape[2:]),
        tuple(attribute(node, "strides", (1, 1))),
        before,
        tuple(attribute(node, "dilations", (1, 1))),
        groups,
        bias=len(node.input) > 2,
        device="meta",
    )
    module.weight = weight
    if len(node.input) > 2:
        module.bias = into.tensor(node.input[2])
    return into.add(name, module, node.input[0])


def _batch_norm(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    scale, bias, mean, variance = (into.tensor(each) for each in node.input[1:5])
    module = nn.BatchNorm2d(len(scale), eps=attribute(node, "epsilon", 1e-5))
    module.weight, module.bias = scale, bias
    module.running_mean, module.running_var = mean.data, variance.data
    return into.add(name, module, node.input[0])


def _gemm(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    _only(attribute(node, "transB", 0) == 1 and attribute(node, "transA", 0) == 0, "Gemm as a linear layer has it")
    _only(attribute(node, "alpha", 1.0) == attribute(node, "beta", 1.0) == 1.0, "Gemm without factors")
    weight = into.tensor(node.input[1])
    module = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    module.weight, module.bias = weight, into.tensor(node.input[2])
    return into.add(name, module, node.input[0])


def _pool(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    """Pads at the end alone are what PyTorch calls ceil mode: the last window reaches beyond the data."""
    before, after = _pads(node)
    uneven = before != after
    if uneven and _is_global_average(node, into.shapes):
        return into.add(name, nn.AdaptiveAvgPool2d(1), node.input[0])
    _only(not uneven or all(low in (0, high) for low, high in zip(before, after, strict=True)), "pads of pools")
    kernel = tuple(attribute(node, "kernel_shape", (1, 1)))
    strides = tuple(attribute(node, "strides", (1, 1)))
    low = (0, 0) if uneven else before
    module: nn.Module
    if node.op_type == "MaxPool":
        module = nn.MaxPool2d(kernel, strides, low, ceil_mode=uneven)
    else:
        module = nn.AvgPool2d(kernel, strides, low, uneven, bool(attribute(node, "count_include_pad", 0)))
    if uneven:
        _only(_ceil_shape(into.shapes[node.input[0]], kernel, strides) == into.shapes[node.output[0]][2:], "pads")
    return into.add(name, module, node.input[0])


def _is_global_average(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether the only window reaches beyond the data, and the average counts the data alone."""
    data, kernel = shapes[node.input[0]][2:], attribute(node, "kernel_shape", (1, 1))
    covered = all(window >= size for window, size in zip(kernel, data, strict=True))
    counts_data = node.op_type == "AveragePool" and not attribute(node, "count_include_pad", 0)
    return counts_data and covered and shapes[node.output[0]][2:] == (1, 1)


def _ceil_shape(shape: tuple[int, ...], kernel: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-((size - k) // -s) + 1 for size, k, s in zip(shape[2:], kernel, strides, strict=True))


def _response_norm(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    alpha, beta, bias = (
        attribute(node, key, default) for key, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    return into.add(name, nn.LocalResponseNorm(attribute(node, "size", 5), alpha, beta, bias), node.input[0])


def _softmax(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    """Before opset 13 it is over all dimensions from `axis` on, which the models have of size 1 but for the first."""
    shape, axis = into.shapes[node.input[0]], attribute(node, "axis", 1)
    _only(np.prod(shape[axis + 1 :]) == 1, "a softmax over one dimension")
    return into.add(name, nn.Softmax(axis), node.input[0])


def _reshape(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    del name
    return into.call(torch.reshape, into.values[node.input[0]], into.shapes[node.output[0]])


def _transpose(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    del name
    return into.call(torch.permute, into.values[node.input[0]], tuple(attribute(node, "perm", ())))


def _concat(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
    del name
    return into.call(torch.cat, [into.values[each] for each in node.input], attribute(node, "axis", 1))


def _combined(function: Callable[..., Any]) -> Callable[[_Conversion, onnx.NodeProto, str], fx.Node]:
    """Two or more operands, constants among them."""

    def convert(into: _Conversion, node: onnx.NodeProto, name: str) -> fx.Node:
        operands = [into.operand(each, f"{name}_{index}") for index, each in enumerate(node.input)]
        result = operands[0]
        for other in operands[1:]:
            result = into.call(function, result, other)
        return result

    return convert


def _module(make: Callable[[], nn.Module]) -> Callable[[_Conversion, onnx.NodeProto, str], fx.Node]:
    return lambda into, node, name: into.add(name, make(), node.input[0])


def _pads(node: onnx.NodeProto) -> tuple[tuple[int, ...], tuple[int, ...]]:
    pads = tuple(attribute(node, "pads", (0, 0, 0, 0)))
    _only(attribute(node, "auto_pad", "NOTSET") == "NOTSET", "pads that are written out")
    return pads[:2], pads[2:]


def _only(holds: object, what: str) -> None:
    if not holds:
        raise ConversionError(f"only {what} can be converted")


_OPERATORS: dict[str, Callable[[_Conversion, onnx.NodeProto, str], fx.Node]] = {
    "Add": _combined(operator.add),
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Concat": _concat,
    "Conv": _convolution,
    "Dropout": _module(nn.Dropout),
    "Gemm": _gemm,
    "GlobalAveragePool": _module(lambda: nn.AdaptiveAvgPool2d(1)),
    "LRN": _response_norm,
    "MaxPool": _pool,
    "Mul": _combined(operator.mul),
    "Relu": _module(nn.ReLU),
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Sum": _combined(operator.add),
    "Transpose": _transpose,
}
