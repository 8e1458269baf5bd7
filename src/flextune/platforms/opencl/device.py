"""Devices with OpenCL on this machine, through pyopencl; needs no TVM."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from typing import Any

from flextune.errors import EnvironmentFault
from flextune.temporary import PrivateFolder

PyOpenCl = Any
"""The module pyopencl, and its devices, contexts, queues and buffers: it ships no types of them."""

INSTALL = "pip install 'flextune[opencl]'"
DRIVER = "install the device's OpenCL driver; for this CPU: apt-get install pocl-opencl-icd"


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a driver says of one device."""

    name: str
    """Of its platform and itself, in lower case."""
    units: int
    threads: int
    shared: int
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OpenDevice:
    """A device with the context and the queue of this process."""

    facts: DeviceFacts
    context: PyOpenCl
    queue: PyOpenCl


@cache
def _cache_folder() -> PrivateFolder:
    """Goes with this process."""
    return PrivateFolder(kind="pocl")


@cache
def pyopencl() -> PyOpenCl:
    """The module. Raises `EnvironmentFault` with the line that installs it."""
    os.environ.setdefault("POCL_CACHE_DIR", str(_cache_folder().path))  # PoCL keeps all kernels for ever otherwise
    try:
        return import_module("pyopencl")
    except ImportError:
        raise EnvironmentFault(f"OpenCL kernels are run by pyopencl, which is not installed: {INSTALL}") from None


def version() -> str:
    """Of pyopencl; empty where it is not installed."""
    try:
        return metadata.version("pyopencl")
    except metadata.PackageNotFoundError:
        return ""


@cache
def found_devices() -> tuple[tuple[DeviceFacts, PyOpenCl], ...]:
    """All devices of this machine in the order of their drivers; none where there is no driver."""
    cl = pyopencl()
    try:
        platforms = cl.get_platforms()
    except cl.Error:  # the loader has no driver
        return ()
    return tuple((_facts(platform, device), device) for platform in platforms for device in _devices(platform))


def matching(name: str) -> Sequence[tuple[DeviceFacts, PyOpenCl]]:
    """Those whose name or whose platform's name or version has this word."""
    return [each for each in found_devices() if name.lower() in each[0].name]


@cache
def open_device(name: str, index: int = 0) -> OpenDevice:
    """The device number `index` of those that `name` matches. Raises `EnvironmentFault` where there is none."""
    cl, found = pyopencl(), matching(name)
    if index >= len(found):
        raise EnvironmentFault(no_device(name))
    facts, device = found[index]
    context = cl.Context([device])
    return OpenDevice(facts, context, cl.CommandQueue(context, properties=cl.command_queue_properties.PROFILING_ENABLE))


def no_device(name: str) -> str:
    """The message where no device of this name is there."""
    there = ", ".join(facts.name for facts, _ in found_devices())
    return f"no OpenCL device named {name!r} to measure on, but {there}" if there else (
        f"no OpenCL device named {name!r} to measure on: {DRIVER}"
    )  # fmt: skip


def _devices(platform: PyOpenCl) -> Sequence[PyOpenCl]:
    try:
        return tuple(platform.get_devices())
    except pyopencl().Error:  # a driver without a device
        return ()


def _facts(platform: PyOpenCl, device: PyOpenCl) -> DeviceFacts:
    return DeviceFacts(
        name=f"{platform.name} {platform.version} {device.name}".lower(),
        units=int(device.max_compute_units),
        threads=int(device.max_work_group_size),
        shared=int(device.local_mem_size),
        extensions=tuple(str(device.extensions).split()),
    )
