"""ONNX models of a single node, in ONNX's own layouts (channels first, weights [co, ci, kernel])."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx
from onnx import TensorProto, helper

from benchmarks.peers.call import UnsupportedError
from flextune.workload.operator_parameters import Params
from flextune.workload.windows import read_window
from flextune.workload.workload import Workload

OPSET = 18
IR_VERSION = 9

_ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "uint8": TensorProto.UINT8,
    "int8": TensorProto.INT8,
    "int32": TensorProto.INT32,
    "uint16": TensorProto.BFLOAT16,
}

_DIMENSIONS = {"conv1d": 1, "conv2d": 2, "conv3d": 3, "depthwise": 2}


@dataclass(frozen=True, slots=True)
class NodeForm:
    """A node: `op`, its attributes, and what order of axes turns each input into ONNX's (empty: as it is).

    `output_axes` turns ONNX's output into the workload's.
    """

    op: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    input_axes: tuple[tuple[int, ...], ...] = ()
    output_axes: tuple[int, ...] = ()
    axes_input: tuple[int, ...] = ()


def node_form(workload: Workload) -> NodeForm:
    """The single node that computes the workload. Raises `UnsupportedError` where there is none."""
    if dict(workload.params).get("epilogue", "none") != "none":
        raise UnsupportedError("an epilogue is a second ONNX node")
    operator, params = workload.operator, workload.checked_params
    if operator in ("gemm", "bmm", "gemv"):
        return _product(workload)
    if operator in _DIMENSIONS or operator == "conv2d_transpose":
        return _convolution(workload, _DIMENSIONS.get(operator, 2))
    if operator == "pool2d":
        return _pool(params)
    if operator == "softmax":
        return NodeForm("Softmax", {"axis": 1})
    if operator == "layer_norm":
        return NodeForm("LayerNormalization", {"axis": 1, "epsilon": float(params.text("epsilon"))})
    if operator == "reduce" and params.text("op") in ("sum", "mean"):
        op = {"sum": "ReduceSum", "mean": "ReduceMean"}[params.text("op")]
        return NodeForm(op, {"keepdims": 0}, axes_input=(params.integer("axis"),))
    raise UnsupportedError(f"ONNX has no single node for {workload}")


Operand = tuple[str, tuple[int, ...]]
"""Storage type and shape, in ONNX's layout."""


def model_bytes(form: NodeForm, inputs: Sequence[Operand], output: Operand) -> bytes:
    """The model of one node with these inputs and this output."""
    names = [f"in{index}" for index in range(len(inputs))]
    infos = [
        helper.make_tensor_value_info(name, _ELEMENTS[dtype], shape)
        for name, (dtype, shape) in zip(names, inputs, strict=True)
    ]
    initializers = []
    if form.axes_input:
        names.append("axes")
        initializers.append(helper.make_tensor("axes", TensorProto.INT64, [len(form.axes_input)], form.axes_input))
    node = helper.make_node(form.op, names, ["out"], **form.attributes)
    out = helper.make_tensor_value_info("out", _ELEMENTS[output[0]], output[1])
    graph = helper.make_graph([node], "case", infos, [out], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    encoded: bytes = model.SerializeToString()
    return encoded


def _product(workload: Workload) -> NodeForm:
    params = workload.checked_params
    turned = {name: bool(value) for name, value in params.items if name in ("ta", "tb")}
    if workload.dtype == "uint8":
        return NodeForm("MatMulInteger", {}, _product_axes(workload, turned))
    if workload.operator == "gemm" and any(turned.values()):
        return NodeForm("Gemm", {"transA": int(turned["ta"]), "transB": int(turned["tb"])})
    if any(turned.values()):
        raise UnsupportedError("ONNX has no batched product with a transposed operand")
    return NodeForm("MatMul")


def _product_axes(workload: Workload, turned: Mapping[str, bool]) -> tuple[tuple[int, ...], ...]:
    if any(turned.values()):
        raise UnsupportedError(f"ONNX has no integer product for {workload}")
    return ()


def _convolution(workload: Workload, dimensions: int) -> NodeForm:
    params = workload.checked_params
    window = read_window(params, dimensions)
    attributes: dict[str, object] = {
        "kernel_shape": window.kernel,
        "strides": window.stride,
        "dilations": window.dilation,
        "pads": (*window.before, *window.after),
        "group": _groups(workload.operator, params),
    }
    op = "ConvInteger" if workload.dtype == "uint8" else "Conv"
    spatial = tuple(range(dimensions))
    weight = (dimensions + 1, dimensions, *spatial)
    if workload.operator == "conv2d_transpose":
        if workload.dtype == "uint8":
            raise UnsupportedError("ONNX has no integer transposed convolution")
        op, weight = "ConvTranspose", (dimensions, dimensions + 1, *spatial)
        attributes["output_padding"] = params.per_dimension("output_padding", dimensions)
    last = params.text("layout").endswith("c")
    return NodeForm(
        op,
        attributes,
        (_first(dimensions), weight) if last else (),
        _last(dimensions) if last else (),
    )


def _groups(operator: str, params: Params) -> int:
    if operator == "depthwise":
        return params.integer("c")
    return params.integer("groups") if operator != "conv2d_transpose" else 1


def _pool(params: Params) -> NodeForm:
    before, after = params.pads(2)
    attributes: dict[str, object] = {
        "kernel_shape": params.integers("kh", "kw"),
        "strides": params.per_dimension("stride", 2),
        "pads": (*before, *after),
    }
    largest = params.text("kind") == "max"
    if not largest:
        attributes["count_include_pad"] = params.integer("include_pad")
    last = params.text("layout").endswith("c")
    axes = (_first(2),) if last else ()
    return NodeForm("MaxPool" if largest else "AveragePool", attributes, axes, _last(2) if last else ())


def _first(dimensions: int) -> tuple[int, ...]:
    """Channels-last axes in channels-first order."""
    return (0, dimensions + 1, *range(1, dimensions + 1))


def _last(dimensions: int) -> tuple[int, ...]:
    """Channels-first axes in channels-last order."""
    return (0, *range(2, dimensions + 2), 1)
