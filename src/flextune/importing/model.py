"""Reading a model file: from a path to a checked `Model` whose inputs have known sizes, or one clear error."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import ArrayLike

from flextune.errors import ModelError
from flextune.importing.binding import bind_values, shape_inputs
from flextune.importing.expansion import expand_functions
from flextune.importing.input_sizes import default_dims, input_specs
from flextune.importing.local_functions import check_functions
from flextune.importing.operators import check_operators, refuse_random, state_defaults
from flextune.importing.order import sort_nodes
from flextune.importing.reading import check_names, check_proto, read_proto
from flextune.importing.shapes.names import input_shapes
from flextune.importing.sized.equal_sizes import unify_sizes
from flextune.importing.sparse import make_dense
from flextune.importing.types import element_text
from flextune.importing.values import STORAGE, ValueSpec, random_values
from flextune.target.memory import require_memory
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr

_MOST_ELEMENTS = 2**31 - 1
"""Of an input: generated code counts elements in 32 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A checked model whose inputs have static shapes, or sizes of which the ranges are known."""

    name: str
    """The file's name without its ending, or what the caller names it."""
    proto: onnx.ModelProto
    """The ONNX model, with its constants inside."""
    inputs: tuple[ValueSpec, ...]
    """In the order of the graph."""
    outputs: tuple[str, ...]
    """Names, in the order of the graph."""
    notes: tuple[str, ...] = ()
    """What was decided while it was read and changed, one sentence each."""
    dims: tuple[Dim, ...] = ()
    """The dimensions of its inputs that have a range rather than one size: one library is for all of them."""

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants as float32."""
        return sum(4 * math.prod(tensor.dims) for tensor in self.proto.graph.initializer)

    def output_dtype(self, name: str, stored: str) -> str:
        """The element type of an output that is kept as `stored`: bfloat16 is kept as uint16, float8 as uint8."""
        kinds = {value.name: value.type.tensor_type.elem_type for value in self.proto.graph.output}
        declared = element_text(kinds[name]) if kinds[name] else stored
        return declared if STORAGE.get(declared) == stored else stored

    def save(self, path: str | Path) -> Path:
        """Write the model (with its static shapes and present weights) as an ONNX file."""
        onnx.save(self.proto, str(path))
        return Path(path)

    def with_proto(self, proto: onnx.ModelProto, *notes: str) -> Model:
        """The same model with other weights or nodes, and what was changed."""
        return replace(self, proto=proto, notes=(*self.notes, *notes))

    def random_inputs(self, seed: int) -> dict[str, np.ndarray]:
        """One seeded array per input; see `ValueSpec.random_array`."""
        return random_values(self.inputs, seed)


def load_model(
    path: str | Path,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    *,
    only_own: bool = True,
    values: Mapping[str, ArrayLike] | None = None,
    dims: Iterable[Dim] = (),
    usual_ranges: bool = False,
) -> Model:
    """Read and check an ONNX file, and give every input a shape; see `model_from_proto`.

    With `usual_ranges`, where no sizes are given and some that are no batches are missing, all get the ranges of
    `flextune.importing.input_sizes.default_dims`, with a note. Weights in other files are read too, from the model's
    folder only. ModelError for a file that is missing, damaged, or larger than memory.
    """
    source = Path(path)
    proto, dims = read_proto(source), tuple(dims)
    chosen = default_dims(_inputs(proto.graph)) if usual_ranges and not dims and not shapes else ()
    dims = dims or chosen
    model = model_from_proto(proto, source.stem, shapes, str(source), only_own=only_own, values=values, dims=dims)
    if not chosen:
        return model
    ranges = " ".join(f"--dim {dim}" for dim in chosen)
    return replace(model, notes=(*model.notes, f"no sizes are given, so it is for usual ones: {ranges}"))


def model_from_proto(
    proto: onnx.ModelProto,
    name: str,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    source: str = "the model",
    *,
    only_own: bool = True,
    values: Mapping[str, ArrayLike] | None = None,
    dims: Iterable[Dim] = (),
) -> Model:
    """A checked model of a proto, which is changed and belongs to the result from then on.

    `values` makes constants of inputs, by name. `shapes` sets the shape of inputs with dynamic dimensions, `dims` the
    sizes or ranges of dimensions by name; they hold for every input with a dimension of that name. A dynamic first
    dimension (the batch) that is not set becomes 1, with a note, unless there are ranges; any other one raises
    ModelError, as do cycles and unsupported operators (all of them, with the names of their nodes). Messages call the
    model `source`. Without `only_own` it may hold what only another runtime computes: any operator, and values that are
    no tensors or have no static shape (`flextune.plan.parts`).
    """
    check_names(proto, source)
    make_dense(proto.graph, source)
    check_functions(proto, source)
    proto = bind_values(proto, values or {}, source)
    proto = expand_functions(proto)
    state_defaults(proto.graph)
    if only_own:
        check_operators(proto, source)
    sort_nodes(proto.graph, source)
    check_proto(proto, source)
    refuse_random(proto, source)
    if only_own:
        _require_own(proto, source)
    return _with_input_sizes(proto, name, source, shapes or {}, dims)


def require_own(model: Model) -> None:
    """Raise ModelError for a model that was read without `only_own` and has what only another runtime computes."""
    _require_own(model.proto, model.name)


def _require_own(proto: onnx.ModelProto, source: str) -> None:
    check_operators(proto, source)
    if deciding := sorted(shape_inputs(proto.graph)):
        raise ModelError(
            f"{source}: values of {', '.join(map(repr, deciding))} decide shapes and are inputs; shapes must be known "
            "when a model is built: make them constants with --value NAME=NUMBER (values= in Python)"
        )
    for what, values in (("input", proto.graph.input), ("output", proto.graph.output)):
        if strange := [value.name for value in values if not value.type.HasField("tensor_type")]:
            raise ModelError(f"{source}: {what} {strange[0]!r} is not a tensor; only tensors are supported")


def _with_input_sizes(
    proto: onnx.ModelProto, name: str, source: str, shapes: Mapping[str, tuple[int, ...]], dims: Iterable[Dim]
) -> Model:
    inputs = _inputs(proto.graph)
    dims = tuple(dims)
    specs, notes = input_specs(inputs, shapes, dims, source)
    used = dict.fromkeys(name for spec in specs for size in spec.sizes for name in sorted(size.names))
    ranges = {dim.name: dim for dim in dims}
    for value, spec in zip(inputs, specs, strict=True):
        if value.type.HasField("tensor_type"):
            _set_shape(value, spec.axis_sizes)
    _check_sizes([spec for spec in specs if not spec.sizes], source)
    del proto.graph.value_info[:]
    outputs = tuple(value.name for value in proto.graph.output)
    model = Model(name, proto, tuple(specs), outputs, tuple(notes), tuple(ranges[each] for each in used))
    return _with_equal_sizes(model, source) if model.dims else model


def _with_equal_sizes(model: Model, source: str) -> Model:
    """Dimensions that must be the same size by one name."""
    dims, notes = unify_sizes(model.proto, {dim.name: dim for dim in model.dims}, source)
    if not notes:
        return model
    shapes = input_shapes(model.proto.graph.input)
    inputs = tuple(
        ValueSpec.symbolic(spec.name, shapes[spec.name] or (), spec.dtype) if spec.sizes else spec
        for spec in model.inputs
    )
    return replace(model, inputs=inputs, dims=tuple(dims.values()), notes=(*model.notes, *notes))


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The graph's inputs, without those that have a default."""
    constants = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in constants]


def _check_sizes(inputs: Sequence[ValueSpec], source: str) -> None:
    for spec in inputs:
        if math.prod(spec.shape) > _MOST_ELEMENTS:
            raise ModelError(f"{source}: input {spec} has more than {_MOST_ELEMENTS} elements: use smaller sizes")
    input_bytes = sum(math.prod(spec.shape) * _item_bytes(spec) for spec in inputs)
    require_memory(input_bytes, f"{source}: what the inputs hold", copies=1)


def _item_bytes(spec: ValueSpec) -> int:
    return np.dtype(spec.dtype).itemsize if spec.is_numeric else 0


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int | DimExpr]) -> None:
    dims = value.type.tensor_type.shape.dim
    del dims[:]
    for size in shape:
        if isinstance(size, int):
            dims.add().dim_value = size
        else:
            dims.add().dim_param = str(size)
    if not shape:
        value.type.tensor_type.shape.SetInParent()
