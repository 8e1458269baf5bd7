"""Digests notice whatever changes in memory, wherever it lies."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from flextune.native import digest
from flextune.native.digest import BLOCK_BYTES, MemoryDigest


def digest_of(*arrays: np.ndarray) -> MemoryDigest:
    return MemoryDigest([(array.ctypes.data, array.nbytes) for array in arrays])


@pytest.fixture(params=["native", "hashlib"])
def implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "hashlib":
        monkeypatch.setattr(digest, "_native", lambda: None)
    elif digest._native() is None:
        pytest.skip("no C compiler")


CHANGES = {
    "one sign": lambda a, at: a.__setitem__(at, -a[at]),
    "doubled": lambda a, at: np.multiply(a, 2, out=a),
    "negated": lambda a, at: np.negative(a, out=a),
    "reversed": lambda a, at: a.__setitem__(slice(None), a[::-1].copy()),
    "two swapped": lambda a, at: a.__setitem__([at, at - 1], a[[at - 1, at]]),
    "two signs": lambda a, at: a.__setitem__([at, at - 1], -a[[at, at - 1]]),
    "one bit": lambda a, at: a.view(np.uint8).__setitem__(4 * at, a.view(np.uint8)[4 * at] ^ 1),
}


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("count", [2, 17, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 3, BLOCK_BYTES])
def test_notices_every_kind_of_change(change: str, count: int) -> None:
    rng = np.random.default_rng(count)
    first, second = rng.standard_normal(5).astype(np.float32), rng.standard_normal(count).astype(np.float32)
    kept = second.copy()
    current = digest_of(first, second)
    before = current()
    assert current() == before
    for at in {1, count // 2, count - 1} - {0}:
        CHANGES[change](second, at)
        assert current() != before
        second[:] = kept
        assert current() == before


@pytest.mark.usefixtures("implementation")
def test_memory_at_any_address_and_nothing_at_all() -> None:
    block = (ctypes.c_ubyte * 300)(*range(250))
    digests = {MemoryDigest([(ctypes.addressof(block) + begin, 100)])() for begin in range(100)}
    assert len(digests) == 100
    assert MemoryDigest([])() == MemoryDigest([])()
    assert MemoryDigest([(0, 0)])() == MemoryDigest([(0, 0)])()


def test_equal_contents_have_equal_digests() -> None:
    values = np.arange(10_000, dtype=np.int64)
    assert digest_of(values)() == digest_of(values.copy())()
