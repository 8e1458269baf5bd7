"""Reading model files: shapes, notes, and one clear message for each kind of bad file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.errors import ModelError
from flextune.importing.model import load_model
from flextune.importing.values import ValueSpec
from flextune.target import memory
from flextune.testing.models import conv_block, evaluate, model_of, random_array, value


def saved(proto: onnx.ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def relu_model(shape: list[int | str | None]) -> onnx.ModelProto:
    return model_of([helper.make_node("Relu", ["x"], ["y"], name="r")], [value("x", shape)], [value("y", shape)])


def test_inputs_leave_out_initializers(tmp_path: Path) -> None:
    proto = conv_block()
    proto.graph.input.append(value("w1", [8, 4, 3, 3]))  # as IR version 3 writes it
    model = load_model(saved(proto, tmp_path))
    assert model.inputs == (ValueSpec("x", (1, 4, 10, 10), "float32"),)
    assert model.outputs == ("y",)
    assert model.notes == ()


def test_dynamic_batch_becomes_one_with_a_note(tmp_path: Path) -> None:
    model = load_model(saved(relu_model(["batch", 3]), tmp_path))
    assert model.inputs[0].shape == (1, 3)
    assert model.notes == ("input 'x': dynamic batch 'batch' set to 1",)


def test_asked_shape_fills_dynamic_dimensions(tmp_path: Path) -> None:
    model = load_model(saved(relu_model(["n", 3, None, None]), tmp_path), {"x": (2, 3, 5, 7)})
    assert model.inputs[0].shape == (2, 3, 5, 7)
    assert model.notes == ()
    assert model.random_inputs(0)["x"].shape == (2, 3, 5, 7)


@pytest.mark.parametrize(
    ("shape", "asked", "words"),
    [
        ([1, 3, None], {}, ["'x'", "dynamic", "--shape x="]),
        ([1, 3], {"x": (1, 4)}, ["'x'", "[1, 3]", "[1, 4]"]),
        ([1, 3], {"x": (1, 3, 1)}, ["[1, 3]", "[1, 3, 1]"]),
        (["n", 3], {"x": (-1, 3)}, ["[-1, 3]"]),
        ([1, 3], {"z": (1, 3)}, ["no input 'z'", "x"]),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    shape: list[int | str | None], asked: dict[str, tuple[int, ...]], words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(saved(relu_model(shape), tmp_path), asked)
    assert all(word in str(caught.value) for word in words), caught.value


def test_bad_files_say_what_is_wrong(tmp_path: Path) -> None:
    whole = conv_block().SerializeToString()
    text = b"hello, I am no model\n" * 9
    contents = {"empty": b"", "cut": whole[: len(whole) // 2], "text": text, "zeros": bytes(64)}
    for name, content in contents.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(ModelError, match=name) as caught:
            load_model(path)
        assert "\n" not in str(caught.value), name
    with pytest.raises(ModelError, match="no model file"):
        load_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelError, match="folder"):
        load_model(tmp_path)


def test_every_truncation_is_a_model_error(tmp_path: Path) -> None:
    whole = relu_model([1, 3]).SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            model = load_model(path)
        except ModelError:
            continue
        assert model.outputs == ("y",), length  # only what follows the graph may be missing


def test_invalid_graph_is_refused(tmp_path: Path) -> None:
    proto = model_of([helper.make_node("Relu", ["nowhere"], ["y"])], [value("x", [1])], [value("y", [1])])
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        load_model(saved(proto, tmp_path))


def test_missing_external_data_is_named(tmp_path: Path) -> None:
    proto = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], [value("x", [64])], [value("y", [64])], {"w": random_array(0, 64)}
    )
    path = tmp_path / "external.onnx"
    onnx.save(proto, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match=r"weights\.bin"):
        load_model(path)


def test_external_data_is_read(tmp_path: Path) -> None:
    weight = random_array(0, 64)
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    proto = model_of(nodes, [value("x", [64])], [value("y", [64])], {"w": weight})
    path = tmp_path / "external.onnx"
    onnx.save(proto, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    read = load_model(path).proto.graph.initializer[0]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(read), weight)


def test_all_unsupported_operators_are_listed_with_their_nodes(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="fine"),
        helper.make_node("StringNormalizer", ["a"], ["b"], name="first_draw"),
        helper.make_node("Mystery", ["x"], ["c"], name="puzzle", domain="com.example"),
        helper.make_node("StringNormalizer", ["c"], ["d"]),
    ]
    proto = model_of(nodes, [value("x", [2, 2])], [value("b", []), value("d", [])])
    proto.opset_import.append(helper.make_opsetid("com.example", 1))
    with pytest.raises(ModelError) as caught:
        load_model(saved(proto, tmp_path))
    text = str(caught.value)
    assert "2 operator(s)" in text
    assert "StringNormalizer: first_draw, #3 (writes d)" in text
    assert "com.example::Mystery: puzzle" in text
    assert "fine" not in text


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("Relu", ["s"], ["r"])]
    opsets = [helper.make_opsetid("", 17)]
    square = helper.make_function("local", "SquareRelu", ["a"], ["r"], body, opsets)
    graph = helper.make_graph(
        [helper.make_node("SquareRelu", ["x"], ["y"], domain="local")], "g", [value("x", [3])], [value("y", [3])]
    )
    proto = helper.make_model(
        graph, functions=[square], opset_imports=[*opsets, helper.make_opsetid("local", 1)], ir_version=8
    )
    model = load_model(saved(proto, tmp_path))
    assert [node.op_type for node in model.proto.graph.node] == ["Mul", "Relu"]


def test_random_inputs_are_seeded_and_integers_stay_valid_positions() -> None:
    floats, integers = ValueSpec("x", (3, 4), "float32"), ValueSpec("ids", (5,), "int64")
    first, second = (floats.random_array(np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32
    assert first.std() > 0
    assert set(integers.random_array(np.random.default_rng(0))) <= {0, 1}
    assert str(floats) == "x: float32[3, 4]"


def test_nodes_that_read_nothing_known_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["nowhere"], ["y"], name="lonely")]
    proto = model_of(nodes, [value("x", [1])], [value("y", [1])])
    with pytest.raises(ModelError, match=r"'nowhere' of node: name: lonely OpType: Relu is not output"):
        load_model(saved(proto, tmp_path))


def test_outputs_need_no_shape(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = load_model(saved(model_of(nodes, [value("x", [2, 3])], [value("y", None)]), tmp_path))
    x = model.random_inputs(0)["x"]
    (y,) = evaluate(model.proto, {"x": x})
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_a_model_without_outputs_is_refused(tmp_path: Path) -> None:
    proto = model_of([helper.make_node("Relu", ["x"], ["y"])], [value("x", [1])], [])
    with pytest.raises(ModelError, match="has no outputs"):
        load_model(saved(proto, tmp_path))


def test_inputs_that_cannot_be_held_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(relu_model(["n", 1000]), tmp_path)
    with pytest.raises(ModelError, match=r"x: float32\[3000000, 1000\] has more than 2147483647 elements"):
        load_model(path, {"x": (3_000_000, 1000)})
    monkeypatch.setattr(memory, "usable_bytes", lambda: 10 << 20)
    with pytest.raises(ModelError, match=r"what the inputs hold has 11\.4 MiB"):
        load_model(path, {"x": (3000, 1000)})
