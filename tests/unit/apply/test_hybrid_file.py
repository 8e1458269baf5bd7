"""The file of a hybrid model: what is damaged, foreign or contradicts itself is one clear message, and nothing runs."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

import flextune
from flextune.apply.build import compile_model
from flextune.apply.compiled_file import HYBRID_MAGIC, TRAILER
from flextune.apply.hybrid_build import HybridOptions, build_split, split_model
from flextune.compilers.onnxruntime.session import open_session
from flextune.compilers.subgraph_compiler import SubgraphOptions
from flextune.errors import BuildError, EnvironmentFault, UsageError
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.target import Target
from flextune.testing.models import model_of, random_array, value

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def saved(target: Target, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """conv -> sum with a table inside of an operator that is not ours -> its determinants."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("CDist", ["rows", "table"], ["far"], domain="com.microsoft", metric="euclidean"),
        helper.make_node("Reshape", ["a", "sizes"], ["rows"]),
    ]
    constants = {"w": random_array(1, 8, 4, 3, 3), "table": random_array(2, 300, 8), "sizes": np.array([64, 8])}
    proto = model_of([nodes[0], nodes[2], nodes[1]], [value("x", [1, 4, 10, 10])], [value("far", [64, 300])], constants)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model = model_from_proto(proto, "net", only_own=False)
    split = split_model(model, partition_model, HybridOptions())
    _, build = build_split(split, lambda partition: compile_model(partition, {}, target), target)
    path = build.executable.save(tmp_path_factory.mktemp("hybrid") / "net.flextune")
    flextune.load(path).run(build.executable.random_inputs(0))
    return path.read_bytes()


def rewritten(content: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The file with another manifest and a checksum that fits it."""
    _, length, _ = TRAILER.unpack(content[-TRAILER.size :])
    members, text = content[: -TRAILER.size - length], content[-TRAILER.size - length : -TRAILER.size]
    manifest = json.loads(text)
    change(manifest)
    body = members + json.dumps(manifest).encode()
    return body + TRAILER.pack(zlib.crc32(body), len(body) - len(members), HYBRID_MAGIC)


def load(content: bytes, folder: Path) -> None:
    path = folder / "net.flextune"
    path.write_bytes(content)
    flextune.load(path)


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.9, 0.999])
def test_a_changed_byte_is_noticed(saved: bytes, place: float, tmp_path: Path) -> None:
    changed = bytearray(saved)
    changed[int(place * (len(saved) - TRAILER.size))] ^= 0x40
    with pytest.raises(UsageError, match="damaged"):
        load(bytes(changed), tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_noticed(saved: bytes, share: float, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not a model compiled by|truncated"):
        load(saved[: int(share * len(saved))], tmp_path)


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last, new = path

    def change(manifest: dict[str, Any]) -> None:
        place: Any = manifest
        for key in keys:
            place = place[key]
        place[last] = new

    return change


@pytest.mark.parametrize(
    "change",
    [
        _set("format", 2),
        _set("members", []),
        _set("members", 0, -1),
        _set("members", 0, 10**30),
        _set("members", "many"),
        _set("parts", 0, "member", 99),
        _set("parts", 0, "compiler", 7),
        _set("parts", 1, "weights", "table", "shape", [300, 9]),
        _set("parts", 1, "weights", "table", "shape", [2**40, 2**40]),
        _set("parts", 1, "weights", "table", "dtype", "object"),
        _set("parts", 1, "weights", "table", "dtype", "__import__('os')"),
        _set("parts", 0, "ports", "inputs", 0, "shape", [1, 4, 20, 20]),
        _set("parts", 1, "ports", "inputs", 0, "name", "elsewhere"),
        _set("parts", 1, "ports", "outputs", 0, "dtype", "float64"),
        _set("parts", []),
        _set("parts", 0, None),
        _set("signature", "runtime", "own"),
        _set("signature", "outputs", 0, "shape", [64, 3000]),
        _set("signature", []),
        lambda manifest: manifest["parts"].reverse(),
        lambda manifest: manifest.pop("parts"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    saved: bytes, change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="was changed after it was compiled"):
        load(rewritten(saved, change), tmp_path)


def test_parts_of_ours_must_be_what_the_manifest_says(saved: bytes, tmp_path: Path) -> None:
    """The library's own signature counts, not what stands around it."""

    def change(manifest: dict[str, Any]) -> None:
        for spec in (manifest["parts"][0]["ports"]["outputs"][0], manifest["parts"][1]["ports"]["inputs"][0]):
            spec["shape"] = [640, 80]

    with pytest.raises(UsageError, match="takes and gives other tensors"):
        load(rewritten(saved, change), tmp_path)


def test_unknown_compilers_and_providers_are_named(saved: bytes, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown subgraph compiler 'evil'"):
        load(rewritten(saved, _set("parts", 1, "compiler", "evil")), tmp_path)
    with pytest.raises(EnvironmentFault, match="no execution provider 'NoSuchExecutionProvider'"):
        load(rewritten(saved, _set("parts", 1, "providers", ["NoSuchExecutionProvider"])), tmp_path)


@pytest.mark.parametrize("place", ["initializer", "attribute", "context"])
def test_graphs_that_would_read_other_files_are_refused(place: str) -> None:
    outside = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    if place == "attribute":
        nodes.insert(0, helper.make_node("Constant", [], ["w"], value=outside))
    if place == "context":
        nodes = [helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="/tmp/evil.bin")]
    proto = model_of(nodes, [value("x", [2])], [value("y", [2])])
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    proto.graph.initializer.extend([outside] * (place == "initializer"))
    weights = {"w": np.zeros(2, np.float32)} if place == "attribute" else {}
    with pytest.raises(BuildError, match=r"another file|other files"):
        open_session(proto.SerializeToString(), weights, SubgraphOptions(1))


def test_bytes_that_are_no_graph_are_refused() -> None:
    for content in (b"", b"\x00" * 64, b"not an ONNX graph at all"):
        with pytest.raises(BuildError, match=r"no ONNX graph|does not take"):
            open_session(content, {}, SubgraphOptions(1))
