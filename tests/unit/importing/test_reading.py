"""External data, order of nodes, and memory: what is read, and one clear message for each thing that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.errors import ModelError
from flextune.importing.model import load_model, model_from_proto
from flextune.target import memory
from flextune.testing.models import conv_block, evaluate, model_of, random_array, value

WEIGHTS = random_array(0, 64)


def external_model(folder: Path) -> Path:
    nodes = [helper.make_node("Add", ["x", "w"], ["a"]), helper.make_node("Mul", ["a", "v"], ["y"])]
    constants = {"w": WEIGHTS, "v": WEIGHTS + 1}
    path = folder / "model.onnx"
    onnx.save(
        model_of(nodes, [value("x", [64])], [value("y", [64])], constants),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def relocated(path: Path, location: str) -> Path:
    proto = onnx.load(str(path), load_external_data=False)
    for tensor in proto.graph.initializer:
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
    path.write_bytes(proto.SerializeToString())
    return path


def test_weights_of_other_files_are_read(tmp_path: Path) -> None:
    model = load_model(external_model(tmp_path))
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer}
    np.testing.assert_array_equal(found["w"], WEIGHTS)
    np.testing.assert_array_equal(found["v"], WEIGHTS + 1)
    model.save(tmp_path / "whole.onnx")
    (tmp_path / "weights.bin").unlink()
    assert load_model(tmp_path / "whole.onnx").inputs == model.inputs


def test_weights_in_a_folder_below_are_read(tmp_path: Path) -> None:
    path = external_model(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "data" / "weights.bin")
    assert len(load_model(relocated(path, "data/weights.bin")).proto.graph.initializer) == 2


@pytest.mark.parametrize("location", ["../weights.bin", "data/../../weights.bin", "/etc/passwd", "C:\\w", "..\\w", ""])
def test_paths_that_leave_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = external_model(folder)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="inside the model's folder") as caught:
        load_model(relocated(path, location))
    assert repr(location) in str(caught.value)


def test_links_that_leave_the_folder_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    path = external_model(folder)
    (folder / "weights.bin").rename(tmp_path / "weights.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "weights.bin")
    with pytest.raises(ModelError, match="link that leads out"):
        load_model(path)


def test_missing_and_cut_external_files_are_named(tmp_path: Path) -> None:
    path = external_model(tmp_path)
    whole = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(whole[:-1])
    with pytest.raises(ModelError, match=r"needs \d+ bytes of weights.bin, which has \d+: the file is truncated"):
        load_model(path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="missing; a model with external data is several files"):
        load_model(path)


def test_models_larger_than_memory_are_refused_before_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = external_model(tmp_path)
    with (tmp_path / "weights.bin").open("r+b") as stream:
        stream.truncate(1 << 42)  # a sparse file: 4 TiB that take no room
    proto = onnx.load(str(path), load_external_data=False)
    next(entry for entry in proto.graph.initializer[0].external_data if entry.key == "length").value = str(1 << 41)
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=r"external data has 2048.0 GiB and needs 4096.0 GiB of memory, of which"):
        load_model(path)
    monkeypatch.setattr(memory, "usable_bytes", lambda: 1000)
    (tmp_path / "small.onnx").write_bytes(conv_block().SerializeToString())
    with pytest.raises(ModelError, match="take a smaller model"):
        load_model(tmp_path / "small.onnx")


def shuffled(proto: onnx.ModelProto) -> onnx.ModelProto:
    nodes = list(proto.graph.node)[::-1]
    mixed = onnx.ModelProto()
    mixed.CopyFrom(proto)
    del mixed.graph.node[:]
    mixed.graph.node.extend(nodes)
    return mixed


def test_nodes_out_of_order_are_sorted() -> None:
    proto = conv_block()
    model = model_from_proto(shuffled(proto), "mixed")
    assert [node.name for node in model.proto.graph.node] == [node.name for node in proto.graph.node]
    x = random_array(3, 1, 4, 10, 10)
    np.testing.assert_array_equal(evaluate(model.proto, {"x": x})[0], evaluate(proto, {"x": x})[0])


def test_a_cycle_is_named_node_by_node() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="outside"),
        helper.make_node("Add", ["a", "d"], ["b"], name="first"),
        helper.make_node("Relu", ["b"], ["c"], name="second"),
        helper.make_node("Neg", ["c"], ["d"], name="third"),
        helper.make_node("Neg", ["d"], ["y"], name="behind"),
    ]
    proto = model_of(nodes, [value("x", [4])], [value("y", [4])])
    with pytest.raises(ModelError, match="Add first -> Relu second -> Neg third -> Add first"):
        model_from_proto(proto, "cyclic", source="cyclic.onnx")
    itself = model_of([helper.make_node("Add", ["x", "y"], ["y"], name="me")], [value("x", [4])], [value("y", [4])])
    with pytest.raises(ModelError, match="Add me -> Add me"):
        model_from_proto(itself, "cyclic")


def test_weights_shorter_than_their_sizes_are_refused() -> None:
    proto = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [value("x", [4096])],
        [value("y", [4096])],
        {"w": random_array(0, 4096)},
    )
    proto.graph.initializer[0].raw_data = proto.graph.initializer[0].raw_data[:-4]
    with pytest.raises(ModelError, match=r"'w' of sizes \[4096\] needs 16384 bytes"):
        model_from_proto(proto, "short")


@pytest.mark.parametrize("field", [b"Relu", b"inner", b"scale", b"axis_of"])
def test_names_that_are_no_text_are_refused(field: bytes) -> None:
    """Of operators, values, constants and attributes, also in a branch."""
    branch = helper.make_graph([helper.make_node("Relu", ["inner"], ["y"])], "branch", [], [value("y", [4])])
    nodes = [
        helper.make_node("Add", ["x", "scale"], ["inner"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branch, else_branch=branch, axis_of=1),
    ]
    constants = {"scale": random_array(0, 4), "condition": np.array(True)}
    proto = model_of(nodes, [value("x", [4])], [value("y", [4])], constants)
    damaged = onnx.ModelProto.FromString(proto.SerializeToString().replace(field, b"\xe5" + field[1:]))
    with pytest.raises(ModelError, match="not UTF-8"):
        model_from_proto(damaged, "net")
