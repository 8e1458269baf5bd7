"""Every element of every output is compared."""

import ml_dtypes
import numpy as np
import pytest

from flextune.measure import output_check
from flextune.measure.output_check import check_inputs, check_outputs, poison
from flextune.workload.element_type import BFLOAT16, BOOL, ELEMENT_TYPES, FLOAT32, ElementType
from flextune.workload.parse import parse_workload
from flextune.workload.tensor import Tolerance
from flextune.workload.workload import Workload

FLOAT = parse_workload("gemm:m=8,n=8,k=8")
INTEGER = parse_workload("gemm:m=8,n=8,k=8,dtype=uint8")


def outputs(workload: Workload) -> np.ndarray:
    return workload.reference(workload.random_inputs(0))[0]


@pytest.mark.parametrize("workload", [FLOAT, INTEGER], ids=str)
def test_the_reference_passes(workload: Workload) -> None:
    right = outputs(workload)
    assert check_outputs(workload, [right.copy()], [right]) == output_check.OutputCheck(0.0)


@pytest.mark.parametrize("position", [(0, 0), (3, 5), (7, 7)])
@pytest.mark.parametrize("workload", [FLOAT, INTEGER], ids=str)
def test_one_wrong_element_is_found(
    workload: Workload, position: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_check, "CHUNK", 7)
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
    assert check_outputs(FLOAT, [special], [special]) == output_check.OutputCheck(0.0)


def test_infinity_of_the_other_sign_is_wrong() -> None:
    right, wrong = outputs(FLOAT), outputs(FLOAT)
    right[0, 0], wrong[0, 0] = np.inf, -np.inf
    assert "wrong in 1" in check_outputs(FLOAT, [wrong], [right]).error


def test_another_shape_or_dtype_is_wrong() -> None:
    right = outputs(FLOAT)
    assert "is float32[4, 16], expected float32[8, 8]" in check_outputs(FLOAT, [right.reshape(4, 16)], [right]).error
    assert "is float64[8, 8]" in check_outputs(FLOAT, [right.astype(np.float64)], [right]).error


@pytest.mark.parametrize("element", ELEMENT_TYPES.values(), ids=str)
def test_poison_is_wrong_everywhere(element: ElementType) -> None:
    """Also with the widest tolerance of its kind: a byte may be off by one, a number by a hundredth of it."""
    rng = np.random.default_rng(0)
    right = np.concatenate([element.random((300,), rng), np.zeros(1, element.storage), np.ones(1, element.storage)])
    tolerance = Tolerance(0.01, 0.1, 1.0 if element.bits == 8 and element.is_whole else 0.0)
    values = poison(right, element)
    assert values.dtype == right.dtype
    assert output_check._differences(element, values, right, 0, tolerance).count == right.size


def test_what_is_not_a_number_is_poisoned_by_one() -> None:
    right = np.array([np.nan, 0.0, 1.0], dtype=np.float32)
    assert np.array_equal(np.isnan(poison(right, FLOAT32)), [False, True, True])


def test_bfloat16_is_compared_by_value() -> None:
    right = np.array([1.0, -2.0, 0.0], dtype=ml_dtypes.bfloat16)
    near = np.nextafter(right, np.array(4, dtype=ml_dtypes.bfloat16))
    tolerance = Tolerance(0.01, 1e-30)
    difference = output_check._differences(BFLOAT16, near.view(np.uint16), right.view(np.uint16), 0, tolerance)
    assert difference.count == 0
    assert difference.max_error < 0.02
    far = output_check._differences(BFLOAT16, (right + 1).view(np.uint16), right.view(np.uint16), 0, tolerance)
    assert (far.count, far.first) == (3, 0)


WHOLE = [each for each in ELEMENT_TYPES.values() if each.is_whole]


@pytest.mark.parametrize("element", WHOLE, ids=str)
def test_whole_numbers_off_by_one_are_wrong(element: ElementType) -> None:
    """At every magnitude of the type, whatever floats beside them may be off by."""
    info = np.iinfo(element.storage)
    right = np.array([info.min, info.max - 1, *(1 << bit for bit in range(element.bits - 1))], element.storage)
    loose = Tolerance(0.5, 100.0)
    assert output_check._differences(element, right.copy(), right, 0, loose) == output_check._Differences(0, -1, 0.0)
    assert output_check._differences(element, right + 1, right, 0, loose) == output_check._Differences(
        right.size, 0, 1.0
    )
    assert output_check._differences(element, right + 1, right, 0, Tolerance(0.0, 0.0, 1.0)).count == 0
    ends = np.array([info.min], element.storage), np.array([info.max], element.storage)
    assert output_check._differences(element, *ends, 0, Tolerance(0.0, 0.0, 1.0)).max_error == float(
        2**element.bits - 1
    )


def test_a_byte_that_is_no_truth_value_is_wrong() -> None:
    right = np.array([True, False])
    wrong = np.array([2, 0], np.uint8).view(np.bool_)
    assert output_check._differences(BOOL, wrong, right, 0, Tolerance(0.5, 100.0)).count == 1
    assert output_check._differences(BOOL, ~right, right, 0, Tolerance(0.5, 100.0)).count == 2


def test_an_overwritten_input_is_found() -> None:
    originals = FLOAT.random_inputs(0)
    inputs = [array.copy() for array in originals]
    assert check_inputs(FLOAT, inputs, originals).error == ""
    inputs[1][7, 7] = -inputs[1][7, 7]
    assert check_inputs(FLOAT, inputs, originals).error == "the program wrote into its input B"
