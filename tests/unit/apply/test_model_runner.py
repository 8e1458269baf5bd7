"""Builds of a whole model in processes of their own: right ones, and ones that a compiler should never have made."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import tvm
from google.protobuf.message import EncodeError
from onnx import TensorProto, helper
from tvm import te, tirx

from flextune.apply import assemble, handover
from flextune.apply.build import Build, compile_model
from flextune.apply.executable import load_executable
from flextune.apply.kernel_objects import InProcess
from flextune.apply.model_runner import LocalModelRunner, ModelLimits
from flextune.apply.model_service import load_arrays, save_arrays
from flextune.apply.signature import Runtime
from flextune.errors import KernelError
from flextune.importing.model import Model, load_model, model_from_proto
from flextune.measure.watch import ends_within
from flextune.plan.partition import Partition, partition_model
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.models import model_of, value
from flextune.trial.measurement import Status
from flextune.workload.rounding import bfloat16_of
from tests.unit.plan.layouts.nets import branching

pytestmark = pytest.mark.xdist_group("model_runner")
LIMITS = ModelLimits(least_secs=3.0)


def nothing(_: Any) -> Any:
    return tirx.Evaluate(0)


def endless(_: Any) -> Any:
    counter = tirx.decl_buffer((1,), "int32", "counter", scope="local")
    step = tirx.BufferStore(counter, tirx.BufferLoad(counter, [0]) + 1, [0])
    return tirx.SeqStmt([tirx.AllocBuffer(counter), tirx.While(tirx.BufferLoad(counter, [0]) > -1, step)])


def abort(_: Any) -> Any:
    return tirx.Evaluate(tirx.call_extern("int32", "abort"))


class Saboteur(InProcess):
    """Compiles one kernel of a model, the first in the alphabet, with another body."""

    def __init__(self, body: Callable[[Any], Any]) -> None:
        self._body = body

    def write(self, kernels: tvm.IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        functions = {variable.name_hint: function for variable, function in kernels.functions_items()}
        if part == 0:
            name = min(functions)
            function = functions[name]
            functions[name] = tirx.PrimFunc(function.params, self._body(function.body), attrs=function.attrs)
        return super().write(tvm.IRModule(functions), target, folder, part)


@pytest.fixture(scope="module")
def partition(tmp_path_factory: pytest.TempPathFactory) -> Partition:
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    path.write_bytes(branching(24).SerializeToString())
    return partition_model(load_model(path))


@pytest.fixture(scope="module")
def right(partition: Partition) -> Build:
    return compile_model(partition, {}, detect(), threads=1)


@pytest.fixture(scope="module")
def models(partition: Partition, right: Build) -> Iterator[LocalModelRunner]:
    with LocalModelRunner(detect(), partition.model, 1e-3, LIMITS) as runner:
        runner.open(right.executable)
        yield runner


def sabotaged(partition: Partition, body: Callable[[Any], Any]) -> Build:
    return compile_model(partition, {}, detect(), threads=1, writer=Saboteur(body))


def test_a_right_build_is_checked_and_timed(models: LocalModelRunner, right: Build) -> None:
    opened = models.open(right.executable)
    assert opened.failure is None
    assert opened.max_error < 1e-4
    assert models.reference == "ONNX Runtime"
    assert 0 < opened.run_secs() < 60
    secs = opened.kernel_secs(2)
    assert set(secs) == {name for name in right.executable.signature.kernels if name}
    assert all(len(times) % 2 == 0 and min(times) >= 0 for times in secs.values())


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        (nothing, Status.WRONG_OUTPUT, "off by"),
        (endless, Status.RUN_TIMEOUT, "no end after"),
        (abort, Status.RUN_ERROR, "SIGABRT"),
    ],
)
def test_a_bad_build_costs_itself_alone(
    models: LocalModelRunner, partition: Partition, right: Build, body: Callable[[Any], Any], status: Status, text: str
) -> None:
    bad = models.open(sabotaged(partition, body).executable)
    assert bad.failure is not None
    assert bad.failure.status is status
    assert text in bad.failure.error
    assert bad.run_secs() == math.inf
    assert bad.kernel_secs(1) == {}
    assert 0 < models.open(right.executable).run_secs() < math.inf


def test_a_process_that_somebody_kills_costs_no_build(models: LocalModelRunner, right: Build) -> None:
    opened = models.open(right.executable)
    pid = models.timing_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert opened.run_secs() < math.inf
    assert opened.failure is None
    assert models.timing_pid not in (None, pid)


def test_kernels_are_compiled_in_other_processes(models: LocalModelRunner, partition: Partition, right: Build) -> None:
    built = compile_model(partition, {}, detect(), threads=1, writer=models)
    inputs = built.executable.random_inputs(1)
    expected = right.executable.run(inputs)
    for name, output in built.executable.run(inputs).items():
        np.testing.assert_array_equal(output, expected[name])


def test_the_first_kernel_that_a_process_compiles_may_round_to_bfloat16(partition: Partition, tmp_path: Path) -> None:
    given = te.placeholder((16,), "float32")
    function = te.create_prim_func([given, te.compute((16,), lambda i: bfloat16_of(given[i]))])
    kernels = tvm.IRModule({"k": function.with_attr("global_symbol", "k")})
    with LocalModelRunner(detect(), partition.model, 1e-3, LIMITS) as runner:
        (path,) = runner.write(kernels, detect(), tmp_path)
        assert path.stat().st_size > 0


def test_a_kernel_that_does_not_compile_is_an_error_with_the_compilers_words(
    models: LocalModelRunner, tmp_path: Path
) -> None:
    function = tirx.PrimFunc([], tirx.Evaluate(0))
    kernels = tvm.IRModule({"k": function.with_attr("global_symbol", "k")})
    (path,) = models.write(kernels, detect(), tmp_path)
    assert path.stat().st_size > 0
    of_gpus = tirx.call_intrin("int32", "tirx.tvm_thread_allreduce", tirx.const(1, "int32"))
    unknown = tirx.PrimFunc([], tirx.Evaluate(of_gpus))
    with pytest.raises(KernelError, match=r"\w"):
        models.write(tvm.IRModule({"k": unknown.with_attr("global_symbol", "k")}), detect(), tmp_path)


def test_a_kernel_is_compiled_once_in_all_builds(models: LocalModelRunner, tmp_path: Path) -> None:
    def kernel(name: str, value: int) -> tirx.PrimFunc:
        return tirx.PrimFunc([], tirx.Evaluate(value)).with_attr("global_symbol", name)

    first = models.write(tvm.IRModule({"a": kernel("a", 0), "b": kernel("b", 0)}), detect(), tmp_path)
    written = {path: path.stat().st_mtime_ns for path in first}
    second = models.write(tvm.IRModule({"b": kernel("b", 0), "a": kernel("a", 1)}), detect(), tmp_path, part=1)
    assert len({*first, *second}) == 3
    assert {path: path.stat().st_mtime_ns for path in first} == written


def test_a_closed_model_is_opened_anew(models: LocalModelRunner, right: Build) -> None:
    models.open(right.executable).close()
    again = models.open(right.executable)
    assert again.failure is None
    assert again.run_secs() < math.inf


def test_saved_models_are_opened_from_their_file(models: LocalModelRunner, right: Build, tmp_path: Path) -> None:
    loaded = load_executable(right.executable.save(tmp_path / "model.so"))
    assert models.open(loaded).failure is None


def sorted_by(weight: float) -> Partition:
    """A model that needs TVM's virtual machine: it finds the largest of many weighted inputs."""
    weights = {"w": np.full((300,), weight, np.float32) * np.arange(1, 301, dtype=np.float32), "k": np.array([3])}
    nodes = [helper.make_node("Mul", ["x", "w"], ["a"]), helper.make_node("TopK", ["a", "k"], ["v", "i"])]
    outputs = [value("v", [4, 3]), helper.make_tensor_value_info("i", TensorProto.INT64, [4, 3])]
    return partition_model(model_from_proto(model_of(nodes, [value("x", [4, 300])], outputs, weights), "sorted"))


@pytest.mark.parametrize("has_compiler", [True, False])
def test_models_on_the_virtual_machine_are_each_their_own(has_compiler: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (assemble, handover):
        monkeypatch.setattr(module, "has_compiler", lambda: has_compiler)
    right, wrong = sorted_by(1), sorted_by(-1)
    builds = [compile_model(each, {}, detect(), threads=1) for each in (right, right, wrong)]
    assert all(build.executable.signature.runtime is Runtime.TVM for build in builds)
    with LocalModelRunner(detect(), right.model, 1e-3, LIMITS) as runner:
        first, second, third = (runner.open(build.executable) for build in builds)
        assert (first.failure, second.failure) == (None, None)
        assert runner.reference == "ONNX Runtime"
        assert third.failure is not None
        assert third.failure.status is Status.WRONG_OUTPUT
        assert first.run_secs() < math.inf
        assert first.kernel_secs(1)


def test_others_are_compared_with_a_first_build_that_is_off(partition: Partition, right: Build) -> None:
    wrong = sabotaged(partition, nothing)
    with LocalModelRunner(detect(), partition.model, 1e-3, LIMITS) as runner:
        first = runner.open(wrong.executable)
        assert first.failure is None
        assert "off by" in runner.reference
        assert "ONNX Runtime" in runner.reference
        other = runner.open(right.executable)
        assert other.failure is not None
        assert other.failure.status is Status.WRONG_OUTPUT


def test_without_a_reference_in_time_the_first_build_stands_for_it(partition: Partition, right: Build) -> None:
    with LocalModelRunner(detect(), partition.model, 1e-3, ModelLimits(reference_secs=0.2)) as runner:
        pid = runner.reference_pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)  # it never answers
        assert runner.open(right.executable).failure is None
        assert runner.reference == "the first build"


def test_a_reference_whose_process_dies_is_done_without(partition: Partition, right: Build) -> None:
    with LocalModelRunner(detect(), partition.model, 1e-3, LIMITS) as runner:
        pid = runner.reference_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert ends_within(pid, 60)
        assert runner.open(right.executable).failure is None
        assert runner.reference == "the first build"


def test_a_model_that_is_too_large_for_a_file_is_tuned_without_reference(partition: Partition, right: Build) -> None:
    class TooLarge:
        def SerializeToString(self) -> bytes:
            raise EncodeError("exceeds maximum protobuf size of 2GB")

    model = SimpleNamespace(proto=TooLarge(), random_inputs=partition.model.random_inputs)
    with LocalModelRunner(detect(), cast(Model, model), 1e-3, LIMITS) as runner:
        assert runner.open(right.executable).failure is None
        assert runner.reference == "the first build"


def test_arrays_of_any_name_and_type_are_read_as_they_were_written(tmp_path: Path) -> None:
    arrays = {"a/b ü": np.arange(6).reshape(2, 3), "": np.zeros((0, 2), np.float16), "s": np.array(True)}
    save_arrays(tmp_path / "a.npz", arrays)
    found = load_arrays(tmp_path / "a.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
