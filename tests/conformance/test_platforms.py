"""Every platform that ships passes the suite."""

import shutil
from dataclasses import replace

import pytest

from flextune.csp.assignment import Assignment
from flextune.platforms.null.kernel import Fault
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.testing.platforms import PlatformSuite
from flextune.testing.runners import NULL


class TestNull(PlatformSuite):
    name = "null"
    target = NULL

    def unbuildable(self):
        return replace(super().unbuildable(), assignment=Assignment({"fault": Fault.BUILD_ERROR}))


@pytest.mark.hardware("x86")
class TestX86(PlatformSuite):
    name = "x86"
    target: Target

    @pytest.fixture(autouse=True)
    def host(self):
        self.target = detect()


@pytest.mark.emulator("arm")
class TestArm(PlatformSuite):
    name = "arm"
    target = Target.parse("arm:rk3588")


class TestVta(PlatformSuite):
    name = "vta"
    target = Target.parse("vta")
    workload = "gemm:m=24,n=40,k=16,dtype=int8,weights=constant"


@pytest.mark.emulator("riscv")
class TestRiscv(PlatformSuite):
    name = "riscv"
    target = Target.parse("riscv:spacemit-k1")


@pytest.mark.emulator("hexagon")
class TestHexagon(PlatformSuite):
    name = "hexagon"
    target = Target.parse("hexagon:v68")
    workload = "gemm:m=24,n=40,k=16,dtype=uint8,weights=constant"


@pytest.mark.skipif(shutil.which("g++") is None, reason="executing Ascend C needs g++")
class TestAscend(PlatformSuite):
    name = "ascend"
    target = Target.parse("ascend:910b")
    workload = "gemm:m=24,n=40,k=16,dtype=float16"


@pytest.mark.emulator("opencl")
class TestOpenCl(PlatformSuite):
    name = "opencl"
    target = Target.parse("opencl:pocl")
