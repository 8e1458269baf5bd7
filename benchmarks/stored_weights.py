"""Products of one row with weights of 4, 8, 16 and 32 bits: time, bytes read, and how fast those come from memory.

    python benchmarks/stored_weights.py [--size 4096] [--threads 2]

Bytes are those of the library's weights. ONNX Runtime stands beside where it has the operator.
"""

from __future__ import annotations

import argparse

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from flextune.apply.build import compile_model
from flextune.apply.model_check import OnnxRuntime
from flextune.importing.model import Model, model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect

BLOCK = 32


def nbits(size: int, bits: int) -> onnx.ModelProto:
    rng = np.random.default_rng(bits)
    blocks = size // BLOCK
    constants = {
        "w": rng.integers(0, 256, (size, blocks, BLOCK * bits // 8)).astype(np.uint8),
        "s": rng.uniform(0.001, 0.01, size * blocks).astype(np.float32),
    }
    attributes = {"K": size, "N": size, "bits": bits, "block_size": BLOCK}
    return product(
        helper.make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", **attributes), constants
    )


def plain(size: int, dtype: type) -> onnx.ModelProto:
    w = np.random.default_rng(0).standard_normal((size, size)).astype(dtype)
    return product(helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": w})


def product(node: onnx.NodeProto, constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    is_half = constants["w"].dtype == np.float16
    kind, size = TensorProto.FLOAT16 if is_half else TensorProto.FLOAT, constants["w"].shape[0]
    row = [helper.make_tensor_value_info(name, kind, [1, size]) for name in "xy"]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], node.op_type, row[:1], row[1:], initializers)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def report(title: str, model: Model, threads: int) -> None:
    executable = compile_model(partition_model(model), {}, detect(), threads).executable
    inputs = model.random_inputs(0)
    secs, size = executable.benchmark(inputs).median_secs, executable.signature.weight_bytes
    peer = OnnxRuntime(model, threads).benchmark(inputs).median_secs
    print(f"{title:8} {secs * 1e6:9.0f} us {size / 1e6:7.1f} MB {size / secs / 1e9:7.1f} GB/s {peer * 1e6:9.0f} us")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=detect().cores)
    options = parser.parse_args()
    print(f"{'weights':8} {'time':>12} {'weights':>10} {'read at':>12} {'ONNX Runtime':>12}")
    cases = {
        "float32": plain(options.size, np.float32),
        "float16": plain(options.size, np.float16),
        "int8": nbits(options.size, 8),
        "int4": nbits(options.size, 4),
    }
    for title, proto in cases.items():
        report(title, model_from_proto(proto, title), options.threads)


if __name__ == "__main__":
    main()
