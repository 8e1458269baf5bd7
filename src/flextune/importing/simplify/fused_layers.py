"""ONNX Runtime's fused layers: products, convolutions, norms and activations, by plain operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import MICROSOFT, Writer

QUICK = 1.702
"""The slope of `QuickGelu`."""


def _fused_conv(write: Writer) -> None:
    """A convolution, another tensor added, and an activation."""
    node = write.node
    added = write.input(3)
    total = write.emit("Conv", [name for name in node.input[:3] if name])
    write.nodes[-1].attribute.extend(e for e in node.attribute if not e.name.startswith("activation"))
    if added:
        total = write.emit("Add", [total, added])
    parameters = attribute(node, "activation_params", (0.0,) * 0)
    _activated(write, total, attribute(node, "activation", ""), parameters)


def _fused_gemm(write: Writer) -> None:
    node = write.node
    total = write.emit("Gemm", [name for name in node.input if name])
    write.nodes[-1].attribute.extend(e for e in node.attribute if not e.name.startswith("activation"))
    _activated(write, total, attribute(node, "activation", ""), _parameters(node))


def _parameters(node: onnx.NodeProto) -> tuple[float, ...]:
    """Those of an activation that are given."""
    given = {entry.name: float(entry.f) for entry in node.attribute}
    names = (f"activation_{name}" for name in ("alpha", "beta", "gamma"))
    return tuple(given[name] for name in names if name in given)


_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "": (),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "LeakyRelu": ("alpha",),
    "Relu": (),
    "Selu": ("alpha", "gamma"),
    "Sigmoid": (),
    "Softplus": (),
    "Softsign": (),
    "Tanh": (),
    "ThresholdedRelu": ("alpha",),
}


def _activated(write: Writer, value: str, operator: str, parameters: tuple[float, ...]) -> None:
    """The node's result: the activation of this name, with its parameters in order."""
    result = write.output(0)
    if operator == "Clip":
        bounds = [write.constant(each) for each in parameters]
        write.emit("Clip", [value, *bounds], result)
        return
    if operator not in _PARAMETERS or len(parameters) > len(_PARAMETERS[operator]):
        write.refuse(f"the activation {operator} with parameters {list(parameters)} is not supported")
    write.emit(operator or "Identity", [value], result, **dict(zip(_PARAMETERS[operator], parameters, strict=False)))


def _fused_matmul(write: Writer) -> None:
    """A product of matrices, either transposed, times a number."""
    node = write.node
    if attribute(node, "transBatchA", 0) or attribute(node, "transBatchB", 0):
        write.refuse("transposed batches are not supported")
    sides = []
    for place, name in enumerate(("transA", "transB")):
        value, rank = write.input(place), len(write.shape(write.input(place)))
        turned = attribute(node, name, 0) and rank > 1
        order = [*range(rank - 2), rank - 1, rank - 2]
        sides.append(write.transposed(value, order) if turned else value)
    factor = attribute(node, "alpha", 1.0)
    activation = attribute(node, "activation", "")
    total = write.emit("MatMul", sides)
    if factor != 1.0:
        total = write.emit("Mul", [total, write.number(factor)])
    _activated(write, total, activation, _parameters(node))


def _normalized(write: Writer, value: str, scale: str, bias: str, result: str) -> None:
    """Layer normalisation along the last axis, by the node's epsilon."""
    epsilon = attribute(write.node, "epsilon", 1e-12)
    write.emit("LayerNormalization", [value, scale, *([bias] if bias else [])], result, axis=-1, epsilon=epsilon)


def _root_mean_square(write: Writer, value: str, axis: int, epsilon: float) -> None:
    """The node's result: divided by the root of the mean square along the axes from `axis` on, and scaled."""
    rank = len(write.shape(write.input(0)))
    axes = list(range(axis % rank, rank))
    mean = write.reduced("ReduceMean", write.emit("Mul", [value, value]), axes)
    root = write.emit("Sqrt", [write.emit("Add", [mean, write.number(epsilon)])])
    scale = write.input(2 if write.node.op_type.startswith("Skip") else 1)
    write.emit("Mul", [write.emit("Div", [value, root]), scale], write.output(0))


def _skip_layer_norm(write: Writer) -> None:
    """A sum of two tensors and a bias, normalised."""
    _only_results(write, 0, 3)
    total = _skip_sum(write, write.input(4))
    _normalized(write, total, write.input(2), write.input(3), write.output(0))


def _skip_simplified_layer_norm(write: Writer) -> None:
    _only_results(write, 0, 3)
    total = _skip_sum(write, write.input(3))
    _root_mean_square(write, total, -1, attribute(write.node, "epsilon", 1e-12))


def _skip_sum(write: Writer, bias: str) -> str:
    parts = [write.input(0), write.input(1), *([bias] if bias else [])]
    return write.chain("Add", parts, write.output(3))


def _simplified_layer_norm(write: Writer) -> None:
    _only_results(write, 0)
    _root_mean_square(write, write.input(0), attribute(write.node, "axis", -1), attribute(write.node, "epsilon", 1e-5))


def _only_results(write: Writer, *places: int) -> None:
    """Refuse where another of the results is asked for: they serve training."""
    used = [place for place, name in enumerate(write.node.output) if name and place not in places]
    if any(write.graph.use_counts()[write.node.output[place]] for place in used):
        write.refuse("its mean and deviation as results are not supported")


def _embed_layer_norm(write: Writer) -> None:
    """Rows of up to three tables added and normalised; and how many places of a mask are set."""
    ids, segments, words, places, segment_rows = (write.input(place) for place in range(5))
    scale, bias, mask, positions = (write.input(place) for place in range(5, 9))
    batch, steps = write.shape(ids)
    parts = [write.emit("Gather", [words, ids], axis=0)]
    if positions:
        parts.append(write.emit("Gather", [places, positions], axis=0))
    else:
        parts.append(write.sliced(places, 0, 0, steps))
    if segments and segment_rows:
        parts.append(write.emit("Gather", [segment_rows, segments], axis=0))
    total = write.chain("Add", parts, write.output(2))
    _normalized(write, total, scale, bias, write.output(0))
    if not write.output(1):
        return
    if not mask:
        write.emit("Identity", [write.constant(np.zeros(batch), np.int32)], write.output(1))
    else:
        is_set = write.cast(write.emit("Equal", [mask, write.number(1, mask)]), TensorProto.INT32)
        write.reduced("ReduceSum", is_set, [1], keepdims=0, result=write.output(1))


def _gelu(approximate: str) -> Callable[[Writer], None]:
    """`Gelu` of a sum with a bias, where there is one."""

    def form(write: Writer) -> None:
        value = write.input(0)
        if write.input(1):
            value = write.emit("Add", [value, write.input(1)])
        write.emit("Gelu", [value], write.output(0), approximate=approximate)

    return form


def _quick_gelu(write: Writer) -> None:
    factor = attribute(write.node, "alpha", QUICK)
    gate = write.emit("Sigmoid", [write.emit("Mul", [write.input(0), write.number(factor)])])
    write.emit("Mul", [write.input(0), gate], write.output(0))


LAYERS: dict[tuple[str, str], Callable[[Writer], None]] = {
    ("", "SimplifiedLayerNormalization"): _simplified_layer_norm,
    **{
        (MICROSOFT, name): form
        for name, form in {
            "BiasGelu": _gelu("none"),
            "EmbedLayerNormalization": _embed_layer_norm,
            "FastGelu": _gelu("tanh"),
            "FusedConv": _fused_conv,
            "FusedGemm": _fused_gemm,
            "FusedMatMul": _fused_matmul,
            "FusedMatMulActivation": _fused_matmul,
            "Gelu": _gelu("none"),
            "QuickGelu": _quick_gelu,
            "SkipLayerNormalization": _skip_layer_norm,
            "SkipSimplifiedLayerNormalization": _skip_simplified_layer_norm,
            "TransposeMatMul": _fused_matmul,
        }.items()
    },
}
"""Domain and operator -> what writes it by others."""
