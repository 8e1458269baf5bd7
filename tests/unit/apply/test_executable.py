"""Running: names, shapes and dtypes are checked; odd arrays and several threads work."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from flextune.apply.build import Build
from flextune.apply.executable import Executable
from flextune.errors import UsageError
from flextune.graph.values import ValueSpec


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
