"""Zig as the C compiler and linker for other processors, and what must be there to emulate them. Needs no TVM."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from flextune.errors import EnvironmentFault
from flextune.native.toolchain import Toolchain, host_plugin, linked_bare, linked_program
from flextune.platforms.cpu.cross.machine import Machine
from flextune.settings import cache_folder, made_cache_folder
from flextune.target.kind import Need

PROGRAM_SOURCES = ("kernel_program.c", "services.c", "pool.c")
BARE_SOURCES = ("bare_program.c",)
PLUGIN_SOURCE = "instruction_counts.c"
INSTALL_QEMU = "apt-get install qemu-user"
OLDER_QEMU = "expected QEMU 7 or 8: later ones load no plugin of the interface by which instructions are counted"
INSTALL_ZIG = "pip install ziglang"
_NEWEST_QEMU = 8
_ZIG = (sys.executable, "-m", "ziglang")


def zig_version() -> str:
    """Of the Python package; empty where it is not installed."""
    if importlib.util.find_spec("ziglang") is None:
        return ""
    try:
        return metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        return "of unknown version"


def machine_needs(machine: Machine) -> tuple[Need, ...]:
    """What building and emulating programs for these processors takes, as the doctor lists it."""
    purpose = f"counting instructions of kernels for {machine.name} without a board"
    found, how = shutil.which(machine.emulator) or "", INSTALL_QEMU
    if found and _qemu_version(found) > _NEWEST_QEMU:
        found, how = "", OLDER_QEMU
    return (
        Need(machine.emulator, purpose, found, how),
        Need(f"ziglang for {machine.name}", f"linking programs for {machine.name}", zig_version(), INSTALL_ZIG),
    )


@cache
def _qemu_version(program: str) -> int:
    """The first number of it; 0 where QEMU does not say."""
    try:
        ended = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    found = re.search(r"version (\d+)", ended.stdout)
    return int(found[1]) if found else 0


def machine_fault(machine: Machine) -> str:
    """What keeps programs for these processors from being run here, and what to do; empty where nothing does."""
    missing = [f"{need.name} ({need.how})" for need in machine_needs(machine) if not need.found]
    if missing:
        return f"programs for {machine.name} are linked and emulated here, for which is missing: {', '.join(missing)}"
    return ""


def program_toolchain(machine: Machine) -> Toolchain:
    """What makes static programs. EnvironmentFault without Zig."""
    return _zig(machine.program, (*machine.options, "-static"))


def library_toolchain(machine: Machine) -> Toolchain:
    """What makes shared libraries. EnvironmentFault without Zig."""
    return _zig(machine.library, machine.options)


def _zig(target: str, options: Sequence[str]) -> Toolchain:
    if not zig_version():
        raise EnvironmentFault(f"programs for other processors are linked by the package ziglang: {INSTALL_ZIG}")
    caches = str(cache_folder() / "zig")  # it builds each C library once, which takes a minute
    environment = {"ZIG_GLOBAL_CACHE_DIR": caches, "ZIG_LOCAL_CACHE_DIR": caches}
    command = (*_ZIG, "cc", "-target", target, "-fno-sanitize=all", *options)
    return Toolchain(command, tuple(environment.items()))


def link_program(machine: Machine, objects: Sequence[Path], entries: Sequence[str], path: Path) -> Path:
    """A static program that runs any of the kernels in the objects; see `native/kernel_program.c`."""
    return linked_program(program_toolchain(machine), PROGRAM_SOURCES, objects, entry_table(entries), path)


def link_bare_program(machine: Machine, objects: Sequence[Path], entries: Sequence[str], path: Path) -> Path:
    """As `link_program`, without a C library; see `native/bare_program.c`."""
    compiler = _zig(machine.program, (*machine.options, "-ffreestanding", "-fno-stack-protector"))
    linker = Toolchain((*_ZIG, "ld.lld"), compiler.environment)
    return linked_bare(compiler, linker, BARE_SOURCES, objects, entry_table(entries), path)


def entry_table(entries: Sequence[str]) -> str:
    """C: the kernels of a program by name."""
    declared = "\n".join(f"int __tvm_ffi_{name}(void *, const ft_any *, int32_t, ft_any *);" for name in entries)
    rows = "\n".join(f'  {{"{name}", __tvm_ffi_{name}}},' for name in entries)
    return f'#include "kernel_program.h"\n{declared}\nconst ft_entry ft_entries[] = {{\n{rows}\n  {{0, 0}},\n}};\n'


def counting_plugin() -> Path:
    """QEMU's plugin that counts instructions, compiled for this host once."""
    return host_plugin(PLUGIN_SOURCE)


def prepare(machine: Machine) -> None:
    """Make what all programs for an emulator share: it takes a minute the first time, and no trial's time."""
    counting_plugin()
    smallest_program(machine)


def smallest_program(machine: Machine) -> Path:
    """A program that does nothing, made once: so the C library that all programs share is there."""
    marker = made_cache_folder("zig") / f"{machine.program}-{zig_version()}.made"
    program = marker.with_suffix(".out")
    if marker.exists() and program.exists():
        return program
    print(f"flextune: building a C library for {machine.name}, once: it takes a minute", file=sys.stderr, flush=True)  # noqa: T201
    linked_program(program_toolchain(machine), (), (), "int main(void) { return 0; }", program)
    marker.touch()
    return program
