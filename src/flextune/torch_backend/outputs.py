"""Outputs as eager PyTorch gives them: views of inputs, views of each other, with the same strides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flextune.errors import ModelError
from flextune.torch_backend.layouts import Layout, Strided


@dataclass(frozen=True, slots=True)
class InputView:
    """An output that is (part of) the memory of an input; `offset` of `where` counts from that of the input."""

    position: int
    input_stride: tuple[int, ...]
    where: Strided
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Shared:
    """Computed outputs that lie in one piece of memory of so many elements."""

    elements: int
    members: tuple[tuple[int, Strided], ...]


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """What a graph gives, as seen in a run of PyTorch.

    Every output is a view of an input (`views`), the very tensor that is another output (`same`), a number, or
    computed: in memory shared with others (`shared`), with strides of its own (`strided`), or contiguous.
    """

    count: int
    """Of outputs."""
    views: dict[int, InputView]
    same: dict[int, int]
    shared: tuple[Shared, ...]
    strided: dict[int, Strided]
    numbers: dict[int, int]

    @classmethod
    def of(cls, inputs: Sequence[Layout | int], outputs: Sequence[Layout | int], computed: Sequence[int]) -> OutputPlan:
        """ModelError for outputs that cannot be given in this way."""
        tensors = {number: each for number, each in enumerate(outputs) if isinstance(each, Layout)}
        views = {number: view for number, each in tensors.items() if (view := _view_of_input(inputs, each))}
        own = [number for number in computed if number not in views]
        same = {
            number: next(other for other in computed if tensors[other].tensor == each.tensor)
            for number, each in tensors.items()
            if number not in views and number not in computed
        }
        by_storage: dict[int, list[int]] = {}
        for number in own:
            by_storage.setdefault(tensors[number].storage, []).append(number)
        shared = tuple(_shared(tensors, group) for group in by_storage.values() if len(group) > 1)
        alone = [group[0] for group in by_storage.values() if len(group) == 1]
        strided = {n: tensors[n].where.checked() for n in alone if not tensors[n].where.is_contiguous}
        numbers = {number: each for number, each in enumerate(outputs) if isinstance(each, int)}
        return cls(len(outputs), views, same, shared, strided, numbers)

    def fits(self, inputs: Sequence[Any]) -> bool:
        """Whether the inputs whose views are outputs lie in memory as they did."""
        return all(inputs[view.position].stride() == view.input_stride for view in self.views.values())

    def give(self, torch: Any, inputs: Sequence[Any], computed: dict[int, Any]) -> tuple[Any, ...]:
        """The outputs from what was computed, by number."""
        found: dict[int, Any] = computed | self.numbers
        for number, where in self.strided.items():
            found[number] = _filled(
                torch.empty_strided(where.size, where.stride, dtype=found[number].dtype), found[number]
            )
        for group in self.shared:
            memory = torch.empty(group.elements, dtype=found[group.members[0][0]].dtype)
            for number, where in group.members:
                place = memory.as_strided(where.size, where.stride, where.offset)
                found[number] = _filled(place, found[number])
        for number, view in self.views.items():
            found[number] = _view(inputs[view.position], view)
        return tuple(found[self.same.get(number, number)] for number in range(self.count))


def _view_of_input(inputs: Sequence[Layout | int], output: Layout) -> InputView | None:
    for position, given in enumerate(inputs):
        if isinstance(given, int) or given.storage != output.storage:
            continue
        if given.dtype != output.dtype:
            raise ModelError("an output is a view of an input in another type")
        where = Strided(output.where.size, output.where.stride, output.where.offset - given.where.offset)
        return InputView(position, given.where.stride, where, output.tensor == given.tensor)
    return None


def _view(given: Any, view: InputView) -> Any:
    if view.is_whole:
        return given
    where = view.where
    return given.as_strided(where.size, where.stride, given.storage_offset() + where.offset)


def _shared(outputs: Mapping[int, Layout], numbers: Sequence[int]) -> Shared:
    first = outputs[numbers[0]]
    if any(outputs[number].dtype != first.dtype for number in numbers):
        raise ModelError("two outputs are the same memory in different types")
    return Shared(first.elements, tuple((number, outputs[number].where.checked()) for number in numbers))


def _filled(place: Any, value: Any) -> Any:
    """`place` with the elements of `value`; those that share memory are written once."""
    target, source = place, value
    for axis, (size, stride) in enumerate(zip(place.size(), place.stride(), strict=True)):
        if stride == 0 and size > 1:
            target, source = target.narrow(axis, 0, 1), source.narrow(axis, 0, 1)
    target.copy_(source)
    return place
