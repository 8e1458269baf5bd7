"""What `torch.compile` calls with each graph that it has captured."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flextune.importing.torch_export import EXTRA
from flextune.torch_backend.backend_options import BackendOptions
from flextune.torch_backend.compiled import CompiledGraph
from flextune.torch_backend.graph_inputs import GraphInputs
from flextune.torch_backend.graph_sizes import GraphSizes
from flextune.torch_backend.journal import Journal, reason_of
from flextune.torch_import import load_torch

Graph = Callable[..., Any]

SHOWN_OPERATORS = 3


def compile_graph(
    graph: Any, example_inputs: Sequence[Any], *, mode: str | None = None, options: Mapping[str, Any] | None = None
) -> Graph:
    """Called by torch.compile with an `fx.GraphModule`; gives what runs in its place, a function of the same inputs.

    Whatever goes wrong, the graph itself is what runs, and a warning says why; with `options={"strict": True}` it is
    raised.
    """
    journal = Journal(operators_of(graph), _is_strict(options))
    try:
        chosen = BackendOptions.of(options)
        torch = load_torch("the backend flextune", EXTRA)
        _say_what_a_mode_does(mode)
        _say_that_records_are_missing(chosen)
        examples = [_number_of(torch, value) for value in example_inputs]
        sizes = GraphSizes.of(torch, graph)
        inputs = GraphInputs.of(torch, examples, sizes.scalars)
        compiled = CompiledGraph(torch, graph, inputs, sizes, chosen, journal)
        compiled.prepare(examples)
    except Exception as error:  # whatever it is, PyTorch can run the graph
        if journal.is_strict:
            raise
        journal.left("building", reason_of(error))
        return graph.forward  # type: ignore[no-any-return]
    return compiled


def _number_of(torch: Any, value: Any) -> Any:
    """The number that a size is at present; asking PyTorch for it would fix the graph to that size."""
    return value.node.hint if isinstance(value, torch.SymInt) else value


def operators_of(graph: Any) -> str:
    """The first operators of a graph, for people: `linear, relu, ... 12 in all`."""
    names = [_operator(node) for node in graph.graph.nodes if node.op.startswith("call_")]
    shown = ", ".join(names[:SHOWN_OPERATORS])
    return f"{shown}, ... {len(names)} in all" if len(names) > SHOWN_OPERATORS else shown or "nothing"


def _operator(node: Any) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _say_what_a_mode_does(mode: str | None) -> None:
    if mode not in (None, "default"):
        warnings.warn(
            f"flextune: mode={mode!r} changes nothing here; options={{'minutes': 1}} tunes a graph before it is built",
            stacklevel=3,
        )


def _say_that_records_are_missing(options: BackendOptions) -> None:
    if options.db is not None and not options.minutes and not options.database.exists:
        warnings.warn(f"flextune: there is no {options.database}; graphs get default schedules", stacklevel=3)


def _is_strict(options: object) -> bool:
    return isinstance(options, Mapping) and options.get("strict") is True
