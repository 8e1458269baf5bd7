"""What can be told of this machine as an x86 processor; see `flextune.target.kind.HostSupport`."""

from __future__ import annotations

from collections.abc import Sequence

from flextune.platforms.cpu.caches import last_level_cache_count
from flextune.platforms.x86.detect import kept_llvm_cpu, read_target
from flextune.platforms.x86.peak_loops import compiled_loops
from flextune.target.host import ROOT, allowed_cpus, read_cpuinfo
from flextune.target.kind import Need
from flextune.target.peak_loops import PeakLoops
from flextune.target.target import Target

LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "bmi": "bmi1"}
"""Flags of /proc/cpuinfo that are not LLVM's names up to punctuation."""

_SMALLEST_STREAM_BYTES = 256 << 20
_LARGE_STREAM_BYTES = 1 << 30
"""More than that, which takes seconds to fill, only as far as caches would hold much of less."""


class X86Host:
    """This machine. Needs no TVM but where LLVM was never asked for the processor's name, and for the peaks."""

    def detect(self) -> Target | None:
        return read_target(ROOT, allowed_cpus(), kept_llvm_cpu)

    def lacking(self, instructions: Sequence[str]) -> Sequence[str]:
        return missing_instructions(instructions, frozenset(read_cpuinfo(ROOT).get("flags", "").split()))

    def peak_loops(self, target: Target, cpus: Sequence[int]) -> PeakLoops:
        """The buffers that are streamed from memory are together 8 times the last-level caches, of large ones 3."""
        cached = target.number("l3") * last_level_cache_count(ROOT, cpus)
        total = max(min(8 * cached, _LARGE_STREAM_BYTES), 3 * cached, _SMALLEST_STREAM_BYTES)
        memory = target.number("memory")
        return compiled_loops(target, (min(total, memory // 4) if memory else total) // target.cores)

    def unmeasurable(self, target: Target) -> str:
        del target  # what a program needs and the machine lacks shows when it is run
        return ""

    def needs(self) -> Sequence[Need]:
        return ()  # it is the host itself


def missing_instructions(instructions: Sequence[str], flags: frozenset[str]) -> tuple[str, ...]:
    """Those of LLVM's features that are not among the flags of /proc/cpuinfo."""
    plain = {_plain(flag) for flag in flags}
    return tuple(name for name in instructions if _plain(LINUX_NAMES.get(name, name)) not in plain)


def _plain(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(".", "")
