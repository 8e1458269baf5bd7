"""An element type says what elements are and how they are stored, and converts between the two."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from flextune.errors import UsageError
from flextune.workload.element_type import BFLOAT16, ELEMENT_TYPES, ElementType, Kind, element_type
from flextune.workload.tensor import TensorSpec, Tolerance

ALL = pytest.mark.parametrize("element", ELEMENT_TYPES.values(), ids=str)


@ALL
def test_the_text_form_round_trips(element: ElementType) -> None:
    assert element_type(str(element)) is element


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'float32'"):
        element_type("flaot32")


@pytest.mark.parametrize(
    "wrong",
    [("a", Kind.FLOAT, 32, "float32", "float32", 0.0), ("b", Kind.SIGNED, 8, "int8", "int8", 0.5),
     ("c", Kind.UNSIGNED, 16, "uint8", "uint8", 0.0)],
)  # fmt: skip
def test_parts_that_do_not_fit_are_refused(wrong: tuple[str, Kind, int, str, str, float]) -> None:
    with pytest.raises(UsageError, match="do not fit"):
        ElementType(*wrong)


@ALL
def test_stored_values_are_decoded_exactly(element: ElementType) -> None:
    stored = element.random((200,), np.random.default_rng(0))
    numbers = element.decode(stored)
    assert stored.dtype == element.storage
    assert np.unique(stored).size > (1 if element.kind is Kind.BOOL else 20)
    assert np.array_equal(element.encode(numbers), stored)
    if element.is_float:
        assert np.abs(numbers).max() <= 1


def test_bfloat16_is_that_of_others() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2**32, 1 << 16, dtype=np.uint32).view(np.float32)
    special = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 3.4e38, 1e-40], np.float32)
    numbers = np.concatenate([numbers, special])
    with np.errstate(over="ignore", invalid="ignore"):
        theirs = numbers.astype(ml_dtypes.bfloat16)
    ours = BFLOAT16.encode(numbers)
    known = ~np.isnan(numbers)
    assert np.array_equal(ours[known], theirs.view(np.uint16)[known])
    assert np.isnan(BFLOAT16.decode(ours[~known])).all()
    assert BFLOAT16.step == float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps)


def test_a_tensor_knows_its_memory() -> None:
    spec = TensorSpec("x", (3, 4), BFLOAT16)
    assert (spec.dtype, spec.bytes) == ("uint16", 24)


def test_integers_beyond_float64_are_told_apart() -> None:
    want = np.array([2**53, 2**62], np.int64)
    assert not Tolerance(0.5, 100.0).accepts(want + 1, want)
    assert Tolerance(0.0, 0.0, 1.0).accepts(want + 1, want)
    assert not Tolerance(0.0, 0.0, 1.0).accepts(want + 2, want)


def test_tf32_keeps_ten_bits_of_a_float32():
    tf32, numbers = element_type("tf32"), np.random.default_rng(0).standard_normal(1000).astype(np.float32) * 1e3
    stored = tf32.encode(numbers)
    mantissas, exponents = np.frexp(stored.astype(np.float64))
    assert np.all(mantissas * 2**11 == np.round(mantissas * 2**11))
    assert np.all(np.abs(stored - numbers.astype(np.float64)) <= 2.0 ** (exponents - 12))
    np.testing.assert_array_equal(tf32.decode(stored), stored)
    np.testing.assert_array_equal(tf32.decode(stored.view(np.uint32) | 0x1FFF), stored)
    assert np.isnan(tf32.encode(np.array([np.nan], np.float32)))[0]
    assert np.isinf(tf32.encode(np.array([np.inf], np.float32)))[0]
