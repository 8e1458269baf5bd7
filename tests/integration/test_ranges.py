"""A model with ranges of sizes from the command line: tuned, compiled by its records, shown, right at all sizes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import flextune
from flextune.apply.model_check import onnxruntime_session
from flextune.cli.main import app

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

DIMS = ["--dim", "batch=1..2", "--dim", "seq=1..24"]


def network(path: Path) -> Path:
    """A product with its epilogue, and a softmax over its rows."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.standard_normal((32, 48)), "b": rng.standard_normal(48)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["p"]),
        helper.make_node("Add", ["p", "b"], ["q"]),
        helper.make_node("Softmax", ["q"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "rows",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", "seq", 32))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", "seq", 48))],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.slow
def test_a_model_is_tuned_over_ranges_and_compiled_by_its_records(tmp_path: Path) -> None:
    model, db, library = network(tmp_path / "rows.onnx"), str(tmp_path / "records.db"), tmp_path / "rows.so"
    runner = CliRunner()
    tuned = runner.invoke(app, ["tune", str(model), *DIMS, "--minutes", "0.3", "--db", db, "--json"])
    assert tuned.exit_code == 0, tuned.output
    facts = json.loads(tuned.stdout)
    assert facts["groups"], facts["untuned"]
    assert facts["compared"], "the builds were not compared"
    assert not facts["failures"]
    compiled = runner.invoke(app, ["compile", str(model), *DIMS, "--db", db, "-o", str(library), "--json"])
    assert compiled.exit_code == 0, compiled.output
    origins = {task["origin"] for task in json.loads(compiled.stdout)["tasks"]}
    assert ("tuned" in origins) == (facts["shipped"] == "tuned"), "what is recorded is what is compiled"
    shown = runner.invoke(app, ["show", "--db", db])
    assert "over size0=1..48 (that is batch*seq)" in shown.stdout
    listed = json.loads(runner.invoke(app, ["show", "--db", db, "--json"]).stdout)["ranges"]
    assert {each["key"] for each in listed} == {each["key"] for each in facts["groups"]}
    executable, session = flextune.load(library), onnxruntime_session(str(model), 1)
    rng = np.random.default_rng(1)
    for batch, seq in [(1, 1), (2, 24), (1, 23), (2, 7)]:
        x = rng.standard_normal((batch, seq, 32)).astype(np.float32)
        np.testing.assert_allclose(executable.run({"x": x})["y"], session.run(None, {"x": x})[0], atol=1e-4)
    again = runner.invoke(app, ["tune", str(model), *DIMS, "--minutes", "0.05", "--db", db, "--json"])
    assert {each["created"] for each in json.loads(again.stdout)["groups"]} >= {
        each["created"] for each in facts["groups"]
    }, "what is recorded is not measured again"


def test_trials_of_a_model_with_ranges_are_refused(tmp_path: Path) -> None:
    model, db = network(tmp_path / "rows.onnx"), str(tmp_path / "records.db")
    refused = CliRunner().invoke(app, ["tune", str(model), *DIMS, "--trials", "4", "--db", db])
    assert refused.exit_code != 0
    assert "has ranges of sizes: give minutes" in str(refused.exception)
