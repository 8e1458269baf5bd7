"""Running: names, shapes and dtypes are checked; odd arrays and several threads work."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from flextune.apply.arrays import apart, as_array, empty_value, input_array
from flextune.apply.build import Build, compile_model
from flextune.apply.executable import Executable
from flextune.apply.signature import Runtime
from flextune.errors import EnvironmentFault, ModelError, UsageError
from flextune.importing.values import ValueSpec
from flextune.plan.partition import Partition
from flextune.target import memory as machine_memory
from flextune.target.target import Target


@pytest.fixture
def executable(build: Build) -> Executable:
    return build.executable


def test_signature(executable: Executable) -> None:
    assert executable.inputs == (ValueSpec("x", (1, 4, 10, 10), "float32"),)
    assert executable.outputs == (ValueSpec("y", (1, 4, 10, 10), "float32"),)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, ["'x' is missing", "x: float32[1, 4, 10, 10]"]),
        ({"z": np.zeros(1, np.float32)}, ["no input 'z'", "x: float32[1, 4, 10, 10]"]),
        ({"x": np.zeros((1, 4, 10), np.float32)}, ["x: float32[1, 4, 10, 10]", "float32[1, 4, 10]"]),
        ({"x": np.zeros((1, 4, 10, 10))}, ["float32[1, 4, 10, 10]", "float64[1, 4, 10, 10]"]),
    ],
)
def test_wrong_inputs_say_what_was_expected_and_what_came(
    executable: Executable, inputs: dict[str, np.ndarray], words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        executable.run(inputs)
    assert all(word in str(caught.value) for word in words), caught.value


def test_arrays_of_any_placement_give_the_same(executable: Executable) -> None:
    array = executable.random_inputs(2)["x"]
    want = executable.run({"x": array})["y"]
    odd = np.empty(array.size + 1, np.float32)[1:].reshape(array.shape)
    odd[...] = array
    strided = np.repeat(array, 2, axis=3)[..., ::2]
    fixed = array.copy()
    fixed.flags.writeable = False
    for version in (odd, strided, fixed, np.asfortranarray(array)):
        np.testing.assert_array_equal(executable.run({"x": version})["y"], want)


def test_outputs_are_the_callers_own(executable: Executable) -> None:
    inputs = executable.random_inputs(0)
    first = executable.run(inputs)["y"]
    kept = first.copy()
    executable.run(executable.random_inputs(1))
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    np.testing.assert_array_equal(executable.run(inputs)["y"], kept)


def test_several_threads_may_run_it(executable: Executable) -> None:
    inputs = [executable.random_inputs(seed) for seed in range(4)]
    want = [executable.run(each)["y"] for each in inputs]
    right: list[bool] = []

    def work(index: int) -> None:
        right.extend(np.array_equal(executable.run(inputs[index])["y"], want[index]) for _ in range(5))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 20


def test_benchmark_times_single_runs(executable: Executable) -> None:
    latency = executable.benchmark(min_runs=5, min_secs=0.0, warmup=1)
    assert len(latency.run_secs) == 5
    assert min(latency.run_secs) <= latency.median_secs <= max(latency.run_secs)


def test_dlpack_tensors_go_in_and_are_written(executable: Executable) -> None:
    torch = pytest.importorskip("torch")
    array = executable.random_inputs(2)["x"]
    want = executable.run({"x": array})["y"]
    tensor = torch.from_numpy(array.copy())
    np.testing.assert_array_equal(executable.run({"x": tensor})["y"], want)
    memory = torch.zeros(executable.outputs[0].shape)
    given = executable.run({"x": tensor}, {"y": memory})["y"]
    np.testing.assert_array_equal(memory.numpy(), want)
    assert given.ctypes.data == memory.data_ptr()
    np.testing.assert_array_equal(torch.from_dlpack(executable.run({"x": tensor})["y"]).numpy(), want)
    np.testing.assert_array_equal(executable.run({"x": tensor.requires_grad_()})["y"], want)
    with pytest.raises(UsageError, match="tensor on the CPU"):
        executable.run({"x": torch.empty(tensor.shape, device="meta")})


def test_bfloat16_tensors_are_seen_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    array = as_array(tensor, "x")
    assert array.tolist() == [1.5, -2.0]
    tensor[0] = 3.0
    assert array.tolist() == [3.0, -2.0]


def test_aligned_inputs_are_not_copied() -> None:
    spec = ValueSpec("x", (3, 5), "float32")
    array = empty_value(spec)
    assert input_array(spec, array, "m") is array
    assert input_array(spec, array.view(np.ndarray).T.T, "m").ctypes.data == array.ctypes.data
    assert empty_value(spec).ctypes.data % 64 == 0


def test_memory_for_outputs_must_fit(executable: Executable) -> None:
    inputs = executable.random_inputs(0)
    fixed = np.zeros((1, 4, 10, 10), np.float32)
    fixed.flags.writeable = False
    for memory, words in (
        ({"z": fixed}, "no output 'z'"),
        ({"y": np.zeros((1, 4, 10), np.float32)}, "output y: float32"),
        ({"y": fixed}, "contiguous, writable"),
        ({"y": np.zeros((1, 4, 10, 20), np.float32)[..., ::2]}, "contiguous, writable"),
    ):
        with pytest.raises(UsageError, match=words):
            executable.run(inputs, memory)


def test_an_output_may_take_the_place_of_an_input(executable: Executable) -> None:
    array = executable.random_inputs(4)["x"]
    want = executable.run({"x": array})["y"]
    place = empty_value(executable.inputs[0])
    place[...] = array
    executable.run({"x": place}, {"y": place})
    np.testing.assert_array_equal(place, want)


def test_outputs_must_not_overlap() -> None:
    memory = np.zeros(8, np.float32)
    with pytest.raises(UsageError, match="m: the memory given for outputs overlaps"):
        apart({}, (memory[:5], memory[4:]), "m")
    assert apart({}, (memory[:4], memory[4:]), "m") == []


def test_arrays_come_by_name(executable: Executable) -> None:
    array = executable.random_inputs(0)["x"]
    for wrong in (array, [array]):
        with pytest.raises(UsageError, match=r"expected inputs by name, as a dict of x: float32\[1, 4, 10, 10\]; got"):
            executable.run(wrong)  # type: ignore[arg-type]


def test_a_model_larger_than_memory_is_not_run(
    partition: Partition, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = compile_model(partition, {}, target).executable
    monkeypatch.setattr(machine_memory, "usable_bytes", lambda: 100)
    with pytest.raises(ModelError, match=r"block with its activations has .* take a smaller model"):
        executable.run(executable.random_inputs(0))


def test_a_full_folder_for_temporary_files_is_said(
    partition: Partition, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10 << 20))
    with pytest.raises(EnvironmentFault, match=r"has 10\.0 MiB free, and building a model .* set TMPDIR"):
        compile_model(partition, {}, target)


def test_outputs_may_lie_anywhere(executable: Executable) -> None:
    inputs = executable.random_inputs(3)
    memory = np.zeros(401, np.float32)[1:].reshape(1, 4, 10, 10)
    executable.run(inputs, {"y": memory})
    np.testing.assert_array_equal(memory, executable.run(inputs)["y"])


def test_number_of_threads_can_be_set(executable: Executable) -> None:
    inputs = executable.random_inputs(1)
    before = executable.threads
    want = executable.run(inputs)["y"]
    for threads in (1, 3, before):
        executable.set_threads(threads)
        assert executable.threads == threads
        np.testing.assert_array_equal(executable.run(inputs)["y"], want)
    for wrong in (0, 1000, 1.5, "2"):
        with pytest.raises(UsageError, match="threads must be"):
            executable.set_threads(wrong)  # type: ignore[arg-type]


def test_unloaded_executables_say_so(partition: Partition, target: Target) -> None:
    with compile_model(partition, {}, target).executable as executable:
        inputs = executable.random_inputs(1)
        executable.run(inputs)
    with pytest.raises(UsageError, match="was unloaded"):
        executable.run(inputs)
    executable.unload()


def test_kernels_are_timed_in_their_places(executable: Executable) -> None:
    secs = executable.kernel_secs(runs=3, warmup=0)
    assert secs
    assert set(secs) == {name for name in executable.signature.kernels if name}
    assert all(len(times) % 3 == 0 and min(times) > 0 for times in secs.values())


def test_memory_is_known(executable: Executable) -> None:
    signature = executable.signature
    assert signature.runtime is Runtime.OWN
    assert signature.weight_bytes >= 4 * (16 * 4 * 9 + 4 * 16)
    assert signature.activation_bytes is not None
    assert 4 * 16 * 100 <= signature.activation_bytes < 4 * 16 * 400


def test_without_a_c_compiler_tvms_virtual_machine_runs_it(
    partition: Partition, target: Target, executable: Executable, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flextune.native import toolchain

    def no_compiler() -> tuple[str, ...]:
        raise EnvironmentFault("no compiler")

    monkeypatch.setattr(toolchain, "compiler_command", no_compiler)
    other = compile_model(partition, {}, target).executable
    assert other.signature.runtime is Runtime.TVM
    inputs = executable.random_inputs(5)
    np.testing.assert_allclose(other.run(inputs)["y"], executable.run(inputs)["y"], rtol=1e-6)
    assert set(other.kernel_secs(runs=2)) == set(executable.kernel_secs(runs=1))
    with other:
        other.set_threads(1)
    with pytest.raises(UsageError, match="was unloaded"):
        other.run(inputs)
