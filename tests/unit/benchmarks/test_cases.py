from __future__ import annotations

import pytest

from benchmarks.kernel_cases import SUITES, choose_cases, custom_case
from flextune.errors import UsageError
from flextune.workload.parse import parse_workload

CASES = (*SUITES["full"], *SUITES["odd"])


def test_names_are_different_and_the_quick_suite_is_part_of_the_full_one() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert set(SUITES["quick"]) < set(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nobody_knows_weights_beforehand(case) -> None:
    assert not parse_workload(case.workload).constants


def test_only_takes_cases_of_any_suite_in_the_order_named() -> None:
    assert [case.name for case in choose_cases("quick", ["softmax", "gemm-512", "softmax"])] == ["softmax", "gemm-512"]
    assert choose_cases("quick", []) == SUITES["quick"]


def test_a_misspelt_case_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean gemm-512"):
        choose_cases("quick", ["gem-512"])


def test_a_workload_is_a_case_unless_its_weights_are_constant() -> None:
    assert custom_case("gemm:m=8,n=8,k=8").workload == "gemm:m=8,n=8,k=8,dtype=float32"
    with pytest.raises(UsageError, match="weights=constant"):
        custom_case("gemm:m=8,n=8,k=8,weights=constant")
