"""Whatever somebody calls a model, as a `Model`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import networkx
import onnx
from numpy.typing import ArrayLike

from flextune.compat.networkx_graph import model_of_graph
from flextune.errors import UsageError
from flextune.importing.model import Model, load_model, model_from_proto
from flextune.workload.dim import Dim, parse_dims

Shapes = Mapping[str, tuple[int, ...]]
Values = Mapping[str, ArrayLike]
"""Of inputs, by name: what becomes a constant of the model."""
Dims = Mapping[str, int | str | tuple[int, int]] | Iterable[Dim | str]
"""Of dimensions, by name: a size, a range such as `(1, 512)` or `"8..512:8"`; or texts such as `"seq=1..512"`."""


def model_of(
    given: Any,
    shapes: Shapes | None = None,
    example_inputs: Any = None,
    *,
    only_own: bool = True,
    values: Values | None = None,
    dynamic_shapes: Any = None,
    dims: Dims | None = None,
) -> Model:
    """An ONNX file or `ModelProto`, a PyTorch module with `example_inputs`, a networkx graph, or a `Model` itself.

    `shapes` fixes the shapes of inputs by name, `dims` gives sizes or ranges to dimensions by name, and `values` makes
    constants of inputs, where the model is ONNX; `example_inputs` and `dynamic_shapes` are as in `flextune.from_torch`.
    Without `only_own`, ONNX models may hold what only another runtime computes. ModelError for a model that cannot be
    read, UsageError for anything else.
    """
    if shapes is not None and not _are_shapes(shapes):
        raise UsageError(f"expected shapes by the names of inputs, as in {{'x': (1, 3, 224, 224)}}, got {shapes!r:.80}")
    if example_inputs is not None and isinstance(given, str | Path | onnx.ModelProto | Model | networkx.Graph):
        raise UsageError(f"example_inputs are for PyTorch modules; a {type(given).__name__} says what it takes")
    if dynamic_shapes is not None and example_inputs is None:
        raise UsageError("dynamic_shapes are for PyTorch modules, and go with example_inputs")
    asked = read_dims(dims)
    if isinstance(given, str | Path):
        return load_model(given, shapes, only_own=only_own, values=values, dims=asked)
    if isinstance(given, onnx.ModelProto):
        name = given.graph.name or "model"
        own = onnx.ModelProto()
        own.CopyFrom(given)  # reading it changes it
        return model_from_proto(own, name, shapes, only_own=only_own, values=values, dims=asked)
    if shapes or values or asked:
        raise UsageError(f"shapes, dims and values are for ONNX models; those of a {type(given).__name__} are its own")
    if isinstance(given, Model):
        return given
    if isinstance(given, networkx.Graph):
        return model_of_graph(given, str(given.name) or "graph")
    if example_inputs is not None or _is_of_torch(given):
        from flextune.importing.torch_export import from_torch  # torch is large, and not everybody has it

        if example_inputs is None:
            raise UsageError(
                "a PyTorch module needs example_inputs: the arguments of one call, as in flextune.from_torch"
            )
        return from_torch(given, example_inputs, dynamic_shapes=dynamic_shapes)
    raise UsageError(
        "expected an ONNX model or its path, a PyTorch module with example_inputs, or a networkx graph, got "
        f"{type(given).__name__}"
    )


def read_dims(given: Dims | None) -> tuple[Dim, ...]:
    """Sizes and ranges of dimensions as values. UsageError for anything else.

    >>> [str(dim) for dim in read_dims({"seq": (1, 512), "batch": 4, "width": "8..320:8"})]
    ['seq=1..512', 'batch=4..4', 'width=8..320:8']
    """
    if given is None:
        return ()
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise _no_dims(given)
    if isinstance(given, Mapping):
        return parse_dims(_dim_text(name, size) for name, size in given.items())
    return parse_dims(str(each) if isinstance(each, Dim | str) else _dim_text("", each) for each in given)


def _dim_text(name: Any, size: Any) -> str:
    if not isinstance(name, str) or not name:
        raise _no_dims({name: size} if name else size)
    if isinstance(size, str):
        return f"{name}={size}"
    ends = size if isinstance(size, tuple | list) else (size,)
    if len(ends) not in (1, 2) or not all(isinstance(end, SupportsIndex) and end is not bool(end) for end in ends):
        raise _no_dims({name: size})
    return f"{name}={'..'.join(str(int(end)) for end in ends)}"


def _no_dims(given: Any) -> UsageError:
    return UsageError(
        f"expected sizes or ranges by the names of dimensions, as in {{'batch': 4, 'seq': (1, 512)}}, got {given!r:.80}"
    )


def _are_shapes(given: Any) -> bool:
    """Whether these are sizes by names; text is a sequence too, but of no sizes."""
    return isinstance(given, Mapping) and all(
        isinstance(shape, Sequence) and all(isinstance(size, SupportsIndex) for size in shape)
        for shape in given.values()
    )


def _is_of_torch(given: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "torch" for base in type(given).__mro__)
