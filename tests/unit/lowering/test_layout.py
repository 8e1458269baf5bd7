"""Layouts and assignments as values: their text, and where they put what."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.lowering.layout import NCHW, NHWC, Layout, blocked
from flextune.plan.layouts.layout_assignment import LayoutAssignment, LayoutPair

LAYOUTS = st.builds(Layout, st.permutations("NHWC").map("".join), st.one_of(st.just(0), st.integers(2, 64)))


@given(LAYOUTS)
def test_the_text_of_a_layout_round_trips(layout: Layout) -> None:
    assert Layout.parse(str(layout)) == layout


@given(st.dictionaries(st.integers(0, 40), st.builds(LayoutPair, LAYOUTS, LAYOUTS)))
def test_the_text_of_an_assignment_round_trips(pairs: dict[int, LayoutPair]) -> None:
    assignment = LayoutAssignment.of(pairs)
    assert LayoutAssignment.parse(str(assignment)) == assignment
    assert all(assignment.of_group(place) == pairs.get(place, LayoutPair()) for place in range(41))


@pytest.mark.parametrize("text", ["", "NHW", "NHWC1c", "NHHC", "NCHWc", "nchw"])
def test_other_texts_are_no_layout(text: str) -> None:
    with pytest.raises(UsageError, match="expected a layout such as"):
        Layout.parse(text)


@pytest.mark.parametrize("text", ["NCHW", "NCHW:", "NCHW:x", "NCHW:3-", "3:NCHW"])
def test_other_texts_are_no_assignment(text: str) -> None:
    with pytest.raises(UsageError):
        LayoutAssignment.parse(text)


def test_where_elements_are() -> None:
    image = np.arange(2 * 3 * 4 * 8).reshape(2, 3, 4, 8)
    assert NCHW.convert(image).shape == NCHW.shape(image.shape) == (2, 8, 3, 4)
    inside = blocked(4).convert(image)
    assert inside.shape == blocked(4).shape(image.shape) == (2, 2, 3, 4, 4)
    assert inside[1, 1, 2, 3, 1] == image[1, 2, 3, 4 + 1]
    assert NHWC.convert(image).tolist() == image.tolist()


@given(LAYOUTS, LAYOUTS, st.tuples(*(st.sampled_from([1, 2, 3]) for _ in range(3))), st.sampled_from([1, 4, 6, 12]))
def test_same_memory_means_that_every_element_is_in_the_same_place(
    one: Layout, other: Layout, image: tuple[int, ...], channels: int
) -> None:
    shape = (*image, channels)
    if one.fits(shape) and other.fits(shape):
        elements = np.arange(np.prod(shape)).reshape(shape)
        same = one.convert(elements).reshape(-1).tolist() == other.convert(elements).reshape(-1).tolist()
        assert one.same_memory(other, shape) == same
