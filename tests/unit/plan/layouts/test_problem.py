"""What is paid for: groups in their layouts, and each conversion once."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flextune.importing.model import load_model
from flextune.lowering.layout import NCHW, NHWC, blocked
from flextune.plan.fusion.plan import FusionPlan
from flextune.plan.layouts.layout_assignment import ALL_NHWC, LayoutAssignment, LayoutPair
from flextune.plan.layouts.layout_problem import LayoutProblem
from flextune.plan.layouts.rewriting import with_layouts
from flextune.plan.partition import partition_model
from tests.unit.plan.layouts.nets import branching


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> FusionPlan:
    path: Path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching().SerializeToString())
    switcher = partition_model(load_model(path), without=["winograd"]).switcher
    assert switcher is not None
    return switcher.plan


def place_of(plan: FusionPlan, name: str, number: int = 0) -> int:
    """The group with the `number`-th operator of this name."""
    indices = [operator.index for operator in plan.graph.operators if operator.name == name]
    return next(place for place, group in enumerate(plan.groups) if indices[number] in group.operators)


def test_layouts_that_are_as_good_change_nothing(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW, blocked(16)))
    assert problem.cheapest(lambda _, pair: 1.0 if pair.is_default else 1.1, lambda _: 1.0) == ALL_NHWC


def test_a_forced_layout_costs_its_conversions(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW))
    pool = place_of(plan, "nn.max_pool2d")
    forced = LayoutAssignment.of({pool: LayoutPair(NCHW, NCHW)})
    nbytes = []
    secs = problem.secs(forced, lambda *_: 0.0, lambda size: nbytes.append(size) or float(size))
    assert secs == 2 * 4 * 48 * 6 * 6
    transposes = [o for o in operators(plan, forced) if o == "relax.permute_dims"]
    assert len(transposes) == len([o for o in operators(plan, ALL_NHWC) if o == "relax.permute_dims"]) + 2


def test_what_is_gained_must_pay_for_the_conversions(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW))
    pool = place_of(plan, "nn.max_pool2d")

    def cost(place: int, pair: LayoutPair) -> float:
        if place == pool:
            return 5.0 if pair.result == NCHW else 10.0
        return 10.0 if pair.is_default else 100.0

    assert problem.cheapest(cost, lambda _: 2.0) == LayoutAssignment.of({pool: LayoutPair(NCHW, NCHW)})
    assert problem.cheapest(cost, lambda _: 3.0) == ALL_NHWC


def test_several_readers_share_a_conversion(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW))
    branches = [place_of(plan, "nn.conv2d", number) for number in (3, 4)]
    read = LayoutAssignment.of(dict.fromkeys(branches, LayoutPair(NCHW, NHWC)))
    assert problem.secs(read, lambda *_: 0.0, lambda _: 1.0) == 1.0


def test_the_cheapest_is_the_least_of_all(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW))
    places = [choice.place for choice in problem.choices][:6]
    allowed = {each.place: each.pairs if each.place in places else [LayoutPair()] for each in problem.choices}
    small = problem.restricted(allowed)

    def cost(place: int, pair: LayoutPair) -> float:
        return float(hash((place, str(pair.data) == "NCHW", str(pair.result) == "NCHW")) % 17)

    found = small.cheapest(cost, lambda size: size / 1000)
    assert found is not None
    options = [each.pairs for each in small.choices]
    every = (
        LayoutAssignment.of(dict(zip([c.place for c in small.choices], chosen, strict=True)))
        for chosen in itertools.product(*options)
    )
    least = min(small.secs(each, cost, lambda size: size / 1000) for each in every)
    assert small.secs(found, cost, lambda size: size / 1000) == least


def test_layouts_that_are_none_of_the_plan_s_are_not_allowed(plan: FusionPlan) -> None:
    problem = LayoutProblem.of(plan, (NHWC, NCHW))
    pool = place_of(plan, "nn.max_pool2d")
    assert problem.allows(LayoutAssignment.of({pool: LayoutPair(NCHW, NCHW)}))
    assert not problem.allows(LayoutAssignment.of({pool: LayoutPair(NHWC, NCHW)}))
    assert not problem.allows(LayoutAssignment.of({len(plan.groups): LayoutPair(NCHW, NCHW)}))


def operators(plan: FusionPlan, layouts: LayoutAssignment) -> list[str]:
    """The names of the operators of the model in these layouts."""
    main = with_layouts(plan, layouts).module["main"]
    return [
        binding.value.op.name
        for block in main.body.blocks
        for binding in block.bindings
        if hasattr(binding.value, "op")
    ]
