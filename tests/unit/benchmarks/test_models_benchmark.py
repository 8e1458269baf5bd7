"""The benchmark of models: its protocol, its peers on a tiny model, and flextune as a user runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks import model_tuning, models
from benchmarks.model_peers.call import BFLOAT16, FLOAT32, ModelJob, relative_error
from benchmarks.model_peers.catalog import PEERS, choose_peers
from benchmarks.model_peers.probe import PROBE, PROBE_FILE
from benchmarks.model_peers.server import ModelServer, runs_of_turn
from benchmarks.model_tuning import Tuning, attempted, tune_and_compile
from benchmarks.peers.process import PeerError, PeerProcess
from flextune.errors import UsageError


@pytest.fixture
def job(tmp_path: Path) -> ModelJob:
    """A convolution and a matrix product under a light model's name, with reference outputs of NumPy's making."""
    runtime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    arrays = {
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "flat": np.array([1, 4 * 36], np.int64),
        "fc": rng.standard_normal((5, 4 * 36)).astype(np.float32),
        "bias": rng.standard_normal(5).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], kernel_shape=[3, 3]),
        helper.make_node("Reshape", ["a", "flat"], ["b"]),
        helper.make_node("Gemm", ["b", "fc", "bias"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 5))],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "tiny.onnx")
    job = ModelJob(str(tmp_path), "light_squeezenet", str(tmp_path / "tiny.onnx"), FLOAT32, (0,), 0.002, 3, 0.001, 1, 2)
    job.write()
    session = runtime.InferenceSession(model.SerializeToString())
    for seed in range(job.seeds):
        np.savez(job.reference_path(seed), *session.run(None, job.inputs(seed)))
    return job


def changed(job: ModelJob, **fields: object) -> ModelJob:
    values = {name: getattr(job, name) for name in ModelJob.__dataclass_fields__}
    return ModelJob(**{**values, **fields})


def test_a_job_survives_being_written(job: ModelJob) -> None:
    assert ModelJob.read(job.folder) == job


@pytest.mark.parametrize(("peer", "package"), [("onnxruntime", "onnxruntime"), ("openvino", "openvino")])
def test_a_peer_computes_the_model(peer: str, package: str, job: ModelJob) -> None:
    pytest.importorskip(package)
    [call] = PEERS[peer].load()(job)  # type: ignore[arg-type, call-arg]
    assert call.precision == FLOAT32
    assert relative_error(call.compute(job.inputs(1)), [np.load(job.reference_path(1))["arr_0"]]) < 1e-4
    times = call.times(4)
    assert len(times) == 4
    assert all(0 < secs < 10 for secs in times)


def test_openvino_says_which_precision_its_default_has(job: ModelJob) -> None:
    pytest.importorskip("openvino")
    [call] = PEERS["openvino-default"].load()(job)  # type: ignore[arg-type, call-arg]
    assert call.precision in (FLOAT32, BFLOAT16)


def test_pytorch_tries_both_layouts_of_a_convolutional_network(job: ModelJob) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    threads = torch.get_num_threads()
    try:
        calls = PEERS["pytorch"].load()(job)  # type: ignore[arg-type, call-arg]
        assert [call.variant for call in calls] == ["", "channels last"]
        for call in calls:
            assert relative_error(call.compute(job.inputs(1)), [np.load(job.reference_path(1))["arr_0"]]) < 1e-4
    finally:
        torch.set_num_threads(threads)


def test_pytorch_falls_back_to_autocast_where_bfloat16_has_no_operator(tmp_path: Path) -> None:
    torch, runtime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    pytest.importorskip("transformers")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8, 4, 4)) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("LRN", ["x"], ["y"], size=3)], "lrn", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "lrn.onnx")
    job = ModelJob(str(tmp_path), "light_zfnet512", str(tmp_path / "lrn.onnx"), BFLOAT16, (0,), 0.002, 3, 0.001, 1, 1)
    threads = torch.get_num_threads()
    try:
        calls = PEERS["pytorch"].load()(job)  # type: ignore[arg-type, call-arg]
        wanted = runtime.InferenceSession(model.SerializeToString()).run(None, job.inputs(0))
        assert [call.variant for call in calls] == ["autocast", "channels last, autocast"]
        assert all(relative_error(call.compute(job.inputs(0)), wanted) < 0.02 for call in calls)
    finally:
        torch.set_num_threads(threads)


def test_without_a_compiler_torch_compile_is_absent(job: ModelJob, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "needs a C++ compiler" in str(ModelServer("pytorch-compile", job).answer("prepare")["absent"])


def test_onnx_runtime_is_absent_in_bfloat16(job: ModelJob) -> None:
    server = ModelServer("onnxruntime", changed(job, precision=BFLOAT16))
    assert "bfloat16" in str(server.answer("prepare")["absent"])


def test_a_peer_s_process_times_single_runs_and_checks_all_inputs(job: ModelJob) -> None:
    process = PeerProcess(PEERS["onnxruntime"], job, models._SERVER)
    try:
        assert process.ask("prepare")["precision"] == FLOAT32
        run_secs = process.ask("time")["run_secs"]
        assert len(run_secs) >= 3
        assert all(0 < secs < 10 for secs in run_secs)
        assert process.ask("check")["max_error"] < 1e-5
    finally:
        process.close()


def test_the_probe_is_a_process_like_a_peer_s(job: ModelJob) -> None:
    (job.path / PROBE_FILE).symlink_to(job.file)
    process = PeerProcess(PROBE, job, PROBE.module)
    try:
        assert 0 < process.ask("probe")["secs"] < 10
    finally:
        process.close()


def test_wrong_outputs_are_no_result(job: ModelJob) -> None:
    np.savez(job.reference_path(0), np.ones((1, 5), np.float32))
    assert "wrong outputs" in str(ModelServer("onnxruntime", job).answer("prepare")["absent"])


def test_errors_are_relative_to_the_largest_output() -> None:
    want = np.array([[1.0, -4.0]], np.float32)
    assert relative_error([want + 0.02], [want]) == pytest.approx(0.005, rel=1e-3)
    assert relative_error([want.T], [want]) == float("inf")
    assert relative_error([np.array([[1.0, np.nan]])], [want]) == float("inf")
    assert relative_error([], [want]) == float("inf")


def test_a_turn_has_enough_runs_and_lasts_long_enough() -> None:
    assert runs_of_turn(0.1, 0.15, 3) == 3
    assert runs_of_turn(0.001, 0.15, 3) == 150


def test_flextune_is_always_among_the_peers() -> None:
    assert [peer.name for peer in choose_peers(["openvino"])] == ["flextune", "openvino"]
    assert len(choose_peers([])) == len(PEERS)
    with pytest.raises(UsageError, match="did you mean 'openvino'"):
        choose_peers(["openvno"])


class Recorded:
    """Stands for `run_program`: notes the command lines, and answers as `flextune tune --json` does."""

    def __init__(self) -> None:
        self.arguments: list[list[str]] = []

    def __call__(self, command: Sequence[str], *rest: object) -> tuple[list[str], float]:
        arguments = list(command[3:])
        self.arguments.append(arguments)
        return [json.dumps({"trials": 7})] if arguments[0] == "tune" else [], 61.0


def test_tuning_is_what_a_user_would_type(job: ModelJob, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(model_tuning, "run_program", recorded)
    database = job.path / "records.db"
    database.touch()
    assert tune_and_compile(changed(job, precision=BFLOAT16), 1.5, database) == Tuning(61.0, 7)
    tune, compiled = recorded.arguments
    assert tune == ["tune", job.file, "--minutes", "1.5", "--db", str(database), "--json", "--precision", "bf16"]
    assert compiled[:2] == ["compile", job.file]
    assert compiled[-4:] == ["--db", str(database), "--precision", "bf16"]


def test_without_minutes_nothing_is_tuned(job: ModelJob, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded()
    monkeypatch.setattr(model_tuning, "run_program", recorded)
    assert tune_and_compile(job, 0, job.path / "none.db") == Tuning(0.0, 0)
    assert [arguments[0] for arguments in recorded.arguments] == ["compile"]


def test_a_failed_tuning_is_the_reason_of_an_empty_cell(job: ModelJob) -> None:
    def fails() -> Tuning:
        raise PeerError("tune ended with status 1: no space left")

    assert attempted(fails, job, "tuned.so") is None
    assert ModelServer("flextune", job).answer("prepare") == {"absent": "tune ended with status 1: no space left"}


@pytest.mark.parametrize("arguments", [["--models", "nothing"], ["--peers", "nobody"], ["--minutes", "-1"]])
def test_bad_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(arguments) == 2
    assert "error:" in capsys.readouterr().err
