"""Every element of every output is compared."""

import ml_dtypes
import numpy as np
import pytest

from flextune.measure import check
from flextune.measure.check import check_inputs, check_outputs, poison
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

FLOAT = parse_workload("gemm:m=8,n=8,k=8")
INTEGER = parse_workload("gemm:m=8,n=8,k=8,dtype=uint8")


def outputs(workload: Workload) -> np.ndarray:
    return workload.reference(workload.random_inputs(0))[0]


@pytest.mark.parametrize("workload", [FLOAT, INTEGER], ids=str)
def test_the_reference_passes(workload: Workload) -> None:
    right = outputs(workload)
    assert check_outputs(workload, [right.copy()], [right]) == check.OutputCheck(0.0)


@pytest.mark.parametrize("position", [(0, 0), (3, 5), (7, 7)])
@pytest.mark.parametrize("workload", [FLOAT, INTEGER], ids=str)
def test_one_wrong_element_is_found(
    workload: Workload, position: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "CHUNK", 7)
    right = outputs(workload)
    wrong = right.copy()
    wrong[position] += 1
    found = check_outputs(workload, [wrong], [right])
    assert f"wrong in 1 of 64 elements; the first, {list(position)}," in found.error
    assert found.max_error == pytest.approx(1.0, rel=1e-5)


def test_rounding_passes_and_is_reported() -> None:
    right = outputs(FLOAT)
    found = check_outputs(FLOAT, [np.nextafter(right, np.float32(np.inf))], [right])
    assert found.error == ""
    assert 0 < found.max_error < 1e-5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_wrong_unless_the_reference_has_it(value: float) -> None:
    right = outputs(FLOAT)
    special = right.copy()
    special[1, 1] = value
    assert check_outputs(FLOAT, [special], [right]).max_error == np.inf
    assert "wrong in 1" in check_outputs(FLOAT, [special], [right]).error
    assert "wrong in 1" in check_outputs(FLOAT, [right], [special]).error
    assert check_outputs(FLOAT, [special], [special]) == check.OutputCheck(0.0)


def test_infinity_of_the_other_sign_is_wrong() -> None:
    right, wrong = outputs(FLOAT), outputs(FLOAT)
    right[0, 0], wrong[0, 0] = np.inf, -np.inf
    assert "wrong in 1" in check_outputs(FLOAT, [wrong], [right]).error


def test_another_shape_or_dtype_is_wrong() -> None:
    right = outputs(FLOAT)
    assert "is float32[4, 16], expected float32[8, 8]" in check_outputs(FLOAT, [right.reshape(4, 16)], [right]).error
    assert "is float64[8, 8]" in check_outputs(FLOAT, [right.astype(np.float64)], [right]).error


def test_poison_differs_everywhere() -> None:
    with_nan = np.array([np.nan, 0.0, 1.0], dtype=np.float32)
    for array in (with_nan, np.arange(256, dtype=np.uint8), np.array([-1, 0, 5], dtype=np.int32)):
        values = poison(array)
        assert values.dtype == array.dtype
        same = (values == array) | ((values != values) & (array != array))
        assert not same.any()


def test_bfloat16_storage_is_compared_by_value() -> None:
    right = np.array([1.0, -2.0, 0.0], dtype=ml_dtypes.bfloat16)
    near = np.nextafter(right, np.array(4, dtype=ml_dtypes.bfloat16))
    difference = check._differences(near.view(np.uint16), right.view(np.uint16), 0, 0.01, 1e-30)
    assert difference.count == 0
    assert difference.max_error < 0.02
    far = check._differences((right + 1).view(np.uint16), right.view(np.uint16), 0, 0.01, 1e-30)
    assert (far.count, far.first) == (3, 0)


def test_an_overwritten_input_is_found() -> None:
    originals = FLOAT.random_inputs(0)
    inputs = [array.copy() for array in originals]
    assert check_inputs(FLOAT, inputs, originals).error == ""
    inputs[1][7, 7] = -inputs[1][7, 7]
    assert check_inputs(FLOAT, inputs, originals).error == "the program wrote into its input B"
