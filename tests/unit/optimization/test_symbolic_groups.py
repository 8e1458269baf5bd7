"""One library with several schedules of a group: chosen by size, right at all sizes, kept in the records."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.apply.build import Origin, compile_model
from flextune.apply.model_check import onnxruntime_session
from flextune.database.store import open_database
from flextune.errors import BuildError, UsageError
from flextune.importing.model import model_from_proto
from flextune.optimization import symbolic
from flextune.optimization.hybrid import Lowering
from flextune.optimization.shipping import ship
from flextune.optimization.symbolic import compared_builds, compared_sizes
from flextune.optimization.symbolic_groups import group_of, symbolic_tasks
from flextune.plan.partition import Partition
from flextune.target.detect import detect
from flextune.trial.decision import Decision, Shipped
from flextune.trial.variants_decision import VariantsDecision, VariantTimes
from flextune.tuning.variants.candidates import Proposed, proposals
from flextune.tuning.variants.tuned import Group
from flextune.workload.dim import parse_dims
from flextune.workload.dim_expr import DimExpr
from tests.unit.optimization.fake_models import CRASHED, WRONG, FakeModels, Fate

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

DIMS = ("batch=1..3", "seq=1..40")
SIZES = [(1, 1), (2, 7), (3, 40), (1, 39), (2, 7)]


def network() -> onnx.ModelProto:
    """Rows of a product with its epilogue, of any number in two dimensions."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((32, 64)), "b": rng.standard_normal(64), "v": rng.standard_normal((64, 32))}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Relu", ["q"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["s"]),
        helper.make_node("Add", ["s", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", "seq", 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", "seq", 32))],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def partition() -> Partition:
    return Lowering(detect())(model_from_proto(network(), "rows", dims=parse_dims(DIMS)))


def decided(group: Group, costs: tuple[str, ...]) -> VariantsDecision:
    """The first schedules of the group that take constants alike, with these costs."""
    points = [group.sizes(point) for point in group.sample.points]
    found = proposals(group.function, group.constants, points, detect())
    alike: list[Proposed] = [each for each in found if each.packs == found[-1].packs][: len(costs)]
    assert len(alike) == len(costs), "the group has too few schedules for this test"
    times = tuple(
        VariantTimes(each.variant, DimExpr.parse(cost), ((group.sample.points[0], 1e-6),))
        for each, cost in zip(alike, costs, strict=True)
    )
    return VariantsDecision(
        key=group.key, target_key=detect().key, model="rows", reason="for a test", created="2026-01-01T00:00:00+00:00",
        name=group.name, symbols=group.sample.names, meanings=group.meanings, ranges=group.ranges, loss=0.05,
        candidates=times, chosen=tuple(range(len(times))),
    )  # fmt: skip


@pytest.fixture(scope="module")
def decisions(partition: Partition) -> dict[str, VariantsDecision]:
    """Of each group: one schedule up to a size of 8, another one beyond, by a product and by whole tiles."""
    found = {}
    for each in symbolic_tasks(partition):
        last = list(each.sizes)[-1]
        found[each.task.name] = decided(group_of(partition, each), (f"7*{last}", f"55 + ceil_div({last}, 8)"))
    assert found
    return found


def test_groups_are_measured_at_what_the_sizes_of_the_model_make_of_theirs(partition: Partition) -> None:
    dims = {dim.name: dim for dim in parse_dims(DIMS)}
    for each in symbolic_tasks(partition):
        group = group_of(partition, each)
        assert group.meanings == tuple(map(str, each.sizes.values()))
        assert group.ranges == tuple(size.bounds(dims) for size in each.sizes.values())
        smallest, largest = group.sample.points[0], group.sample.points[-1]
        assert (smallest, largest) == tuple(zip(*group.ranges, strict=True))
        assert len(set(group.sample.points)) == len(group.sample.points)
        assert sum(group.sample.weights) == pytest.approx(1.0)


def test_one_library_chooses_by_size_and_is_right_at_all(
    partition: Partition, decisions: dict[str, VariantsDecision], tmp_path: Path
) -> None:
    build = compile_model(partition, {}, detect(), variants={name: each.kernels for name, each in decisions.items()})
    assert {task.origin for task in build.tasks} == {Origin.TUNED}
    session = onnxruntime_session(network().SerializeToString(), 1)
    build.executable.save(tmp_path / "rows.so")
    rng = np.random.default_rng(1)
    for sizes in SIZES:
        x = rng.standard_normal((*sizes, 32)).astype(np.float32)
        np.testing.assert_allclose(build.executable.run({"x": x})["y"], session.run(None, {"x": x})[0], atol=2e-4)


def test_the_first_of_the_least_cost_is_taken(decisions: dict[str, VariantsDecision]) -> None:
    for each in decisions.values():
        rest = (2,) * (len(each.symbols) - 1)
        assert [each.at((*rest, size)) for size in (1, 8, 9, 40)] == [0, 0, 1, 1]


@pytest.mark.slow
def test_records_are_followed_for_ranges_that_they_hold(
    partition: Partition, decisions: dict[str, VariantsDecision], tmp_path: Path
) -> None:
    with open_database(str(tmp_path / "records.db")) as database:
        assert ship(partition, detect(), database).reason == "no records of it"
        database.decide(decisions.values())
        assert {each.key for each in database.decisions(Decision)} == {each.key for each in decisions.values()}
        wider = Lowering(detect())(model_from_proto(network(), "rows", dims=parse_dims(("batch=1..3", "seq=1..900"))))
        shipment = ship(wider, detect(), database)
        assert shipment.shipped is Shipped.DEFAULT
        assert "other ranges" in shipment.reason
        assert "1..2700" in shipment.reason
        narrower = Lowering(detect())(model_from_proto(network(), "rows", dims=parse_dims(("batch=2..3", "seq=1..9"))))
        assert ship(narrower, detect(), database).recorded == len(decisions)


def test_decisions_round_trip_and_refuse_what_is_incomplete(decisions: dict[str, VariantsDecision]) -> None:
    one = next(iter(decisions.values()))
    assert Decision.from_json(one.to_json()) == one
    names = tuple(f"other{place}" for place in range(len(one.symbols)))
    renamed = one.renamed(names)
    assert renamed is not None
    rest = (2,) * (len(names) - 1)
    assert (renamed.at((*rest, 8)), renamed.at((*rest, 9))) == (0, 1)
    assert one.renamed((*names, "more")) is None
    with pytest.raises(UsageError, match="not complete"):
        replace(one, chosen=(7,))


def test_times_of_schedules_are_means_over_sizes_that_all_have(decisions: dict[str, VariantsDecision]) -> None:
    one = next(iter(decisions.values()))
    small, large, other = ((size,) * len(one.symbols) for size in (1, 40, 7))
    first, second, *_ = one.candidates
    times = (
        replace(first, secs=((small, 1e-6), (large, 4e-6), (other, 9e-3))),
        replace(second, secs=((large, 9e-6), (small, 1e-6))),
    )
    options = replace(one, candidates=times, chosen=(0,)).options
    assert [each.measured_secs for each in options] == [pytest.approx(2e-6), pytest.approx(3e-6)]
    apart = (replace(first, secs=((small, 1e-6),)), replace(second, secs=((large, 9e-6),)))
    assert [each.measured_secs for each in replace(one, candidates=apart, chosen=(0,)).options] == [None, None]


@pytest.mark.parametrize(
    "fates", [(Fate(1.0, CRASHED, after=3), Fate(0.5)), (Fate(1.0), Fate(0.5, CRASHED, after=3))], ids=str
)
def test_a_build_that_crashes_while_it_is_timed_is_told_of_and_nothing_ships_tuned(
    partition: Partition,
    decisions: dict[str, VariantsDecision],
    fates: tuple[Fate, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(symbolic, "local_models", lambda *_: nullcontext(FakeModels(*fates)))
    found = compared_builds(partition, detect(), {name: each.kernels for name, each in decisions.items()})
    assert not found.is_tuned
    assert [each.failure for each in found.failures] == [CRASHED]


def test_a_default_build_that_computes_something_else_is_refused(
    partition: Partition, decisions: dict[str, VariantsDecision], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(symbolic, "local_models", lambda *_: nullcontext(FakeModels(Fate(1.0, WRONG), Fate(0.5))))
    with pytest.raises(BuildError, match="an output is off"):
        compared_builds(partition, detect(), {name: each.kernels for name, each in decisions.items()})


def test_builds_are_compared_at_sizes_that_there_are_and_at_both_ends() -> None:
    dims = parse_dims(("n=0..64:8", "m=3..3", "k=5..100"))
    found = compared_sizes(dims)
    assert all(sizes[dim.name] in dim.sizes for sizes in found for dim in dims)
    assert {"n": 8, "m": 3, "k": 5} in found
    assert {"n": 64, "m": 3, "k": 100} in found
