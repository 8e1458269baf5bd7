"""Caches as /sys tells of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from flextune.platforms.cpu.caches import cache_sizes, last_level_cache_count

CACHES = {
    "1d": ("Data", "48K", "0"),
    "1i": ("Instruction", "32K", "0"),
    "2": ("Unified", "2M", "0"),
    "3": ("Unified", "107520K", "0-1"),
}


def test_cache_sizes_without_l3_and_without_anything(make_machine: Callable[..., Path]) -> None:
    root = make_machine(caches={"1d": ("Data", "32K", "0"), "2": ("Unified", "4096K", "0-3")})
    assert cache_sizes(root, 0) == (32 << 10, 4 << 20, 4 << 20)
    shutil.rmtree(root / "sys")
    assert cache_sizes(root, 0) == (32 << 10, 512 << 10, 8 << 20)


def test_last_level_caches_are_counted_once(make_machine: Callable[..., Path]) -> None:
    root = make_machine(caches=CACHES)
    assert last_level_cache_count(root, [0, 1]) == 1
    (root / "sys/devices/system/cpu/cpu1/cache/index3/shared_cpu_list").write_text("1")
    assert last_level_cache_count(root, [0, 1]) == 2
    assert last_level_cache_count(root / "nowhere", [0, 1]) == 1
