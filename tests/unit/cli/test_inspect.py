"""`flextune inspect` on a small model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from flextune.testing.models import conv_block

Run = Callable[..., tuple[int, str, str]]


def test_prints_operators_groups_and_weights(run: Run, tmp_path: Path) -> None:
    (tmp_path / "block.onnx").write_bytes(conv_block().SerializeToString())
    code, out, _ = run("inspect", "block.onnx", "--no-spaces", "--svg", "block.svg")
    assert code == 0
    assert "BatchNormalization      1           0" in out
    assert "332 parameters" in out
    assert "fused_conv2d" in out
    assert (tmp_path / "block.svg").read_text().startswith("<svg")


def test_json_holds_the_same(run: Run, tmp_path: Path) -> None:
    (tmp_path / "block.onnx").write_bytes(conv_block().SerializeToString())
    code, out, _ = run("inspect", "block.onnx", "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["operators"] == {"Conv": 2, "BatchNormalization": 1, "Relu": 1, "Add": 1}
    assert facts["simplified_operators"] == {"Conv": 2, "Relu": 1, "Add": 1}
    assert facts["fallbacks"] == []
    assert facts["svg"] is None
    assert sum(group["flops"] * group["count"] for group in facts["groups"]) == facts["flops"]
    assert facts["groups"][0]["space_size"] > 1


def test_a_place_that_cannot_be_written_is_told_first(run: Run, tmp_path: Path) -> None:
    code, _, err = run("inspect", "missing.onnx", "--svg", str(tmp_path / "nowhere" / "x.svg"))
    assert code == 2
    assert "existing folder" in err


DYNAMIC = Path(__file__).parents[2] / "data" / "dynamic"


def test_ranges_of_sizes_give_every_tensors_shape(run: Run) -> None:
    code, out, _ = run("inspect", str(DYNAMIC / "recogniser_script.onnx"), "--dim", "w=8..320", "--dim", "batch=1..4")
    assert code == 0
    assert "size       w=8..320" in out
    assert "[batch, (w + 1)//2, 11]" in out
    model = str(DYNAMIC / "network_dynamo.onnx")
    dims = ("--dim", "w=8..320", "--dim", "h=64", "--dim", "batch=1")
    code, out, _ = run("inspect", model, "--json", "--no-spaces", *dims)
    facts = json.loads(out)
    assert code == 0
    assert facts["dims"] == ["w=8..320"]
    assert facts["tensors"]["x"] == "[1, 3, 64, w]"
    assert facts["problems"] == []


def test_a_size_by_its_name_is_as_good_as_a_shape(run: Run) -> None:
    model = str(DYNAMIC / "network_dynamo.onnx")
    by_dims = run("inspect", model, "--no-spaces", "--json", "--dim", "w=8", "--dim", "h=64..64", "--dim", "batch=2")
    by_shape = run("inspect", model, "--no-spaces", "--json", "--shape", "x=2x3x64x8")
    assert by_dims == by_shape
    assert by_dims[0] == 0


def test_ranges_that_are_wrong_are_told(run: Run) -> None:
    model = str(DYNAMIC / "network_dynamo.onnx")
    for dims, words in {
        "w=8..4": "8..4 is not one of sizes",
        "width=1..4": "dynamic dimensions [batch, 3, h, w]",
        "w": "expected NAME=LOW..HIGH",
    }.items():
        code, _, err = run("inspect", model, "--dim", dims)
        assert code == 2
        assert words in err
    code, _, err = run("accuracy", model, "--dim", "w=8..16", "--dim", "h=64", "--dim", "batch=1", "--max-error", "0.1")
    assert code == 2
    assert "--max-error are for one size of each dimension" in err
