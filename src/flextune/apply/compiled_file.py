"""The file of a compiled model: an ordinary shared library, with this behind its last section, which loaders ignore:

    library bytes | weights | signature (JSON) | crc32 of all before | length of the signature | magic

So a damaged, truncated or foreign file is known before any of its code is mapped, the signature can be read without
loading it, and weights are read to where they are used instead of being mapped. native/model.c reads the same format.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flextune.apply.signature import Signature
from flextune.errors import EnvironmentFault, UsageError
from flextune.temporary import partial_file

MAGIC = b"flextune-model-2"
HYBRID_MAGIC = b"flextune-hybrid1"
"""Of a model of which only parts are libraries (`flextune.apply.hybrid_file`), whose end looks the same."""

TRAILER = struct.Struct(f"<IQ{len(MAGIC)}s")
CHUNK_BYTES = 1 << 22


def write_model_file(library: Path, weights: np.ndarray, signature: Signature, target: Path) -> Path:
    """Write a library, the bytes of its weights and its signature as one file at `target`, all or nothing."""
    with replacing(target) as stream:
        _write(stream, library, weights, signature)
    return target


@contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """What is written becomes the file at `target` when the block ends well; else nothing changes there."""
    if target.is_dir() or not target.parent.is_dir():
        raise UsageError(f"cannot write {target}: expected a file in an existing folder")
    try:
        with partial_file(target, ".so") as partial:
            with partial.open("wb") as stream:
                yield stream
            partial.chmod(0o755)
            partial.replace(target)
    except OSError as error:
        raise EnvironmentFault(f"cannot write {target}: {error.strerror or error}") from error


def read_signature(source: Path) -> Signature:
    """What a saved executable takes, gives and was made for; UsageError when the file is not one or is damaged."""
    text, _ = verified_text(source, MAGIC)
    try:
        return Signature.from_json(text)
    except UsageError as error:
        raise UsageError(f"{source} was changed after it was compiled: {error}; compile it again") from None


def verified_text(source: Path, magic: bytes) -> tuple[str, int]:
    """The text before the end of a file that ends with this magic, and the bytes before it. UsageError for others."""
    if not source.is_file():
        raise UsageError(f"no compiled model at {source}; make one with `flextune compile MODEL.onnx -o {source}`")
    size = source.stat().st_size
    with source.open("rb") as stream:
        checksum, length, found = _end(stream, size)
        if found != magic or length > size - TRAILER.size:
            raise _foreign(source)
        if _checksum(stream, size - TRAILER.size) != checksum:
            raise UsageError(f"{source} is damaged (its checksum does not match); compile or copy it again")
        stream.seek(size - TRAILER.size - length)
        try:
            return stream.read(length).decode(), size - TRAILER.size - length
        except UnicodeDecodeError as error:
            raise UsageError(f"{source} was changed after it was compiled: {error}; compile it again") from None


def magic_of(source: Path) -> bytes:
    """What the file says it is at its end; empty where there is no such file, or one that is too short."""
    if not source.is_file():
        return b""
    with source.open("rb") as stream:
        found: bytes = _end(stream, source.stat().st_size)[2]
        return found


def _end(stream: BinaryIO, size: int) -> tuple[int, int, bytes]:
    """Checksum, length of the text, and magic."""
    if size < TRAILER.size:
        return 0, 0, b""
    stream.seek(size - TRAILER.size)
    checksum, length, magic = TRAILER.unpack(stream.read(TRAILER.size))
    return checksum, length, magic


def _write(stream: BinaryIO, library: Path, weights: np.ndarray, signature: Signature) -> None:
    text = signature.to_json().encode()
    checksum = 0
    with library.open("rb") as code:
        while chunk := code.read(CHUNK_BYTES):
            stream.write(chunk)
            checksum = zlib.crc32(chunk, checksum)
    for part in (weights.data, text):
        stream.write(part)
        checksum = zlib.crc32(part, checksum)
    stream.write(TRAILER.pack(checksum, len(text), MAGIC))


def _checksum(stream: BinaryIO, length: int) -> int:
    """CRC-32 of the first `length` bytes."""
    stream.seek(0)
    value, left = 0, length
    while left > 0:
        chunk = stream.read(min(CHUNK_BYTES, left))
        if not chunk:
            break
        value, left = zlib.crc32(chunk, value), left - len(chunk)
    return value


def _foreign(source: Path) -> UsageError:
    return UsageError(
        f"{source} is not a model compiled by this version of flextune, or is truncated; compile it again"
    )
