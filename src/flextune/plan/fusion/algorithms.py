"""The algorithms that flextune comes with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flextune.lowering.emit import Emitter
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.algorithms.online_softmax import online_softmax_call
from flextune.plan.algorithms.winograd import convolution_facts, winograd_call, winograd_sizes
from flextune.plan.alternative import Alternative
from flextune.plan.fusion.algorithm import Algorithm, register_algorithm
from flextune.plan.fusion.attention_pattern import ONLINE, PATTERN, attention_shape
from flextune.plan.fusion.plan import FusionGroup
from flextune.tvm_types import RelaxExpr

_CONVOLUTION, _SOFTMAX = "nn.conv2d", "nn.softmax"


def _winograd(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """F(2x2, 3x3) and F(4x4, 3x3) for a group with one convolution that they fit."""
    convolutions = group.named(graph, _CONVOLUTION)
    if len(convolutions) == 1 and (facts := convolution_facts(graph.operators[convolutions[0]].value)) is not None:
        for outputs in winograd_sizes(facts):
            yield Alternative(algorithm=WINOGRAD.name, size=outputs)


def _with_winograd(emitter: Emitter, group: FusionGroup, alternative: Alternative) -> Mapping[int, RelaxExpr]:
    assert alternative.size is not None
    (convolution,) = group.named(emitter.graph, _CONVOLUTION)
    value = emitter.graph.operators[convolution].value
    return {convolution: winograd_call(emitter.builder, value, alternative.size)}


def _online(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """Attention with an online softmax, for sequences long enough that blocks of keys matter."""
    if group.pattern == PATTERN and attention_shape(graph, group.operators).has_online:
        yield ONLINE


def _with_online_softmax(emitter: Emitter, group: FusionGroup, alternative: Alternative) -> Mapping[int, RelaxExpr]:
    del alternative  # it has no size
    (softmax,) = group.named(emitter.graph, _SOFTMAX)
    return {softmax: online_softmax_call(emitter.builder, emitter.graph.operators[softmax].value)}


WINOGRAD = Algorithm(
    "winograd",
    "3x3 convolutions by Winograd's minimal filtering: fewer products, rounding errors up to some times larger",
    _winograd,
    _with_winograd,
    float32_only=True,
)
ONLINE_SOFTMAX = Algorithm(
    ONLINE.algorithm,
    "attention over blocks of keys: largest scores and sums are kept and corrected as larger ones turn up",
    _online,
    _with_online_softmax,
)

for algorithm in (WINOGRAD, ONLINE_SOFTMAX):
    register_algorithm(algorithm)
