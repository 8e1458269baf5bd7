"""The facade on networkx graphs and ONNX models: fused graph, code, passes off, and every kind of bad graph."""

from __future__ import annotations

from pathlib import Path

import networkx
import numpy as np
import onnx
import pytest

import flextune
from flextune.compat.networkx_graph import model_of_graph
from flextune.errors import ModelError, UsageError
from flextune.testing.models import conv_block, evaluate, random_array


def conv_bn_relu() -> networkx.DiGraph:
    graph = networkx.DiGraph(name="block")
    graph.add_node("x", op="Input", shape=(1, 4, 10, 10))
    graph.add_node("w", op="Constant", value=random_array(1, 8, 4, 3, 3))
    for number, name in enumerate(("scale", "shift", "mean", "variance")):
        graph.add_node(name, op="constant", value=random_array(2 + number, 8) + 2)
    graph.add_node("conv", op="conv2d", attributes={"pads": [1, 1, 1, 1]})
    graph.add_node("norm", op="bn")
    graph.add_node("relu", op="relu")
    graph.add_edges_from([("x", "conv"), ("w", "conv"), ("conv", "norm"), ("norm", "relu")])
    graph.add_edges_from((name, "norm") for name in ("scale", "shift", "mean", "variance"))
    return graph


def test_a_networkx_graph_is_fused_and_runs() -> None:
    optimizer = flextune.FlexDSAOptimizer(platform="cpu")
    optimized = optimizer.optimize(conv_bn_relu())
    kernels = [data for _, data in optimized.graph.nodes(data=True) if data["kind"] == "kernel"]
    fused = next(data for data in kernels if "conv2d" in data["operators"])
    assert "relu" in fused["operators"]
    assert fused["flops"] >= 2 * 8 * 100 * 36
    assert fused["origin"] == "default"
    assert networkx.is_directed_acyclic_graph(optimized.graph)
    assert {data["tensor"].partition("[")[0] for *_, data in optimized.graph.edges(data=True)} == {"float32"}
    model = model_of_graph(conv_bn_relu())
    inputs = model.random_inputs(0)
    want = evaluate(model.proto, inputs)[0]
    np.testing.assert_allclose(optimized.executable.run(inputs)["relu"], want, rtol=1e-4, atol=1e-4)


def test_code_of_every_form(tmp_path: Path) -> None:
    onnx.save(conv_block(16), tmp_path / "m.onnx")
    optimized = flextune.FlexDSAOptimizer().optimize(tmp_path / "m.onnx")
    kernel = optimized.kernels[0]
    assert "def main" in optimized.code(kernel) or "T.prim_func" in optimized.code(kernel)
    assert f"@__tvm_ffi_{kernel}" in optimized.code(kernel, "llvm")
    assert "vmovups" in optimized.code(kernel, "assembly") or "movups" in optimized.code(kernel, "assembly")
    with pytest.raises(UsageError, match="unknown kernel 'nothing'"):
        optimized.code("nothing")
    with pytest.raises(UsageError, match="did you mean 'assembly'"):
        optimized.code(kernel, "asembly")


def test_passes_can_be_switched_off() -> None:
    together = flextune.FlexDSAOptimizer().optimize(conv_bn_relu())
    optimizer = flextune.FlexDSAOptimizer(without=["convolution", "producers"])
    assert {"convolution", "producers"} <= set(optimizer.passes)
    apart = optimizer.optimize(conv_bn_relu())
    assert apart.graph.number_of_nodes() > together.graph.number_of_nodes()
    inputs = together.executable.random_inputs(1)
    np.testing.assert_allclose(
        apart.executable.run(inputs)["relu"], together.executable.run(inputs)["relu"], rtol=1e-4, atol=1e-5
    )
    with pytest.raises(UsageError, match="did you mean 'convolution'"):
        flextune.FlexDSAOptimizer(without=["convolutions"])


@pytest.mark.parametrize("platform", ["huawei", "nvidia", "rockchip", "qualcomm", "amd", "xilinx"])
def test_platforms_without_a_back_end_say_so(platform: str) -> None:
    with pytest.raises(UsageError, match=f"'{platform}' has no back end here"):
        flextune.FlexDSAOptimizer(platform=platform)


def test_unknown_platforms_and_graphs() -> None:
    with pytest.raises(UsageError, match="did you mean 'nvidia'"):
        flextune.FlexDSAOptimizer(platform="nvidea")
    with pytest.raises(UsageError, match="or a networkx graph, got"):
        flextune.FlexDSAOptimizer().optimize(3)  # type: ignore[arg-type]


def _changed(change: str) -> networkx.DiGraph:
    graph = conv_bn_relu()
    if change == "cycle":
        graph.add_edge("relu", "conv", position=2)
    elif change == "no op":
        graph.add_node("odd")
        graph.add_edge("relu", "odd")
    elif change == "misspelt":
        graph.nodes["relu"]["op"] = "Rellu"
    elif change == "no shape":
        del graph.nodes["x"]["shape"]
    elif change == "no value":
        del graph.nodes["w"]["value"]
    elif change == "too many inputs":
        graph.add_edge("w", "relu")
    elif change == "same position":
        graph.edges["w", "conv"]["position"] = 0
    elif change == "undirected":
        return graph.to_undirected()
    elif change == "empty":
        return networkx.DiGraph()
    return graph


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("cycle", "has a cycle"),
        ("no op", "'odd' has no `op`"),
        ("misspelt", "'relu' has an unknown operator 'Rellu'; did you mean 'Relu'"),
        ("no shape", "input 'x' has no `shape`"),
        ("no value", "constant 'w' has no `value`"),
        ("too many inputs", "relu"),
        ("same position", "two inputs at position 0"),
        ("undirected", "expected a directed graph"),
        ("empty", "has no nodes"),
    ],
)
def test_graphs_that_cannot_be_read_say_where(change: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        model_of_graph(_changed(change))


def test_several_outputs_and_one_value_read_twice() -> None:
    graph = networkx.MultiDiGraph()
    graph.add_node(0, op="Input", shape=(4, 6))
    graph.add_node(1, op="Split", attributes={"axis": 0, "num_outputs": 2})
    graph.add_node(2, op="Add")
    graph.add_node(3, op="Mul", output=True)
    graph.add_edge(0, 1)
    graph.add_edge(1, 2, index=0)
    graph.add_edge(1, 2, index=1)
    graph.add_edge(2, 3, position=0)
    graph.add_edge(2, 3, position=1)
    model = model_of_graph(graph)
    inputs = model.random_inputs(0)
    want = (inputs["0"][:2] + inputs["0"][2:]) ** 2
    np.testing.assert_allclose(evaluate(model.proto, inputs)[0], want, rtol=1e-6)
