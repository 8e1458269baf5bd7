"""Kept kernels: a module is lowered to the same workloads whatever was lowered before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from flextune.importing.model import load_model
from flextune.lowering.kernels import LoweredKernels
from flextune.lowering.layout import NCHW, NHWC, blocked
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.alternative import FUSED, Choice
from flextune.plan.group_kernels import default_workloads, group_kernels
from flextune.plan.layouts.layout_assignment import LayoutAssignment
from flextune.plan.layouts.layout_problem import LayoutProblem
from flextune.plan.partition import ModelTask, Partition, partition_model

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
CASES = (("squeezenet", FLOAT32), ("shufflenet", FLOAT32), ("resnet50", FLOAT32), ("resnet50", Precision("bfloat16")))


def lowered_anew(partition: Partition) -> Partition:
    """The same partition without anything that was lowered before."""
    return replace(partition, kernels=LoweredKernels())


def choices(partition: Partition) -> list[Choice]:
    """One choice with the second alternative of every group that has one, and one with the last."""
    groups = group_kernels(partition)
    listed = {group.kind: tuple(group.kernels) for group in groups}
    return [{kind: each[min(place, len(each) - 1)] for kind, each in listed.items()} for place in (1, 99)]


def other_layouts(partition: Partition) -> LayoutAssignment:
    assert partition.switcher is not None
    problem = LayoutProblem.of(partition.switcher.by_default.plan, (NHWC, NCHW, blocked(16)))
    return LayoutAssignment.of({choice.place: choice.pairs[-1] for choice in problem.choices[::2]})


def tasks(partition: Partition) -> list[ModelTask]:
    return sorted(partition.tasks, key=lambda task: (task.workload.key, task.functions))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "precision"), CASES, ids=[f"{name}-{precision}" for name, precision in CASES])
def test_choices_and_layouts_have_the_workloads_of_a_whole_lowering(name: str, precision: Precision) -> None:
    partition = partition_model(load_model(LIGHT / f"light_{name}.onnx"), precision=precision)
    assert group_kernels(partition) == group_kernels(lowered_anew(partition))
    assert default_workloads(partition.by_default()) == default_workloads(lowered_anew(partition).by_default())
    for choice in choices(partition):
        switched, anew = partition.switched(choice), lowered_anew(partition).switched(choice)
        assert tasks(switched) == tasks(anew)
        assert tasks(switched) != tasks(partition)
        assert switched.fallbacks == anew.fallbacks
    if layouts := other_layouts(partition):
        laid_out, anew = partition.laid_out(layouts), lowered_anew(partition).laid_out(layouts)
        assert tasks(laid_out) == tasks(anew)
        assert tasks(laid_out) != tasks(partition)
        assert group_kernels(laid_out) == group_kernels(anew)


def test_what_is_kept_is_taken_as_it_is() -> None:
    partition = partition_model(load_model(LIGHT / "light_squeezenet.onnx"))
    again = partition.switched({"group0": FUSED, "group1": FUSED})
    functions = {task.workload.key: partition.module[task.name] for task in partition.tasks}
    assert all(again.module[task.name].same_as(functions[task.workload.key]) for task in again.tasks)
