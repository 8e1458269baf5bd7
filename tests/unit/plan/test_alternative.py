"""What a group can be compiled as, as a value: its text is what records hold, and says all of it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.plan.alternative import FUSED, MERGED, PARTS, SEPARATE, Alternative, Division

WORDS = st.text(st.sampled_from("ab_-01239 é"), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("text", "alternative"),
    [
        ("fused", FUSED),
        ("parts", PARTS),
        ("merged", MERGED),
        ("separate", SEPARATE),
        ("winograd2", Alternative(algorithm="winograd", size=2)),
        ("winograd16", Alternative(algorithm="winograd", size=16)),
        ("online", Alternative(algorithm="online")),
    ],
)
def test_what_records_say(text: str, alternative: Alternative) -> None:
    assert Alternative.parse(text) == alternative
    assert str(alternative) == text


@given(WORDS)
def test_every_word_of_a_record_stays_what_it_is(word: str) -> None:
    assert str(Alternative.parse(word)) == word


@given(WORDS, st.none() | st.integers(1, 999))
def test_two_alternatives_never_have_one_text(word: str, size: int | None) -> None:
    try:
        alternative = Alternative(algorithm=word, size=size)
    except UsageError:
        return
    assert Alternative.parse(str(alternative)) == alternative


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 2},
        {"algorithm": "winograd2"},
        {"algorithm": "parts"},
        {"algorithm": "winograd", "size": 0},
        {"algorithm": "winograd", "size": True},
        {"algorithm": "a\nb"},
        {"division": Division.PARTS, "algorithm": "winograd", "size": 2},
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Alternative(**fields)  # type: ignore[arg-type]


def test_records_are_read_without_tvm() -> None:
    code = "import sys, flextune.trial.decision; assert 'tvm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
