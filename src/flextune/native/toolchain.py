"""The C compiler at hand, and what it makes of the runtime's sources."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from flextune.errors import BuildError, EnvironmentFault
from flextune.settings import made_cache_folder
from flextune.temporary import partial_file

HEADER = "flextune_model.h"
SOURCES = ("pool.c", "services.c", "interpreter.c", "blocks.c", "model.c")
SYMBOLIC_SOURCES = (*SOURCES, "symbolic.c")
"""Of models that have sizes that differ from run to run."""
_COMPILE = ("-std=gnu11", "-O2", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-Wall", "-Wextra")
_LINK = ("-shared", "-Wl,-Bsymbolic", "-Wl,-z,nodelete")
"""Of two libraries in one process each uses its own functions; threads of the pool outlive `dlclose`."""


def compiler_command() -> tuple[str, ...]:
    """`gcc`, else `cc`, else the `zig cc` of the `ziglang` package; raises `EnvironmentFault` without any.

    Zig would first build a C library to link with, which takes it most of a minute; the process that loads the
    program has one, so it is told to do without.
    """
    for name in ("gcc", "cc"):
        if found := shutil.which(name):
            return (found,)
    if importlib.util.find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", "-nostdlib")
    raise EnvironmentFault(
        "no linker for a shared library: expected gcc or cc on PATH, or the Python package ziglang; "
        "install one, for instance with `pip install ziglang`"
    )


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A C compiler that links as well: this machine's, or one for other processors."""

    command: tuple[str, ...]
    """How it is called, with what says for whom it compiles."""
    environment: tuple[tuple[str, str], ...] = ()
    """Names and values of what it reads beside this process' own."""

    @property
    def has_libraries(self) -> bool:
        """Whether it links with a C library, so that nothing may stay undefined."""
        return "-nostdlib" not in self.command


def host_toolchain() -> Toolchain:
    """The compiler at hand, for this machine. EnvironmentFault without any."""
    return Toolchain(compiler_command())


def has_compiler() -> bool:
    """Whether there is a compiler at all; whether it works is another question."""
    try:
        compiler_command()
    except EnvironmentFault:
        return False
    return True


def include_folder() -> Path:
    """The folder of `flextune_model.h` and of the runtime's sources."""
    return Path(str(files("flextune.native")))


def write_header(folder: Path) -> Path:
    """A copy of `flextune_model.h` in a folder."""
    try:
        return Path(shutil.copy(include_folder() / HEADER, folder / HEADER))
    except OSError as error:
        raise EnvironmentFault(f"cannot write {folder / HEADER}: {error.strerror or error}") from error


def compile_c(text: str, path: Path, toolchain: Toolchain | None = None) -> Path:
    """Compile C text, which may include the runtime's headers, to an object at `path`. BuildError when it is wrong."""
    used = toolchain or host_toolchain()
    _run(used, [*_COMPILE, f"-I{include_folder()}", "-x", "c", "-c", "-", "-o", str(path)], text)
    return path


def compile_cpp(arguments: Sequence[str], purpose: str) -> None:
    """Run g++. BuildError with what it says, EnvironmentFault where there is none, which `purpose` needs."""
    found = shutil.which("g++")
    if found is None:
        raise EnvironmentFault(f"{purpose} needs g++: install it with the system's package manager")
    ended = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BuildError(f"g++ failed at {purpose}: {ended.stderr.strip()[:1500]}")


def link(objects: Sequence[Path], path: Path, toolchain: Toolchain | None = None) -> Path:
    """Link objects into a shared library at `path`; where the compiler has a C library, nothing may stay undefined."""
    used = toolchain or host_toolchain()
    libraries = ("-Wl,-z,defs", "-lm", "-lpthread", "-ldl") if used.has_libraries else ()
    _run(used, [*_LINK, "-o", str(path), *map(str, objects), *libraries])
    return path


def linked_program(
    toolchain: Toolchain, sources: Sequence[str], objects: Sequence[Path], table: str, path: Path
) -> Path:
    """A program at `path`: some of the runtime's sources, objects, and C text of its own."""
    own = compile_c(table, path.with_suffix(".table.o"), toolchain)
    compiled = [own, *objects, *runtime_objects(sources, toolchain)]
    _run(toolchain, ["-o", str(path), *map(str, compiled), "-lm", "-lpthread"])
    return path


def linked_bare(
    compiler: Toolchain, linker: Toolchain, sources: Sequence[str], objects: Sequence[Path], table: str, path: Path
) -> Path:
    """As `linked_program`, of a program with its own beginning and no library, by a linker that is called itself."""
    own = compile_c(table, path.with_suffix(".table.o"), compiler)
    compiled = [own, *objects, *runtime_objects(sources, compiler)]
    _run(linker, ["-static", "--entry=_start", "-o", str(path), *map(str, compiled)])
    return path


def host_plugin(source: str) -> Path:
    """One of the runtime's sources as a shared library for a program that has what it leaves undefined; kept."""
    used = host_toolchain()
    path = _cache_path((source,), used, ".so")
    if not path.exists():
        compiled = _cached(source, used)
        _atomically(path, lambda partial: _run(used, ["-shared", "-o", str(partial), str(compiled)]))
    return path


def runtime_objects(sources: Sequence[str] = SOURCES, toolchain: Toolchain | None = None) -> tuple[Path, ...]:
    """The runtime compiled, one object per source, kept in the cache folder for the next time."""
    used = toolchain or host_toolchain()
    return tuple(_cached(source, used) for source in sources)


def pool_library() -> Path:
    """The thread pool alone as a shared library, kept in the cache folder."""
    path = _cache_path(("pool.c",), host_toolchain(), ".so")
    if not path.exists():
        _atomically(path, lambda partial: link([_cached("pool.c", host_toolchain(), exported=True)], partial))
    return path


def digest_library() -> Path:
    """The digests of memory as a shared library, kept in the cache folder."""
    return source_library(include_folder() / "digest.c")


def source_library(first: Path, *others: Path) -> Path:
    """C files, with headers beside them at most, as a shared library named by the first, kept in the cache folder."""
    sources, toolchain = tuple(map(str, (first, *others))), host_toolchain()
    path = _cache_path(sources, toolchain, ".so")
    if not path.exists():
        _atomically(path, lambda partial: link([_cached(each, toolchain) for each in sources], partial))
    return path


def _cached(source: str, toolchain: Toolchain, exported: bool = False) -> Path:
    path = _cache_path((source,), toolchain, "-exported.o" if exported else ".o")
    if not path.exists():
        visible = ("-fvisibility=default",) if exported else ()
        arguments = [*_COMPILE, *visible, "-c", str(include_folder() / source), "-o"]
        _atomically(path, lambda partial: _run(toolchain, [*arguments, str(partial)]))
    return path


def _cache_path(sources: tuple[str, ...], toolchain: Toolchain, ending: str) -> Path:
    return made_cache_folder("native") / f"{Path(sources[0]).stem}-{_digest(sources, toolchain.command)}{ending}"


@lru_cache
def _digest(sources: tuple[str, ...], command: tuple[str, ...]) -> str:
    digest = hashlib.sha256("\0".join((*command, *_COMPILE, *_LINK)).encode())
    for path in (include_folder() / source for source in sources):
        for each in (path, *sorted(path.parent.glob("*.h"))):
            digest.update(each.read_bytes())
    return digest.hexdigest()[:16]


def _atomically(path: Path, make: Callable[[Path], object]) -> None:
    try:
        with partial_file(path) as partial:
            make(partial)
            partial.replace(path)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write in {path.parent}: {error.strerror}; set FLEXTUNE_CACHE to a writable folder with room"
        ) from error


def _run(toolchain: Toolchain, arguments: Sequence[str], text: str | None = None) -> None:
    command = [*toolchain.command, *arguments]
    environment = {**os.environ, **dict(toolchain.environment)} if toolchain.environment else None
    try:
        outcome = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise EnvironmentFault(f"{command[0]} cannot be run: {error.strerror or error}") from error
    if outcome.returncode != 0:
        said = outcome.stderr.strip()[-500:] or f"it ended with {outcome.returncode} and said nothing"
        raise BuildError(f"the C compiler {command[0]} failed: {said}")
