"""Attention in odd sizes: products read and write through the transposes of its heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import Precision
from flextune.plan.partition import Partition, partition_model
from flextune.platforms import platform_registry
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import model_of, random_array, value

WITH_BFLOAT16 = Target.parse("x86:cpu=znver4,cores=2,features=avx512+vnni+bf16,l1=32768,l2=1048576,l3=33554432")


def attention(batch: int, heads: int, sequence: int, size: int, guarded: bool = False) -> onnx.ModelProto:
    """Attention of q, k and v of shape (batch, sequence, heads * size) with a mask that is added to the scores."""
    width = heads * size
    constants = {
        "split": np.array([batch, sequence, heads, size], np.int64),
        "joined": np.array([batch, sequence, width], np.int64),
        "scale": np.float32(size**-0.5),
        "zero": np.float32(0),
    }
    nodes = []
    for name, axes in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        nodes.append(helper.make_node("Reshape", [name, "split"], [f"{name}1"]))
        nodes.append(helper.make_node("Transpose", [f"{name}1"], [f"{name}2"], perm=axes))
    nodes += [
        helper.make_node("MatMul", ["q2", "k2"], ["s1"]),
        helper.make_node("Mul", ["s1", "scale"], ["s2"]),
        helper.make_node("Add", ["s2", "mask"], ["s3"]),
        helper.make_node("Softmax", ["s3"], ["p1"], axis=-1),
    ]
    if guarded:
        nodes.append(helper.make_node("IsNaN", ["p1"], ["b"]))
        nodes.append(helper.make_node("Where", ["b", "zero", "p1"], ["p2"]))
    nodes += [
        helper.make_node("MatMul", ["p2" if guarded else "p1", "v2"], ["o1"]),
        helper.make_node("Transpose", ["o1"], ["o2"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["o2", "joined"], ["y"]),
    ]
    whole = [batch, sequence, width]
    inputs = [*(value(name, whole) for name in "qkv"), value("mask", [batch, 1, sequence, sequence])]
    return model_of(nodes, inputs, [value("y", whole)], constants)


def partition(proto: onnx.ModelProto, folder: Path, without: tuple[str, ...] = ()) -> Partition:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return partition_model(load_model(path), without)


def given(batch: int, heads: int, sequence: int, size: int) -> dict[str, np.ndarray]:
    shape = (batch, sequence, heads * size)
    mask = np.triu(np.full((sequence, sequence), -np.inf, np.float32), 1)
    return {
        **{name: random_array(seed, *shape) * 2 for seed, name in enumerate("qkv")},
        "mask": np.broadcast_to(mask, (batch, 1, sequence, sequence)).copy(),
    }


def outputs(found: Partition, inputs: dict[str, np.ndarray]) -> np.ndarray:
    result = compile_model(found, {}, detect()).executable.run(inputs)
    return np.asarray(next(iter(result.values())) if isinstance(result, dict) else result)


@pytest.mark.parametrize(
    ("batch", "heads", "sequence", "size"),
    [(1, 2, 1, 32), (2, 3, 5, 64), (1, 2, 128, 64), (1, 2, 197, 80), (3, 1, 7, 20)],
)
def test_attention_agrees_with_onnx_runtime(tmp_path: Path, batch: int, heads: int, sequence: int, size: int) -> None:
    proto, inputs = attention(batch, heads, sequence, size), given(batch, heads, sequence, size)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    np.testing.assert_allclose(outputs(partition(proto, tmp_path), inputs), expected, rtol=2e-5, atol=2e-6)


def test_rows_that_are_masked_out_give_zeros_where_the_model_guards_them(tmp_path: Path) -> None:
    proto, inputs = attention(1, 2, 33, 16, guarded=True), given(1, 2, 33, 16)
    inputs["mask"][:, :, 3] = -np.inf
    inputs["v"][0, 5, 3] = np.nan
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, inputs)[0]
    np.testing.assert_allclose(outputs(partition(proto, tmp_path), inputs), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("sequence", [5, 33])
def test_products_on_their_own_agree_with_the_kernel_of_all(tmp_path: Path, sequence: int) -> None:
    proto, inputs = attention(2, 3, sequence, 32), given(2, 3, sequence, 32)
    parts = partition(proto, tmp_path, ("attention",))
    assert len(parts.tasks) == 3
    np.testing.assert_allclose(
        outputs(parts, inputs), outputs(partition(proto, tmp_path), inputs), rtol=1e-5, atol=1e-6
    )


def test_no_transpose_is_left(tmp_path: Path) -> None:
    proto = attention(1, 4, 24, 16)
    assert not any(task.name.startswith("permute") for task in partition(proto, tmp_path).tasks)
    alone = partition(proto, tmp_path, ("matmul", "attention"))
    assert any(task.name.startswith("permute") for task in alone.tasks)
    inputs = given(1, 4, 24, 16)
    np.testing.assert_allclose(
        outputs(alone, inputs), outputs(partition(proto, tmp_path), inputs), rtol=1e-5, atol=1e-6
    )


def test_a_transpose_with_another_reader_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "t"], ["y"]),
        helper.make_node("Relu", ["t"], ["z"]),
    ]
    proto = model_of(nodes, [value("x", [16, 24]), value("a", [8, 24])], [value("y", [8, 16]), value("z", [24, 16])])
    assert any("permute" in task.name and "matmul" not in task.name for task in partition(proto, tmp_path).tasks)


def test_scores_of_an_odd_length_are_taken_from_bfloat16_by_dot_products(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(attention(1, 2, 75, 32).SerializeToString())
    found = partition_model(load_model(path), ("attention",), Precision("bfloat16"))
    (scores,) = [task.workload for task in found.tasks if "permute_dims_permute_dims_matmul" in task.name]
    assert "bf16_pairs" in platform_registry.get("x86").search_space(scores, WITH_BFLOAT16).trace.to_json()


@pytest.mark.hardware("bf16")
@pytest.mark.parametrize("keys", [33, 64])
def test_keys_and_values_that_come_from_outside_are_rounded_for_dot_products(tmp_path: Path, keys: int) -> None:
    """As in a key-value cache: what is float32 at the edge of a bfloat16 model needs no plain loops."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q1"]),
        helper.make_node("Transpose", ["k"], ["k1"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q1", "k1"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    shapes = {"x": [1, 2, 40, 24], "k": [1, 2, keys, 32], "v": [1, 2, keys, 48]}
    inputs = [value(name, shape) for name, shape in shapes.items()]
    proto = model_of(nodes, inputs, [value("y", [1, 2, 40, 48])], {"w": random_array(7, 24, 32) / 5})
    path = tmp_path / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    found = partition_model(load_model(path), ("attention",), Precision("bfloat16"))
    products = [task.workload for task in found.tasks if "matmul" in task.name]
    spaces = [platform_registry.get("x86").search_space(product, WITH_BFLOAT16) for product in products]
    assert ["bf16_pairs" in space.trace.to_json() for space in spaces] == [True, True, True]
    given = {name: random_array(seed, *shape) for seed, (name, shape) in enumerate(shapes.items())}
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, given)[0]
    assert np.abs(outputs(found, given) - expected).max() < 0.02 * np.abs(expected).max()
