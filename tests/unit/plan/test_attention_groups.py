"""Attention as one group: what is taken in, what it can be made of, and that every form computes the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.precision.precision import Precision
from flextune.plan.algorithms.online_softmax import AttentionShape
from flextune.plan.alternative import FUSED, PARTS
from flextune.plan.fusion.attention_pattern import ONLINE
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value
from tests.kept_objects import KeptObjects

HEADS, SIZE = 2, 16
WIDTH = HEADS * SIZE


def heads(name: str, source: str, perm: list[int], length: int) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Reshape", [source, f"split{length}"], [f"{name}1"]),
        helper.make_node("Transpose", [f"{name}1"], [f"{name}2"], perm=perm),
    ]


def decoder(queries: int, keys: int, extra: tuple[str, ...] = (), batch: int = 1) -> onnx.ModelProto:
    """Attention as GPT-2 exports it: scaled operands, a causal mask by `Where`; `extra` names more results."""
    constants = {f"split{n}": np.array([batch, n, HEADS, SIZE], np.int64) for n in (queries, keys)}
    constants |= {"root": np.float32(SIZE**-0.25), "least": np.float32(np.finfo(np.float32).min)}
    constants |= {"joined": np.array([batch, queries, WIDTH], np.int64)}
    nodes = [
        *heads("q", "q", [0, 2, 1, 3], queries),
        *heads("k", "k", [0, 2, 3, 1], keys),
        *heads("v", "v", [0, 2, 1, 3], keys),
        helper.make_node("Mul", ["q2", "root"], ["q3"]),
        helper.make_node("Mul", ["k2", "root"], ["k3"]),
        helper.make_node("MatMul", ["q3", "k3"], ["s1"]),
        helper.make_node("Where", ["mask", "s1", "least"], ["s2"]),
        helper.make_node("Softmax", ["s2"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v2"], ["o1"]),
        helper.make_node("Transpose", ["o1"], ["o2"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["o2", "joined"], ["y"]),
    ]
    inputs = [value("q", [batch, queries, WIDTH]), *(value(name, [batch, keys, WIDTH]) for name in "kv")]
    inputs.append(value("mask", [1, 1, queries, keys], TensorProto.BOOL))
    shapes = {"p": [batch, HEADS, queries, keys], "s1": [batch, HEADS, queries, keys]}
    outputs = [value("y", [batch, queries, WIDTH]), *(value(name, shapes[name]) for name in extra)]
    return model_of(nodes, inputs, outputs, constants)


def read(proto: onnx.ModelProto, folder: Path) -> Model:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def given(queries: int, keys: int, batch: int = 1) -> dict[str, np.ndarray]:
    mask = np.tril(np.ones((queries, keys), bool), keys - queries)[None, None]
    shapes = {"q": (batch, queries, WIDTH), "k": (batch, keys, WIDTH), "v": (batch, keys, WIDTH)}
    return {**{name: random_array(seed, *shape) * 3 for seed, (name, shape) in enumerate(shapes.items())}, "mask": mask}


def result(partition: Partition, inputs: dict[str, np.ndarray]) -> np.ndarray:
    return np.asarray(compile_model(partition, {}, detect(), writer=KeptObjects()).executable.run(inputs)["y"])


def patterns(partition: Partition) -> set[str]:
    assert partition.switcher is not None
    return {group.pattern for group in partition.switcher.plan.groups}


@pytest.mark.parametrize(
    ("queries", "keys", "batch"), [(1, 1, 1), (1, 50, 2), (21, 21, 1), (7, 43, 2), (6, 520, 1), (130, 3, 1)]
)
def test_every_form_agrees_with_onnx_runtime(tmp_path: Path, queries: int, keys: int, batch: int) -> None:
    proto, inputs = decoder(queries, keys, batch=batch), given(queries, keys, batch)
    partition = partition_model(read(proto, tmp_path))
    (group,) = group_kernels(partition)
    assert group.pattern == "attention"
    assert list(group.kernels) == ([FUSED, PARTS, ONLINE] if keys >= 512 else [FUSED, PARTS])
    assert len(partition.tasks) == 1
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    for form in group.kernels:
        switched = partition.switched({group.kind: form})
        np.testing.assert_allclose(result(switched, inputs), expected, rtol=5e-5, atol=5e-6, err_msg=str(form))


def test_parts_are_the_kernels_without_the_pattern(tmp_path: Path) -> None:
    model = read(decoder(21, 33), tmp_path)
    partition, without = partition_model(model), partition_model(model, ("attention",))
    (group,) = group_kernels(partition)
    parts = {workload.key for workload in group.kernels[PARTS]}
    assert parts == {task.workload.key for task in without.tasks}
    assert patterns(without) <= {"matmul", "rows", "producers", "single"}


@pytest.mark.parametrize("extra", ["p", "s1"])
def test_scores_and_weights_that_the_model_returns_are_no_part_of_a_kernel(tmp_path: Path, extra: str) -> None:
    partition = partition_model(read(decoder(9, 12, (extra,)), tmp_path))
    assert "attention" not in patterns(partition)


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize(("queries", "keys", "batch"), [(1, 50, 2), (21, 33, 1), (130, 150, 1), (6, 520, 1)])
def test_every_form_in_bfloat16_is_near_onnx_runtime(tmp_path: Path, queries: int, keys: int, batch: int) -> None:
    proto, inputs = decoder(queries, keys, batch=batch), given(queries, keys, batch)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    partition = partition_model(read(proto, tmp_path), precision=Precision("bfloat16"))
    (group,) = group_kernels(partition)
    assert group.pattern == "attention"
    for form in group.kernels:
        got = result(partition.switched({group.kind: form}), inputs)
        assert np.abs(got - expected).max() < 0.02 * np.abs(expected).max(), str(form)


@pytest.mark.hardware("bf16")
def test_a_layer_of_attention_that_is_kept_is_float32(tmp_path: Path) -> None:
    proto, inputs = decoder(70, 40), given(70, 40)
    model = read(proto, tmp_path)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    kept = partition_model(model, precision=Precision("bfloat16", (0,)))
    np.testing.assert_allclose(result(kept, inputs), expected, rtol=2e-5, atol=2e-6)


def test_long_sequences_are_computed_over_blocks_of_keys_unless_measured_otherwise(tmp_path: Path) -> None:
    partition = partition_model(read(decoder(4096, 16384), tmp_path))
    (group,) = group_kernels(partition)
    assert list(group.kernels) == [ONLINE, FUSED, PARTS]
    assert group.key == group.kernels[FUSED][0].key
    assert {task.workload.key for task in partition.tasks} == {group.kernels[ONLINE][0].key}
    short = AttentionShape(queries=128, keys=128, depth=64, columns=64)
    assert not short.has_online
    assert not short.prefers_online


@pytest.mark.parametrize("in_place", [False, True])
def test_heads_are_read_from_slices_of_one_tensor(tmp_path: Path, in_place: bool) -> None:
    sequence = 27
    constants = {f"split{sequence}": np.array([1, sequence, HEADS, SIZE], np.int64)}
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("Split", ["r"], ["q", "k", "v"], axis=-1),
        *heads("q", "q", [0, 2, 1, 3], sequence),
        *heads("k", "k", [0, 2, 3, 1], sequence),
        *heads("v", "v", [0, 2, 1, 3], sequence),
        helper.make_node("MatMul", ["q2", "k2"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v2"], ["o"]),
        helper.make_node("Transpose", ["o"], ["y"], perm=[0, 2, 1, 3]),
    ]
    whole = value("y", [1, sequence, HEADS, SIZE])
    proto = model_of(nodes, [value("x", [1, sequence, 3 * WIDTH])], [whole], constants)
    inputs = {"x": random_array(3, 1, sequence, 3 * WIDTH)}
    partition = partition_model(read(proto, tmp_path))
    assert "attention" in patterns(partition)
    built = compile_model(partition, {}, detect(), in_place=in_place, writer=KeptObjects())
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    np.testing.assert_allclose(built.executable.run(inputs)["y"], expected, rtol=2e-5, atol=2e-6)
