"""The code that measures on a GPU, on a driver library of the test's own that is compiled here."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from flextune.errors import DeviceLostError, EnvironmentFault
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.measure.services import guarded
from flextune.platforms.cuda import driver as driver_module
from flextune.platforms.cuda.detect import CudaHost, target_of
from flextune.platforms.cuda.driver import DriverError, open_driver
from flextune.platforms.cuda.kernel import CudaKernel
from flextune.platforms.gpu.launch_plan import Launch, LaunchPlan
from flextune.target.target import Target
from flextune.trial.measurement import Status

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to compile the driver library")

PLAN = LaunchPlan(
    ("source", "result"), (Launch("copy", ("result", "source"), (2, 1, 1), (32, 1, 1), 4096),), (("kept", 256),)
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("driver") / "libfakecuda.so"
    source = Path(__file__).with_name("fake_cuda_driver.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", path, source], check=True)
    return str(path)


@pytest.fixture
def driver(library, monkeypatch):
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, library)
    yield open_driver()
    open_driver.cache_clear()


def test_a_kernel_runs_and_gives_its_memory_back(driver, library):
    fake = ctypes.CDLL(library)
    fake.fake_allocated.restype = ctypes.c_size_t
    before = fake.fake_allocated()
    kernel = CudaKernel(driver, 0, b"cubin", PLAN)
    for factor in (1, 3):  # bound anew: what it was bound to before is freed
        source, result = np.arange(16, dtype=np.float32) * factor, np.full(16, np.nan, np.float32)
        kernel.bind([source], [result])
        kernel.run()
        np.testing.assert_array_equal(result, source)
    del kernel
    assert fake.fake_allocated() == before


def test_times_are_of_the_devices_events_and_single_runs_find_no_cache(driver, library):
    fake = ctypes.CDLL(library)
    kernel = CudaKernel(driver, 0, b"cubin", PLAN)
    kernel.bind([np.zeros(16, np.float32)], [np.zeros(16, np.float32)])
    flushed = fake.fake_flushes()
    kernel.time(1, 1)  # the fake counts the launch that is not timed into the first time
    assert fake.fake_flushes() == flushed + 1
    times = kernel.time(10, 3)
    assert times[1:] == pytest.approx((2e-3, 2e-3))  # 2 ms for each of the 10 launches of a repeat
    assert fake.fake_flushes() == flushed + 1
    assert fake.fake_events() == 0


def test_what_the_driver_refuses_is_said_with_its_words(driver, monkeypatch):
    kernel = CudaKernel(driver, 0, b"cubin", PLAN)
    kernel.bind([np.zeros(16, np.float32)], [np.zeros(16, np.float32)])
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuCtxSynchronize")
    with pytest.raises(DeviceLostError, match="illegal memory access"):
        kernel.run()
    with pytest.raises(DeviceLostError):  # which ends a worker
        guarded(lambda request: kernel.run() or {}, {}, Status.RUN_ERROR)
    monkeypatch.setenv("FAKE_CUDA_FAIL", "cuMemAlloc_v2")
    with pytest.raises(EnvironmentFault, match="bytes left"):
        kernel.bind([np.zeros(16, np.float32)], [np.zeros(16, np.float32)])
    with pytest.raises(DriverError):
        CudaKernel(driver, 0, b"no cubin", PLAN)


def test_devices_are_targets(driver):
    first, second = (target_of(driver.facts(index)) for index in range(2))
    assert (first.word("arch"), first.number("sms"), first.number("shared")) == ("sm_80", 108, 166912)
    assert first.number("bandwidth") == 2039  # of the known device of this name
    assert second.word("arch") == "sm_90a"
    assert CudaHost().detect() == first
    assert CudaHost().needs()[0].found == "NVIDIA A100-SXM4-80GB, CUDA 13.0"


@pytest.mark.parametrize(
    ("variable", "words"), [("FAKE_CUDA_OLD", "update NVIDIA's driver"), ("FAKE_CUDA_NONE", "the driver sees none")]
)
def test_a_driver_that_is_of_no_use_is_said_to_be(library, monkeypatch, variable, words):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(EnvironmentFault, match=words):
        open_driver(f"{library}")
    open_driver.cache_clear()


def test_without_a_driver_it_says_what_to_install(monkeypatch):
    open_driver.cache_clear()
    monkeypatch.setenv(driver_module.LIBRARY_VARIABLE, "libno-such-driver.so.1")
    with pytest.raises(EnvironmentFault, match="install NVIDIA's driver"):
        open_driver()
    assert CudaHost().detect() is None
    with (
        pytest.raises(EnvironmentFault, match="no CUDA device to measure on"),
        local_runner(MeasureOptions(), Target.parse("cuda:a100")),
    ):
        pass
    assert CudaHost().needs()[0].found == ""
    open_driver.cache_clear()
