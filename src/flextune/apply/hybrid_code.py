"""Hybrid models before they run: parts of ours as libraries, others as artifacts of their compilers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flextune.apply.compiled_file import read_signature
from flextune.apply.hybrid_file import HybridFile, NewPart, StoredPart, write_hybrid_file
from flextune.apply.hybrid_machine import HybridMachine, OpenPart, PartPorts, SizedMachine, plain_specs
from flextune.apply.machine import Machine, ModelCode
from flextune.apply.processor import check_instructions
from flextune.apply.saved_code import saved_code
from flextune.apply.signature import Signature
from flextune.compilers import registry
from flextune.compilers.subgraph_compiler import SubgraphKernel, SubgraphOptions, Weights
from flextune.errors import UsageError
from flextune.temporary import PrivateFolder
from flextune.trial.artifact import Artifact


@dataclass(frozen=True, slots=True, eq=False)
class OwnPart:
    """A part of ours: a library, and what it takes and gives."""

    ports: PartPorts
    code: ModelCode
    signature: Signature

    def open(self, threads: int) -> Machine:
        machine = self.code.open(self.signature.with_threads(threads))
        return SizedMachine(machine, self.signature) if self.signature.dims else machine


@dataclass(frozen=True, slots=True, eq=False)
class OtherPart:
    """A part of another compiler's, whose name is the kind of its artifact."""

    ports: PartPorts
    artifact: Artifact
    weights: Weights
    options: SubgraphOptions

    def open(self, threads: int) -> SubgraphKernel:
        options = SubgraphOptions(threads, self.options.providers, self.options.alone)
        return registry.get(self.artifact.kind).load(self.artifact, self.weights, options)


HybridPart = OwnPart | OtherPart


@dataclass(frozen=True, slots=True, eq=False)
class HybridCode:
    """A hybrid model that has just been built."""

    parts: tuple[HybridPart, ...]

    def open(self, signature: Signature) -> HybridMachine:
        return opened(self.parts, signature)

    def write(self, path: Path, signature: Signature) -> Path:
        with PrivateFolder(kind="hybrid") as folder:
            stored = [_stored(part, folder.path / f"part{n}.so") for n, part in enumerate(self.parts)]
            return write_hybrid_file(stored, signature, path)


class SavedHybridCode:
    """A hybrid model in its file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, signature: Signature) -> HybridMachine:
        file = HybridFile.read(self.path)
        with PrivateFolder(kind="hybrid") as folder:
            return opened(_restored(file, folder.path), signature)  # which maps the libraries: their files may go

    def write(self, path: Path, signature: Signature) -> Path:
        del path, signature
        raise UsageError("an executable that was loaded from a file cannot be saved again; copy its file")


def opened(parts: Iterable[HybridPart], signature: Signature) -> HybridMachine:
    """The parts, ready to run one after the other on the signature's threads."""
    ready = [OpenPart(part.ports, part.open(signature.threads)) for part in parts]
    return HybridMachine(ready, signature.inputs, signature.outputs, signature.threads)


def _stored(part: HybridPart, library: Path) -> NewPart:
    if isinstance(part, OwnPart):
        return NewPart(part.ports, part.code.write(library, part.signature))
    options = part.options
    content, kind = part.artifact.content, part.artifact.kind
    return NewPart(part.ports, None, kind, content, part.weights, options.providers, options.alone)


def _restored(file: HybridFile, folder: Path) -> Iterator[HybridPart]:
    kept: dict[int, np.ndarray] = {}
    for number, part in enumerate(file.parts):
        if not part.compiler:
            yield _own(file, part, folder / f"part{number}.so")
            continue
        options = SubgraphOptions(file.signature.threads, part.providers, part.alone)
        artifact = Artifact(part.compiler, file.content(part.member))
        yield OtherPart(part.ports, artifact, file.weights(part, kept), options)


def _own(file: HybridFile, part: StoredPart, library: Path) -> OwnPart:
    """A part of ours, which is checked as a file of its own is."""
    signature = read_signature(file.write(part.member, library))
    ports = (plain_specs(signature.inputs), plain_specs(signature.outputs))
    if ports != (part.ports.inputs, part.ports.outputs):
        raise UsageError(
            f"{file.path} was changed after it was compiled: part {part.ports.name!r} takes and gives other tensors "
            "than the model says; compile it again"
        )
    check_instructions(signature, str(file.path))
    return OwnPart(part.ports, saved_code(library, signature.runtime), signature)
