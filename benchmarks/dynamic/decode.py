"""Decoding with a key-value cache, by the functions of examples/decode.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

Row = dict[str, object]
EXAMPLE = Path(__file__).parents[2] / "examples" / "decode.py"


def measured(kinds: tuple[str, ...], steps: int, rounds: int) -> list[Row]:
    """Tokens per second of each runner; none where the example or PyTorch is missing."""
    if not EXAMPLE.exists() or importlib.util.find_spec("torch") is None:
        return []
    example = _example()
    rows: list[Row] = []
    for kind in kinds:
        executable = example.built(example.decoder(kind))
        speeds = example.tokens_per_sec(example.runners(kind, executable), steps, rounds)
        peers = [speed for name, speed in speeds.items() if name != "flextune"]
        over = speeds["flextune"] / max(peers) if peers else None
        rows.append({"model": kind, "steps": steps, "tokens_per_sec": speeds, "over_best_peer": over})
    return rows


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("decode_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
