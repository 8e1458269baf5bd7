"""The file of a hybrid model: its members one after the other, and what they are as JSON.

    members | manifest (JSON) | crc32 of all before | length of the manifest | magic

A member is the library of a part of ours (a whole file of `flextune.apply.compiled_file`), the ONNX graph of a part of
another runtime's, or one of the constants of such graphs, which those that share it read from one place. The end is as
in a library's file: a damaged, truncated or foreign file is known before anything of it is used. Nothing in it is
evaluated; what the manifest says of sizes and of what goes where is checked against the file and against itself.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flextune.apply.compiled_file import CHUNK_BYTES, HYBRID_MAGIC, TRAILER, replacing, verified_text
from flextune.apply.huge_pages import huge_block
from flextune.apply.hybrid_machine import PartPorts, fits
from flextune.apply.signature import Runtime, Signature, hybrid_spec
from flextune.compilers.subgraph_compiler import Weights
from flextune.errors import UsageError
from flextune.importing.values import ValueSpec, array_type

FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class NewPart:
    """A part that is to be written: the library of one of ours, else an artifact of the named compiler."""

    ports: PartPorts
    """What it takes and gives."""
    library: Path | None = None
    """Of one of ours."""
    compiler: str = ""
    """By name; empty for one of ours."""
    content: bytes = b""
    """The artifact of another compiler."""
    weights: Weights = field(default_factory=dict)
    """By name."""
    providers: tuple[str, ...] = ()
    """Of the other runtime, those that may run it."""
    alone: bool = False
    """Whether it is the whole model."""


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """A constant of a part: which member it is, and how to read that."""

    member: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part as the manifest has it. Without a `compiler` it is one of ours, and the member is its library."""

    ports: PartPorts
    """What it takes and gives."""
    compiler: str
    member: int
    """The number of the file's member that holds it."""
    weights: Mapping[str, StoredWeights]
    """Where each is, by name."""
    providers: tuple[str, ...]
    """Of the other runtime, those that may run it."""
    alone: bool
    """Whether it is the whole model."""


@dataclass(frozen=True, slots=True)
class HybridFile:
    """A file that was found to be whole, and what it says of itself."""

    path: Path
    signature: Signature
    members: tuple[int, ...]
    """Lengths."""
    parts: tuple[StoredPart, ...]

    @classmethod
    def read(cls, path: Path) -> HybridFile:
        """UsageError for a file that is damaged, or contradicts itself."""
        text, nbytes = verified_text(path, HYBRID_MAGIC)
        try:
            return _parsed(path, text, nbytes)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _changed(path, f"{type(error).__name__}: {error}") from None

    def content(self, member: int) -> bytes:
        """A member's bytes."""
        return self._array(member).tobytes()

    def write(self, member: int, target: Path) -> Path:
        """A member as a file of its own."""
        with target.open("wb") as stream:
            for chunk in self._chunks(member):
                stream.write(chunk)
        return target

    def weights(self, part: StoredPart, kept: dict[int, np.ndarray]) -> Weights:
        """The constants of a part; `kept` has those that were read for other parts, and gets these."""
        for stored in part.weights.values():
            if stored.member not in kept:
                kept[stored.member] = self._array(stored.member)
        return {
            name: kept[stored.member].view(array_type(stored.dtype)).reshape(stored.shape)
            for name, stored in part.weights.items()
        }

    def _array(self, member: int) -> np.ndarray:
        block = huge_block(self.members[member])
        with self.path.open("rb") as stream:
            stream.seek(sum(self.members[:member]))
            stream.readinto(block.data)
        return block

    def _chunks(self, member: int) -> Iterator[bytes]:
        left = self.members[member]
        with self.path.open("rb") as stream:
            stream.seek(sum(self.members[:member]))
            while left > 0:
                chunk = stream.read(min(CHUNK_BYTES, left))
                left -= len(chunk)
                yield chunk


def write_hybrid_file(parts: Sequence[NewPart], signature: Signature, target: Path) -> Path:
    """Write the parts of a model as one file at `target`, all or nothing; equal constants are written once."""
    with replacing(target) as stream:
        writer = _Writer(stream)
        stored = [writer.part(part) for part in parts]
        manifest = {
            "format": FORMAT,
            "signature": json.loads(signature.to_json()),
            "members": writer.members,
            "parts": [asdict(part) for part in stored],
        }
        writer.end(json.dumps(manifest).encode())
    return target


class _Writer:
    """Writes members, and keeps count of them."""

    def __init__(self, stream: BinaryIO) -> None:
        self.members: list[int] = []
        self._stream = stream
        self._checksum = 0
        self._known: dict[int, int] = {}

    def part(self, part: NewPart) -> StoredPart:
        member = self._file(part.library) if part.library is not None else self._member([part.content])
        weights = {name: self._weights(array) for name, array in part.weights.items()}
        return StoredPart(part.ports, part.compiler, member, weights, part.providers, part.alone)

    def end(self, manifest: bytes) -> None:
        self._put(manifest)
        self._stream.write(TRAILER.pack(self._checksum, len(manifest), HYBRID_MAGIC))

    def _weights(self, array: np.ndarray) -> StoredWeights:
        if id(array) not in self._known:
            plain = np.ascontiguousarray(array)
            self._known[id(array)] = self._member([plain.reshape(-1).view(np.uint8).data])
        return StoredWeights(self._known[id(array)], str(array.dtype), array.shape)

    def _file(self, path: Path) -> int:
        with path.open("rb") as stream:
            return self._member(iter(lambda: stream.read(CHUNK_BYTES), b""))

    def _member(self, chunks: Any) -> int:
        self.members.append(sum(map(self._put, chunks)))
        return len(self.members) - 1

    def _put(self, chunk: bytes | memoryview) -> int:
        self._stream.write(chunk)
        self._checksum = zlib.crc32(chunk, self._checksum)
        return len(chunk)


def _parsed(path: Path, text: str, nbytes: int) -> HybridFile:
    raw = json.loads(text)
    if raw["format"] != FORMAT:
        raise _changed(path, f"it is of format {raw['format']!r:.20}, and this version reads {FORMAT}")
    try:
        signature = Signature.from_json(json.dumps(raw["signature"]))
        parts = tuple(map(_part, raw["parts"]))
    except UsageError as error:
        raise _changed(path, str(error)) from None
    file = HybridFile(path, signature, tuple(map(_count, raw["members"])), parts)
    if reason := _contradiction(file, nbytes):
        raise _changed(path, reason)
    return file


def _part(raw: Mapping[str, Any]) -> StoredPart:
    ports = raw["ports"]
    specs = [tuple(map(hybrid_spec, _list(ports[key]))) for key in ("inputs", "outputs")]
    weights = {_text(name): _weights(each) for name, each in raw["weights"].items()}
    return StoredPart(
        PartPorts(_text(ports["name"]), *specs),
        _text(raw["compiler"]),
        _count(raw["member"]),
        weights,
        tuple(map(_text, _list(raw["providers"]))),
        bool(raw["alone"]),
    )


def _weights(raw: Mapping[str, Any]) -> StoredWeights:
    return StoredWeights(_count(raw["member"]), _text(raw["dtype"]), tuple(map(_count, _list(raw["shape"]))))


def _contradiction(file: HybridFile, nbytes: int) -> str:
    """What is wrong with a manifest over members of so many bytes; empty where it fits."""
    if sum(file.members) != nbytes:
        return f"its members have {sum(file.members)} bytes, and {nbytes} are there"
    if file.signature.runtime is not Runtime.HYBRID:
        return "its signature is that of another kind of model"
    for part in file.parts:
        used = [part.member, *(weights.member for weights in part.weights.values())]
        if max(used) >= len(file.members):
            return f"part {part.ports.name!r} uses member {max(used)} of {len(file.members)}"
        for name, weights in part.weights.items():
            if file.members[weights.member] != math.prod(weights.shape) * array_type(weights.dtype).itemsize:
                return f"the constant {name!r} has {file.members[weights.member]} bytes"
    return _misplaced(file.parts, file.signature)


def _misplaced(parts: Sequence[StoredPart], signature: Signature) -> str:
    """Which value is read that is not there, or written twice, or as something else; empty where all fits."""
    values: dict[str, ValueSpec] = {spec.name: spec for spec in signature.inputs}
    for part in parts:
        for spec in part.ports.inputs:
            if spec.name not in values or not fits(spec, values[spec.name]):
                return f"part {part.ports.name!r} reads {spec}, which is not there"
        for spec in part.ports.outputs:
            if spec.name in values:
                return f"part {part.ports.name!r} writes {spec.name!r}, which is there already"
            values[spec.name] = spec
    missing = [str(spec) for spec in signature.outputs if spec.name not in values or not fits(spec, values[spec.name])]
    return f"no part writes {missing[0]}" if missing else ""


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"a number expected, got {value!r:.40}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text expected, got {value!r:.40}")
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a list expected, got {value!r:.40}")
    return value


def _changed(path: Path, reason: str) -> UsageError:
    return UsageError(f"{path} was changed after it was compiled: {reason}; compile it again")
