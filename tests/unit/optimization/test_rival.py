"""A tuned model against all of it in ONNX Runtime: on record, and followed."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply import build, hybrid_build
from flextune.apply.build import Build
from flextune.apply.executable import Executable
from flextune.apply.hybrid_build import HybridOptions, SplitModel, split_model
from flextune.apply.model_runner import LocalModelRunner
from flextune.database.store import open_database
from flextune.errors import BuildError, UsageError
from flextune.importing.model import model_from_proto
from flextune.optimization import contender, hybrid, shipping
from flextune.optimization.contender import Contest
from flextune.optimization.hybrid import Lowering, optimize_split, ship_split
from flextune.optimization.rival import against_rival, as_recorded, recorded_runtime
from flextune.optimization.sharing import PartBuilder, propose, shared
from flextune.plan.partition import Partition
from flextune.target.detect import detect
from flextune.testing.models import conv_block, model_of, random_array, value
from flextune.trial.decision import Decision
from flextune.trial.runtime_decision import RuntimeDecision
from flextune.tuning.budget import Budget
from flextune.tuning.tune_options import TuneOptions
from tests.unit.optimization.fake_models import FakeModel, FakeModels, Fate

onnxruntime = pytest.importorskip("onnxruntime")

OPTIONS = TuneOptions(Budget(trials=2), "random", "none", 0)


def island() -> onnx.ModelProto:
    """conv -> a masked pooling (not ours) scales it -> conv."""
    constants = {"w1": random_array(1, 8, 4, 3, 3), "w2": random_array(2, 4, 8, 1, 1)}
    constants["mask"] = np.ones((1, 1, 10, 10), np.int32)
    pooling = {"domain": "com.microsoft", "kernel_shape": [3, 3], "pads": [1] * 4}
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        helper.make_node("MaxpoolWithMask", ["a", "mask"], ["d"], **pooling),
        helper.make_node("Tanh", ["d"], ["t"]),
        helper.make_node("Mul", ["a", "t"], ["m"]),
        helper.make_node("Conv", ["m", "w2"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 4, 10, 10])], [value("y", [1, 4, 10, 10])], constants)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return proto


def split_of(proto: onnx.ModelProto, options: HybridOptions | None) -> SplitModel:
    return split_model(model_from_proto(proto, "net", only_own=options is None), Lowering(detect()), options)


@pytest.mark.slow
@pytest.mark.parametrize("make", [conv_block, island])
def test_the_faster_one_of_both_is_shipped_and_recorded(make: type[onnx.ModelProto], tmp_path: Path) -> None:
    target, proto = detect(), make()
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    with open_database(tmp_path / "records.db") as database:
        found = optimize_split(split_of(proto, HybridOptions()), target, OPTIONS, database)
        assert found.runtime is not None
        assert found.shipment is not None
        executable = found.shipment.build.executable
        is_rivals = any("the whole model is faster there" in part for part in executable.signature.parts)
        assert is_rivals == (found.runtime.chosen == "onnxruntime")
        inputs = executable.random_inputs(1)
        wanted = session.run(None, inputs)[0]
        for chosen in ("onnxruntime", "flextune"):
            database.decide([replace(found.runtime, chosen=chosen, created=datetime.now(UTC).isoformat())])
            again = split_of(make(), HybridOptions())
            known = recorded_runtime(again, target, database)
            assert known is not None
            assert known.chosen == chosen
            shipped = ship_split(again, target, database)[1].build.executable
            assert any("faster there" in part for part in shipped.signature.parts) == (chosen == "onnxruntime")
            np.testing.assert_allclose(shipped.run(inputs)["y"], wanted, rtol=1e-4, atol=1e-4)


def test_only_own_models_have_no_rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flextune.optimization.model._COMPARED_SECS", 0.5)
    with open_database(tmp_path / "records.db") as database:
        found = optimize_split(split_of(conv_block(), None), detect(), OPTIONS, database)
    assert found.runtime is None
    assert found.shipment is not None
    assert not found.shipment.build.executable.signature.parts


@pytest.mark.slow
def test_a_model_that_turns_out_not_to_compile_is_split_and_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_model(partition: Partition, *details: object, **options: object) -> Build:
        if any(node.op_type == "Tanh" for node in partition.model.proto.graph.node):
            raise BuildError("no code for tanh")
        return build.compile_model(partition, *details, **options)  # type: ignore[arg-type]

    for module in (hybrid, contender, shipping, hybrid_build):
        monkeypatch.setattr(module, "compile_model", compile_model)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1] * 4),
        helper.make_node("Tanh", ["c"], ["t"]),
        helper.make_node("Conv", ["t", "w"], ["y"], pads=[1] * 4),
    ]
    proto = model_of(nodes, [value("x", [1, 4, 6, 6])], [value("y", [1, 4, 6, 6])], {"w": random_array(1, 4, 4, 3, 3)})
    with open_database(tmp_path / "records.db") as database:
        found = optimize_split(split_of(proto, HybridOptions()), detect(), OPTIONS, database)
    assert found.shipment is not None
    assert [part.is_own for part in found.split.parts.parts] == [True, False, True]
    executable = found.shipment.build.executable
    inputs = executable.random_inputs(1)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(executable.run(inputs)["y"], session.run(None, inputs)[0], rtol=1e-4, atol=1e-4)


def chain() -> onnx.ModelProto:
    """Four convolutions in a row, all different."""
    widths = (4, 5, 6, 7, 4)
    nodes = [helper.make_node("Conv", [f"v{n}", f"w{n}"], [f"v{n + 1}"], f"conv{n}", pads=[1] * 4) for n in range(4)]
    constants = {f"w{n}": random_array(n, widths[n + 1], widths[n], 3, 3) for n in range(4)}
    return model_of(nodes, [value("v0", [1, 4, 8, 8])], [value("v4", [1, 4, 8, 8])], constants)


@pytest.mark.parametrize(
    ("both_secs", "shares", "chosen"),
    [
        (0.3, (0.9, 0.02, 0.02, 0.06), "both"),
        (2.0, (0.9, 0.02, 0.02, 0.06), "flextune"),
        (0.3, (0.25,) * 4, "flextune"),
    ],
)
def test_what_another_runtime_is_faster_at_is_its_where_that_is_shown(
    tmp_path: Path, both_secs: float, shares: tuple[float, ...], chosen: str
) -> None:
    """Ours takes a second, a quarter for each of four sections; the other one 1.2, of which it takes these shares."""
    target, split = detect(), split_of(chain(), HybridOptions())
    build = ship_split(split, target, None)[1].build
    models = FakeModels(Fate(1.0), Fate(1.5), Fate(1.2, shares=shares), Fate(both_secs))
    with open_database(tmp_path / "records.db") as database:
        found = against_rival(split, build, target, database, models=models)
        assert found.decision is not None
        assert found.decision.chosen == chosen
        database.decide([found.decision])
        again, shipment = ship_split(split_of(chain(), HybridOptions()), target, database)
        assert again.described() == as_recorded(split_of(chain(), HybridOptions()), target, database).described()
    who = [part.is_own for part in again.parts.parts]
    assert who == ([True, False] if chosen == "both" else [True])
    inputs = build.executable.random_inputs(1)
    session = onnxruntime.InferenceSession(chain().SerializeToString(), providers=["CPUExecutionProvider"])
    for each in (found.build, shipment.build):
        np.testing.assert_allclose(each.executable.run(inputs)["v4"], session.run(None, inputs)[0], 1e-4, 1e-4)


class SlowlyOpened(FakeModels):
    """Takes four seconds of a made-up clock to open a build."""

    now = 0.0

    def open(self, executable: Executable) -> FakeModel:
        self.now += 4.0
        return super().open(executable)


@pytest.mark.parametrize(("secs", "opened"), [(15.0, 2), (60.0, 4)])
def test_sharing_is_not_begun_with_less_time_left_than_the_comparison_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secs: float, opened: int
) -> None:
    target, split = detect(), split_of(chain(), HybridOptions())
    build = ship_split(split, target, None)[1].build
    models = SlowlyOpened(Fate(1.0), Fate(1.5), Fate(1.2, shares=(0.9, 0.02, 0.02, 0.06)), Fate(0.3))
    monkeypatch.setattr(time, "perf_counter", lambda: models.now)
    with open_database(tmp_path / "records.db") as database:
        found = against_rival(split, build, target, database, secs=secs, models=models)
    assert found.decision is not None
    assert len(models.opened) == opened


@pytest.mark.slow
def test_sections_and_a_build_of_both_run_in_their_processes(tmp_path: Path) -> None:
    """What they give is compared with the reference there: nothing failed."""
    target, split = detect(), split_of(chain(), HybridOptions())
    build = ship_split(split, target, None)[1].build
    with open_database(tmp_path / "records.db") as database, LocalModelRunner(target, split.model, 1e-3) as runner:
        contest = Contest(target, runner)
        ours = contest.admit("as built", build)
        assert ours is not None
        parts = PartBuilder(target, database, False, build.executable.threads, runner)
        found = propose(split, ours, contest, parts, math.inf)
        assert found is None or set(found.nodes) < set(range(4))
        both = contest.admit("with both", shared(split, [1, 2], "to try it", parts)[1])
        assert both is not None
        assert math.isfinite(both.opened.run_secs())
        assert "onnxruntime_net_part1" in both.opened.kernel_secs(1)
        assert not contest.failures


def test_no_time_no_comparison(tmp_path: Path) -> None:
    split = split_of(chain(), HybridOptions())
    build = ship_split(split, detect(), None)[1].build
    models = FakeModels(Fate(1.0), Fate(0.1))
    with open_database(tmp_path / "records.db") as database:
        found = against_rival(split, build, detect(), database, secs=0.0, models=models)
    assert found.build is build
    assert found.decision is None
    assert "no time" in found.left_out
    assert not models.opened


def test_decisions_round_trip_and_contradictions_are_refused() -> None:
    about = {"key": "k", "target_key": "x86:cores=2", "model": "net", "reason": "shown", "created": "2026"}
    decision = RuntimeDecision(**about, rival="onnxruntime", chosen="onnxruntime", own_secs=2e-3, rival_secs=1e-3)
    assert Decision.from_json(decision.to_json()) == decision
    assert [option.name for option in decision.options] == ["flextune", "onnxruntime"]
    with pytest.raises(UsageError, match="neither"):
        replace(decision, chosen="openvino")
    with pytest.raises(UsageError, match="without a time"):
        replace(decision, rival_secs=None)
    both = replace(decision, chosen="both", both_secs=5e-4, given=("a", "b"))
    assert Decision.from_json(both.to_json()) == both
    assert both.secs == 5e-4
    with pytest.raises(UsageError, match="without nodes"):
        replace(both, given=())
