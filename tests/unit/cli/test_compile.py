"""`flextune compile` for targets that the records hold, with its header and its memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import onnx
import pytest

from flextune.apply.compiled_file import read_signature
from flextune.cli.recorded_target import recorded_target
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.importing.model import load_model
from flextune.plan.partition import partition_model
from flextune.platforms import platform_registry
from flextune.target.target import Target
from flextune.testing.models import conv_block, model_of, value
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance, TuningRecord

Run = Callable[..., tuple[int, str, str]]
OTHER = "x86:cpu=haswell,cores=4,features=sse4+avx2,l1=32768,l2=262144,l3=8388608"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model, and records of all of its kernels on another processor with four cores."""
    folder = tmp_path_factory.mktemp("recorded")
    onnx.save(conv_block(16), folder / "block.onnx")
    target = Target.parse(OTHER)
    provenance = Provenance("protocol", "versions", 0, "random", "host")
    with open_database(folder / "r.db") as database:
        for task in partition_model(load_model(folder / "block.onnx")).tasks:
            space = platform_registry.get(target.kind).search_space(task.workload, target)
            candidate = Candidate(task.workload, target, space.trace, space.default)
            measured = Measurement(space.default, Status.OK, (1e-3,))
            database.commit(TuningRecord.of(candidate, measured, provenance, datetime(2026, 1, 1, tzinfo=UTC)))
    return folder / "block.onnx", folder / "r.db"


def test_records_of_another_target_make_its_library(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    model, records = files
    arguments = ("compile", str(model), "-o", "m.so", "--db", str(records), "--header", "--threads", "3", "--json")
    code, out, err = run(*arguments, "--for-target", "x86:cpu=haswell,cores=4,features=sse4+avx2")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert {task["origin"] for task in told["tasks"]} == {"tuned"}
    assert told["target"] == OTHER
    assert told["activation_bytes"] > 0
    assert (tmp_path / "flextune_model.h").read_text().startswith("/*")
    signature = read_signature(tmp_path / "m.so")
    assert (signature.target, signature.threads) == (OTHER, 3)
    assert "avx2" in signature.instructions
    assert not [name for name in signature.instructions if name.startswith("avx512")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--for-target", "x86:cpu=znver4,cores=2,features=avx512"), [OTHER, "records of"]),
        (("--for-target", "0123456789abcdef"), ["no target with the key", OTHER]),
        (("--for-target", "x86:cpu=haswell"), ["lacks cores"]),
        (("--for-target", OTHER, "--target", OTHER), ["not both"]),
    ],
)
def test_targets_without_records_are_refused(
    run: Run, files: tuple[Path, Path], arguments: tuple[str, ...], words: list[str]
) -> None:
    model, records = files
    code, out, err = run("compile", str(model), "-o", "m.so", "--db", str(records), *arguments)
    assert (code, out) == (2, "")
    assert all(word in err for word in words), err


def test_a_target_is_found_by_key_and_by_what_its_text_says(files: tuple[Path, Path]) -> None:
    target = Target.parse(OTHER)
    with open_database(files[1], must_exist=True) as database:
        for text in (OTHER, target.key, "x86:cpu=haswell,cores=4,features=avx2"):
            assert recorded_target(text, database, "r.db") == target
        with pytest.raises(UsageError, match="holds no records of"):
            recorded_target("x86:cpu=haswell,cores=2,features=avx2", database, "r.db")


def test_records_of_no_kernel_of_the_model_are_refused(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    node = onnx.helper.make_node("Softmax", ["x"], ["y"])
    onnx.save(model_of([node], [value("x", [3, 7])], [value("y", [3, 7])]), tmp_path / "other.onnx")
    code, _, err = run("compile", "other.onnx", "-o", "m.so", "--db", str(files[1]), "--for-target", OTHER)
    assert code == 2
    assert "none of this model's" in err
