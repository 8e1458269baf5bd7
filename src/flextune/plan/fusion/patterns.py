"""The patterns that flextune comes with, in the order they choose."""

from __future__ import annotations

from flextune.plan.fusion.attention_pattern import PATTERN as ATTENTION
from flextune.plan.fusion.attention_pattern import attention, preferred_form
from flextune.plan.fusion.normalization_pattern import window_normalization
from flextune.plan.fusion.pattern import Pattern, epilogues, register
from flextune.plan.fusion.producer_pattern import producer_consumer, row_reductions
from flextune.plan.fusion.product_pattern import products
from flextune.plan.fusion.separable_pattern import PATTERN as SEPARABLE
from flextune.plan.fusion.separable_pattern import preferred_form as separable_form
from flextune.plan.fusion.separable_pattern import separable

CONVOLUTIONS = frozenset(
    {"nn.conv1d", "nn.conv1d_transpose", "nn.conv2d", "nn.conv2d_transpose", "nn.conv3d", "nn.conv3d_transpose"}
)
POOLINGS = frozenset(
    {"nn.adaptive_avg_pool2d", "nn.avg_pool1d", "nn.avg_pool2d", "nn.avg_pool3d"}
    | {"nn.max_pool1d", "nn.max_pool2d", "nn.max_pool3d"}
)

BUILT_IN = (
    Pattern(
        SEPARABLE,
        "depthwise convolution + the 1x1 convolution that alone reads it, each with its bias, activation, residual sum",
        separable(epilogues(CONVOLUTIONS)),
        prefer=separable_form,
        nested=True,
        joins="convolution",
        float32_only=True,
    ),
    Pattern("convolution", "convolution + bias, activation, residual sum", epilogues(CONVOLUTIONS)),
    Pattern(
        ATTENTION,
        "two matrix products with scale, mask and softmax between them + transposes",
        attention,
        prefer=preferred_form,
        nested=True,
    ),
    Pattern(
        "matmul", "transposes of its operands + matrix product + bias, activation, residual sum, transpose", products
    ),
    Pattern("normalization", "a window sum + element-wise operators on both sides", window_normalization(POOLINGS)),
    Pattern("pooling", "pooling + what is computed element by element from it", epilogues(POOLINGS)),
    Pattern("rows", "layer norm, softmax or row sums + element-wise producers and consumers", row_reductions),
    Pattern("producers", "element-wise and injective operators + the one they flow into", producer_consumer),
)

for pattern in BUILT_IN:
    register(pattern)
