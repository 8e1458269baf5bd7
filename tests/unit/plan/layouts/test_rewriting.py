"""Models in other layouts compute what they computed before."""

from __future__ import annotations

import random

import numpy as np
import onnx
import pytest

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.layout import NCHW, NHWC, blocked
from flextune.plan.alternative import PARTS
from flextune.plan.layouts.layout_assignment import LayoutAssignment, LayoutPair
from flextune.plan.layouts.layout_problem import LayoutProblem
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.testing.models import evaluate, random_array
from tests.kept_objects import KeptObjects
from tests.unit.plan.layouts.nets import branching

LAYOUTS = (NHWC, NCHW, blocked(8), blocked(16))


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return branching()


@pytest.fixture(scope="module")
def model(proto: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


@pytest.fixture(scope="module")
def partition(model: Model) -> Partition:
    return partition_model(model, without=["winograd"])


def problem_of(partition: Partition) -> LayoutProblem:
    assert partition.switcher is not None
    return LayoutProblem.of(partition.switcher.plan, LAYOUTS)


def check(partition: Partition, assignment: LayoutAssignment, proto: onnx.ModelProto) -> None:
    """The model in these layouts against ONNX's own evaluator."""
    build = compile_model(partition.laid_out(assignment), {}, detect(), threads=1, writer=KeptObjects())
    image = random_array(3, 1, 3, 12, 12)
    found = build.executable.run({"x": image})
    for expected, name in zip(evaluate(proto, {"x": image}), ("y", "z", "d"), strict=True):
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_any_layouts_compute_the_same(partition: Partition, proto: onnx.ModelProto, seed: int) -> None:
    rng = random.Random(seed)
    chosen = {choice.place: rng.choice(choice.pairs) for choice in problem_of(partition).choices}
    check(partition, LayoutAssignment.of(chosen), proto)


@pytest.mark.parametrize("layout", LAYOUTS[1:], ids=str)
def test_one_layout_everywhere_computes_the_same(partition: Partition, proto: onnx.ModelProto, layout: object) -> None:
    choices = problem_of(partition).choices
    chosen = {each.place: [p for p in each.pairs if layout in (p.data, p.result)] or each.pairs for each in choices}
    check(partition, LayoutAssignment.of({place: pairs[-1] for place, pairs in chosen.items()}), proto)


def test_every_kind_of_operator_has_a_choice(partition: Partition) -> None:
    problem = problem_of(partition)
    graph = problem.plan.graph
    found = {graph.operators[i].name for c in problem.choices for i in problem.plan.groups[c.place].operators}
    assert found >= {"permute_dims", "nn.conv2d", "nn.relu", "nn.max_pool2d", "nn.avg_pool2d", "concat", "mean"}


def test_a_stem_that_reads_nchw_leaves_no_transpose(partition: Partition) -> None:
    before = [task.name for task in partition.tasks]
    assert any("permute_dims" in name for name in before)
    pairs = {0: LayoutPair(NHWC, NCHW), 1: LayoutPair(NCHW, NHWC)}
    after = partition.laid_out(LayoutAssignment.of(pairs))
    calls = sum(task.count for task in partition.tasks)
    assert sum(task.count for task in after.tasks) == calls - 1


def test_layouts_stay_when_groups_are_switched(partition: Partition, proto: onnx.ModelProto) -> None:
    layouts = LayoutAssignment.of({0: LayoutPair(NHWC, NCHW), 1: LayoutPair(NCHW, blocked(16))})
    laid_out = partition.laid_out(layouts)
    assert laid_out.switcher is not None
    apart = laid_out.switched({kind.name: PARTS for kind in laid_out.switcher.kinds if PARTS in kind.alternatives})
    assert apart.layouts == layouts
    build = compile_model(apart, {}, detect(), threads=1, writer=KeptObjects())
    image = random_array(4, 1, 3, 12, 12)
    np.testing.assert_allclose(
        build.executable.run({"x": image})["y"], evaluate(proto, {"x": image})[0], rtol=1e-4, atol=1e-4
    )
