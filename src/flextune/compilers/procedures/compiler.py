"""Procedures as a compiler of subgraphs: its artifact is their list as JSON, and the library of their functions.

    length of the list (8 bytes) | list (JSON) | shared library

They run one after the other. What they read of constants lies outside, as with other compilers.
"""

from __future__ import annotations

import json
from dataclasses import asdict

import onnx
from onnx import numpy_helper

from flextune.compilers.procedures.kernel import KIND, ProcedureKernel, Step
from flextune.compilers.procedures.library import KINDS
from flextune.compilers.procedures.operators import OPERATORS, Attribute
from flextune.compilers.subgraph_compiler import SubgraphOptions, Types, Weights
from flextune.errors import BuildError, ModelError
from flextune.importing.model import Model
from flextune.importing.operators import PROCEDURES
from flextune.importing.types import element_text
from flextune.native.toolchain import has_compiler, include_folder, source_library
from flextune.trial.artifact import Artifact

SOURCE = "procedures.c"


class ProcedureCompiler:
    """See `SubgraphCompiler`."""

    name = KIND

    def supports(self, node: onnx.NodeProto) -> str:
        if node.domain not in ("", "ai.onnx") or node.op_type not in PROCEDURES:
            return "it is no procedure"
        return "" if has_compiler() else "there is no C compiler"

    def infer(self, model: onnx.ModelProto) -> Types:
        """Nothing that is not known without it."""
        del model
        return {}

    def compile(self, subgraph: Model, options: SubgraphOptions) -> tuple[Artifact, Weights]:
        del options
        for spec in subgraph.inputs:
            if spec.dtype not in KINDS:
                raise ModelError(f"model {subgraph.name!r}: {spec} is of no type that procedures read")
        steps = [_step(node, subgraph.name) for node in subgraph.proto.graph.node]
        inputs, outputs = [spec.name for spec in subgraph.inputs], list(subgraph.outputs)
        text = json.dumps({"inputs": inputs, "outputs": outputs, "steps": [asdict(step) for step in steps]}).encode()
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in subgraph.proto.graph.initializer}
        content = len(text).to_bytes(8, "little") + text + source_library(include_folder() / SOURCE).read_bytes()
        return Artifact(KIND, content), weights

    def load(self, artifact: Artifact, weights: Weights, options: SubgraphOptions) -> ProcedureKernel:
        del options
        if artifact.kind != KIND:
            raise BuildError(f"procedures are artifacts of the kind {KIND}, got one of {artifact.kind!r:.40}")
        return ProcedureKernel(artifact.content, weights)


def _step(node: onnx.NodeProto, model: str) -> Step:
    if node.op_type not in OPERATORS or node.domain not in ("", "ai.onnx"):
        raise ModelError(f"model {model!r}: {node.op_type} {node.name or node.output[0]} is no procedure")
    attributes = {entry.name: _attribute(entry) for entry in node.attribute}
    if attributes.get("dtype", "float32") not in KINDS:
        raise ModelError(f"model {model!r}: {node.op_type} gives elements of the type {attributes['dtype']}")
    return Step(node.op_type, tuple(node.input), tuple(node.output), attributes)


def _attribute(entry: onnx.AttributeProto) -> Attribute:
    value = onnx.helper.get_attribute_value(entry)
    if entry.name == "dtype":
        return element_text(value)
    return value if isinstance(value, int | float) else [int(each) for each in value]
