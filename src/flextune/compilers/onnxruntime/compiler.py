"""ONNX Runtime as a compiler of subgraphs: its artifact is the ONNX graph, without its large constants."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.compilers.onnxruntime.kernel import OnnxRuntimeKernel
from flextune.compilers.onnxruntime.session import open_session, runtime, types_of
from flextune.compilers.subgraph_compiler import SubgraphOptions, Types, Weights
from flextune.errors import BuildError, ModelError
from flextune.importing.model import Model
from flextune.importing.onnx_graph import attribute
from flextune.importing.reading import FIXED_SIZES
from flextune.trial.artifact import Artifact

KIND = "onnxruntime"

_DEFAULT_LOCALE = "en_US"
_KNOWN_SET = 21
_SAME_SINCE_KNOWN = frozenset(
    {"Identity", "Optional", "OptionalGetElement", "OptionalHasElement", "Cast", "Greater", "Less"}
    | {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
"""Operators that newer sets have for more types of elements, and else as they were."""

_LARGE_BYTES = 1 << 10
"""Constants of more bytes lie outside of the graph."""


class OnnxRuntimeCompiler:
    """See `SubgraphCompiler`."""

    name = KIND

    def supports(self, node: onnx.NodeProto) -> str:
        runtime()
        domain = "" if node.domain == "ai.onnx" else node.domain
        return "" if (domain, node.op_type) in _operators() else "ONNX Runtime has no such operator either"

    def infer(self, model: onnx.ModelProto) -> Types:
        return types_of(model)

    def compile(self, subgraph: Model, options: SubgraphOptions) -> tuple[Artifact, Weights]:
        content, weights = _without_weights(subgraph.proto)
        content = _with_known_locales(content)
        try:
            open_session(content, weights, options)
        except BuildError as error:
            content = _in_known_set(_without_sizes(content))
            try:
                open_session(content, weights, options)
            except BuildError:
                raise ModelError(f"model {subgraph.name!r}: {error}") from error
        return Artifact(KIND, content), weights

    def load(self, artifact: Artifact, weights: Weights, options: SubgraphOptions) -> OnnxRuntimeKernel:
        if artifact.kind != KIND:
            raise BuildError(f"ONNX Runtime runs artifacts of the kind {KIND}, got one of {artifact.kind!r:.40}")
        return OnnxRuntimeKernel(artifact.content, weights, options)


@cache
def _operators() -> frozenset[tuple[str, str]]:
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema  # known to be there

    return frozenset((schema.domain, schema.name) for schema in get_all_operator_schema())


def _without_weights(proto: onnx.ModelProto) -> tuple[bytes, dict[str, np.ndarray]]:
    """The model with its large constants declared external, and those constants."""
    small, weights = onnx.ModelProto(), {}
    small.CopyFrom(_without_initializers(proto))
    for tensor in proto.graph.initializer:
        size = math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        if size <= _LARGE_BYTES or tensor.data_type not in FIXED_SIZES:
            small.graph.initializer.append(tensor)
            continue
        weights[tensor.name] = numpy_helper.to_array(tensor)
        outside = small.graph.initializer.add(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        outside.data_location = onnx.TensorProto.EXTERNAL
        outside.external_data.add(key="location", value="weights")
    return small.SerializeToString(), weights


def _with_known_locales(content: bytes) -> bytes:
    """The graph with words in the locale C.UTF-8 where ONNX's default one is meant, which is not on every machine.

    Both have the same upper and lower case of every letter.
    """
    proto = onnx.load_model_from_string(content)
    nodes = [node for node in proto.graph.node if node.op_type == "StringNormalizer"]
    for node in nodes:
        if attribute(node, "locale", _DEFAULT_LOCALE) == _DEFAULT_LOCALE:
            kept = [entry for entry in node.attribute if entry.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("locale", "C.UTF-8")])
    return bytes(proto.SerializeToString()) if nodes else content


def _without_sizes(content: bytes) -> bytes:
    """The graph with inputs of any size.

    Where sizes are given, ONNX Runtime infers shapes in all branches, also in those that are written for other sizes
    and never taken, and refuses the model for what it finds there.
    """
    proto = onnx.load_model_from_string(content)
    for value in proto.graph.input:
        for dimension in value.type.tensor_type.shape.dim:
            dimension.Clear()
    return bytes(proto.SerializeToString())


def _in_known_set(content: bytes) -> bytes:
    """The graph in an older operator set, where that has the same operators for fewer types of elements.

    ONNX Runtime may know an operator of the newest set by its name only.
    """
    proto = onnx.load_model_from_string(content)
    if any(node.op_type not in _SAME_SINCE_KNOWN or node.domain for node in proto.graph.node):
        return content
    for entry in proto.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, _KNOWN_SET)
    return bytes(proto.SerializeToString())


def _without_initializers(proto: onnx.ModelProto) -> onnx.ModelProto:
    graph = onnx.helper.make_graph(
        proto.graph.node, proto.graph.name, proto.graph.input, proto.graph.output, doc_string=""
    )
    return onnx.helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
