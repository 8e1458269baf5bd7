"""Other algorithms as alternatives of a group: the group stays one kernel, its convolution is computed differently."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from flextune.lowering.emit import Emitter
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.algorithms.online_softmax import online_softmax_call
from flextune.plan.algorithms.winograd import convolution_facts, winograd_call, winograd_variants
from flextune.plan.fusion.alternatives import Alternative, AlternativeRule
from flextune.plan.fusion.attention_pattern import PATTERN, attention_shape
from flextune.plan.fusion.plan import FusionGroup


def winograd(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """F(2x2, 3x3) and F(4x4, 3x3) for a group with one convolution that they fit."""
    convolutions = [index for index in group.operators if graph.operators[index].name == "nn.conv2d"]
    if len(convolutions) != 1:
        return
    facts = convolution_facts(graph.operators[convolutions[0]].value)
    for outputs in () if facts is None else winograd_variants(facts):
        yield Alternative(f"winograd{outputs}", partial(_with_winograd, group, convolutions[0], outputs))


def _with_winograd(group: FusionGroup, convolution: int, outputs: int, emitter: Emitter) -> None:
    call = winograd_call(emitter.builder, emitter.graph.operators[convolution].value, outputs)
    emitter.group(group.operators, {convolution: call})


WINOGRAD = AlternativeRule(
    "winograd",
    "3x3 convolutions by Winograd's minimal filtering: fewer products, rounding errors up to some times larger",
    winograd,
)


def online(graph: OperatorGraph, group: FusionGroup) -> Iterator[Alternative]:
    """Attention with an online softmax, for sequences long enough that blocks of keys matter."""
    if group.pattern == PATTERN and attention_shape(graph, group.operators).has_online:
        softmax = next(index for index in group.operators if graph.operators[index].name == "nn.softmax")
        yield Alternative("online", partial(_with_online_softmax, group, softmax))


def _with_online_softmax(group: FusionGroup, softmax: int, emitter: Emitter) -> None:
    call = online_softmax_call(emitter.builder, emitter.graph.operators[softmax].value)
    emitter.group(group.operators, {softmax: call})


ONLINE = AlternativeRule(
    "online",
    "attention over blocks of keys: largest scores and sums are kept and corrected as larger ones turn up",
    online,
)
