"""The worker's side of measuring whole models: compiles kernels, opens libraries, compares outputs, takes times."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flextune.apply.arrays import empty_value
from flextune.apply.executable import Executable
from flextune.apply.handover import received
from flextune.apply.model_check import relative_errors
from flextune.apply.reference import reference_outputs
from flextune.apply.signature import Signature
from flextune.importing.values import ValueSpec, array_type
from flextune.measure.services import guarded
from flextune.measure.wire import Message
from flextune.target import energy
from flextune.trial.measurement import Status

SERVICE = "models"
"""The name under which `flextune.measure.services` knows this service."""

INPUTS, EXPECTED = "inputs.npz", "expected.npz"
"""The files of a folder that hold a model's inputs, and what it gives for them."""

ENERGY_SECS = 0.2
"""A model runs for so long for its energy to be read."""

SECS_PER_TIME = 0.02
"""A time is the median of so many runs as fit in here, one at least."""


class ModelService:
    """Answers requests about models, in a process of its own; what goes wrong in one becomes a status and a text.

    `objects` compiles kernels (TVM's JSON) to an object file each. `reference` computes what an ONNX model gives for
    the inputs in a folder, `data` reads both. `open` takes a library and its weights under a number; `check`, `adopt`
    (take its outputs for the reference), `time`, `energy`, `kernels` and `close` are about that number.
    """

    @staticmethod
    def preload(what: str) -> None:
        """Load the platform of this name, with which the first request to compile would begin."""
        if what:
            from flextune.platforms import platform_registry

            platform_registry.get(what)

    def __init__(self, options: str, cores: int) -> None:
        del options, cores  # a model says in its signature how many threads it runs on
        self._idle_watts: float | None = None
        self._open: dict[int, Executable] = {}
        self._inputs: dict[str, np.ndarray] = {}
        self._expected: dict[str, np.ndarray] = {}
        self._actions: Mapping[str, Callable[[Message], dict[str, Any]]] = {
            "objects": self._objects,
            "reference": self._reference,
            "data": self._data,
            "open": self._opened,
            "check": self._check,
            "adopt": self._adopt,
            "time": self._time,
            "energy": self._energy,
            "kernels": self._kernels,
            "close": self._close,
        }

    def answer(self, request: Message) -> dict[str, Any]:
        """The reply: `status` and `error`, and what the action adds."""
        failure = Status.BUILD_ERROR if request["action"] in ("objects", "open") else Status.RUN_ERROR
        return guarded(self._actions[request["action"]], request, failure)

    def _objects(self, request: Message) -> dict[str, Any]:
        from flextune.apply.kernel_objects import write_objects_of_texts  # with TVM, which only this action needs

        texts: Mapping[str, str] = request["kernels"]
        write_objects_of_texts({Path(path): Path(text) for path, text in texts.items()}, request["target"])
        return {}

    def _reference(self, request: Message) -> dict[str, Any]:
        folder, model = Path(request["folder"]), Path(request["model"])
        outputs, source = reference_outputs(model, load_arrays(folder / INPUTS), request["threads"])
        save_arrays(folder / EXPECTED, outputs)
        return {"source": source}

    def _data(self, request: Message) -> dict[str, Any]:
        folder = Path(request["folder"])
        self._inputs, expected = load_arrays(folder / INPUTS), folder / EXPECTED
        self._expected = load_arrays(expected) if expected.exists() else {}
        return {}

    def _opened(self, request: Message) -> dict[str, Any]:
        signature = Signature.from_json(json.dumps(request["signature"]))
        executable = Executable(received(request["code"], signature.runtime), signature)
        executable.open()  # while the library is there: it may be gone once this is answered
        self._open[request["id"]] = executable
        return {}

    def _check(self, request: Message) -> dict[str, Any]:
        """The largest relative error of each output; None where only one side is a number, or nothing was written."""
        errors = relative_errors(self._outputs(self._open[request["id"]]), self._expected)
        return {"errors": {name: error if math.isfinite(error) else None for name, error in errors.items()}}

    def _adopt(self, request: Message) -> dict[str, Any]:
        self._expected = self._outputs(self._open[request["id"]])
        save_arrays(Path(request["folder"]) / EXPECTED, self._expected)
        return {}

    def _outputs(self, executable: Executable) -> dict[str, np.ndarray]:
        given = {name: array.copy() for name, array in self._inputs.items()}
        outputs = executable.run(given, {spec.name: _poisoned(spec) for spec in executable.outputs if spec.is_static})
        changed = [name for name, array in given.items() if array.tobytes() != self._inputs[name].tobytes()]
        if changed:
            raise RuntimeError(f"the model wrote into its input {changed[0]}")
        return outputs

    def _time(self, request: Message) -> dict[str, Any]:
        executable = self._open[request["id"]]
        times = executable.benchmark(self._inputs, min_runs=1, min_secs=SECS_PER_TIME, warmup=1).run_secs
        return {"secs": statistics.median(times)}

    def _energy(self, request: Message) -> dict[str, Any]:
        """Joules of a run; None where that cannot be told."""
        executable, meter = self._open[request["id"]], energy.meter()
        if meter is None:
            return {"joules": None}
        if self._idle_watts is None:
            self._idle_watts = meter.idle_watts()
        executable.run(self._inputs)

        def run() -> float:
            found = executable.benchmark(self._inputs, min_runs=1, min_secs=ENERGY_SECS, warmup=0)
            return statistics.median(found.run_secs)

        return {"joules": meter.joules_per_call(run, self._idle_watts)}

    def _kernels(self, request: Message) -> dict[str, Any]:
        return {"secs": self._open[request["id"]].kernel_secs(request["runs"], request["warmup"])}

    def _close(self, request: Message) -> dict[str, Any]:
        executable = self._open.pop(request["id"], None)
        if executable is not None:
            executable.unload()
        return {}


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name, whatever their names and element types."""
    heads = [(name, str(array.dtype), array.shape) for name, array in arrays.items()]
    stored = [np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8) for array in arrays.values()]
    np.savez(path, np.frombuffer(json.dumps(heads).encode(), np.uint8), *stored)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        heads = json.loads(stored["arr_0"].tobytes())
        return {
            name: stored[f"arr_{number}"].view(array_type(dtype)).reshape(shape)
            for number, (name, dtype, shape) in enumerate(heads, 1)
        }


def _poisoned(spec: ValueSpec) -> np.ndarray:
    """An output that hardly any model gives, so that an element left unwritten is seen: NaN, or the largest number."""
    output = empty_value(spec)
    kind = output.dtype.kind
    output.fill(np.nan if kind not in "biu" else True if kind == "b" else np.iinfo(output.dtype).max)
    return output
