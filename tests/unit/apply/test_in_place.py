"""Concatenations and slices without copies: which steps are left, what is computed, and how much memory it takes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.apply.signature import Runtime
from flextune.importing.model import load_model
from flextune.plan.partition import partition_model
from flextune.target.target import Target
from flextune.testing.models import evaluate, model_of, random_array, value
from tests.kept_objects import KeptObjects

from .random_models import random_model

Pair = tuple[Executable, Executable]
"""A model built with copies, and in place."""


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


@pytest.fixture
def built(tmp_path: Path, target: Target) -> Callable[[onnx.ModelProto], Pair]:
    """Builds a model both ways and checks both against ONNX's evaluator, on two threads and on one."""

    def build(proto: onnx.ModelProto) -> Pair:
        onnx.save(proto, tmp_path / "m.onnx")
        model = load_model(tmp_path / "m.onnx")
        partition = partition_model(model)
        inputs = model.random_inputs(1)
        wanted = evaluate(proto, inputs)
        pair = [
            compile_model(partition, {}, target, 2, in_place, writer=KeptObjects()).executable
            for in_place in (False, True)
        ]
        for executable in pair:
            assert executable.signature.runtime is Runtime.OWN
            for threads in (2, 1, 1):
                executable.set_threads(threads)
                got = executable.run(inputs)
                for name, want in zip(model.outputs, wanted, strict=True):
                    np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-4, err_msg=name)
        assert _bytes(pair[1]) <= _bytes(pair[0])
        return pair[0], pair[1]

    return build


def _bytes(executable: Executable) -> int:
    assert executable.signature.activation_bytes is not None
    return executable.signature.activation_bytes


def _moving(executable: Executable) -> list[str]:
    """The kernels left that only move elements."""
    return [name for name in executable.signature.kernels if name.startswith(("concat", "copy", "split", "strided"))]


def _fire_modules(count: int) -> onnx.ModelProto:
    nodes, constants, source, channels = [], {}, "x", 16
    for index in range(count):
        weights = {f"s{index}": (16, channels, 1, 1), f"a{index}": (32, 16, 1, 1), f"b{index}": (32, 16, 3, 3)}
        constants |= {name: random_array(index, *shape) / 8 for name, shape in weights.items()}
        nodes += [
            _node("Conv", [source, f"s{index}"], [f"sq{index}"]),
            _node("Relu", [f"sq{index}"], [f"sr{index}"]),
            _node("Conv", [f"sr{index}", f"a{index}"], [f"ea{index}"]),
            _node("Conv", [f"sr{index}", f"b{index}"], [f"eb{index}"], pads=[1, 1, 1, 1]),
            _node("Concat", [f"ea{index}", f"eb{index}"], [f"c{index}"], axis=1),
        ]
        source, channels = f"c{index}", 64
    nodes.append(_node("GlobalAveragePool", [source], ["y"]))
    return model_of(nodes, [value("x", [1, 16, 9, 9])], [value("y", [1, channels, 1, 1])], constants)


def _dense_block(layers: int, nested: bool) -> onnx.ModelProto:
    """A block of DenseNet; where it is not nested every concatenation lists all features before it."""
    constants, features, channels, whole = {"w": random_array(0, 16, 3, 1, 1)}, ["f"], 16, "f"
    nodes = [_node("Conv", ["x", "w"], ["f"])]
    for index in range(layers):
        constants[f"w{index}"] = random_array(index, 16, channels, 3, 3) / 8
        constants[f"m{index}"] = random_array(index, 1, channels, 1, 1)
        nodes += [
            _node("Mul", [whole, f"m{index}"], [f"s{index}"]),
            _node("Relu", [f"s{index}"], [f"r{index}"]),
            _node("Conv", [f"r{index}", f"w{index}"], [f"f{index}"], pads=[1, 1, 1, 1]),
        ]
        features.append(f"f{index}")
        nodes.append(_node("Concat", [whole, f"f{index}"] if nested else list(features), [f"c{index}"], axis=1))
        whole, channels = f"c{index}", channels + 16
    nodes.append(_node("MaxPool", [whole], ["y"], kernel_shape=[2, 2], strides=[2, 2]))
    return model_of(nodes, [value("x", [1, 3, 8, 8])], [value("y", [1, channels, 4, 4])], constants)


def test_squeezenet_has_no_concatenation_left(built: Callable[[onnx.ModelProto], Pair]) -> None:
    copied, in_place = built(_fire_modules(2))
    assert len(_moving(copied)) == 2
    assert _moving(in_place) == []


@pytest.mark.parametrize("nested", [True, False])
def test_a_block_of_densenet_is_one_buffer(nested: bool, built: Callable[[onnx.ModelProto], Pair]) -> None:
    copied, in_place = built(_dense_block(4, nested))
    assert len(_moving(copied)) == 4
    assert _moving(in_place) == []
    whole = 4 * 8 * 8 * (16 + 4 * 16)
    assert _bytes(in_place) < 2 * whole
    assert nested or _bytes(in_place) < _bytes(copied)


X, Y = value("x", [4, 16]), value("y", [4, 16])
A, B, C = (_node("Relu", ["x"], ["a"]), _node("Sigmoid", ["y"], ["b"]), _node("Concat", ["a", "b"], ["c"], axis=1))
LAST = _node("Neg", ["c"], ["z"])
RESHAPED = (A, B, _node("Reshape", ["a", "shape"], ["r"]), _node("Reshape", ["b", "shape"], ["s"]))
WAYS = {
    "the last axis": ([A, B, C, LAST], [value("z", [4, 32])], 0),
    "the first axis": (
        [A, B, _node("Concat", ["a", "b"], ["c"], axis=0), LAST],
        [value("z", [8, 16])],
        0,
    ),
    "a result": ([A, B, C], [value("c", [4, 32])], 0),
    "a part that is a result": ([A, B, C, LAST], [value("z", [4, 32]), value("a", [4, 16])], 1),
    "an input": ([A, _node("Concat", ["a", "y"], ["c"], axis=1), LAST], [value("z", [4, 32])], 1),
    "inputs only": ([_node("Concat", ["x", "y"], ["c"], axis=1), LAST], [value("z", [4, 32])], 1),
    "a constant": (
        [A, _node("Concat", ["k", "a"], ["c"], axis=0), LAST],
        [value("z", [6, 16])],
        1,
    ),
    "one tensor twice": ([A, _node("Concat", ["a", "a"], ["c"], axis=1), LAST], [value("z", [4, 32])], 1),
    "a tensor in two": (
        [A, B, C, _node("Concat", ["b", "a"], ["d"], axis=0), LAST, _node("Neg", ["d"], ["w"])],
        [value("z", [4, 32]), value("w", [8, 16])],
        1,
    ),
    "short runs": (
        [_node("ReduceMax", ["x"], ["a"], axes=[1]), B, C, LAST],
        [value("z", [4, 17])],
        1,
    ),
    "reshaped parts": ([*RESHAPED, _node("Concat", ["r", "s"], ["c"], axis=2), LAST], [value("z", [2, 2, 32])], 0),
    "reshaped parts that no strides express": (
        [*RESHAPED, _node("Concat", ["r", "s"], ["c"], axis=1), LAST], [value("z", [2, 4, 16])], 1),
    "a part that no strides reshape": (
        [A, B, C, _node("Reshape", ["a", "row"], ["r"]), _node("Softmax", ["r"], ["w"], axis=1), LAST],
        [value("z", [4, 32]), value("w", [1, 64])],
        1,
    ),
    "a slice": (
        [A, _node("Slice", ["a", "one", "three", "zero"], ["s"]), _node("Softmax", ["s"], ["w"]),
         _node("Softmax", ["a"], ["z"])],
        [value("z", [4, 16]), value("w", [2, 16])],
        0,
    ),
    "halves that are concatenated again": (
        [A, _node("Split", ["a"], ["s", "t"], axis=1), _node("Softmax", ["t"], ["u"]),
         _node("Concat", ["s", "u"], ["c"], axis=1), LAST],
        [value("z", [4, 16])],
        1,
    ),
}  # fmt: skip
CONSTANTS = {
    "k": random_array(3, 2, 16),
    "shape": np.array([2, 2, 16], np.int64),
    "row": np.array([1, 64], np.int64),
    "zero": np.array([0], np.int64),
    "one": np.array([1], np.int64),
    "three": np.array([3], np.int64),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_left_to_copy(way: str, built: Callable[[onnx.ModelProto], Pair]) -> None:
    nodes, outputs, left = WAYS[way]
    read = {name for node in nodes for name in node.input}
    inputs = [each for each in (X, Y) if each.name in read]
    used = {name: array for name, array in CONSTANTS.items() if name in read}
    _, in_place = built(model_of(nodes, inputs, outputs, used, opset=12))
    assert len(_moving(in_place)) == left, in_place.signature.kernels


def test_slices_of_one_tensor_are_decided_together(built: Callable[[onnx.ModelProto], Pair]) -> None:
    """Any one of the parts in place would keep the whole alive beside copies of the others."""
    constants = {"up": random_array(1, 16, 32), "down": random_array(2, 32, 16), "axis": np.array([1], np.int64)}
    nodes = [_node("Softmax", ["x"], ["whole"])]
    for index, name in enumerate("abc"):
        constants |= {f"{name}0": np.array([16 * index], np.int64), f"{name}1": np.array([16 * index + 16], np.int64)}
        nodes.append(_node("Slice", ["whole", f"{name}0", f"{name}1", "axis"], [name]))
    nodes += [
        _node("MatMul", ["a", "up"], ["wide"]),
        _node("MatMul", ["wide", "down"], ["narrow"]),
        _node("Softmax", ["narrow"], ["d"]),
        _node("Transpose", ["d"], ["dt"], perm=[1, 0]),
        _node("MatMul", ["dt", "b"], ["e"]),
        _node("Transpose", ["c"], ["ct"], perm=[1, 0]),
        _node("MatMul", ["e", "ct"], ["y"]),
    ]
    model = model_of(nodes, [value("x", [8, 48])], [value("y", [16, 8])], constants)
    copied, in_place = built(model)
    assert _moving(copied)
    assert not _moving(in_place)


def test_what_waits_long_for_its_other_half_costs_no_memory(built: Callable[[onnx.ModelProto], Pair]) -> None:
    """A U: the first tensor is concatenated at the end, and its buffer must not be large from the beginning."""
    widths = [4, 64, 64, 4]
    nodes, constants = [_node("Conv", ["x", "k"], ["f0"])], {"k": random_array(9, widths[0], 3, 1, 1)}
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        constants[f"w{index}"] = random_array(index, after, before, 1, 1)
        nodes.append(_node("Conv", [f"f{index}", f"w{index}"], [f"f{index + 1}"]))
    constants["last"] = random_array(8, 100, 4, 1, 1)
    nodes += [
        _node("Conv", ["f3", "last"], ["g"]),
        _node("Concat", ["f0", "g"], ["c"], axis=1),
        _node("Neg", ["c"], ["z"]),
    ]
    built(model_of(nodes, [value("x", [1, 3, 16, 16])], [value("z", [1, 104, 16, 16])], constants))


@pytest.mark.parametrize("seed", range(8))
def test_random_models(seed: int, built: Callable[[onnx.ModelProto], Pair]) -> None:
    built(random_model(seed))
