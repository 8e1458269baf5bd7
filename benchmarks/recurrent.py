"""Recurrent layers beside ONNX Runtime and PyTorch: the same weights and inputs, timed in turns.

python -m benchmarks.recurrent --layers LSTM,GRU --hidden 64,256,1024 --steps 1,100,1000 --batches 1,8 --threads 1
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from benchmarks.rounds import Protocol, turns
from flextune.apply.build import compile_model
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect

GATES = {"LSTM": 4, "GRU": 3}
ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
"""PyTorch's gates by their places among ONNX's."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer in one direction, with as many inputs as it has hidden units."""

    operator: str
    hidden: int
    steps: int
    batch: int

    def weights(self) -> dict[str, np.ndarray]:
        """W, R and B as ONNX has them."""
        rng, width = np.random.default_rng(0), GATES[self.operator] * self.hidden
        shapes = {"w": (1, width, self.hidden), "r": (1, width, self.hidden), "b": (1, 2 * width)}
        scale = self.hidden**-0.5
        return {name: (rng.standard_normal(shape) * scale).astype(np.float32) for name, shape in shapes.items()}

    def inputs(self) -> np.ndarray:
        shape = (self.steps, self.batch, self.hidden)
        return np.random.default_rng(1).standard_normal(shape).astype(np.float32)

    def proto(self) -> onnx.ModelProto:
        """The layer as a model. A `GRU` resets the product with the state, as PyTorch's does."""
        options = {"linear_before_reset": 1} if self.operator == "GRU" else {}
        node = make_node(self.operator, ["x", "w", "r", "b"], ["y"], hidden_size=self.hidden, **options)
        graph = make_graph(
            [node],
            self.operator,
            [make_tensor_value_info("x", TensorProto.FLOAT, self.inputs().shape)],
            [make_tensor_value_info("y", TensorProto.FLOAT, [self.steps, 1, self.batch, self.hidden])],
            [numpy_helper.from_array(array, name) for name, array in self.weights().items()],
        )
        return make_model(graph, opset_imports=[make_opsetid("", 17)], ir_version=8)


Run = Callable[[], np.ndarray]
"""Computes the layer's outputs [steps, batch, hidden]."""


def flextune_run(layer: Layer, threads: int) -> tuple[Run, float]:
    """Ours with default schedules, and the library's weights as a multiple of the model's."""
    partition = partition_model(model_from_proto(layer.proto(), layer.operator))
    executable = compile_model(partition, {}, detect(), threads).executable
    inputs = {"x": layer.inputs()}
    stored = sum(array.nbytes for array in layer.weights().values())
    ratio = executable.signature.weight_bytes / stored
    return lambda: executable.run(inputs)["y"][:, 0], ratio


def onnxruntime_run(layer: Layer, threads: int) -> Run:
    import onnxruntime  # a peer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(layer.proto().SerializeToString(), options)
    inputs = {"x": layer.inputs()}
    return lambda: session.run(None, inputs)[0][:, 0]


def torch_run(layer: Layer, threads: int) -> Run:
    import torch  # a peer

    torch.set_num_threads(threads)
    module = getattr(torch.nn, layer.operator)(layer.hidden, layer.hidden).eval()
    weights = layer.weights()
    with torch.no_grad():
        for name, array in (
            ("weight_ih_l0", weights["w"][0]),
            ("weight_hh_l0", weights["r"][0]),
            ("bias_ih_l0", weights["b"][0, : GATES[layer.operator] * layer.hidden]),
            ("bias_hh_l0", weights["b"][0, GATES[layer.operator] * layer.hidden :]),
        ):
            parts = np.split(array, GATES[layer.operator])
            getattr(module, name).copy_(torch.from_numpy(np.concatenate([parts[i] for i in ORDERS[layer.operator]])))
    inputs = torch.from_numpy(layer.inputs())

    def run() -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(module(inputs)[0].numpy())

    return run


def table_row(layer: Layer, protocol: Protocol, peers: Sequence[str]) -> str:
    """The median times of one layer, and the best peer's as a multiple of ours."""
    ours, stored = flextune_run(layer, protocol.threads)
    makers = {"onnxruntime": onnxruntime_run, "torch": torch_run}
    runs: dict[str, Run] = {"flextune": ours} | {name: makers[name](layer, protocol.threads) for name in peers}
    for name, run in runs.items():
        np.testing.assert_allclose(run(), ours(), rtol=1e-3, atol=1e-4, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in runs}
    for order in turns(list(runs), protocol.rounds):
        for name in order:
            times[name].append(_secs_of_a_run(runs[name], protocol))
    medians = {name: statistics.median(secs) for name, secs in times.items()}
    ratio = min((medians[name] for name in peers), default=float("nan")) / medians["flextune"]
    shown = " | ".join(f"{1e3 * medians[name]:.3f}" for name in runs)
    return (
        f"| {layer.operator} | {layer.hidden} | {layer.steps} | {layer.batch} | {shown} | {ratio:.2f} | {stored:.2f} |"
    )


def _secs_of_a_run(run: Run, protocol: Protocol) -> float:
    _repeat(run, protocol.warm_secs)
    return _repeat(run, protocol.batch_secs)


def _repeat(run: Run, secs: float) -> float:
    """Run for about so long; the seconds of one run."""
    began, count = time.perf_counter(), 0
    while count == 0 or time.perf_counter() - began < secs:
        run()
        count += 1
    return (time.perf_counter() - began) / count


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default="LSTM,GRU")
    parser.add_argument("--hidden", default="64,128,256,512,1024")
    parser.add_argument("--steps", default="1,10,100,1000")
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", default="onnxruntime,torch")
    arguments = parser.parse_args()
    peers = [name for name in arguments.peers.split(",") if name]
    protocol = Protocol(arguments.threads, arguments.rounds)
    columns = " | ".join(f"{name} ms" for name in ["flextune", *peers])
    print(f"| layer | hidden | steps | batch | {columns} | ratio | stored |")
    print("|---|" + "---:|" * (5 + 1 + len(peers)), flush=True)
    cases = itertools.product(
        arguments.layers.split(","), *map(_numbers, (arguments.hidden, arguments.steps, arguments.batches))
    )
    for operator, hidden, steps, batch in cases:
        print(table_row(Layer(operator, hidden, steps, batch), protocol, peers), flush=True)


if __name__ == "__main__":
    main()
