"""`TargetKind`: what the targets of one hardware family can say, and what follows from it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from flextune.quantities import MEASURED_SECONDS, Scale

if TYPE_CHECKING:
    from flextune.target.board import Board
    from flextune.target.host import Host
    from flextune.target.peak_loops import PeakLoops
    from flextune.target.target import Target

LOCAL = "local"
"""The runner that times programs on this machine."""

Value = int | str | tuple[str, ...]
"""What an attribute can be: a number, a name, or names of features."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One `key=value` of a target's text."""

    key: str
    meaning: str
    """What the value is, as in "expected ... for cpu"."""
    default: Value | None = None
    """None where every text must say it; it also tells what form values have, a name where it is None."""
    numeric: bool = True
    """Whether values are whole numbers."""
    least: int = 1
    """Of a number."""
    power_of_2: bool = False
    """Whether numbers are powers of 2 alone."""
    unit: str = ""
    """Of a number, for messages."""
    choices: tuple[str, ...] = ()
    """What a name can be; none where that is not known."""
    in_key: bool = True
    """Whether targets that differ in it take different records; else it is printed only where it is not the default."""

    @property
    def title(self) -> str:
        """Key and unit: `l1_bytes`."""
        return f"{self.key}_{self.unit}" if self.unit else self.key


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a processor of this family has or lacks.

    Whoever has it has what it `implies` too. `purpose` is what it is good for: the doctor lists those that have one,
    and takes one of the `substitutes` for it.
    """

    name: str
    implies: tuple[str, ...] = ()
    purpose: str = ""
    substitutes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cache:
    """One level of caches: the bytes of one instance, and whether each core has one or all share it."""

    name: str
    size_bytes: int
    per_core: bool


@dataclass(frozen=True, slots=True, eq=False)
class TargetKind:
    """One kind of target, as data; families that can say more override the methods.

    Its module is light: it is loaded to read a target's text, without TVM.
    """

    name: str
    """What the text of its targets begins with."""
    attributes: tuple[Attribute, ...]
    """In the order they are printed; features are the attribute of that name."""
    features: tuple[Feature, ...] = ()
    """In the order they are printed."""
    devices: Mapping[str, str] = field(default_factory=dict)
    """Known devices: the text of a target, without its kind, by name."""
    example: str = ""
    """The device that messages name."""
    runners: Mapping[str, Scale] = field(default_factory=lambda: {LOCAL: MEASURED_SECONDS})
    """What measures programs for these targets, by name, and what its numbers are; the first where none is named."""
    boards: bool = False
    """Whether programs for these targets run on other machines, by the runners `ssh:HOST`, which measure seconds."""
    most: int = sys.maxsize
    """That any number of its targets can be: what the fields of its simulator or emulation hold."""
    host: str = ""
    """Where its `HostSupport` is, as `module:attribute`; empty where this machine never is a target of this kind."""

    def vector_bits(self, target: Target) -> int:
        """Bits that one instruction works on at once."""
        del target
        return 32

    def caches(self, target: Target) -> Sequence[Cache]:
        """The levels of caches, the smallest first."""
        del target
        return ()

    def describe(self, target: Target, host: Host) -> Sequence[tuple[str, str]]:
        """What the doctor shows of a target that is this host: labels and texts."""
        return (("device", f"{host.cpu_name}, {target.cores} cores"),)

    def obstacle(self, target: Target, dtype: str) -> str:
        """What a target lacks for products of this dtype to be faster than those of float32; empty: nothing."""
        del target, dtype
        return ""


@dataclass(frozen=True, slots=True)
class Need:
    """Something that a family of devices needs on a host; `found` is empty where it is missing."""

    name: str
    purpose: str
    found: str
    how: str
    """The one line that installs it."""


class BoardSupport(Protocol):
    """What a family has as well whose programs run on boards (`TargetKind.boards`)."""

    def unreachable(self, target: Target, board: Board) -> str:
        """Why programs for a target cannot be made here or run on this board, and what to do; empty where they can."""
        ...


class HostSupport(Protocol):
    """What a family can tell of the machine that this process runs on."""

    def detect(self) -> Target | None:
        """This machine as a target; None where it is none of this family."""
        ...

    def lacking(self, instructions: Sequence[str]) -> Sequence[str]:
        """Those instruction sets, by the names that the family's compiler gives them, that this machine lacks."""
        ...

    def peak_loops(self, target: Target, cpus: Sequence[int]) -> PeakLoops:
        """Loops at the peaks of this machine, compiled; `cpus` are the logical processors that will run them."""
        ...

    def unmeasurable(self, target: Target) -> str:
        """Why programs for a target of this family cannot be timed here, and what to do; empty where they can."""
        ...

    def needs(self) -> Sequence[Need]:
        """What must be installed to build and measure for other devices than the host, and what was found."""
        ...
