"""The facade on networkx graphs and ONNX models: fused graph, code, passes off, and every kind of bad graph."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import networkx
import numpy as np
import onnx
import pytest
import tvm
import tvm_ffi.libinfo

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


def transformer_rows() -> onnx.ModelProto:
    """A product with bias and relu, a layer norm and a softmax."""
    values = {
        "w": random_array(1, 40, 24),
        "b": random_array(2, 24),
        "s": random_array(3, 24),
        "t": random_array(4, 24),
    }
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "w"], ["a"]),
        onnx.helper.make_node("Add", ["a", "b"], ["c"]),
        onnx.helper.make_node("Relu", ["c"], ["d"]),
        onnx.helper.make_node("LayerNormalization", ["d", "s", "t"], ["e"]),
        onnx.helper.make_node("Softmax", ["e"], ["y"]),
    ]
    return _model(nodes, ("x", onnx.TensorProto.FLOAT, [2, 6, 40]), ("y", onnx.TensorProto.FLOAT, [2, 6, 24]), values)


def whole_numbers(zero: int = 0) -> onnx.ModelProto:
    values = {
        "w": np.random.default_rng(1).integers(-128, 128, (40, 24)).astype(np.int8),
        "z": np.array(zero, np.uint8),
    }
    nodes = [onnx.helper.make_node("MatMulInteger", ["x", "w", "z"], ["y"])]
    return _model(nodes, ("x", onnx.TensorProto.UINT8, [12, 40]), ("y", onnx.TensorProto.INT32, [12, 24]), values)


def _model(
    nodes: list[onnx.NodeProto],
    entry: tuple[str, int, list[int]],
    result: tuple[str, int, list[int]],
    values: Mapping[str, np.ndarray],
) -> onnx.ModelProto:
    inputs, outputs = ([onnx.helper.make_tensor_value_info(*each)] for each in (entry, result))
    initializers = [onnx.numpy_helper.from_array(array, name) for name, array in values.items()]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, initializers)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])


@pytest.mark.parametrize(
    ("platform", "languages"),
    [
        ("huawei", {"Ascend C"}),
        ("nvidia", {"CUDA C++"}),
        ("amd", {"OpenCL C"}),
        ("rockchip", {"assembly of Arm (AArch64)"}),
        ("qualcomm", {"assembly of Arm (AArch64)"}),
        ("xilinx", {"assembly of Arm (AArch64)"}),
        ("cpu", {"assembly of x86"}),
    ],
)
def test_every_platform_has_code_for_every_group(platform: str, languages: set[str]) -> None:
    model = transformer_rows()
    optimized = flextune.FlexDSAOptimizer(platform=platform, check=platform == "cpu").optimize(model)
    assert set(optimized.groups) == set(optimized.kernels)
    assert {code.source.language for code in optimized.groups.values()} == languages
    assert all(len(code.source.text) > 200 for code in optimized.groups.values())
    placed = {data["device"] for _, data in optimized.graph.nodes(data=True) if data["kind"] == "kernel"}
    assert placed == {code.device for code in optimized.groups.values()}
    if platform == "cpu":
        assert all(check.is_done for code in optimized.groups.values() for check in code.checks)
    inputs = optimized.executable.random_inputs(0)
    np.testing.assert_allclose(optimized.executable.run(inputs)["y"], evaluate(model, inputs)[0], rtol=1e-4, atol=1e-5)


def test_a_group_says_why_it_is_not_on_the_accelerator_and_what_was_not_made() -> None:
    optimized = flextune.FlexDSAOptimizer(platform="qualcomm", check=False).optimize(transformer_rows())
    assert all("not on hexagon" in code.notes[0] for code in optimized.groups.values())
    assert len(optimized.missing) == 1
    assert "context binary" in optimized.missing[0]


@pytest.mark.parametrize("zero", [0, 7])
def test_products_of_whole_numbers_go_to_the_overlay(zero: int) -> None:
    optimized = flextune.FlexDSAOptimizer(platform="xilinx", check=False).optimize(whole_numbers(zero))
    [code] = [each for each in optimized.groups.values() if each.source.language == "Verilog"]
    assert str(code.workload) == "gemm:m=12,n=24,k=40,dtype=int8"
    assert "the host adds a vector" in code.notes[0]
    assert "module overlay #(parameter ROWS = " in code.source.text


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_ascend_kernels_are_executed_and_products_say_what_rounding_costs() -> None:
    optimized = flextune.FlexDSAOptimizer(platform="huawei").optimize(transformer_rows())
    for code in optimized.groups.values():
        assert [str(check).partition(":")[0] for check in code.checks] == ["compiled", "executed"]
        assert all(check.is_done for check in code.checks), code.checks
    [product] = [each for each in optimized.groups.values() if each.workload and each.workload.operator == "gemm"]
    assert "rounded to float16, it differs by up to" in product.notes[0]


def test_another_epsilon_than_the_usual_one_is_no_operator_with_that_name() -> None:
    model = transformer_rows()
    model.graph.node[3].attribute.append(onnx.helper.make_attribute("epsilon", 1e-3))
    optimized = flextune.FlexDSAOptimizer(platform="huawei", check=False).optimize(model)
    norm = next(code for name, code in optimized.groups.items() if "layer_norm" in name)
    assert norm.source.language == "assembly of Arm (AArch64)"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
@pytest.mark.parametrize("make", [transformer_rows, whole_numbers])
def test_code_in_c_is_what_a_compiler_takes(make: Callable[[], onnx.ModelProto], tmp_path: Path) -> None:
    optimized = flextune.FlexDSAOptimizer().optimize(make())
    includes = [f"-I{tvm_ffi.libinfo.find_include_path()}", f"-I{Path(tvm.__file__).parent / 'include'}"]
    for kernel in optimized.kernels:
        (tmp_path / "kernel.c").write_text(optimized.code(kernel, "c"))
        command = ["gcc", "-fsyntax-only", "-Werror=implicit-function-declaration", *includes, "kernel.c"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr


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
