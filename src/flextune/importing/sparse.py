"""Constants that a file gives by their elements other than 0, as plain ones: everything behind reads those alone."""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper

from flextune.errors import ModelError
from flextune.importing.onnx_graph import nested_graphs
from flextune.importing.tensors import tensor_array

MOST_ELEMENTS = 2**28
"""Of a constant that is written out: 1 GiB of float32."""


def make_dense(graph: onnx.GraphProto, source: str) -> None:
    """Replace sparse initializers and sparse values of `Constant` by plain ones, in graphs inside of nodes too.

    ModelError for one that is damaged, or would be too large.
    """
    graph.initializer.extend(_dense(sparse, sparse.values.name, source) for sparse in graph.sparse_initializer)
    del graph.sparse_initializer[:]
    for node in graph.node:
        for entry in node.attribute:
            if node.op_type == "Constant" and entry.name == "sparse_value":
                dense = _dense(entry.sparse_tensor, node.output[0] if node.output else node.name, source)
                entry.CopyFrom(onnx.helper.make_attribute("value", dense))
        for inner in nested_graphs(node):
            make_dense(inner, source)


def _dense(sparse: onnx.SparseTensorProto, name: str, source: str) -> onnx.TensorProto:
    what = f"{source}: sparse tensor {name[:120]!r} of sizes {list(sparse.dims)}"
    if any(size < 0 for size in sparse.dims) or math.prod(sparse.dims) > MOST_ELEMENTS:
        raise ModelError(f"{what} would have more than {MOST_ELEMENTS} elements when written out")
    values, places = tensor_array(sparse.values), tensor_array(sparse.indices)
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    is_flat = places.ndim == 1
    if places.dtype != np.int64 or values.ndim != 1 or places.shape not in ((values.size,), (values.size, dense.ndim)):
        raise ModelError(f"{what} is damaged: {values.size} values do not go with indices {list(places.shape)}")
    limits = dense.size if is_flat else np.array(dense.shape)
    if places.size and ((places < 0) | (places >= limits)).any():
        raise ModelError(f"{what} is damaged: it has indices out of range")
    if is_flat:
        dense.reshape(-1)[places] = values
    else:
        dense[tuple(places.T)] = values
    return numpy_helper.from_array(dense, name)
