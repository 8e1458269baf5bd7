"""Small models with everything that layouts are about."""

from __future__ import annotations

import onnx
from onnx import helper

from flextune.testing.models import model_of, random_array, value


def branching(size: int = 12) -> onnx.ModelProto:
    """A strided stem, a depthwise layer with a residual sum, two branches and their concatenation, poolings."""
    shapes = {
        "stem": (32, 3, 3, 3), "deep": (32, 1, 3, 3), "point": (32, 32, 1, 1), "left": (16, 32, 1, 1),
        "right": (32, 32, 5, 5), "last": (32, 48, 1, 1), "dense": (32 * (size // 4) ** 2, 10),
    }  # fmt: skip
    constants = {name: random_array(seed, *shape) * 0.2 for seed, (name, shape) in enumerate(shapes.items())}
    constants |= {f"{name}_b": random_array(seed, 32) for seed, name in enumerate(("stem", "deep"), 20)}
    constants["scale"] = random_array(30, 1, 32, 1, 1)
    nodes = [
        helper.make_node("Conv", ["x", "stem", "stem_b"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "deep", "deep_b"], ["c"], pads=[1, 1, 1, 1], group=32),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Conv", ["d", "point"], ["e"]),
        helper.make_node("Add", ["e", "b"], ["f"]),
        helper.make_node("Mul", ["f", "scale"], ["g"]),
        helper.make_node("Conv", ["g", "left"], ["h"]),
        helper.make_node("Conv", ["g", "right"], ["i"], pads=[2, 2, 2, 2]),
        helper.make_node("Concat", ["h", "i"], ["j"], axis=1),
        helper.make_node("MaxPool", ["j"], ["k"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["k", "last"], ["l"]),
        helper.make_node("AveragePool", ["l"], ["m"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["m"], ["n"]),
        helper.make_node("MatMul", ["n", "dense"], ["y"]),
        helper.make_node("ReduceMean", ["l"], ["z"], axes=[2, 3], keepdims=1),
    ]
    outputs = [value("y", [1, 10]), value("z", [1, 32, 1, 1]), value("d", [1, 32, size // 2, size // 2])]
    return model_of(nodes, [value("x", [1, 3, size, size])], outputs, constants)
