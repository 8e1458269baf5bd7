"""Separable convolutions as one group: what is taken in, what it can be made of, and that all forms agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.precision.precision import Precision
from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.group_kernels import GroupKernels, group_kernels, operator_names
from flextune.plan.layouts.layout_assignment import LayoutAssignment
from flextune.plan.partition import Partition, partition_model
from flextune.platforms.cpu.rules.separable import RULE
from flextune.platforms.estimator import TargetEstimator
from flextune.platforms.x86.rules import generate_space
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import SeparableShape, model_of, random_array, separable_block, value
from flextune.tuning.selection import Circumstances, Selection
from tests.kept_objects import KeptObjects

FEW, MANY = SeparableShape(9, 9, 32, 8), SeparableShape(9, 9, 32, 64)
"""Results per channel: few are one kernel unmeasured, many are two."""


def read(proto: onnx.ModelProto, folder: Path) -> Model:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def reference(proto: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0])


def result(partition: Partition, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(compile_model(partition, {}, detect(), writer=KeptObjects()).executable.run(inputs)["y"])


def pairs(partition: Partition) -> list[GroupKernels]:
    return [group for group in group_kernels(partition) if group.pattern == "separable"]


def patterns(partition: Partition) -> set[str]:
    assert partition.switcher is not None
    return {group.pattern for group in partition.switcher.plan.groups}


def keys(partition: Partition) -> set[str]:
    return {task.workload.key for task in partition.tasks}


def forced(partition: Partition, form: Alternative) -> Partition:
    return partition.switched({group.kind: form for group in pairs(partition)})


def inverted_residuals(channels: int = 8) -> onnx.ModelProto:
    """A stem, and two blocks as in MobileNetV2: 1x1 to wide, depthwise, 1x1 to narrow; the second adds what it read."""
    wide = 3 * channels
    weights = {
        "w0": (channels, 3, 3, 3),
        "e1": (wide, channels, 1, 1),
        "d1": (wide, 1, 3, 3),
        "p1": (channels, wide, 1, 1),
    }
    weights |= {"e2": (wide, channels, 1, 1), "d2": (wide, 1, 5, 5), "p2": (channels, wide, 1, 1)}
    constants = {name: random_array(seed, *shape) for seed, (name, shape) in enumerate(weights.items())}
    constants |= {"zero": np.float32(0), "six": np.float32(6)}
    nodes, last = [], "x"

    def add(name: str, clip: bool, **attributes: object) -> None:
        nonlocal last
        constants[f"b_{name}"] = random_array(len(nodes) + 50, weights[name][0])
        nodes.append(helper.make_node("Conv", [last, name, f"b_{name}"], [f"c_{name}"], **attributes))
        last = f"c_{name}"
        if clip:
            nodes.append(helper.make_node("Clip", [last, "zero", "six"], [f"r_{name}"]))
            last = f"r_{name}"

    add("w0", clip=True, pads=[1] * 4, strides=[2, 2])
    add("e1", clip=True)
    add("d1", clip=True, pads=[1] * 4, strides=[2, 2], group=wide)
    add("p1", clip=False)
    add("e2", clip=True)
    add("d2", clip=True, pads=[2] * 4, group=wide)
    add("p2", clip=False)
    nodes.append(helper.make_node("Add", [last, "c_p1"], ["y"]))
    return model_of(nodes, [value("x", [1, 3, 27, 30])], [value("y", [1, channels, 7, 8])], constants)


@pytest.mark.parametrize("form", [FUSED, PARTS], ids=str)
def test_a_small_mobilenet_computes_the_same_in_both_forms(tmp_path: Path, form: str) -> None:
    proto = inverted_residuals()
    model = read(proto, tmp_path)
    partition, inputs = partition_model(model), model.random_inputs(2)
    assert len(pairs(partition)) == 2
    switched = forced(partition, form)
    kernels = [generate_space(task.workload, detect()).rules for task in switched.tasks]
    assert sum(RULE in rules for rules in kernels) == (2 if form == FUSED else 0)
    np.testing.assert_allclose(result(switched, inputs), reference(proto, inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shape", "first"), [(FEW, FUSED), (MANY, PARTS)])
def test_few_results_per_channel_are_one_kernel_unless_measured_otherwise(
    tmp_path: Path, shape: SeparableShape, first: str
) -> None:
    (group,) = pairs(partition_model(read(separable_block(shape), tmp_path)))
    assert list(group.kernels) == [first, PARTS if first == FUSED else FUSED]
    assert group.key == group.kernels[FUSED][0].key


@pytest.mark.parametrize("name", ["separable", "convolution"])
def test_parts_are_the_kernels_without_the_pattern(tmp_path: Path, name: str) -> None:
    model = read(separable_block(FEW), tmp_path)
    partition, without = forced(partition_model(model), PARTS), partition_model(model, (name,))
    assert "separable" not in patterns(without)
    assert (keys(partition) == keys(without)) == (name == "separable")


def test_a_sum_belongs_to_the_convolution_that_the_pattern_for_them_gives_it_to(tmp_path: Path) -> None:
    """A shortcut with a convolution of its own takes the sum first, with and without the pattern."""
    proto = separable_block(FEW)
    shortcut = helper.make_node("Conv", ["x", "w3"], ["s"])
    nodes = [shortcut, *proto.graph.node]
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in proto.graph.initializer}
    constants["w3"] = random_array(9, 8, 32, 1, 1)
    whole = model_of(nodes, [value("x", FEW.data)], [value("y", FEW.result)], constants)
    model = read(whole, tmp_path)
    assert keys(forced(partition_model(model), PARTS)) == keys(partition_model(model, ("separable",)))


def test_only_a_plain_product_that_alone_reads_the_windows_is_taken(tmp_path: Path) -> None:
    proto = separable_block(FEW, residual=False)
    wide, strided, grouped, twice, returned = (onnx.ModelProto.FromString(proto.SerializeToString()) for _ in range(5))
    product = next(n for n, node in enumerate(proto.graph.node) if "w2" in node.input)

    def weight(model: onnx.ModelProto, *shape: int) -> None:
        place = next(n for n, each in enumerate(model.graph.initializer) if each.name == "w2")
        model.graph.initializer[place].CopyFrom(onnx.numpy_helper.from_array(random_array(1, *shape), "w2"))

    weight(wide, 8, 32, 3, 3)
    wide.graph.node[product].attribute.append(helper.make_attribute("pads", [1] * 4))
    strided.graph.node[product].attribute.append(helper.make_attribute("strides", [2, 2]))
    strided.graph.output[0].CopyFrom(value("y", [1, 8, 5, 5]))
    weight(grouped, 8, 16, 1, 1)
    grouped.graph.node[product].attribute.append(helper.make_attribute("group", 2))
    twice.graph.node.append(helper.make_node("Relu", ["r"], ["z"]))
    twice.graph.output.append(value("z", FEW.data))
    returned.graph.output.append(value("r", FEW.data))
    for model in (wide, strided, grouped, twice, returned):
        assert "separable" not in patterns(partition_model(read(model, tmp_path)))


def test_bfloat16_models_keep_two_kernels(tmp_path: Path) -> None:
    partition = partition_model(read(separable_block(FEW), tmp_path), precision=Precision("bfloat16"))
    assert "separable" not in patterns(partition)


def test_layouts_are_chosen_for_parts_and_blocks_can_be_fused_too(tmp_path: Path) -> None:
    proto = separable_block(MANY)
    model = read(proto, tmp_path)
    partition, without = partition_model(model), partition_model(model, ("separable",))
    plain = partition.by_default().switcher
    assert plain is not None
    assert without.switcher is not None
    assert [group.operators for group in plain.plan.groups] == [g.operators for g in without.switcher.plan.groups]
    groups = [operator_names(plain.plan.graph, group.operators) for group in plain.plan.groups]
    window, product = (place for place, names in enumerate(groups) if names.startswith("conv2d"))
    layouts = LayoutAssignment.parse(f"NCHW16c:{window} NCHW16c>NHWC:{product}")
    laid_out, inputs = partition.laid_out(layouts), model.random_inputs(1)
    assert keys(laid_out) == keys(without.laid_out(layouts))
    (group,) = pairs(laid_out)
    assert list(group.kernels) == [PARTS, FUSED]
    assert generate_space(group.kernels[FUSED][0], detect()).rules[0] == RULE
    expected = reference(proto, inputs)
    for form in (PARTS, FUSED):
        np.testing.assert_allclose(result(forced(laid_out, form), inputs), expected, rtol=1e-4, atol=1e-4)


def test_a_pair_that_is_one_kernel_by_default_stays_one_group_for_layouts(tmp_path: Path) -> None:
    plain = partition_model(read(separable_block(FEW), tmp_path)).by_default()
    assert "separable" in patterns(plain)


def test_a_decision_has_both_times_and_a_reason(tmp_path: Path) -> None:
    groups = group_kernels(partition_model(read(separable_block(MANY), tmp_path)))
    (pair,) = (group for group in groups if group.pattern == "separable")
    selection = Selection.of(groups, {}, TargetEstimator(Target.parse("null:cpu=any,cores=2")))
    secs = {workload.key: 40e-6 for workload in selection.workloads()}
    choice = selection.choice(secs)
    assert choice[pair.kind] == FUSED
    decisions = selection.decisions(secs, choice, Circumstances("a model", detect().key, "in the model"))
    (decision,) = (each for each in decisions if each.pattern == "separable")
    assert decision.chosen == FUSED
    assert decision.reason == "in the model: 42.0 us against 84.0 us of parts"
    assert all(option.measured_secs is not None for option in decision.options)
