"""Aligned arrays begin where they should, also those without elements."""

import pytest

from flextune.aligned import ALIGNMENT_BYTES, address, aligned_empty


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (3, 0), (5, 3)])
@pytest.mark.parametrize("dtype", ["int8", "float32", "float64"])
def test_begins_at_a_multiple(shape: tuple[int, ...], dtype: str) -> None:
    kept = [aligned_empty(shape, dtype) for _ in range(20)]
    assert all(address(array) % ALIGNMENT_BYTES == 0 and array.shape == shape for array in kept)
