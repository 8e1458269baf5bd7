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
from flextune.errors import FlextuneError, ModelError
from flextune.torch_backend.backend_options import BackendOptions
from flextune.torch_backend.capture import CapturedGraph, capture, computed_outputs, input_name
from flextune.torch_backend.graph_build import build
from flextune.torch_backend.graph_inputs import GraphInputs, is_plain
from flextune.torch_backend.graph_sizes import GraphSizes, Sizes, SymbolicOutputs
from flextune.torch_backend.journal import Journal, reason_of
from flextune.torch_backend.layouts import first_places, layouts_of
from flextune.torch_backend.other_sizes import resized
from flextune.torch_backend.outputs import OutputPlan
from flextune.torch_backend.tensor_arrays import array_of, tensor_of
from flextune.torch_backend.verification import first_difference
from flextune.torch_backend.weights import Place, WeightsAtPlace, place_of

KEPT_BUILDS = 64
"""For so many sets of weights a graph is built: as many equal blocks may be compiled one by one."""

KEPT_SIZES = 8
"""For so many combinations of sizes a graph is built that cannot be built for ranges of them; as often Dynamo captures
a function anew."""

KEPT_NUMBERS = 2
"""For so many combinations of real numbers among its inputs a graph is built, each with these as constants."""

KEPT_PLANS = 4096
"""Combinations of sizes of which is known how the outputs lie in memory."""

_KEPT_PLACES = 4 * KEPT_BUILDS

_OTHER_SIZES = 2
"""At so many combinations of sizes a build for ranges is compared with PyTorch before it is used."""

BuildKey = tuple[bytes, tuple[float, ...], Sizes]
"""What the weights hold, the real numbers among the inputs, and the sizes of a build that is for one combination."""


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
    second time. A graph whose sizes change from call to call gets one build for all sizes; where that is not possible,
    one for each of the first sizes. PyTorch runs the graph meanwhile, where gradients are needed, and after an error.
    """

    def __init__(
        self,
        torch: Any,
        graph: Any,
        inputs: GraphInputs,
        sizes: GraphSizes,
        options: BackendOptions,
        journal: Journal,
    ) -> None:
        self._torch = torch
        self._graph = graph
        self._inputs = inputs
        self._options = options
        self._journal = journal
        self._constants = constants_of(torch, graph)
        self._sizes = sizes
        self._is_symbolic = not self._sizes.are_fixed
        self._captured: tuple[object, CapturedGraph] | None = None
        self._layouts: SymbolicOutputs | None = None
        self._plans: dict[Sizes, OutputPlan] = {}
        self._places: dict[Place, WeightsAtPlace] = {}
        self._builds: dict[BuildKey, GraphBuild] = {}
        self._refused: set[Sizes] = set()
        self._has_failed = False
        self._building = threading.RLock()

    def prepare(self, inputs: Sequence[Any]) -> None:
        """Build for these inputs, unless they need gradients, which guards keep apart from those that do not."""
        if not self._left_for_gradients(inputs):
            self._build_for(inputs, self._sizes.read(inputs))

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if not self._has_failed:
            try:
                outputs = self._run(inputs)
            except Exception as error:  # noqa: BLE001  # whatever it is, PyTorch can run the graph
                self._failed(error, inputs)
            else:
                if outputs is not None:
                    return outputs
        return tuple(self._graph.forward(*inputs))

    @property
    def builds(self) -> int:
        """How many builds it holds."""
        return len(self._builds)

    def _failed(self, error: Exception, inputs: Sequence[Any]) -> None:
        """From now on PyTorch runs the graph; one for many sizes at these only."""
        if self._options.strict:
            raise error
        if self._sizes.are_fixed or len(self._refused) >= KEPT_BUILDS:
            self._has_failed = True
        else:
            self._refused.add(self._sizes.read(inputs))
        self._journal.left("calling", reason_of(error))

    def _run(self, inputs: Sequence[Any]) -> tuple[Any, ...] | None:
        """The outputs, or None when PyTorch has to run the graph."""
        if self._left_for_gradients(inputs) or self._torch._C._functorch.peek_interpreter_stack() is not None:
            return None
        sizes = self._sizes.read(inputs)
        if sizes in self._refused:
            return None
        ready = self._build_for(inputs, sizes)
        if ready is None:
            return None
        plan = self._plans.get(sizes) or self._plan_at(sizes)
        if not plan.fits(inputs):
            return None
        threads = self._options.threads or min(self._torch.get_num_threads(), default_thread_count())
        if ready.executable.threads != threads:
            ready.executable.set_threads(threads)
        return plan.give(self._torch, inputs, ready.run(self._torch, inputs))

    def _plan_at(self, sizes: Sizes) -> OutputPlan:
        """How outputs lie in memory at sizes other than those of the build's examples."""
        if self._layouts is None:
            raise ModelError(f"it is not known how outputs lie in memory at the sizes {sizes}")
        computed = computed_outputs(self._torch, self._graph)
        while len(self._plans) >= KEPT_PLANS:
            self._plans.pop(next(iter(self._plans)), None)
        plan = OutputPlan.of(*self._layouts.bind(self._sizes.by_symbol(sizes)), computed)
        self._plans[sizes] = plan
        return plan

    def _left_for_gradients(self, inputs: Sequence[Any]) -> bool:
        if not self._torch.is_grad_enabled() or not any(getattr(value, "requires_grad", False) for value in inputs):
            return False
        self._journal.left("gradients", "gradients are needed, and it is for inference; use torch.no_grad()")
        return True

    def _build_for(self, inputs: Sequence[Any], sizes: Sizes) -> GraphBuild | None:
        weights = [*(inputs[position] for position in self._inputs.weights), *self._constants]
        address = place_of(weights)
        place = self._places.get(address)
        if place is None:
            place = self._new_place(weights, address)
        contents = place.contents_now(weights)
        found = self._builds.get(self._key(contents, inputs, sizes))
        return found or self._missing(contents, place, inputs, sizes)

    def _key(self, contents: bytes, inputs: Sequence[Any], sizes: Sizes) -> BuildKey:
        return contents, self._sizes.read_scalars(inputs), () if self._is_symbolic else sizes

    def _new_place(self, weights: Sequence[Any], address: Place) -> WeightsAtPlace:
        if not all(is_plain(self._torch, weight) for weight in weights):
            raise ModelError("a weight is no dense tensor on the CPU")
        while len(self._places) >= _KEPT_PLACES:
            del self._places[next(iter(self._places))]
        self._places[address] = WeightsAtPlace(weights, address, self._options.frozen)
        return self._places[address]

    def _missing(
        self, contents: bytes, place: WeightsAtPlace, inputs: Sequence[Any], sizes: Sizes
    ) -> GraphBuild | None:
        """A build for weights or sizes that there is none for, or None for PyTorch to run the graph this time."""
        with self._building:
            if (found := self._builds.get(self._key(contents, inputs, sizes))) is not None:
                return found
            if not self._is_worth_building(contents, place):
                place.awaited = contents
                self._journal.left("weights", "its weights were changed; it is built again once they stay as they are")
                return None
            self._forget_outdated(place, contents)
            alike = [key for key in self._builds if key[0] == contents]
            if len({key[0] for key in self._builds} - {contents}) >= KEPT_BUILDS:
                self._journal.left("builds", f"it is called with more than {KEPT_BUILDS} sets of weights")
                return None
            if len(alike) >= KEPT_SIZES:
                self._journal.left("sizes", f"it is called with more than {KEPT_SIZES} combinations of sizes")
                return None
            numbers = {key[1] for key in alike} - {self._sizes.read_scalars(inputs)}
            if len(numbers) >= KEPT_NUMBERS:
                self._journal.left("numbers", "it is called with real numbers that change; give them as tensors")
                return None
            began = time.perf_counter()
            made = self._built(place, inputs, sizes)
            self._journal.built(time.perf_counter() - began)
            self._builds[self._key(contents, inputs, sizes)] = made
            return made

    def _is_worth_building(self, contents: bytes, place: WeightsAtPlace) -> bool:
        """Not for weights that come and go: changed in place, or instead of others that are no longer there."""
        if not self._builds or self._options.strict or place.awaited == contents:
            return True
        if any(key[0] == contents for key in self._builds):
            return True
        return all(each.place.is_alive and each.place is not place for each in self._builds.values())

    def _forget_outdated(self, place: WeightsAtPlace, contents: bytes) -> None:
        outdated = [
            key
            for key, each in self._builds.items()
            if (each.place is place and key[0] != contents) or not each.place.is_alive
        ]
        for key in outdated:
            del self._builds[key]

    def _built(self, place: WeightsAtPlace, inputs: Sequence[Any], sizes: Sizes) -> GraphBuild:
        with self._torch.no_grad():
            if self._is_symbolic:
                try:
                    return self._built_for(place, inputs, sizes, is_symbolic=True)
                except FlextuneError as error:
                    self._journal.each_size(reason_of(error))
                    self._is_symbolic, self._layouts = False, None
            return self._built_for(place, inputs, sizes, is_symbolic=False)

    def _built_for(self, place: WeightsAtPlace, inputs: Sequence[Any], sizes: Sizes, is_symbolic: bool) -> GraphBuild:
        """A build for all sizes, or for those of these inputs."""
        captured = self._captured_for(inputs, sizes, is_symbolic)
        model = captured.with_weights(self._torch, inputs)
        examples = {input_name(position): value for position, value in enumerate(inputs)}
        made = GraphBuild(build(model, self._options, examples), captured.computed, place)
        outputs = self._graph.forward(*inputs)
        seen = layouts_of([*inputs, *outputs])
        plan = OutputPlan.of(seen[: len(inputs)], seen[len(inputs) :], captured.computed)
        if any(outputs[position].requires_grad for position in captured.computed if position not in plan.views):
            raise ModelError("it records gradients, whatever the mode that it is called in")
        self._verify(made, plan, inputs, captured.has_products)
        if is_symbolic:
            self._layouts = SymbolicOutputs.of(self._torch, self._graph, first_places([*inputs, *outputs]))
            if self._plan_at(sizes) != plan:
                raise ModelError("how its outputs lie in memory depends on more than sizes")
            self._verify_at_other_sizes(made, inputs, captured.has_products)
        self._plans[sizes] = plan
        return made

    def _captured_for(self, inputs: Sequence[Any], sizes: Sizes, is_symbolic: bool) -> CapturedGraph:
        """The graph as ONNX, written again when constants in it have changed, or for other sizes."""
        constants = WeightsAtPlace(self._constants, place_of(self._constants), False).contents()
        key = constants, self._sizes.read_scalars(inputs), is_symbolic or sizes
        if self._captured is None or self._captured[0] != key:
            captured = capture(self._torch, self._graph, self._inputs, inputs, self._sizes, is_symbolic)
            self._captured = key, captured
        return self._captured[1]

    def _verify_at_other_sizes(self, made: GraphBuild, inputs: Sequence[Any], has_products: bool) -> None:
        """Compare at sizes that nothing was built with, where PyTorch runs the graph at them.

        ModelError where it differs, and where PyTorch ran at no other sizes: nobody would know.
        """
        compared = 0
        for others in self._sizes.others(inputs):
            if compared == _OTHER_SIZES:
                return
            values = resized(self._torch, self._sizes, inputs, others)
            try:
                self._graph.forward(*values)
            except Exception:  # noqa: BLE001  # Dynamo has more demands on sizes than their ranges
                continue
            self._verify(made, self._plan_at(others), values, has_products)
            compared += 1
        if not compared:
            raise ModelError("at none of the other sizes that were tried PyTorch ran it, so that it cannot be compared")

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
