"""Swizzled tiles in CUDA source: kernels whose loads say so write their operands' tiles in the same order."""

from __future__ import annotations

import re
from pathlib import Path

from flextune.errors import BuildError
from flextune.platforms.gpu.tensor_instruction import SWIZZLED_STRIDE

_MEMORY = r"(?:\(\([\w ]+\*\)buf_dyn_shmem_ptr\)|buf_dyn_shmem_ptr)"
"""As elements of some type; bytes have no cast."""

_STORE = re.compile(
    rf"^(\s*)(?:\*(?P<vector>\([\w ]+\*\))\((?P<place>{_MEMORY} \+ \(.*?\))\)"
    rf"|(?P<elements>{_MEMORY})\[(?P<index>.*?)\]) = ",
    re.MULTILINE,
)
"""A store to shared memory: of several elements, or of one. Sums are stored by instructions."""

_OTHER_STORE = re.compile(
    r"^\s*(?!\*flextune::swizzled)[*(]*(?:\([\w ]+\*\)\(*)*buf_dyn_shmem_ptr\b.* = ", re.MULTILINE
)
_OPERATION = "flextune::copy_async<"


def with_swizzled_stores(kernels: str) -> tuple[str, str]:
    """Kernels that write tiles as they read them, and what declares it; each kernel does so for all of its tiles."""
    parts = re.split(r'(?=^extern "C" __global__)', kernels, flags=re.MULTILINE)
    if not any(SWIZZLED_STRIDE in part for part in parts):
        return kernels, ""
    text = "".join(_swizzled(part) if SWIZZLED_STRIDE in part else part for part in parts)
    return text, Path(__file__).with_name("swizzle.cuh").read_text(encoding="utf-8")


def _swizzled(kernel: str) -> str:
    text = _STORE.sub(_store, kernel)
    if unknown := _OTHER_STORE.search(text):
        raise BuildError(f"a tile that is read swizzled is not written so: {unknown[0].strip()}")
    text = text.replace(_OPERATION, "flextune::copy_swizzled<")
    return text.replace("extern __shared__ __align__(64)", "extern __shared__ __align__(128)")


def _store(match: re.Match[str]) -> str:
    several, one = match["vector"], f"{match['elements']} + ({match['index']})"
    place = f"{several}({match['place']})" if several else one
    return f"{match[1]}*flextune::swizzled({place}) = "
