"""Lowering: layouts, fusion, constants, and errors of the importer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper
from tvm import relax, tirx

from flextune.errors import ModelError
from flextune.importing.model import Model, load_model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.lowering.calls import call_sites
from flextune.lowering.folding import fold_moved_constants
from flextune.lowering.lower import import_onnx
from flextune.plan.partition import partition_model
from flextune.testing.models import conv_block, evaluate, model_of, random_array, value


def read(proto: onnx.ModelProto, folder: Path) -> Model:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return load_model(path)


def run(module: tvm.IRModule, *inputs: np.ndarray) -> np.ndarray:
    machine = relax.VirtualMachine(tvm.compile(module, target=tvm.target.Target({"kind": "llvm"})), tvm.cpu())
    result: np.ndarray = machine["main"](*map(tvm.runtime.tensor, inputs)).numpy()
    return result


def test_lowered_model_computes_the_same(tmp_path: Path) -> None:
    proto = conv_block()
    x = random_array(11, 1, 4, 10, 10)
    got = run(partition_model(read(proto, tmp_path)).module, x)
    np.testing.assert_allclose(got, evaluate(proto, {"x": x})[0], rtol=1e-4, atol=1e-4)


def test_convolutions_are_fused_and_channels_are_last(tmp_path: Path) -> None:
    sites = call_sites(partition_model(read(conv_block(), tmp_path)).module)
    fused = [site for site in sites if "conv2d" in site.function]
    assert [site.function.rstrip("0123456789").count("add") for site in fused] == [1, 2]
    assert all(site.arguments[0].ty.shape[3] in (4, 8) for site in fused)
    assert [sorted(site.constants) for site in fused] == [[1, 2], [1, 2]]
    assert sum("transpose" in site.function for site in sites) <= 2  # in and out, none between


def test_lowering_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model = read(conv_block(), tmp_path)
    before = model.proto.SerializeToString(deterministic=True)
    partition_model(model)
    assert model.proto.SerializeToString(deterministic=True) == before


def test_indices_are_int32_and_int64_data_survives(tmp_path: Path) -> None:
    nodes = [helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=0)]
    proto = model_of(nodes, [value("x", [3, 5])], [value("y", [3], onnx.TensorProto.INT64)])
    x = random_array(0, 3, 5)
    np.testing.assert_array_equal(run(partition_model(read(proto, tmp_path)).module, x), x.argmax(1))
    module = partition_model(read(conv_block(), tmp_path)).module
    convolution = next(f for v, f in module.functions_items() if "conv2d" in v.name_hint)
    assert all(size.ty.dtype == "int32" for size in convolution.params[0].ty.shape)


def test_moves_of_constants_fold_in_numpy() -> None:
    array = random_array(0, 2, 3, 4)
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((4, 6), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            moved = builder.emit(relax.op.permute_dims(relax.const(array), [2, 0, 1]))
            flat = builder.emit(relax.op.reshape(moved, (4, 6)))
            out = builder.emit_output(relax.op.add(x, flat))
        builder.emit_func_output(out)
    module = fold_moved_constants(builder.get())
    values = [binding.value for block in module["main"].body.blocks for binding in block.bindings]
    assert [v.op.name for v in values if isinstance(v, tvm.ir.Call)] == ["relax.add"]
    zeros = np.zeros((4, 6), np.float32)
    np.testing.assert_array_equal(run(module, zeros), array.transpose(2, 0, 1).reshape(4, 6))


def test_importer_failure_names_operator_and_node(capsys: pytest.CaptureFixture[str]) -> None:
    """The importer knows only some attributes of this operator; what it prints must not reach the user's output."""
    nodes = [helper.make_node("Upsample", ["x", "scales"], ["y"], name="blow_up", mode="cubic")]
    scales = {"scales": np.array([1, 1, 2, 2], np.float32)}
    proto = model_of(nodes, [value("x", [1, 1, 2, 2])], [value("y", [1, 1, 4, 4])], scales, opset=9)
    with pytest.raises(ModelError, match=r"Upsample.*blow_up"):
        import_onnx(OnnxGraph.of(proto), "enlarged")
    assert capsys.readouterr().out == ""


def test_every_function_of_a_lowered_model_is_called(tmp_path: Path) -> None:
    module = partition_model(read(conv_block(), tmp_path)).module
    functions = {v.name_hint for v, f in module.functions_items() if isinstance(f, tirx.PrimFunc)}
    assert functions == {site.function for site in call_sites(module)}


@pytest.mark.parametrize("shape", [(1, 1), (31, 513), (64, 1024), (3, 2000), (700, 5)])
def test_large_matrices_are_transposed_tile_by_tile(shape: tuple[int, int]) -> None:
    array = random_array(0, *shape)
    builder = relax.BlockBuilder()
    with builder.function("main", []):
        with builder.dataflow():
            out = builder.emit_output(relax.op.permute_dims(relax.const(array), [1, 0]))
        builder.emit_func_output(out)
    np.testing.assert_array_equal(run(fold_moved_constants(builder.get())), array.T)


def test_shapes_that_do_not_fit_are_said_in_plain_words() -> None:
    proto = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", [3, 4])],
        [value("y", [3, 5])],
        {"w": random_array(0, 7, 5)},
    )
    with pytest.raises(ModelError, match=r"in y: a constant has shape \[7, 5\]\. .* of 4 and 7 are not equal"):
        import_onnx(OnnxGraph.of(proto), "products")
