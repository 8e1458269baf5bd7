"""Nodes that stand for one kernel of our own, where no operator computes what is asked for.

Such a node is of `DOMAIN`, has one result, whose type the graph knows, and the name of an entry of
`flextune.lowering.own_kernels` as its operator. Its attributes are numbers and texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.regions import DOMAIN, region_name


def kernel_node(
    graph: OnnxGraph,
    kernel: str,
    inputs: Sequence[str],
    result: str,
    kind: int,
    shape: Sequence[int],
    **attributes: object,
) -> onnx.NodeProto:
    """The node; its result is of element type `kind` (`TensorProto.DataType`) and this shape, which the graph keeps."""
    graph.known[result] = onnx.helper.make_tensor_value_info(result, kind, list(shape))
    return onnx.helper.make_node(kernel, list(inputs), [result], name=result, domain=DOMAIN, **attributes)


def is_kernel(node: onnx.NodeProto) -> bool:
    """Whether a node stands for a kernel of our own."""
    return bool(node.domain == DOMAIN) and not region_name(node)
