"""A subgraph in ONNX Runtime that reads and writes our arrays where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flextune.aligned import address
from flextune.compilers.onnxruntime.packing import ELEMENTS, array_of, is_packed, packed, packed_empty, unpacked
from flextune.compilers.onnxruntime.session import Session, open_session
from flextune.compilers.subgraph_compiler import SubgraphOptions, Weights
from flextune.errors import BuildError

_LITTLE_BYTES = 1 << 16
"""Copied in a few microseconds; binding takes some microseconds for each tensor."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tensor lies: equal places are the same memory, taken for the same type and shape."""

    kind: int
    """Its element type, as a `TensorProto.DataType`."""
    shape: tuple[int, ...]
    address: int
    memory: np.ndarray = field(compare=False)

    @classmethod
    def of(cls, array: np.ndarray, pack: Callable[[np.ndarray], np.ndarray]) -> _Place:
        """The array itself; what `pack` makes of it where ONNX Runtime keeps several elements in a byte."""
        memory = pack(array) if is_packed(array.dtype) else array
        return cls(ELEMENTS[str(array.dtype)], array.shape, address(memory), memory)


class OnnxRuntimeKernel:
    """See `SubgraphKernel`."""

    def __init__(self, content: bytes, weights: Weights, options: SubgraphOptions) -> None:
        self._content, self._weights, self._options = content, weights, options
        self._session: Session | None = open_session(content, weights, options)
        self._inputs = [value.name for value in self._session.session.get_inputs()]
        self._outputs = [value.name for value in self._session.session.get_outputs()]
        self._binding: tuple[tuple[_Place | None, ...], Any] | None = None
        self._is_bindable = all(
            value.type.startswith("tensor(") and value.type != "tensor(string)"
            for value in (*self._session.session.get_inputs(), *self._session.session.get_outputs())
        )

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        if self._session is None:
            raise BuildError("the model was unloaded; load it again to run it")
        run = self._run_bound if self._is_bindable and not _is_little(inputs, outputs) else self._run_objects
        try:
            run(self._session.session, inputs, outputs)
        except BuildError:
            raise
        except Exception as error:  # its exceptions have no common base but this one
            raise BuildError(f"ONNX Runtime could not run its part of the model: {_first_line(error)}") from error

    def set_threads(self, threads: int) -> None:
        if threads != self._options.threads:
            self._options = replace(self._options, threads=threads)
            self._session, self._binding = open_session(self._content, self._weights, self._options), None

    def close(self) -> None:
        self._session, self._binding = None, None
        self._weights = {}

    def _run_bound(self, session: Any, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Tensors in and out: in place, but for outputs whose sizes only ONNX Runtime finds, and packed elements."""
        read = [_Place.of(array, packed) for array in inputs]
        written = [None if array is None else _Place.of(array, packed_empty) for array in outputs]
        binding = self._bound_to(session, read, written)
        session.run_with_iobinding(binding)
        given = binding.get_outputs() if None in written else ()
        for position, place in enumerate(written):
            if place is None:
                outputs[position] = array_of(given[position])
            elif place.memory is not outputs[position]:
                np.copyto(outputs[position], unpacked(place.memory, outputs[position]))

    def _bound_to(self, session: Any, inputs: Sequence[_Place], outputs: Sequence[_Place | None]) -> Any:
        """The session bound to these places; the last one is kept, as most callers use the same memory again."""
        places = (*inputs, *outputs)
        if self._binding is not None and self._binding[0] == places and None not in places:
            return self._binding[1]
        binding = session.io_binding()
        for name, place in zip(self._inputs, inputs, strict=True):
            binding.bind_input(name, "cpu", 0, place.kind, place.shape, place.address)
        for name, each in zip(self._outputs, outputs, strict=True):
            if each is None:
                binding.bind_output(name, "cpu")
            else:
                binding.bind_output(name, "cpu", 0, each.kind, each.shape, each.address)
        self._binding = (places, binding)
        return binding

    def _run_objects(self, session: Any, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Where strings, sequences, optionals or maps go in or come out, which have no memory of ours; where copying
        costs less than binding."""
        results = session.run(self._outputs, dict(zip(self._inputs, inputs, strict=True)))
        for position, result in enumerate(results):
            if outputs[position] is None:
                outputs[position] = result
            else:
                np.copyto(outputs[position], result, casting="no")


def _is_little(inputs: Sequence[Any], outputs: Sequence[Any]) -> bool:
    """Whether arrays that a NumPy without extensions has are copied faster than ONNX Runtime is told where they lie."""
    arrays = [array for array in (*inputs, *outputs) if array is not None]
    return sum(array.nbytes for array in arrays) <= _LITTLE_BYTES and all(
        array.dtype.isbuiltin == 1 for array in arrays
    )


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
