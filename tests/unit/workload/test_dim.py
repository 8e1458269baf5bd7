"""Dimensions with ranges: text forms, sizes and weights, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.workload.dim import LARGEST, UNIFORM, Dim, parse_dims


@st.composite
def dims(draw: st.DrawFn) -> Dim:
    multiple = draw(st.integers(1, 64))
    lo = draw(st.integers(0, 1000))
    hi = lo + draw(st.integers(multiple, 5000))
    sizes = [size for size in range(lo, hi + 1) if size % multiple == 0]
    given_weights = st.dictionaries(st.sampled_from(sizes), st.floats(1e-6, 1e6), min_size=1, max_size=4)
    weights = draw(st.sampled_from(["log", UNIFORM]) | given_weights.map(lambda found: tuple(found.items())))
    return Dim(draw(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)), lo, hi, multiple, weights)


@given(dims())
def test_the_text_form_round_trips(dim: Dim) -> None:
    assert Dim.parse(str(dim)) == dim


@given(dims())
def test_its_sizes_are_the_multiples_in_the_range(dim: Dim) -> None:
    wanted = [size for size in range(dim.lo, dim.hi + 1) if size % dim.multiple == 0]
    assert list(dim.sizes) == wanted
    assert all(dim.weight(size) >= 0 for size in wanted)
    assert sum(dim.weight(size) for size in wanted) > 0
    assert dim.weight(dim.hi + 1) == 0


@pytest.mark.parametrize(
    ("text", "dim"),
    [
        ("seq=1..512", Dim("seq", 1, 512)),
        (" seq = 8 .. 512 : 8 ", Dim("seq", 8, 512, 8)),
        ("seq=128", Dim("seq", 128, 128)),
        ("n=0..0", Dim("n", 0, 0)),
        ("seq=1..512@uniform", Dim("seq", 1, 512, weights=UNIFORM)),
        ("seq=1..512@16*3+128", Dim("seq", 1, 512, weights=((16, 3.0), (128, 1.0)))),
    ],
)
def test_texts(text: str, dim: Dim) -> None:
    assert Dim.parse(text) == dim


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seq", "expected NAME=LOW..HIGH"),
        ("seq=a..b", "expected NAME=LOW..HIGH"),
        ("seq=512..1", "512..1 is not one of sizes"),
        ("seq=-1..4", "-1..4 is not one of sizes"),
        (f"seq=1..{LARGEST + 1}", "is not one of sizes"),
        ("seq=1..8:0", "multiples of a number >= 1"),
        ("seq=9..15:8", "no size from 9 to 15 is a multiple of 8"),
        ("my-dim=1..2", "letters, digits and _"),
        ("seq=1..8@often", "cannot read the weights"),
        ("seq=1..8@9*1", "9 is no size of it"),
        ("seq=1..8@4*1+4*2", "has two weights"),
        ("seq=1..8@4*0", "a number > 0"),
        ("seq=1..8@4*nan", "a number > 0"),
    ],
)
def test_what_is_no_dimension_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        Dim.parse(text)
    assert words in str(error.value)


def test_one_name_has_one_range() -> None:
    with pytest.raises(UsageError, match=r"given twice: seq=1\.\.8, seq=1\.\.9"):
        parse_dims(["seq=1..8", "batch=1..2", "seq=1..9"])
