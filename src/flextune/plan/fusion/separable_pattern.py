"""Separable convolutions as one group: a depthwise convolution and the 1x1 convolution that alone reads it.

before: d = conv2d(x, w1, groups=C); r = clip(add(d, b1)); p = conv2d(r, w2); y = add(add(p, b2), s)
after:  one kernel, whose tasks compute the part of r that they need, or two as without this pattern
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Set

from flextune.lowering.operator_graph import Operator, OperatorGraph, tensor_type
from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.fusion.pattern import MAX_OPERATORS, Finder, Group, disjoint
from flextune.workload.work import Work

PATTERN = "separable"
"""The name of the pattern."""

WORTH_FUSING = 0.3
"""Such a pair is one kernel unmeasured when so much of its time as two is predicted to be what passes between them."""

_CONVOLUTION = "nn.conv2d"
_ELEMENT_BYTES = 4


def separable(convolutions: Finder) -> Finder:
    """A depthwise convolution's group and that of the 1x1 convolution which alone reads it, out of `convolutions`.

    Both are of float32 with the channels innermost, in blocks or not, so that vectors of them are contiguous.
    """

    def find(graph: OperatorGraph, free: Set[int]) -> Iterator[Group]:
        groups: dict[int | None, Group] = {index: (index,) for index in sorted(free)}
        groups |= {group[0]: group for group in disjoint(graph, free, convolutions)}
        for windows in groups.values():
            if _is_depthwise(graph.operators[windows[0]]):
                product = groups.get(_product_of(graph, windows[-1]))
                if product is not None and len(windows) + len(product) <= MAX_OPERATORS:
                    yield (*windows, *product)

    return find


def preferred_form(graph: OperatorGraph, group: Group) -> Alternative:
    """One kernel where what passes between the two is predicted to take a large part of their time.

    That is so for few results per channel: each channel of a pixel is written and read for taps + results products.
    """
    window, product = (graph.operators[index] for index in group if graph.operators[index].name == _CONVOLUTION)
    taps, results = (_weights_of_a_channel(each, window.value.attrs.groups) for each in (window, product))
    launch = graph.estimator.secs(Work())
    passed = graph.estimator.secs(Work(bytes=2 * window.elements * _ELEMENT_BYTES)) - launch
    computed = graph.estimator.secs(Work(operations=2 * window.elements * (taps + results))) - launch
    return FUSED if passed >= WORTH_FUSING * (passed + computed) else PARTS


def _weights_of_a_channel(convolution: Operator, channels: int) -> int:
    return math.prod(tensor_type(convolution.value.args[1])[0]) // int(channels)


def _product_of(graph: OperatorGraph, index: int) -> int | None:
    """The 1x1 convolution whose data this operator computes, and which alone reads it."""
    users, variable = graph.users[index], graph.operators[index].variable
    if len(users) != 1 or index in graph.outputs:
        return None
    reader = graph.operators[users[0]]
    if not _is_plain(reader) or not _is_pointwise(reader):
        return None
    data, weight = reader.value.args
    return reader.index if data.same_as(variable) and not weight.same_as(variable) else None


def _is_plain(operator: Operator) -> bool:
    """Whether an operator is a convolution of float32 images whose channels are innermost where it reads them."""
    if operator.name != _CONVOLUTION or operator.dtype != "float32":
        return False
    types = [tensor_type(argument) for argument in operator.value.args]
    return all(shape and dtype == "float32" for shape, dtype in types) and _has_channels_last(operator)


def _has_channels_last(operator: Operator) -> bool:
    return str(operator.value.attrs.data_layout)[-1] in "Cc"


def _is_depthwise(operator: Operator) -> bool:
    """Whether a convolution takes each channel by itself, in one layout."""
    if not _is_plain(operator):
        return False
    attributes, (data, _) = operator.value.attrs, operator.value.args
    layout, groups = str(attributes.data_layout), int(attributes.groups)
    if groups == 1 or str(attributes.out_layout or layout) != layout:
        return False
    return {_channels(layout, tensor_type(data)[0]), _channels(layout, operator.shape)} == {groups}


def _channels(layout: str, shape: tuple[int, ...]) -> int:
    return math.prod(_extents("Cc", layout, shape))


def _extents(axes: str, layout: str, shape: tuple[int, ...]) -> list[int]:
    """Of these axes of a tensor in a layout such as NHWC, NCHW16c or HWIO16o: block sizes are in the shape too."""
    letters = (letter for letter in layout if not letter.isdigit())
    return [size for letter, size in zip(letters, shape, strict=True) if letter in axes]


def _is_pointwise(operator: Operator) -> bool:
    """Whether a result of a convolution is read from its own place in the image, and from all channels."""
    attributes = operator.value.attrs
    weight, layout = tensor_type(operator.value.args[1])[0], str(attributes.kernel_layout)
    taps = _extents("HW", layout, weight)
    strides, pads = ([int(each) for each in values] for values in (attributes.strides, attributes.padding))
    return set(taps) == set(strides) == {1} and not any(pads) and int(attributes.groups) == 1
