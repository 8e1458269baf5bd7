"""The timing protocol as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.measure.measure_options import MEBIBYTE, MeasureOptions


@given(
    st.builds(
        MeasureOptions,
        workers=st.integers(0, 64),
        repeats=st.integers(1, 100),
        number=st.integers(0, 1000),
        noise=st.sampled_from([0.0, 0.01, 0.125]),
        memory_bytes=st.integers(16 * MEBIBYTE, 1 << 40),
        run_timeout_secs=st.sampled_from([0.5, 10.0, 3600.0]),
    )
)
def test_round_trips(options: MeasureOptions) -> None:
    assert MeasureOptions.parse(str(options)) == options


def test_every_field_is_in_the_text() -> None:
    text = str(MeasureOptions(runner="ssh:board"))
    assert set(MeasureOptions.__slots__) == {part.partition("=")[0] for part in text.split(",")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("repeets=3", "did you mean 'repeats'"),
        ("repeats=many", "repeats: expected int, got 'many'"),
        ("repeats=0", "repeats must be at least 1, got 0"),
        ("noise=-1", "noise must be at least 0"),
        ("noise=nan", "noise must be at least 0"),
        ("memory_bytes=1", "memory_bytes must be at least"),
        ("run_timeout_secs=0", "run_timeout_secs must be at least"),
    ],
)
def test_bad_values(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MeasureOptions.parse(text)
