"""What targets that are CPUs say: cores and caches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flextune.target.host import Host
from flextune.target.kind import Attribute, Cache, TargetKind
from flextune.target.sizes import size
from flextune.target.target import Target

CPU_ATTRIBUTES = (
    Attribute("cpu", "an LLVM processor name", numeric=False),
    Attribute("cores", "a positive number", least=1),
    Attribute("features", "names of features", default=(), numeric=False),
    Attribute("l1", "a positive number", default=32768, unit="bytes"),
    Attribute("l2", "a positive number", default=524288, unit="bytes"),
    Attribute("l3", "a positive number", default=8388608, unit="bytes"),
    Attribute("memory", "a number", default=0, least=0, unit="bytes", in_key=False),
)
"""`cpu` is LLVM's name. `cores` counts physical cores. `l1` (data) and `l2` are bytes per core, `l3` those of one
instance of the last cache level. `memory` is 0 where it is not known."""


def cpu_attributes(names: Sequence[str]) -> tuple[Attribute, ...]:
    """Of a family whose processors are these: LLVM takes any other name for its generic one, and says nothing."""
    return (replace(CPU_ATTRIBUTES[0], choices=tuple(names)), *CPU_ATTRIBUTES[1:])


@dataclass(frozen=True, slots=True, eq=False)
class CpuKind(TargetKind):
    """A kind of CPU."""

    def caches(self, target: Target) -> Sequence[Cache]:
        levels = (("l1", True), ("l2", True), ("l3", False))
        return tuple(Cache(name, target.number(name), per_core) for name, per_core in levels)

    def describe(self, target: Target, host: Host) -> Sequence[tuple[str, str]]:
        l1, l2, l3 = (size(cache.size_bytes) for cache in self.caches(target))
        threads = f"{target.cores} cores ({host.logical_cores} threads)"
        return (
            ("processor", f"{host.cpu_name}, {threads}, {target.word('cpu')}"),
            ("vectors", f"{target.vector_bits} bits: {' '.join(target.features)}"),
            ("caches", f"L1 {l1}, L2 {l2} per core, L3 {l3}"),
            ("memory", size(target.number("memory"))),
        )
