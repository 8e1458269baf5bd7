"""Texts and keys of targets are those of records that exist: none of these may ever change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flextune.platforms.x86.kind import llvm_attributes, vector_registers
from flextune.target.target import Target, known_devices

GOLDEN = "targets.txt"


def test_texts_and_keys(golden: Callable[[str, str], None]) -> None:
    names = [line for line in (Path(__file__).parent / GOLDEN).read_text().splitlines() if not line.startswith(" ")]
    assert set(known_devices()) <= set(names)
    golden(GOLDEN, "".join(map(_facts, names)))


def _facts(text: str) -> str:
    target = Target.parse(text)
    lines = [text, f"  text {target}", f"  key  {target.key}"]
    if target.kind == "x86":
        lines.append(f"  llvm {' '.join(llvm_attributes(target))}")
        lines.append(f"  vectors {target.vector_bits} bits, {vector_registers(target)} registers")
    return "\n".join(lines) + "\n"
