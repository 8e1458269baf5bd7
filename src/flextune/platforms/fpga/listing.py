"""An overlay and what it is told, as one text: Verilog with this overlay's parameters, the commands as comments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.schedule import Schedule, commands_of
from flextune.platforms.fpga.verilator import VERILOG

_TOP = re.compile(r"module overlay #\((.*?)\) \(", re.DOTALL)


def listing_of(schedule: Schedule) -> str:
    """A file for synthesis whose top module `overlay` has the parameters of the schedule's overlay by default."""
    return "\n".join(_schedule_lines(schedule)) + "\n\n" + _with_parameters(schedule.overlay)


def _schedule_lines(schedule: Schedule) -> Iterator[str]:
    commands = commands_of(schedule)
    batches = f"{schedule.batches} times " if schedule.batches > 1 else ""
    yield f"// {batches}[{schedule.m}, {schedule.k}] by [{schedule.k}, {schedule.n}] in pieces of {schedule.tile_k}"
    yield "// loads of slots {is_b, slot, lines}:"
    yield from (f"//   {is_b} {slot} {lines}" for is_b, slot, lines, _ in commands.loads.tolist())
    yield "// steps {slot of a, slot of b, words, flags: 1 first, 2 last, 4 frees a, 8 frees b}:"
    yield from (f"//   {a} {b} {words} {flags}" for a, b, words, flags in commands.steps.tolist())


def _with_parameters(overlay: Overlay) -> str:
    """The Verilog that every overlay is made of, with other defaults of the top module's parameters."""
    verilog = VERILOG.read_text(encoding="utf-8")
    top = _TOP.search(verilog)
    assert top is not None  # it is a file of ours
    head = top[1]
    for name, value in overlay.parameters.items():
        head, count = re.subn(rf"\b{name} = \d+", f"{name} = {value}", head)
        assert count == 1, name
    return verilog[: top.start(1)] + head + verilog[top.end(1) :]
