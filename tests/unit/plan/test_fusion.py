"""Fusion plans: what is grouped, what groups can be made of, and that every choice computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.errors import UsageError
from flextune.importing.model import Model, load_model
from flextune.lowering.lower import relax_operators
from flextune.lowering.operator_graph import OperatorGraph
from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.fusion.pattern import Group, Pattern, register, registered, unregister
from flextune.plan.fusion.plan import make_plan, parts
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import partition_model
from flextune.plan.pass_list import pass_names
from flextune.platforms import platform_registry
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value
from tests.kept_objects import KeptObjects


def read(proto: onnx.ModelProto, folder: Path) -> Model:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def residual(folder: Path) -> Model:
    """Two 3x3 convolutions, the second with a residual sum, and a gelu by its definition at the end."""
    constants = {name: random_array(seed, 16, 16, 3, 3) for seed, name in enumerate(("w1", "w2"))}
    constants |= {name: random_array(seed, 16) for seed, name in enumerate(("b1", "b2"), 5)}
    constants |= {"half": np.float32(0.5), "one": np.float32(1), "root": np.float32(2**-0.5)}
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "x"], ["s"]),
        helper.make_node("Mul", ["s", "root"], ["t"]),
        helper.make_node("Erf", ["t"], ["e"]),
        helper.make_node("Add", ["e", "one"], ["f"]),
        helper.make_node("Mul", ["s", "f"], ["g"]),
        helper.make_node("Mul", ["g", "half"], ["y"]),
    ]
    return read(model_of(nodes, [value("x", [1, 16, 12, 12])], [value("y", [1, 16, 12, 12])], constants), folder)


def graph_of(model: Model) -> OperatorGraph:
    graph = OperatorGraph.of(relax_operators(model))
    assert graph is not None
    return graph


def names(graph: OperatorGraph, group: Group) -> list[str]:
    return [graph.operators[index].name.removeprefix("nn.") for index in group]


def test_a_convolution_takes_all_that_follows_element_by_element(tmp_path: Path) -> None:
    graph = graph_of(residual(tmp_path))
    groups = [names(graph, group.operators) for group in make_plan(graph).groups if group.pattern == "convolution"]
    assert groups[0] == ["conv2d", "add", "relu"]
    assert groups[1][:3] == ["conv2d", "add", "add"]
    assert set(groups[1][3:]) <= {"multiply", "erf", "add", "gelu"}


def test_every_operator_is_in_one_group_at_most_and_groups_are_convex(tmp_path: Path) -> None:
    graph = graph_of(residual(tmp_path))
    plan = make_plan(graph)
    members = [index for group in plan.groups for index in group.operators]
    assert len(members) == len(set(members))
    for group in plan.groups:
        assert graph.external_users(group.operators) == (group.sink,)


def test_the_parts_of_a_group_are_its_operators(tmp_path: Path) -> None:
    graph = graph_of(residual(tmp_path))
    for group in make_plan(graph).groups:
        assert sorted(index for part in parts(graph, group) for index in part.operators) == list(group.operators)


def test_a_pattern_that_is_switched_off_groups_nothing(tmp_path: Path) -> None:
    graph = graph_of(residual(tmp_path))
    plan = make_plan(graph, ["convolution"])
    assert "convolution" not in {group.pattern for group in plan.groups}
    with pytest.raises(UsageError, match="did you mean 'convolution'"):
        make_plan(graph, ["convolutoin"])


def test_every_alternative_computes_the_same(tmp_path: Path) -> None:
    model, target = residual(tmp_path), detect()
    partition = partition_model(model)
    inputs = model.random_inputs(3)
    expected = compile_model(partition, {}, target, writer=KeptObjects()).executable.run(inputs)["y"]
    groups = group_kernels(partition)
    offered = {alternative for group in groups for alternative in group.kernels}
    winograd = {Alternative(algorithm="winograd", size=outputs) for outputs in (2, 4)}
    assert offered == {FUSED, PARTS, *winograd}
    for alternative in sorted(offered - {FUSED}, key=str):
        switched = partition.switched({group.kind: alternative for group in groups if alternative in group.kernels})
        assert {task.workload.key for task in switched.tasks} != {task.workload.key for task in partition.tasks}
        got = compile_model(switched, {}, target, writer=KeptObjects()).executable.run(inputs)["y"]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_the_kernels_of_defaults_are_the_workloads_of_the_model(tmp_path: Path) -> None:
    partition = partition_model(residual(tmp_path))
    fused = {workload.key for group in group_kernels(partition) for workload in group.kernels[group.default]}
    assert fused <= {task.workload.key for task in partition.tasks}


def test_a_pattern_of_ones_own_chooses_where_it_is_put(tmp_path: Path) -> None:
    def first_sum(graph: OperatorGraph, free: object) -> Iterator[Group]:
        sums = [operator.index for operator in graph.operators if operator.name == "add"]
        yield (sums[0], *graph.users[sums[0]])

    register(Pattern("first-sum", "a bias and what reads it", first_sum), before="convolution")
    try:
        graph = graph_of(residual(tmp_path))
        assert names(graph, next(g.operators for g in make_plan(graph).groups if g.pattern == "first-sum"))[0] == "add"
        assert "first-sum" in pass_names()
        with pytest.raises(UsageError, match="registered already"):
            register(registered()[0])
    finally:
        unregister("first-sum")


def test_winograd_groups_get_the_winograd_schedule_with_their_epilogues(tmp_path: Path) -> None:
    """The bias of an image alone is added without the batch's loop; that must not hide the algorithm."""
    target = detect()
    found = [
        (len(group.operators.split(" + ")), platform_registry.get(target.kind).search_space(workload, target).rules)
        for group in group_kernels(partition_model(residual(tmp_path)))
        for alternative, workloads in group.kernels.items()
        if alternative.algorithm == "winograd"
        for workload in workloads
    ]
    assert {rules for _, rules in found} == {("winograd",)}
    assert max(operators for operators, _ in found) >= 4
