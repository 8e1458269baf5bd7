"""Normalizations, recurrent layers, attention and losses."""

from __future__ import annotations

import onnx

from flextune.importing.shapes.call import Call, broadcast, positive_axis
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked
from flextune.workload.dim_expr import DimExpr

_ONE = DimExpr.of(1)


@shape_rule("BatchNormalization")
def batch_normalization(call: Call) -> list[Tracked]:
    statistics = call.like(3, call.shape(3)) if call.given(3) else call.like(0)
    return [call.like(0), *[statistics] * (len(call.node.output) - 1)]


@shape_rule("LayerNormalization")
def layer_normalization(call: Call) -> list[Tracked]:
    source = call.shape(0)
    axis = positive_axis(call.attribute("axis", -1), len(source))
    statistics = Tracked(
        call.attribute("stash_type", onnx.TensorProto.FLOAT), (*source[:axis], *(_ONE for _ in source[axis:]))
    )
    return [call.like(0), statistics, statistics]


@shape_rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain="com.microsoft")
def skip_layer_normalization(call: Call) -> list[Tracked]:
    source = call.shape(0)
    statistics = call.like(0, (*source[:-1], _ONE))
    return [call.like(0), statistics, statistics, call.like(0)]


@shape_rule("SimplifiedLayerNormalization", domain="")
def simplified_layer_normalization(call: Call) -> list[Tracked]:
    return layer_normalization(call)


@shape_rule("Gelu", "FastGelu", "BiasGelu", "QuickGelu", domain="com.microsoft")
def activation(call: Call) -> Tracked:
    return call.like(0)


@shape_rule("Dropout")
def dropout(call: Call) -> list[Tracked]:
    mask = call.like(0).of_type(onnx.TensorProto.BOOL if call.opset >= 10 else call.input(0).dtype)
    return [call.input(0), mask]


@shape_rule("LSTM", "GRU", "RNN")
def recurrent(call: Call) -> list[Tracked]:
    """Y, Y_h and (LSTM) Y_c; `layout` 1 has the batch in front."""
    first, second, _ = call.shape(0)
    directions, hidden = (
        DimExpr.of(2 if call.attribute("direction", "forward") == "bidirectional" else 1),
        _hidden(call),
    )
    if call.attribute("layout", 0):
        steps, state = (first, second, directions, hidden), (first, directions, hidden)
    else:
        steps, state = (first, directions, second, hidden), (directions, second, hidden)
    return [call.like(0, steps), call.like(0, state), call.like(0, state)]


def _hidden(call: Call) -> DimExpr:
    declared = call.attribute("hidden_size", 0)
    return DimExpr.of(declared) if declared else call.shape(2)[-1]


@shape_rule("Attention")
def attention(call: Call) -> list[Tracked]:
    """Y, present key, present value and scores; of (batch, heads, length, size), or 3 dimensions without heads."""
    query, key, value = (call.shape(position) for position in range(3))
    if len(query) == 3:
        heads = DimExpr.of(call.attribute("q_num_heads", 1)), DimExpr.of(call.attribute("kv_num_heads", 1))
        batch, length, size = query[0], query[1], value[2] // heads[1]
        key_size, key_length, result = key[2] // heads[1], key[1], [batch, length, heads[0] * size]
    else:
        heads = query[1], key[1]
        batch, length, size = query[0], query[2], value[3]
        key_size, key_length, result = key[3], key[2], [batch, heads[0], length, size]
    past = call.shape(4)[2] if call.given(4) else DimExpr.of(0)
    total = past + key_length
    return [
        call.like(0, result),
        call.like(1, (batch, heads[1], total, key_size)),
        call.like(2, (batch, heads[1], total, size)),
        call.like(0, (batch, heads[0], length, total)),
    ]


@shape_rule("NegativeLogLikelihoodLoss")
def loss(call: Call) -> Tracked:
    return call.like(0, call.shape(1) if call.attribute("reduction", "mean") == "none" else ())


@shape_rule("SoftmaxCrossEntropyLoss")
def cross_entropy(call: Call) -> list[Tracked]:
    return [loss(call), call.like(0)]


@shape_rule("SwiGLU")
def gated(call: Call) -> Tracked:
    return call.like(0, broadcast(call, call.shape(0), call.shape(1)))
