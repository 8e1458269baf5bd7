"""`Executable`: a built model that takes and gives arrays."""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, SupportsIndex

import numpy as np

from flextune.apply.actual_sizes import PortReader, Ports, bound_ports, typical_sizes
from flextune.apply.arrays import apart, empty_value, input_array, output_array, shape_of
from flextune.apply.handover import Handed, handed_over
from flextune.apply.machine import Machine, ModelCode
from flextune.apply.processor import check_instructions
from flextune.apply.saved_code import saved_code, saved_signature
from flextune.apply.signature import Runtime, Signature
from flextune.errors import UsageError
from flextune.importing.values import ValueSpec, random_values
from flextune.target.memory import require_memory
from flextune.workload.dim import Dim


@dataclass(frozen=True, slots=True)
class Latency:
    """Wall-clock seconds of single runs, in the order they were made."""

    run_secs: tuple[float, ...]

    @property
    def median_secs(self) -> float:
        return statistics.median(self.run_secs)


class Executable:
    """A built model. `run` may be called from several threads; calls take turns.

    Of one that has just been built, `notes` say what is not as it usually is, and why, and `workload_keys` has the key
    of each kernel's workload by the kernel's name.

    >>> with flextune.load("model.so", threads=4) as executable:        # doctest: +SKIP
    ...     executable.run({"data_0": image})["softmaxout_1"].shape
    (1, 1000, 1, 1)
    """

    def __init__(
        self,
        code: ModelCode,
        signature: Signature,
        notes: tuple[str, ...] = (),
        workload_keys: Mapping[str, str] | None = None,
    ) -> None:
        self.signature = signature
        self.notes = notes
        self.workload_keys = {} if workload_keys is None else dict(workload_keys)
        self.code = code
        self._ports, self._fixed_ports = PortReader(signature), Ports(signature.inputs, signature.outputs)
        self._machine: Machine | None = None
        self._unloaded = False
        self._lock = threading.Lock()

    @property
    def inputs(self) -> tuple[ValueSpec, ...]:
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[ValueSpec, ...]:
        return self.signature.outputs

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The dimensions of its inputs that may differ from run to run, with their ranges."""
        return self.signature.dims

    @property
    def threads(self) -> int:
        """Threads of a run, the calling one included."""
        return self.signature.threads

    def run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Outputs by name, as new NumPy arrays; sequences as lists, optionals that are empty as None.

        Inputs are NumPy arrays or any objects with `__dlpack__`, such as PyTorch's CPU tensors; those that lie densely
        at multiples of 64 bytes are read where they are. `outputs` gives memory for some or all outputs (arrays or
        DLPack tensors), which is written in place; it may be that of an input, whose values are then copied before.
        UsageError when an input is missing, unknown, or of another shape or dtype, or has a size outside of its range.
        """
        ports = self._ports_of(inputs)
        placed = self._inputs(inputs, ports, aligned=not self._stages)
        written = self._outputs({} if outputs is None else outputs, ports)
        if outputs is not None:
            placed = apart(dict(zip(ports.inputs, placed, strict=True)), written, self.signature.name)
        with self._lock:
            self._opened().run(placed, written)
        return {spec.name: value for spec, value in zip(self.outputs, written, strict=True)}

    def set_threads(self, threads: int) -> None:
        """Use so many threads, the calling one included, from the next run on."""
        if not isinstance(threads, SupportsIndex) or threads.__index__() < 1:
            raise UsageError(f"threads must be 1 or more, got {threads!r}")
        with self._lock:
            if self._machine is not None:
                self._machine.set_threads(threads)
            self.signature = self.signature.with_threads(threads)

    def open(self) -> None:
        """Load code and weights now; else the first run does."""
        with self._lock:
            self._opened()

    def unload(self) -> None:
        """Give back the memory of weights and activations. Runs afterwards raise UsageError."""
        with self._lock:
            if self._machine is not None:
                self._machine.close()
            self._machine, self._unloaded = None, True

    def __enter__(self) -> Executable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.unload()

    def save(self, path: str | Path) -> Path:
        """Write one shared library that `flextune.load` and C programs take, all or nothing.

        Needs a C compiler (see platforms) where the model runs on TVM's virtual machine.
        """
        return self.code.write(Path(path), self.signature)

    def handed_over(self, folder: Path) -> AbstractContextManager[Handed]:
        """Where another process of this run finds the model; see `flextune.apply.handover`."""
        return handed_over(self.code, self.signature, folder)

    def benchmark(
        self,
        inputs: Mapping[str, Any] | None = None,
        *,
        min_runs: int = 10,
        min_secs: float = 0.5,
        warmup: int = 3,
    ) -> Latency:
        """Time single runs (inputs in place, outputs left where they are) until both minima are reached."""
        given = self.random_inputs(0) if inputs is None else inputs
        ports = self._ports_of(given)
        placed, outputs = self._inputs(given, ports), self._outputs({}, ports)
        with self._lock:
            machine = self._opened()
            for _ in range(warmup):
                machine.run(placed, list(outputs))
            run_secs: list[float] = []
            while len(run_secs) < min_runs or sum(run_secs) < min_secs:
                start = time.perf_counter()
                machine.run(placed, list(outputs))
                run_secs.append(time.perf_counter() - start)
            return Latency(tuple(run_secs))

    def kernel_secs(self, runs: int = 10, warmup: int = 3) -> dict[str, tuple[float, ...]]:
        """Seconds of the kernels in their places in the model, by name: of each call in each run."""
        given = self.random_inputs(0)
        ports = self._ports_of(given)
        placed, outputs = self._inputs(given, ports), self._outputs({}, ports)
        times: dict[str, list[float]] = defaultdict(list)
        with self._lock:
            machine = self._opened()
            for number in range(warmup + runs):
                for name, secs in machine.run_timed(placed, list(outputs)):
                    if number >= warmup:
                        times[name].append(secs)
        return {name: tuple(secs) for name, secs in times.items()}

    def random_inputs(self, seed: int, sizes: Mapping[str, int] | None = None) -> dict[str, np.ndarray]:
        """One seeded array per input: normal for floats, 0 or 1 for integers and booleans.

        `sizes` has those of dimensions by name; those that it leaves out are in the middle of their ranges.
        """
        return random_values(bound_ports(self.signature, {**typical_sizes(self.dims), **(sizes or {})}).inputs, seed)

    def _opened(self) -> Machine:
        if self._unloaded:
            raise UsageError(f"{self.signature.name} was unloaded; load it again to run it")
        if self._machine is None:
            needed = (self.signature.weight_bytes or 0) + (self.signature.activation_bytes or 0)
            require_memory(needed, f"{self.signature.name} with its activations", copies=1)
            self._machine = self.code.open(self.signature)
        return self._machine

    def _ports_of(self, inputs: Mapping[str, Any]) -> Ports:
        """The model's inputs and outputs with the sizes of this run."""
        _check_names(inputs, self.inputs, "input", self.signature.name)
        if missing := [spec.name for spec in self.inputs if spec.name not in inputs]:
            listed = _listed(self.inputs)
            raise UsageError(f"{self.signature.name}: input {missing[0]!r} is missing; it takes {listed}")
        if not self.dims:
            return self._fixed_ports
        try:
            return self._ports.of(tuple(shape_of(inputs[spec.name]) for spec in self.inputs))
        except UsageError as error:
            raise UsageError(f"{self.signature.name}: {error}") from None

    @property
    def _stages(self) -> bool:
        """Whether the model itself brings what is not aligned to memory that it keeps for that."""
        return self.signature.runtime is Runtime.OWN

    def _inputs(self, inputs: Mapping[str, Any], ports: Ports, *, aligned: bool = True) -> list[Any]:
        name = self.signature.name
        return [input_array(spec, inputs[spec.name], name, aligned=aligned) for spec in ports.inputs]

    def _outputs(self, given: Mapping[str, Any], ports: Ports) -> list[Any]:
        """Memory for the outputs; None for those whose sizes come with them."""
        if given:
            _check_names(given, self.outputs, "output", self.signature.name)
        stages = self._stages
        return [
            output_array(spec, given[spec.name], self.signature.name)
            if spec.name in given
            else (empty_value(spec, staged=stages) if spec.is_static else None)
            for spec in ports.outputs
        ]


def load_executable(path: str | Path, threads: int | None = None) -> Executable:
    """The executable saved at `path`, checked to be whole and made for a processor like this one.

    `threads` overrides the number it was saved with. UsageError for any other file, EnvironmentFault for another CPU.
    """
    source = Path(path)
    signature = saved_signature(source)
    check_instructions(signature, str(source))
    executable = Executable(saved_code(source, signature.runtime), signature)
    if threads is not None:
        executable.set_threads(threads)
    executable.open()
    return executable


def save_executable(executable: Executable, path: str | Path) -> Path:
    """`executable.save(path)` as a function."""
    return executable.save(path)


def _check_names(given: Mapping[str, Any], specs: Sequence[ValueSpec], what: str, model: str) -> None:
    if not isinstance(given, Mapping):
        raise UsageError(
            f"{model}: expected {what}s by name, as a dict of {_listed(specs)}; got {type(given).__name__}"
        )
    names = {spec.name for spec in specs}
    if given.keys() <= names:
        return
    if unknown := [name for name in given if name not in names]:
        verb = "takes" if what == "input" else "gives"
        raise UsageError(f"{model} has no {what} {unknown[0]!r}; it {verb} {_listed(specs)}")


def _listed(specs: Sequence[ValueSpec]) -> str:
    return ", ".join(map(str, specs)) or "nothing"
