"""A captured graph as PyTorch calls it: one build for each set of weights, PyTorch for what no build can give."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flextune.apply.executable import Executable
from flextune.apply.threads import default_thread_count
from flextune.errors import ModelError
from flextune.torch_backend.backend_options import BackendOptions
from flextune.torch_backend.capture import CapturedGraph, capture, input_name
from flextune.torch_backend.graph_build import build
from flextune.torch_backend.graph_inputs import GraphInputs, is_plain
from flextune.torch_backend.journal import Journal, reason_of
from flextune.torch_backend.outputs import OutputPlan
from flextune.torch_backend.tensor_arrays import array_of, tensor_of
from flextune.torch_backend.verification import first_difference
from flextune.torch_backend.weights import Place, WeightsAtPlace, place_of

KEPT_BUILDS = 64
"""For so many sets of weights a graph is built: as many equal blocks may be compiled one by one."""

_KEPT_PLACES = 4 * KEPT_BUILDS


@dataclass(frozen=True, slots=True, eq=False)
class GraphBuild:
    """A graph built with some weights, and the weights' place in memory."""

    executable: Executable
    computed: tuple[int, ...]
    place: WeightsAtPlace

    def run(self, torch: Any, inputs: Sequence[Any]) -> dict[int, Any]:
        """The computed outputs by their positions."""
        by_name = {input_name(position): value for position, value in enumerate(inputs)}
        given = {spec.name: array_of(torch, by_name[spec.name]) for spec in self.executable.inputs}
        results = self.executable.run(given)
        arrays = [np.asarray(results[spec.name]) for spec in self.executable.outputs]
        return {position: tensor_of(torch, array) for position, array in zip(self.computed, arrays, strict=True)}


class CompiledGraph:
    """The function that takes a captured graph's place: tensors in, a tuple of tensors out.

    A build holds copies of its weights. Before each call, what the weights of the call hold is compared with that, and
    a build is made for other weights: at once for those of another module, and for changed ones when they are seen a
    second time. PyTorch runs the graph meanwhile, wherever gradients are needed, and after an error.
    """

    def __init__(self, torch: Any, graph: Any, inputs: GraphInputs, options: BackendOptions, journal: Journal) -> None:
        self._torch = torch
        self._graph = graph
        self._inputs = inputs
        self._options = options
        self._journal = journal
        self._constants = constants_of(torch, graph)
        self._captured: tuple[bytes, CapturedGraph] | None = None
        self._plan: OutputPlan | None = None
        self._places: dict[Place, WeightsAtPlace] = {}
        self._builds: dict[bytes, GraphBuild] = {}
        self._has_failed = False
        self._building = threading.RLock()

    def prepare(self, inputs: Sequence[Any]) -> None:
        """Build for these inputs, unless they need gradients, which guards keep apart from those that do not."""
        if not self._left_for_gradients(inputs):
            self._build_for(inputs)

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if not self._has_failed:
            try:
                outputs = self._run(inputs)
            except Exception as error:  # noqa: BLE001  # whatever it is, PyTorch can run the graph
                self._failed(error)
            else:
                if outputs is not None:
                    return outputs
        return tuple(self._graph.forward(*inputs))

    @property
    def builds(self) -> int:
        """How many builds it holds."""
        return len(self._builds)

    def _failed(self, error: Exception) -> None:
        if self._options.strict:
            raise error
        self._has_failed = True
        self._journal.left("calling", reason_of(error))

    def _run(self, inputs: Sequence[Any]) -> tuple[Any, ...] | None:
        """The outputs, or None when PyTorch has to run the graph."""
        if self._left_for_gradients(inputs) or self._torch._C._functorch.peek_interpreter_stack() is not None:
            return None
        ready = self._build_for(inputs)
        if ready is None or self._plan is None or not self._plan.fits(inputs):
            return None
        threads = self._options.threads or min(self._torch.get_num_threads(), default_thread_count())
        if ready.executable.threads != threads:
            ready.executable.set_threads(threads)
        return self._plan.give(self._torch, inputs, ready.run(self._torch, inputs))

    def _left_for_gradients(self, inputs: Sequence[Any]) -> bool:
        if not self._torch.is_grad_enabled() or not any(value.requires_grad for value in inputs):
            return False
        self._journal.left("gradients", "gradients are needed, and it is for inference; use torch.no_grad()")
        return True

    def _build_for(self, inputs: Sequence[Any]) -> GraphBuild | None:
        weights = [*(inputs[position] for position in self._inputs.weights), *self._constants]
        address = place_of(weights)
        place = self._places.get(address)
        if place is None:
            place = self._new_place(weights, address)
        contents = place.contents_now(weights)
        return self._builds.get(contents) or self._missing(contents, place, inputs)

    def _new_place(self, weights: Sequence[Any], address: Place) -> WeightsAtPlace:
        if not all(is_plain(self._torch, weight) for weight in weights):
            raise ModelError("a weight is no dense tensor on the CPU")
        while len(self._places) >= _KEPT_PLACES:
            del self._places[next(iter(self._places))]
        self._places[address] = WeightsAtPlace(weights, address, self._options.frozen)
        return self._places[address]

    def _missing(self, contents: bytes, place: WeightsAtPlace, inputs: Sequence[Any]) -> GraphBuild | None:
        """A build for weights that there is none for, or None for PyTorch to run the graph this time."""
        with self._building:
            if contents in self._builds:
                return self._builds[contents]
            if not self._is_worth_building(contents, place):
                place.awaited = contents
                self._journal.left("weights", "its weights were changed; it is built again once they stay as they are")
                return None
            self._forget_outdated(place)
            if len(self._builds) >= KEPT_BUILDS:
                self._journal.left("builds", f"it is called with more than {KEPT_BUILDS} sets of weights")
                return None
            began = time.perf_counter()
            made = self._built(place, inputs)
            self._journal.built(time.perf_counter() - began)
            self._builds[contents] = made
            return made

    def _is_worth_building(self, contents: bytes, place: WeightsAtPlace) -> bool:
        """Not for weights that come and go: changed in place, or instead of others that are no longer there."""
        if not self._builds or self._options.strict or place.awaited == contents:
            return True
        return all(each.place.is_alive and each.place is not place for each in self._builds.values())

    def _forget_outdated(self, place: WeightsAtPlace) -> None:
        outdated = [key for key, each in self._builds.items() if each.place is place or not each.place.is_alive]
        for key in outdated:
            del self._builds[key]

    def _built(self, place: WeightsAtPlace, inputs: Sequence[Any]) -> GraphBuild:
        torch = self._torch
        with torch.no_grad():
            captured = self._captured_for(inputs)
            model = captured.with_weights(torch, inputs)
            made = GraphBuild(build(model, self._options), captured.computed, place)
            plan = OutputPlan.of(inputs, self._graph.forward(*inputs), captured.computed)
            self._verify(made, plan, inputs, captured.has_products)
        self._plan = plan
        return made

    def _captured_for(self, inputs: Sequence[Any]) -> CapturedGraph:
        """The graph as ONNX, written again when constants in it have changed."""
        constants = WeightsAtPlace(self._constants, place_of(self._constants), False).contents()
        if self._captured is None or self._captured[0] != constants:
            self._captured = constants, capture(self._torch, self._graph, self._inputs, inputs)
        return self._captured[1]

    def _verify(self, made: GraphBuild, plan: OutputPlan, inputs: Sequence[Any], has_products: bool) -> None:
        def run(values: Sequence[Any]) -> Sequence[Any]:
            return plan.give(self._torch, values, made.run(self._torch, values))

        def reference(values: Sequence[Any]) -> Sequence[Any]:
            return tuple(self._graph.forward(*values))

        differs = first_difference(self._torch, run, reference, inputs, self._inputs.varying, has_products)
        if differs is not None:
            raise ModelError(str(differs))


def constants_of(torch: Any, graph: Any) -> tuple[Any, ...]:
    """Tensors that a graph holds itself, which are no inputs."""
    named = [*graph.parameters(), *graph.buffers()]
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            value: Any = graph
            for part in str(node.target).split("."):
                value = getattr(value, part, None)
            named.append(value)
    return tuple({id(value): value for value in named if isinstance(value, torch.Tensor)}.values())
