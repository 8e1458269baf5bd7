"""One library for all sizes of a range: a small network over a batch of any size, checked against NumPy.

python examples/any_size.py --largest 64
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import flextune

WIDTHS = (32, 64, 10)


def network(weights: list[np.ndarray]) -> onnx.ModelProto:
    """Two layers, `x[batch, 32] -> y[batch, 10]`; the batch has a name in place of a number."""
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["positive"]),
        helper.make_node("MatMul", ["positive", "second"], ["y"]),
    ]
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTHS[0]])]
    results = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", WIDTHS[-1]])]
    stored = [numpy_helper.from_array(each, name) for each, name in zip(weights, ("first", "second"), strict=True)]
    return helper.make_model(
        helper.make_graph(nodes, "network", given, results, stored), opset_imports=[helper.make_opsetid("", 17)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--largest", type=int, default=64, help="the largest batch")
    parser.add_argument("--minutes", type=float, default=0, help="time for tuning; 0: default schedules")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(shape, dtype=np.float32) for shape in pairwise(WIDTHS))
    executable = flextune.optimize(network([first, second]), arguments.minutes, dims={"batch": (1, arguments.largest)})
    for batch in sorted({1, min(7, arguments.largest), arguments.largest}):
        x = rng.standard_normal((batch, WIDTHS[0]), dtype=np.float32)
        y = executable.run({"x": x})["y"]
        expected = np.maximum(x @ first, 0) @ second
        error = np.abs(y - expected).max() / np.abs(expected).max()
        print(f"batch {batch}: y{list(y.shape)}, largest relative error {error:.1e}")


if __name__ == "__main__":
    main()
