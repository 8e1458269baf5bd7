"""Artifacts as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.schedule.packing import PackedInput
from flextune.trial.artifact import Artifact, CompilerReport

COUNTS = st.none() | st.integers(0, 2**40)
REPORTS = st.builds(
    CompilerReport, COUNTS, COUNTS, COUNTS, COUNTS, st.lists(st.text(max_size=20), max_size=3).map(tuple)
)
SHAPES = st.lists(st.integers(0, 9), max_size=4).map(tuple)
PACKS = st.builds(PackedInput, st.integers(0, 5), SHAPES, st.just("float32"), SHAPES, SHAPES, SHAPES, SHAPES)
ARTIFACTS = st.builds(
    Artifact,
    st.text(max_size=20),
    st.binary(max_size=100),
    st.text(max_size=20),
    st.lists(PACKS, max_size=3).map(tuple),
    REPORTS,
)


@given(ARTIFACTS)
def test_the_text_form_round_trips(artifact: Artifact) -> None:
    assert Artifact.parse(artifact.to_json()) == artifact
    assert Artifact.restored(artifact.described(), artifact.content) == artifact


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"content": "?"}', '{"content": "", "packs": [{}]}'])
def test_what_is_no_artifact(text: str) -> None:
    with pytest.raises(UsageError, match="expected an artifact"):
        Artifact.parse(text)
