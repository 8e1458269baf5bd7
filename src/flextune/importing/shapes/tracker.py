"""The Shape Tracker: follows shapes, and the elements of small tensors, through an ONNX model from node to node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx

from flextune.errors import UsageError
from flextune.importing.onnx_graph import opset_version
from flextune.importing.shapes.call import BlockedError, Call, UntrackedError
from flextune.importing.shapes.names import input_shapes, unused_name
from flextune.importing.shapes.registry import find_rule
from flextune.importing.shapes.rules.sizes import of_tensor
from flextune.importing.shapes.standard import by_standard
from flextune.importing.shapes.table import DecidedSize, Demand, Problem, ShapeTable
from flextune.importing.shapes.tracked import Elements, Known, Shape, Tracked, TrackedSequence
from flextune.registry import nearest
from flextune.workload.dim import LARGEST, Dim
from flextune.workload.dim_expr import DimExpr
from flextune.workload.dim_terms import is_never_negative

MOST_BY_DEFAULT = 65536
"""A size of an input is from 1 to this where no range is given."""


def track_shapes(
    proto: onnx.ModelProto, dims: Mapping[str, Dim] | None = None, given: Mapping[str, Elements] | None = None
) -> ShapeTable:
    """Every tensor's shape as expressions over the sizes of inputs, whose ranges are `dims`.

    The nodes are in topological order (`flextune.importing.order`) and the model has no functions of its own. A size
    that data decide gets a name of its own, with a range that `dims` may narrow. What cannot be followed is among the
    problems of the result, with the reason; nodes behind it are not. `given` has the elements of inputs that are known
    (`flextune.importing.shapes.removal`). UsageError for a range of an unknown name.
    """
    tracker = _Tracker(opset_version(proto), dict(dims or {}))
    values = tracker.values_of(proto.graph, given or {})
    for problem in tracker.unknown_names():
        raise UsageError(problem)
    return ShapeTable(
        values, tracker.dims, tuple(tracker.decided), tuple(tracker.demands), tuple(dict.fromkeys(tracker.problems))
    )


class _Tracker:
    """The state of one walk; what `flextune.importing.shapes.call.Scope` asks of it."""

    def __init__(self, opset: int, given: dict[str, Dim]) -> None:
        self.dims: dict[str, Dim] = {}
        self.decided: list[DecidedSize] = []
        self.demands: list[Demand] = []
        self.problems: list[Problem] = []
        self._opset = opset
        self._given = given
        self._visible: list[dict[str, Known]] = []
        self._demanded: set[DimExpr] = set()
        self._fresh: dict[tuple[str, str], DimExpr] = {}

    def unknown_names(self) -> Iterable[str]:
        """A message, if a range was given for a size that the model does not have."""
        for name in self._given.keys() - self.dims.keys():
            yield f"the model has no size {name!r}: {nearest(name, tuple(self.dims))}"

    def values_of(self, graph: onnx.GraphProto, given: Mapping[str, Elements]) -> dict[str, Known]:
        """Follow a whole model."""
        values: dict[str, Known] = {tensor.name: of_tensor(tensor) for tensor in graph.initializer}
        inputs = [value for value in graph.input if value.name not in values]
        shapes = input_shapes(inputs)
        for value in inputs:
            values[value.name] = self._input(value, shapes.get(value.name), given.get(value.name))
        self._follow(graph.node, values)
        return values

    def _input(self, value: onnx.ValueInfoProto, shape: Shape | None, elements: Elements | None) -> Known:
        kind = value.type.optional_type.elem_type if value.type.HasField("optional_type") else value.type
        if kind.HasField("sequence_type"):
            length = self.fresh(value.name, 0, None, f"items of the input {value.name!r}")
            return TrackedSequence(length, Tracked(kind.sequence_type.elem_type.tensor_type.elem_type, None))
        if shape is None:
            self.problems.append(Problem(f"input {value.name!r}", "the model does not say how many dimensions it has"))
            return Tracked(kind.tensor_type.elem_type, None)
        names = [name for size in shape for name in sorted(size.names)]
        for name in names:
            self.dims.setdefault(name, self._given.get(name) or Dim(name, 1, MOST_BY_DEFAULT))
        return Tracked(kind.tensor_type.elem_type, tuple(size.simplified(self.dims) for size in shape), elements)

    def inside(self, graph: onnx.GraphProto, inputs: Sequence[Known]) -> tuple[Known, ...]:
        values = dict(self._visible[-1])
        values.update({tensor.name: of_tensor(tensor) for tensor in graph.initializer})
        values.update({value.name: known for value, known in zip(graph.input, inputs, strict=False)})
        self._follow(graph.node, values)
        return tuple(values.get(value.name, Tracked(0, None)) for value in graph.output)

    def _follow(self, nodes: Iterable[onnx.NodeProto], values: dict[str, Known]) -> None:
        self._visible.append(values)
        for node in nodes:
            results = self._results(node, values)
            values.update({name: known for name, known in zip(node.output, results, strict=False) if name})
        self._visible.pop()

    def _results(self, node: onnx.NodeProto, values: Mapping[str, Known]) -> Sequence[Known]:
        inputs = tuple(values.get(name) if name else None for name in node.input)
        call = Call(node, self._opset, inputs, self)
        rule = find_rule(node.domain, node.op_type) or by_standard
        try:
            found = rule(call)
        except BlockedError:
            return [Tracked(0, None)] * len(node.output)
        except UntrackedError as error:
            self.problems.append(Problem(call.label, str(error)))
            return [Tracked(0, None)] * len(node.output)
        except (UsageError, ValueError, IndexError, KeyError, TypeError) as error:
            self.problems.append(Problem(call.label, f"its inputs and attributes do not fit together: {error}"))
            return [Tracked(0, None)] * len(node.output)
        results = [found] if isinstance(found, Tracked | TrackedSequence) else found
        return [self._checked(known, call) for known in results]

    def _checked(self, known: Known, call: Call) -> Known:
        """With simple sizes; those that could be negative are demanded not to be."""
        if not isinstance(known, Tracked) or known.shape is None or known.static is not None:
            return known
        shape = tuple(size.simplified(self.dims) if _is_compound(size) else size for size in known.shape)
        for size in shape:
            if not is_never_negative(size.terms) and size not in self._demanded and size.bounds(self.dims)[0] < 0:
                self._demanded.add(size)
                self.demands.append(Demand(size, None, f"a size of {call.label}"))
        return Tracked(known.dtype, shape, known.elements)

    def fresh(self, stem: str, least: int, most: DimExpr | None, about: str) -> DimExpr:
        """The same one each time that a loop is walked through again."""
        found = self._fresh.get((stem, about))
        if found is not None:
            return found
        name = unused_name(f"{stem}_size", self.dims)
        top = LARGEST if most is None else max(least, min(most.bounds(self.dims)[1], LARGEST))
        dim = self._given.get(name) or Dim(name, least, top)
        self.dims[name] = dim
        self.decided.append(DecidedSize(dim, most, about))
        self._fresh[stem, about] = DimExpr.of(name if dim.fixed is None else dim.fixed)
        return self._fresh[stem, about]

    def require(self, left: DimExpr, right: DimExpr, about: str, stretches: bool = False) -> None:
        left, right = left.simplified(self.dims), right.simplified(self.dims)
        difference = left - right
        if not difference.terms:
            return
        if difference in self._demanded:
            return
        self._demanded.add(difference)
        lo, hi = difference.bounds(self.dims)
        if (lo > 0 or hi < 0) and not stretches:
            raise UntrackedError(f"{left} and {right} must be the same size, and are not for any sizes in range")
        self.demands.append(Demand(left, right, about, stretches))


def _is_compound(size: DimExpr) -> bool:
    return size.name is None and size.value is None
