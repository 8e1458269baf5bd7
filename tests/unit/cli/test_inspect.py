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
