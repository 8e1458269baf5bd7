"""Random models against ONNX Runtime and ONNX's evaluator; `python -m tests.differential` runs any number of them."""

from __future__ import annotations

import pytest

from tests.differential.cases import random_case
from tests.differential.comparison import differences
from tests.differential.typed import typed_case

SEEDS = {
    "LayerNormalization": (1, 2, 4),
    "Resize": (2, 4, 9, 13, 20),
    "RoiAlign": (3, 5),
    "ReduceL1": (0,),
    "ReduceL2": (0,),
    "ReduceLogSum": (1,),
    "ReduceSumSquare": (1,),
}
"""Operators that were wrong once, and seeds that showed it."""

SPREAD = ("ArgMax", "Concat", "CumSum", "Gather", "Pad", "Slice", "Softmax", "Split", "Where")
"""Operators with axes, one case each."""


@pytest.mark.parametrize("operator", [*SEEDS, *SPREAD])
def test_operators_behind_a_convolution_give_what_others_give(operator: str) -> None:
    for seed in SEEDS.get(operator, (0,)):
        case = random_case(operator, seed)
        assert not differences(case.proto, case.inputs, schedules="none"), case.text


TYPED = {"ReduceMean": (0,), "TopK.ties": (0,), "Div": (1,), "Attention": (0,), "ScatterElements.reductions": (1,)}
"""Operators, some of which were wrong on a type of elements, and seeds; of the others any."""


@pytest.mark.parametrize("operator", TYPED)
def test_operators_on_any_type_and_rank_give_what_others_give(operator: str) -> None:
    for seed in TYPED[operator]:
        case = typed_case(operator, seed)
        assert case is not None
        assert not differences(case.proto, case.inputs, schedules="none"), case.text
