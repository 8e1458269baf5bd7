"""A model in its shared library: opening it, running it, through the C interface of `flextune_model.h`."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flextune.aligned import address
from flextune.errors import BuildError, EnvironmentFault, UsageError
from flextune.importing.values import ValueSpec
from flextune.target.memory import require_memory

_KEPT_SHAPES = 64
"""Combinations of shapes whose tables are kept."""

_LITTLE_BYTES = 16 << 20
"""Whether so many are free is not asked: reading it from the system takes longer than all else that new sizes need."""


class NativeModel:
    """A model that is open. Runs from several threads take turns.

    `weights` are used where they are; without them they are read from the file. `kernels` names what the model's steps
    call, with empty names for copies.
    """

    def __init__(self, path: Path, kernels: tuple[str, ...], weights: np.ndarray | None = None) -> None:
        self._kernels = kernels
        self._library = _library(path)
        self._weights = weights  # kept alive
        self._model = ctypes.c_void_p()
        address = None if weights is None or weights.size == 0 else ctypes.c_void_p(weights.ctypes.data)
        if self._library.ft_open(str(path).encode(), address, ctypes.byref(self._model)) != 0:
            raise EnvironmentFault(f"{path} cannot be opened: {self._error()}")
        self._closing = threading.Lock()
        self._has_dims = bool(self.dims)
        self._shapes: dict[tuple[tuple[int, ...], ...], ctypes.Array[ctypes.c_void_p]] = {}

    @property
    def activation_bytes(self) -> int:
        """Size of the block that holds everything between inputs and outputs."""
        return int(self._library.flextune_activation_bytes(self._model))

    @property
    def ports(self) -> tuple[tuple[ValueSpec, ...], tuple[ValueSpec, ...]]:
        """The inputs and the outputs, as the library has them."""
        library, tensor = self._library, _Tensor()
        counts = library.flextune_input_count(self._model), library.flextune_output_count(self._model)
        found: list[tuple[ValueSpec, ...]] = []
        for count, describe in zip(counts, (library.flextune_input, library.flextune_output), strict=True):
            specs = []
            for index in range(count):
                describe(self._model, index, ctypes.byref(tensor))
                specs.append(tensor.spec)
            found.append(tuple(specs))
        return found[0], found[1]

    @property
    def dims(self) -> tuple[tuple[str, int, int, int], ...]:
        """Name, smallest and largest size, and what divides all of them, of each dimension that has a range."""
        dim, found = _Dim(), list[tuple[str, int, int, int]]()
        if not hasattr(self._library, "flextune_dim_count"):  # compiled before there were any
            return ()
        for index in range(self._library.flextune_dim_count(self._model)):
            self._library.flextune_dim_at(self._model, index, ctypes.byref(dim))
            found.append((dim.name.decode(errors="replace"), dim.least, dim.most, dim.multiple))
        return tuple(found)

    def run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Read the inputs and write the outputs, all contiguous and of the model's types."""
        self._check_open()
        self._run(inputs, outputs, None)

    def run_timed(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> list[tuple[str, float]]:
        """As `run`; the kernels of the steps, in order, with the seconds that each call took.

        Of a step that is called several times, in a loop, every call gets the mean.
        """
        self._check_open()
        spent = np.zeros((len(self._kernels), 2), np.int64)
        self._run(inputs, outputs, ctypes.c_void_p(spent.ctypes.data))
        return [
            call
            for name, (nanosecs, calls) in zip(self._kernels, spent.tolist(), strict=True)
            for call in ([(name, nanosecs * 1e-9 / max(calls, 1))] * calls if name else ())
        ]

    def set_threads(self, threads: int) -> None:
        if self._library.flextune_set_threads(self._model, threads) != 0:
            raise UsageError(self._error())

    def close(self) -> None:
        """Give back the model's memory. The code stays mapped for as long as the process lives."""
        with self._closing:
            model, self._model = self._model, ctypes.c_void_p()
            if model:
                self._library.flextune_close(model)
            self._weights = None

    def __del__(self) -> None:
        if getattr(self, "_closing", None) is not None:
            self.close()

    def _run(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray], spent: ctypes.c_void_p | None) -> None:
        library, given, taken = self._library, _addresses(inputs), _addresses(outputs)
        if self._has_dims:
            status = library.ft_run_shapes_timed(self._model, given, self._shape_table(inputs), taken, spent)
        else:
            status = library.ft_run_timed(self._model, given, taken, spent)
        if status != 0:
            raise BuildError(f"the model could not be run: {self._error()}")

    def _shape_table(self, inputs: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
        """The shapes of the inputs for the library. UsageError where it does not take them."""
        key = tuple(array.shape for array in inputs)
        if key not in self._shapes:
            table = _shape_table(key)
            needed = self._library.ft_bytes_for(self._model, table)
            if needed < 0:
                raise UsageError(self._error())
            if needed > max(self.activation_bytes, _LITTLE_BYTES):
                require_memory(needed - self.activation_bytes, "a run on inputs of these sizes", copies=1)
            if len(self._shapes) >= _KEPT_SHAPES:
                self._shapes.pop(next(iter(self._shapes)))
            self._shapes[key] = table
        return self._shapes[key]

    def _check_open(self) -> None:
        if not self._model:
            raise UsageError("the model was unloaded; load it again to run it")

    def _error(self) -> str:
        return str(self._library.flextune_last_error().decode(errors="replace"))


class _Tensor(ctypes.Structure):
    """`flextune_tensor` of `flextune_model.h`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("rank", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_size_t),
    )

    @property
    def spec(self) -> ValueSpec:
        name, dtype = (text.decode(errors="replace") for text in (self.name, self.dtype))
        return ValueSpec(name, tuple(self.shape[: self.rank]), dtype)


class _Dim(ctypes.Structure):
    """`flextune_dim` of `flextune_model.h`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("least", ctypes.c_int64),
        ("most", ctypes.c_int64),
        ("multiple", ctypes.c_int64),
    )


def _shape_table(shapes: Sequence[tuple[int, ...]]) -> ctypes.Array[ctypes.c_void_p]:
    rows = [(ctypes.c_int64 * max(len(shape), 1))(*shape) for shape in shapes]
    table = (ctypes.c_void_p * max(len(rows), 1))(*map(ctypes.addressof, rows))
    table.rows = rows  # type: ignore[attr-defined]  # which the table points to
    return table


def _addresses(arrays: Sequence[np.ndarray]) -> ctypes.Array[ctypes.c_void_p]:
    pointers = [address(array) for array in arrays]
    return (ctypes.c_void_p * max(len(pointers), 1))(*pointers)


def _library(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        raise BuildError(f"{path} cannot be loaded: {str(error).strip().splitlines()[-1]}") from error
    library.ft_open.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)]
    library.flextune_close.argtypes = [ctypes.c_void_p]
    if hasattr(library, "flextune_dim_count"):
        library.ft_run_shapes_timed.argtypes = [ctypes.c_void_p] * 5
        library.ft_bytes_for.argtypes = [ctypes.c_void_p] * 2
        library.ft_bytes_for.restype = ctypes.c_int64
        library.flextune_dim_count.argtypes = [ctypes.c_void_p]
        library.flextune_dim_at.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Dim)]
    library.ft_run_timed.argtypes = [ctypes.c_void_p] * 4
    for describe in (library.flextune_input, library.flextune_output):
        describe.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Tensor)]
    for count in (library.flextune_input_count, library.flextune_output_count):
        count.argtypes = [ctypes.c_void_p]
    library.flextune_set_threads.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.flextune_activation_bytes.argtypes = [ctypes.c_void_p]
    library.flextune_activation_bytes.restype = ctypes.c_size_t
    library.flextune_last_error.restype = ctypes.c_char_p
    return library
