"""Building a model from schedules: what is applied, what falls back and why, and that the result is right."""

from __future__ import annotations

import numpy as np
import pytest

from flextune.apply.build import Build, Origin, compile_model
from flextune.apply.model_check import check_against_onnxruntime
from flextune.importing.model import Model
from flextune.plan.partition import Partition
from flextune.platforms import platform_registry
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.testing.models import evaluate


def test_build_without_records_is_the_default_and_right(model: Model, partition: Partition, build: Build) -> None:
    assert [task.name for task in build.tasks] == [task.name for task in partition.tasks]
    assert {task.origin for task in build.tasks} == {Origin.DEFAULT}
    inputs = model.random_inputs(3)
    output = build.executable.run(inputs)["y"]
    np.testing.assert_allclose(output, evaluate(model.proto, inputs)[0], rtol=1e-4, atol=1e-4)


def test_given_schedules_are_applied(model: Model, partition: Partition, target: Target) -> None:
    """Random members of each space, packed weights included, leave the model's outputs as they are."""
    rng = np.random.default_rng(5)
    schedules = {}
    for task in partition.tasks:
        space = platform_registry.get(target.kind).search_space(task.workload, target)
        schedules[task.workload.key] = (space.trace, space.solutions.sample(rng, 1)[0])
    build = compile_model(partition, schedules, target)
    assert {task.origin for task in build.tasks} == {Origin.TUNED}
    pytest.importorskip("onnxruntime")
    assert check_against_onnxruntime(model, build.executable) < 1e-4


def test_illegal_schedule_gives_way_to_the_default(model: Model, partition: Partition, target: Target) -> None:
    broken = Trace.from_json('[{"step": "mark", "loop": "no_such_loop", "how": "parallel"}]')
    task = partition.tasks[0]
    build = compile_model(partition, {task.workload.key: (broken, {})}, target)
    first = build.tasks[0]
    assert first.origin is Origin.DEFAULT
    assert first.reason.startswith("tuned: ")
    assert all(not other.reason for other in build.tasks[1:])
    inputs = model.random_inputs(0)
    np.testing.assert_allclose(
        build.executable.run(inputs)["y"], evaluate(model.proto, inputs)[0], rtol=1e-4, atol=1e-4
    )


def test_without_any_rule_the_generic_schedule_is_used(
    model: Model, partition: Partition, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flextune.apply import build as module
    from flextune.errors import UsageError

    def no_rule(*_: object) -> None:
        raise UsageError("no rule for this")

    monkeypatch.setattr(module, "_default", no_rule)
    build = compile_model(partition, {}, target)
    assert {(task.origin, task.reason) for task in build.tasks} == {(Origin.GENERIC, "default: no rule for this")}
    inputs = model.random_inputs(1)
    np.testing.assert_allclose(
        build.executable.run(inputs)["y"], evaluate(model.proto, inputs)[0], rtol=1e-4, atol=1e-4
    )


def test_the_partition_is_not_changed_by_building(partition: Partition, target: Target) -> None:
    from flextune.lowering.calls import call_sites

    before = [site.function for site in call_sites(partition.module)]
    compile_model(partition, {}, target)
    assert [site.function for site in call_sites(partition.module)] == before
