"""What of a GPU the rules and constraints look at."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.target.target import Target


@dataclass(frozen=True, slots=True)
class GpuLimits:
    """Limits of one block of threads, and what a copy and a tensor core take at once."""

    threads: int
    """Of a block."""
    warp: int
    """Threads that run in lockstep."""
    shared_bytes: int
    """Of a block, with whatever must be asked for."""
    thread_registers: int
    """Of 32 bits."""
    block_registers: int
    """Of all threads of a block together."""
    processors: int
    """Blocks that run at once at the least."""
    copy_bytes: int = 16
    """The widest load or store of a thread."""
    reduces_in_shared: bool = False
    """Whether threads that reduce together exchange their parts in shared memory, as lanes have no other way."""


def limits_of(target: Target, processors: str = "sms", *, reduces_in_shared: bool = False) -> GpuLimits:
    """The limits that a target's text states; `processors` is what it calls them."""
    return GpuLimits(
        threads=target.number("threads"),
        warp=target.number("warp"),
        shared_bytes=target.number("shared"),
        thread_registers=target.number("thread_registers"),
        block_registers=target.number("registers"),
        processors=target.number(processors),
        reduces_in_shared=reduces_in_shared,
    )
