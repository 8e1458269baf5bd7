"""Whole models, as both of PyTorch's exporters write them: every tensor's shape as ONNX Runtime finds it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import Tracked
from flextune.importing.shapes.tracker import track_shapes
from flextune.importing.values import array_type
from flextune.workload.dim import Dim, parse_dims

FOLDER = Path(__file__).parents[3] / "data" / "dynamic"
RANGES = {
    "encoder": ("batch=1..8", "seq=1..64"),
    "network": ("batch=0..8", "h=1..300", "w=1..300"),
    "recogniser": ("batch=1..8", "w=1..300"),
    "detector": ("batch=1..4", "h=8..300", "w=8..300"),
}
MODELS = [f"{name}_{exporter}" for name in RANGES for exporter in ("script", "dynamo")]


def read(name: str) -> tuple[onnx.ModelProto, dict[str, Dim]]:
    """A model without functions of its own, and the ranges of its sizes."""
    proto = onnx.load(FOLDER / f"{name}.onnx")
    return proto, {dim.name: dim for dim in parse_dims(RANGES[name.partition("_")[0]])}


def some_sizes(dims: dict[str, Dim], seed: int, number: int = 3) -> Iterator[dict[str, int]]:
    """Sizes in range: the smallest, and others by chance that are not large."""
    yield {name: dim.lo for name, dim in dims.items()}
    rng = np.random.default_rng(seed)
    for _ in range(number):
        yield {name: int(rng.integers(dim.lo, min(dim.hi, dim.lo + 70) + 1)) for name, dim in dims.items()}


def inputs_of(proto: onnx.ModelProto, table: ShapeTable, sizes: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    """Arrays of the model's inputs of these sizes."""
    rng, arrays = np.random.default_rng(seed), {}
    for value in proto.graph.input:
        shape = table.shape(value.name)
        assert shape is not None
        dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        bound = tuple(size.bind(sizes) for size in shape)
        numbers = rng.integers(0, 2, bound) if dtype.kind in "iub" else rng.standard_normal(bound)
        arrays[value.name] = numbers.astype(array_type(dtype.name))
    return arrays


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_is_as_it_is_when_the_model_runs(name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    proto, dims = read(name)
    table = track_shapes(proto, dims)
    assert not table.problems
    assert not table.decided
    assert not table.demands
    watched = [output for node in proto.graph.node for output in node.output if output]
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=each) for each in watched)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, ["CPUExecutionProvider"])
    for seed, sizes in enumerate(some_sizes(dims, seed=7)):
        arrays = session.run(watched, inputs_of(proto, table, sizes, seed))
        for each, array in zip(watched, arrays, strict=True):
            known = table.tensors[each]
            assert isinstance(known, Tracked)
            assert known.shape is not None
            assert tuple(size.bind(sizes) for size in known.shape) == array.shape, each
            assert array.dtype == onnx.helper.tensor_dtype_to_np_dtype(known.dtype), each
            for element, value in zip(() if known.elements is None else known.elements.flat, array.flat, strict=False):
                if element is not None:
                    assert element.numerator.bind(sizes) / element.denominator == pytest.approx(float(value)), each


@pytest.mark.parametrize("name", MODELS)
def test_the_witness_agrees(name: str) -> None:
    """ONNX Runtime's symbolic inference, which is made with sympy, at some sizes."""
    sympy = pytest.importorskip("sympy")
    inference = pytest.importorskip("onnxruntime.tools.symbolic_shape_infer")
    proto, dims = read(name)
    table = track_shapes(proto, dims)
    inferred = inference.SymbolicShapeInference.infer_shapes(proto, auto_merge=True)
    compared = 0
    for value in (*inferred.graph.value_info, *inferred.graph.output):
        shape = table.shape(value.name)
        assert shape is not None
        for size, dim in zip(shape, value.type.tensor_type.shape.dim, strict=True):
            wanted = sympy.sympify(dim.dim_param or dim.dim_value)
            if {str(each) for each in wanted.free_symbols} <= dims.keys():
                for sizes in some_sizes(dims, seed=3, number=2):
                    assert size.bind(sizes) == int(wanted.subs(sizes)), value.name
                compared += 1
    assert compared > 10


@pytest.mark.parametrize("name", MODELS)
def test_no_size_depends_on_what_ranges_decide(name: str) -> None:
    """Expressions stay short: quotients of quotients and extremes of which one argument wins do not pile up."""
    proto, dims = read(name)
    table = track_shapes(proto, dims)
    texts = [table.text(output) for node in proto.graph.node for output in node.output]
    assert not any("min" in text or "max" in text for text in texts)
    assert max(text.count("//") for text in texts) <= 6
