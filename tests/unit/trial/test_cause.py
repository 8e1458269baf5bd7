"""Failures that differ only in numbers, addresses and folders have one cause."""

import pytest

from flextune.trial.cause import CAUSE_LIMIT, cause


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("InternalError: bad loop at 0x7f01ab", "InternalError: bad loop at 0x11"),
        ("cannot open /tmp/flextune-a1/x.npy: no space", "cannot open /tmp/flextune-b2/x.npy: no space"),
        ("wrong in 3 of 256 elements, the first is 1.5e-3", "wrong in 256 of 256 elements, the first is -2"),
        ("shape [3, 4] is not right", "shape [5,  6, 7] is not right"),
        ("\n  first line 1\nsecond", "first line 2\nanother"),
    ],
)
def test_same_cause(one: str, other: str) -> None:
    assert cause(one) == cause(other)


def test_different_causes_stay_apart() -> None:
    assert cause("step 3 (split) is illegal") != cause("step 3 (tensorize) is illegal")
    assert cause("loop i2 of conv2d") == "loop i2 of conv2d"


def test_long_and_empty_texts() -> None:
    assert len(cause("x" * 1000)) == CAUSE_LIMIT
    assert cause(" \n ") == ""
