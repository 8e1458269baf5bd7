"""Platforms by name."""

import subprocess
import sys

import pytest

from flextune.errors import UsageError
from flextune.platforms import platform_registry
from flextune.platforms.null.platform import NullPlatform
from flextune.platforms.platform_registry import Registry


def test_makes_each_platform_once_and_only_when_asked() -> None:
    made: list[NullPlatform] = []
    platforms = Registry()
    platforms.register("mine", lambda: made.append(NullPlatform()) or made[-1])
    assert made == []
    assert platforms.get("mine") is platforms.get("mine")
    assert len(made) == 1


def test_a_name_taken_twice_raises() -> None:
    platforms = Registry()
    platforms.register("mine", NullPlatform)
    with pytest.raises(UsageError, match="'mine' is registered already"):
        platforms.register("mine", NullPlatform)


def test_unknown_name_says_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown platform 'x68': expected one of .*; did you mean 'x86'"):
        platform_registry.get("x68")


def test_a_platform_without_a_compiler_says_so() -> None:
    with pytest.raises(UsageError, match="unknown compiler of whole modules 'null': expected one of arm, riscv, x86"):
        platform_registry.compiler("null")


def test_a_factory_may_be_a_dotted_name() -> None:
    platforms: Registry[object] = Registry()
    platforms.register("mine", "flextune.platforms.null.platform:NullPlatform")
    assert isinstance(platforms.get("mine"), NullPlatform)


def test_the_platforms_that_ship() -> None:
    shipped = "arm ascend cuda fpga hexagon null opencl riscv rocm triton vta x86"
    assert platform_registry.names() == tuple(shipped.split())
    assert platform_registry.get("null").name == "null"


def test_the_registry_loads_no_code_generator() -> None:
    code = "import sys, flextune.platforms.platform_registry; sys.exit('tvm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
