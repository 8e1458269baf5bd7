"""A model whose parts run in turns: ours as machines, others' as kernels of their runtimes, on shared arrays."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flextune.aligned import ALIGNMENT_BYTES, aligned_empty
from flextune.apply.actual_sizes import PortReader
from flextune.apply.machine import Machine
from flextune.apply.memory_plan import Lifetime, plan_memory
from flextune.apply.signature import Signature
from flextune.compilers.subgraph_compiler import SubgraphKernel
from flextune.errors import UsageError
from flextune.importing.values import UNKNOWN, ValueSpec, array_type


@dataclass(frozen=True, slots=True)
class PartPorts:
    """What a part reads and writes, and what it is called in times and messages."""

    name: str
    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]


def plain_specs(specs: Sequence[ValueSpec]) -> tuple[ValueSpec, ...]:
    """Without how sizes follow from others: each part names them in its own way."""
    return tuple(replace(spec, sizes=()) for spec in specs)


def fits(one: ValueSpec, other: ValueSpec) -> bool:
    """Whether both may be the same value: sizes that one of them does not know are no difference."""
    sizes = zip(one.shape, other.shape, strict=False)
    return (one.name, one.dtype, len(one.shape)) == (other.name, other.dtype, len(other.shape)) and all(
        UNKNOWN in pair or pair[0] == pair[1] for pair in sizes
    )


class SizedMachine:
    """A part of ours whose sizes are known when it runs: it makes room for what it gives."""

    def __init__(self, machine: Machine, signature: Signature) -> None:
        self._machine, self._ports = machine, PortReader(signature)

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        self._machine.run(self._with_room(inputs, outputs), outputs)

    def run_timed(self, inputs: Sequence[Any], outputs: list[Any]) -> list[tuple[str, float]]:
        return self._machine.run_timed(self._with_room(inputs, outputs), outputs)

    def set_threads(self, threads: int) -> None:
        self._machine.set_threads(threads)

    def close(self) -> None:
        self._machine.close()

    def _with_room(self, inputs: Sequence[Any], outputs: list[Any]) -> list[np.ndarray]:
        """The inputs as arrays that lie densely."""
        given = [np.ascontiguousarray(each) if np.ndim(each) else np.asarray(each) for each in inputs]
        ports = self._ports.of(tuple(each.shape for each in given))
        for position, spec in enumerate(ports.outputs):
            if outputs[position] is None or outputs[position].shape != spec.shape:
                outputs[position] = aligned_empty(spec.shape, array_type(spec.dtype))
        return given


@dataclass(frozen=True, slots=True, eq=False)
class OpenPart:
    """A part that is ready to run."""

    ports: PartPorts
    runs: Machine | SubgraphKernel


class HybridMachine:
    """See `Machine`. Outputs that are None come from the part that gives them, or are the input of that name."""

    def __init__(
        self, parts: Sequence[OpenPart], inputs: Sequence[ValueSpec], outputs: Sequence[ValueSpec], threads: int
    ) -> None:
        self._parts = tuple(parts)
        self._inputs = [spec.name for spec in inputs]
        self._outputs = [spec.name for spec in outputs]
        self._threads = threads
        self._between = _placed_between([part.ports for part in parts], self._outputs)
        self._closed = False

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        values = self._values(inputs, outputs)
        for part in self._parts:
            self._run_part(part, values)
        self._give(values, outputs)

    def run_timed(self, inputs: Sequence[Any], outputs: list[Any]) -> list[tuple[str, float]]:
        values = self._values(inputs, outputs)
        times: list[tuple[str, float]] = []
        for part in self._parts:
            began = time.perf_counter()
            taken = self._run_part(part, values, timed=True)
            times += taken or [(part.ports.name, time.perf_counter() - began)]
        self._give(values, outputs)
        return times

    def set_threads(self, threads: int) -> None:
        if threads == self._threads:
            return
        for part in self._parts:
            part.runs.set_threads(threads)
        self._threads = threads

    def close(self) -> None:
        self._closed = True
        for part in self._parts:
            part.runs.close()
        self._between = {}

    def _values(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> dict[str, Any]:
        """The arrays that are there before the first part runs, by name; inputs hide outputs of their names."""
        if self._closed:
            raise UsageError("the model was unloaded; load it again to run it")
        given = {name: array for name, array in zip(self._outputs, outputs, strict=True) if array is not None}
        return {**given, **self._between, **dict(zip(self._inputs, inputs, strict=True))}

    def _run_part(self, part: OpenPart, values: dict[str, Any], timed: bool = False) -> list[tuple[str, float]]:
        read = [values[spec.name] for spec in part.ports.inputs]
        written = [values.get(spec.name) for spec in part.ports.outputs]
        times: list[tuple[str, float]] = []
        if timed and isinstance(part.runs, Machine):
            times = part.runs.run_timed(read, written)
        else:
            part.runs.run(read, written)
        values.update(zip((spec.name for spec in part.ports.outputs), written, strict=True))
        return times

    def _give(self, values: Mapping[str, Any], outputs: list[Any]) -> None:
        """Put what is not in its place yet there."""
        for position, name in enumerate(self._outputs):
            if outputs[position] is None:
                outputs[position] = values[name]
            elif outputs[position] is not values[name]:
                np.copyto(outputs[position], values[name])


def _placed_between(parts: Sequence[PartPorts], outputs: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays in one block of memory for all values that go from part to part and have a known size.

    Outputs are written where the caller wants them; those that are read again are written here first, because the
    caller's memory may lie anywhere.
    """
    first = {spec.name: step for step, part in enumerate(parts) for spec in part.outputs}
    last = {spec.name: step for step, part in enumerate(parts) for spec in part.inputs}
    specs = [spec for part in parts for spec in part.outputs if spec.is_static and spec.name in last]
    ends = {**last, **dict.fromkeys(outputs, len(parts))}
    lifetimes = [Lifetime(_nbytes(spec), first[spec.name], ends[spec.name]) for spec in specs]
    plan = plan_memory(lifetimes, ALIGNMENT_BYTES)
    block = aligned_empty((plan.nbytes,), np.uint8)
    return {
        spec.name: block[offset : offset + _nbytes(spec)].view(array_type(spec.dtype)).reshape(spec.shape)
        for spec, offset in zip(specs, plan.offsets, strict=True)
    }


def _nbytes(spec: ValueSpec) -> int:
    return array_type(spec.dtype).itemsize * math.prod(spec.shape)
