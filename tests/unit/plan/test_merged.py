"""Products of one input as one product: which are merged, and that all ways compute the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from flextune.apply.build import compile_model, workloads_in_place
from flextune.importing.model import Model, model_from_proto
from flextune.lowering.precision.precision import Precision
from flextune.plan.alternative import MERGED, SEPARATE
from flextune.plan.fusion.merged import Product, is_worth_merging
from flextune.plan.fusion.plan import FusionGroup
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.estimator import plan_estimator
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import evaluate, model_of, random_array, value
from tests.kept_objects import KeptObjects

pytestmark = pytest.mark.xdist_group("merged products")  # whose builds have their kernels in common

WITHOUT = ("parts", "winograd")
WIDE = 400
FULL_VECTORS = plan_estimator(Target.parse("x86:avx512-generic"))
ACTIVATIONS = ("", "Relu", "Sigmoid", "Tanh")


@dataclass(frozen=True)
class Branch:
    """A product of `width` columns, with or without bias and activation, and what is done with its result."""

    width: int
    bias: bool = True
    activation: str = "Relu"
    use: str = "reduced"  # or returned, joined, viewed, twice, squared


def convolutions(
    branches: list[Branch], kernel: int = 1, stride: int = 1, channels: int = 12, wide: int = WIDE
) -> onnx.ModelProto:
    """Convolutions of one tensor; what is joined is concatenated at the end.

    A wide layer before them needs more memory than they do, so that merging does not change how much there must be.
    """
    size, pad = 9, kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    constants = {"w0": random_array(99, wide, 4, 1, 1)}
    constants["w"] = random_array(100, channels, wide, 1, 1) / np.float32(wide)
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c0"]),
        helper.make_node("Conv", ["c0", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["r"]),
    ]
    outputs, joined = [], []
    for number, branch in enumerate(branches):
        name = f"b{number}"
        constants[f"{name}w"] = random_array(number, branch.width, channels, kernel, kernel)
        inputs = ["r", f"{name}w"]
        if branch.bias:
            constants[f"{name}bias"] = random_array(50 + number, branch.width)
            inputs.append(f"{name}bias")
        nodes.append(helper.make_node("Conv", inputs, [f"{name}c"], strides=[stride] * 2, pads=[pad] * 4))
        result = f"{name}c"
        if branch.activation:
            nodes.append(helper.make_node(branch.activation, [result], [f"{name}a"]))
            result = f"{name}a"
        shape = [1, branch.width, out, out]
        if branch.use in ("returned", "twice"):
            outputs.append(value(result, shape))
        if branch.use in ("joined", "viewed"):
            if branch.use == "viewed":  # two transposes that cancel out, in the place of a view
                nodes.append(helper.make_node("Transpose", [result], [f"{name}t"], perm=[0, 2, 3, 1]))
                nodes.append(helper.make_node("Transpose", [f"{name}t"], [f"{name}v"], perm=[0, 3, 1, 2]))
                result = f"{name}v"
            joined.append((result, branch.width))
        if branch.use in ("reduced", "twice", "squared"):
            constants[f"{name}w2"] = random_array(20 + number, 5, branch.width, 3, 3)
            nodes.append(helper.make_node("Conv", [result, f"{name}w2"], [f"{name}y"], pads=[1] * 4))
            outputs.append(value(f"{name}y", [1, 5, out, out]))
        if branch.use == "squared":
            nodes.append(helper.make_node("Mul", [result, result], [f"{name}s"]))
            outputs.append(value(f"{name}s", shape))
    if joined:
        nodes.append(helper.make_node("Concat", [name for name, _ in joined], ["joined"], axis=1))
        nodes.append(helper.make_node("MaxPool", ["joined"], ["pooled"], kernel_shape=[3, 3], strides=[2, 2]))
        outputs.append(value("pooled", [1, sum(width for _, width in joined), (out - 3) // 2 + 1, (out - 3) // 2 + 1]))
    return model_of(nodes, [value("x", [1, 4, size, size])], outputs, constants)


def heads(rows: int, depth: int, count: int, width: int, bias: bool) -> onnx.ModelProto:
    """Attention with projections of their own for queries, keys and values."""
    inner = count * width
    constants = {"one": np.ones(depth, np.float32), "zero": np.zeros(depth, np.float32)}
    constants["split"] = np.array([1, rows, count, width], np.int64)
    constants["together"] = np.array([1, rows, inner], np.int64)
    constants["up"], constants["down"] = random_array(90, depth, WIDE), random_array(91, WIDE, depth)
    nodes = [
        helper.make_node("MatMul", ["x", "up"], ["wide"]),
        helper.make_node("MatMul", ["wide", "down"], ["narrow"]),
        helper.make_node("LayerNormalization", ["narrow", "one", "zero"], ["n"], axis=-1),
    ]
    for seed, (name, order) in enumerate((("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))):
        constants[f"{name}w"] = random_array(seed, depth, inner) * np.float32(depth**-0.5)
        nodes.append(helper.make_node("MatMul", ["n", f"{name}w"], [f"{name}p"]))
        source = f"{name}p"
        if bias:
            constants[f"{name}b"] = random_array(10 + seed, inner)
            nodes.append(helper.make_node("Add", [source, f"{name}b"], [f"{name}s"]))
            source = f"{name}s"
        nodes.append(helper.make_node("Reshape", [source, "split"], [f"{name}h"]))
        nodes.append(helper.make_node("Transpose", [f"{name}h"], [f"{name}t"], perm=order))
    nodes += [
        helper.make_node("MatMul", ["qt", "kt"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "vt"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["moved"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["moved", "together"], ["y"]),
    ]
    return model_of(nodes, [value("x", [1, rows, depth])], [value("y", [1, rows, inner])], constants, opset=17)


def partition_of(proto: onnx.ModelProto) -> tuple[Model, Partition]:
    model = model_from_proto(proto, "model")
    return model, partition_model(model, WITHOUT)


def merged_groups(partition: Partition) -> list[FusionGroup]:
    assert partition.switcher is not None
    return [group for group in partition.switcher.plan.groups if group.branches]


def widths(partition: Partition) -> list[tuple[int, ...]]:
    assert partition.switcher is not None
    graph = partition.switcher.plan.graph
    return [tuple(graph.operators[index].shape[-1] for index in group.results) for group in merged_groups(partition)]


def separate(partition: Partition) -> Partition:
    assert partition.switcher is not None
    return partition.switched({kind.name: SEPARATE for kind in partition.switcher.kinds if kind.group.branches})


def check(proto: onnx.ModelProto) -> Partition:
    """Merged, separate, and with copied slices: all compute what the definition says."""
    reference = onnx.ModelProto()
    reference.CopyFrom(proto)
    model, partition = partition_of(proto)
    inputs = model.random_inputs(1)
    expected = dict(zip(model.outputs, evaluate(reference, inputs), strict=True))
    for way in (partition, separate(partition)):
        for in_place in (True, False):
            executable = compile_model(way, {}, detect(), threads=1, in_place=in_place, writer=KeptObjects()).executable
            for name, got in executable.run(inputs).items():
                np.testing.assert_allclose(got, expected[name], rtol=1e-4, atol=1e-4)
    return partition


def test_vectors_that_the_parts_do_not_fill_are_worth_merging() -> None:
    def products(*columns: int) -> list[Product]:
        return [Product(2 * 196 * 512, 4 * (196 + 512), each, 4 * 196 * 512) for each in columns]

    assert is_worth_merging(products(17, 19, 23), FULL_VECTORS)
    assert is_worth_merging(products(4, 8), FULL_VECTORS)
    assert not is_worth_merging(products(64, 96, 16), FULL_VECTORS)
    assert not is_worth_merging(products(768, 768, 768), FULL_VECTORS)
    assert not is_worth_merging(products(24, 24, 24), plan_estimator(Target.parse("x86:znver3")))
    assert is_worth_merging(products(24, 24, 24), FULL_VECTORS)


def test_launches_are_worth_merging() -> None:
    assert is_worth_merging([Product(2 * 8 * 64, 4 * (8 + 64), 64, 4 * 8 * 64)] * 3, FULL_VECTORS)


def test_what_is_merged_is_one_product_and_views() -> None:
    partition = check(convolutions([Branch(5), Branch(9), Branch(18)]))
    assert widths(partition) == [(5, 9, 18)] or widths(partition) == [(9, 18)]


def test_what_is_concatenated_is_not_merged() -> None:
    assert widths(check(convolutions([Branch(8), Branch(12), *[Branch(9, use="joined")] * 2]))) == [(8, 12)]


def test_what_is_returned_is_not_merged() -> None:
    constants = {f"w{width}": random_array(width, 20, width) for width in (3, 5, 7)}
    nodes = [helper.make_node("MatMul", ["x", name], [f"y{name}"]) for name in constants]
    nodes += [helper.make_node("Softmax", [f"yw{width}"], [f"z{width}"]) for width in (3, 5)]
    outputs = [value("z3", [6, 3]), value("z5", [6, 5]), value("yw7", [6, 7])]
    assert widths(check(model_of(nodes, [value("x", [6, 20])], outputs, constants))) == [(3, 5)]


def test_a_merged_slice_that_is_joined_again_is_right() -> None:
    """A result that reaches a concatenation by way of another kernel, or that is hidden from the rule, is copied."""
    check(convolutions([Branch(8), Branch(12, use="viewed"), Branch(9, use="joined")]))


def test_other_activations_and_missing_biases_keep_their_own_products() -> None:
    branches = [Branch(9), Branch(10), Branch(11, activation="Tanh"), Branch(12, bias=False), Branch(13, bias=False)]
    assert sorted(widths(check(convolutions(branches)))) == [(9, 10), (12, 13)]


def test_windows_of_stride_two_are_merged_and_winograds_are_not() -> None:
    branches = [Branch(8), Branch(8), Branch(8)]
    assert widths(check(convolutions(branches, kernel=3, stride=2))) == [(8, 8, 8)]
    assert widths(partition_of(convolutions(branches, kernel=3, channels=64))[1]) == []


def test_what_would_need_more_memory_is_not_merged() -> None:
    """All results of a merged product are alive until the last one is read."""
    branches = [Branch(8), Branch(12), Branch(20)]
    assert widths(partition_of(convolutions(branches))[1]) == [(8, 12, 20)]
    assert widths(partition_of(convolutions(branches, wide=4))[1]) == []


def test_a_pass_that_is_switched_off_merges_nothing() -> None:
    model = model_from_proto(convolutions([Branch(5), Branch(9)]), "model")
    assert merged_groups(partition_model(model))
    assert not merged_groups(partition_model(model, ("merged-products",)))


def test_the_alternatives_of_a_merged_group() -> None:
    _, partition = partition_of(convolutions([Branch(8), Branch(12)]))
    in_place = workloads_in_place(partition)
    group = next(each for each in group_kernels(partition) if each.pattern == "merged-products").without(in_place)
    assert list(group.kernels) == [MERGED, SEPARATE]
    assert [len(workloads) for workloads in group.kernels.values()] == [1, 2]
    assert group.key not in {workload.key for workloads in group.kernels.values() for workload in workloads}
    called = {task.workload.key for task in separate(partition).tasks}
    assert {workload.key for workload in group.kernels[SEPARATE]} <= called


@pytest.mark.parametrize("bias", [False, True])
def test_heads_are_read_as_views(bias: bool) -> None:
    """Queries, keys and values are rows of the merged result, which the products of attention read with its stride."""
    partition = check(heads(6, 24, 2, 8, bias))
    assert widths(partition) == [(16, 16, 16)]
    slices = {task.workload.key for task in partition.tasks if "strided_slice" in task.name}
    assert slices
    assert slices <= workloads_in_place(partition)


def test_bfloat16_merges_too() -> None:
    if not detect().has("bf16"):
        pytest.skip("no bfloat16 instructions")
    model = model_from_proto(convolutions([Branch(8), Branch(12), Branch(20)]), "model")
    inputs = model.random_inputs(1)
    expected = compile_model(partition_model(model), {}, detect()).executable.run(inputs)
    partition = partition_model(model, WITHOUT, Precision("bfloat16"))
    assert merged_groups(partition)
    for way in (partition, separate(partition)):
        for name, got in compile_model(way, {}, detect(), threads=1).executable.run(inputs).items():
            np.testing.assert_allclose(got, expected[name], atol=0.02 * float(np.abs(expected[name]).max()))


BRANCHES = st.builds(
    Branch,
    st.integers(1, 33),
    st.booleans(),
    st.sampled_from(ACTIVATIONS),
    st.sampled_from(["reduced", "returned", "joined", "viewed", "twice", "squared"]),
)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(BRANCHES, min_size=2, max_size=5), st.sampled_from([(1, 1), (1, 2), (3, 2)]))
def test_any_branches_compute_what_they_should(branches: list[Branch], window: tuple[int, int]) -> None:
    check(convolutions(branches, *window))


@settings(max_examples=3, deadline=None, derandomize=True)
@given(st.integers(1, 9), st.integers(3, 30), st.integers(1, 3), st.integers(1, 20), st.booleans())
def test_any_heads_compute_what_they_should(rows: int, depth: int, count: int, width: int, bias: bool) -> None:
    check(heads(rows, depth, count, width, bias))
