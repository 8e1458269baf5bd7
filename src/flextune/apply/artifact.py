"""Saving an executable as one shared library, and loading it back.

The file is an ordinary shared library with a trailer behind its last section, which loaders ignore:

    library bytes | signature (JSON) | crc32 of all before | length of the signature | magic

So a damaged, truncated or foreign file is known before any of its code is mapped, and the signature can be read without
loading it.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import tvm
from tvm.target import codegen

from flextune.apply.quiet import without_noise
from flextune.apply.signature import Signature
from flextune.errors import BuildError, EnvironmentFault, UsageError
from flextune.platforms.x86.build import export_library
from flextune.target.detect import detect
from flextune.target.target import Target

if TYPE_CHECKING:
    from flextune.apply.executable import Executable

MAGIC = b"flextune-model-1"
TRAILER = struct.Struct(f"<IQ{len(MAGIC)}s")
CHUNK_BYTES = 1 << 22

INSTRUCTION_FEATURES = ("sse", "avx", "fma", "bmi", "f16c", "amx", "vaes", "vpclmul", "gfni", "lzcnt", "popcnt")
"""Prefixes of LLVM's names for features that stand for instructions, not for tuning."""


def save_executable(executable: Executable, path: str | Path) -> Path:
    """`executable.save(path)` as a function."""
    return executable.save(path)


def write_library(library: Any, signature: Signature, target: Path) -> Path:
    """Write a compiled module and its signature as a shared library at `target`, all or nothing."""
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: expected a file in an existing folder")
    handle, name = _temporary(target)
    os.close(handle)
    partial = Path(name)
    try:
        with without_noise():
            export_library(library, partial)
        _append_trailer(partial, signature)
        partial.chmod(0o755)
        partial.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return target


def open_library(source: Path) -> tuple[Any, Signature]:
    """The module and the signature of a saved executable; see `load_executable` for what is checked."""
    signature = read_signature(source)
    check_processor(Target.parse(signature.target), detect(), str(source))
    try:
        with without_noise():
            return tvm.runtime.load_module(str(source.resolve())), signature
    except (RuntimeError, OSError) as error:
        raise BuildError(f"{source} cannot be loaded: {str(error).strip().splitlines()[-1]}") from error


def read_signature(source: Path) -> Signature:
    """What a saved executable takes, gives and was made for; UsageError when the file is not one or is damaged."""
    if not source.is_file():
        raise UsageError(f"no compiled model at {source}; make one with `flextune compile MODEL.onnx -o {source}`")
    size = source.stat().st_size
    with source.open("rb") as stream:
        if size < TRAILER.size:
            raise _foreign(source)
        stream.seek(size - TRAILER.size)
        checksum, length, magic = TRAILER.unpack(stream.read(TRAILER.size))
        if magic != MAGIC or length > size - TRAILER.size:
            raise _foreign(source)
        if _checksum(stream, size - TRAILER.size) != checksum:
            raise UsageError(f"{source} is damaged (its checksum does not match); compile or copy it again")
        stream.seek(size - TRAILER.size - length)
        return Signature.from_json(stream.read(length).decode())


def check_processor(made_for: Target, present: Target, source: str) -> None:
    """Raise EnvironmentFault when code for `made_for` may use instructions that `present` lacks."""
    missing = sorted(set(made_for.features) - set(present.features))
    if made_for.cpu != present.cpu:
        missing = sorted({*missing, *(_instructions(made_for) - _instructions(present))})
    if made_for.kind != present.kind or missing:
        lacks = f" and lacks {', '.join(missing[:6])}" if missing else ""
        raise EnvironmentFault(
            f"{source} was compiled for {made_for.kind} {made_for.cpu}; this machine is {present.kind} {present.cpu}"
            f"{lacks}; compile the model again here"
        )


def _temporary(target: Path) -> tuple[int, str]:
    try:
        return tempfile.mkstemp(prefix=f".{target.name}-", suffix=".so", dir=target.parent)
    except OSError as error:
        raise EnvironmentFault(f"cannot write in {target.parent}: {error.strerror or error}") from error


def _instructions(target: Target) -> set[str]:
    described = tvm.target.Target({"kind": "llvm", "mcpu": target.cpu})
    names = map(str, codegen.llvm_get_cpu_features(described))
    return {name for name in names if name.startswith(INSTRUCTION_FEATURES)}


def _append_trailer(path: Path, signature: Signature) -> None:
    text = signature.to_json().encode()
    with path.open("r+b") as stream:
        stream.seek(0, os.SEEK_END)
        stream.write(text)
        checksum = _checksum(stream, stream.tell())
        stream.seek(0, os.SEEK_END)
        stream.write(TRAILER.pack(checksum, len(text), MAGIC))


def _checksum(stream: BinaryIO, length: int) -> int:
    """CRC-32 of the first `length` bytes."""
    stream.flush()
    stream.seek(0)
    value, left = 0, length
    while left > 0:
        chunk = stream.read(min(CHUNK_BYTES, left))
        if not chunk:
            break
        value, left = zlib.crc32(chunk, value), left - len(chunk)
    return value


def _foreign(source: Path) -> UsageError:
    return UsageError(f"{source} is not a model compiled by flextune, or is truncated; compile it again")
