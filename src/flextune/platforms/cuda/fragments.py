"""Fragments of tensor cores in CUDA source: TVM writes those of wmma, which stay or become those of `mma.sync`.

So are asynchronous copies: TVM's own for what lies past the end are not asynchronous where they write zeros.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from flextune.platforms.gpu.tensor_instruction import SWIZZLED_STRIDE
from flextune.platforms.gpu.tensor_types import MMA_SHAPES

_HERE = Path(__file__).parent
_SUMS_IN_HALF = "template <int K> struct fragment<accumulator, 16, 8, K, half> { unsigned r[2]; };"
"""Sums in half precision are two in a register."""

_PRODUCTS = (
    (16, "half", "half", "float", "f32.f16.f16.f32"),
    (16, "nv_bfloat16", "nv_bfloat16", "float", "f32.bf16.bf16.f32"),
    (8, "precision::tf32", "precision::tf32", "float", "f32.tf32.tf32.f32"),
    (32, "signed char", "signed char", "int", "s32.s8.s8.s32"),
    (32, "uchar", "signed char", "int", "s32.u8.s8.s32"),
    (32, "signed char", "uchar", "int", "s32.s8.u8.s32"),
)
"""Steps, types of both operands and of the sums, and how the instruction names them."""

_MMA_SIZES = "|".join(", ".join(map(str, each)) for each in MMA_SHAPES)
_MMA_FRAGMENT = re.compile(rf"nvcuda::wmma::fragment<nvcuda::wmma::(?=\w+, (?:{_MMA_SIZES}),)")
_TF32 = re.compile(r"(nvcuda::wmma::fragment<nvcuda::wmma::matrix_\w, \d+, \d+, 8, )nv_bfloat16,")
"""TVM has no tf32: its fragments are those with 8 steps."""

_WMMA_CALLS = {
    "nvcuda::wmma::load_matrix_sync(": "flextune::load_matrix(",
    "nvcuda::wmma::store_matrix_sync(": "flextune::store_matrix(",
    "nvcuda::wmma::fill_fragment(": "flextune::fill_fragment(",
    "nvcuda::wmma::mma_sync(": "flextune::multiply(",
    ", nvcuda::wmma::mem_row_major": "",
}


_COPY = re.compile(r"ptx_cp_async_legacy_(?:pred_)?c[ag]_(\d+)_(\d+)_(\d+)\(")
_DECLARED = re.compile(
    r"\n__forceinline__ __device__ void (?:ptx_cp_async_legacy|tvm_builtin_ptx_cp_async)\w*\([^)]*\) \{\n.*?\n\}\n",
    re.DOTALL,
)
_COMMIT = re.compile(r"tvm_builtin_ptx_cp_async_commit_group\w*\(\)")
_WAIT = re.compile(r"tvm_builtin_ptx_cp_async_wait_group\w*_(\d+)\(\)")


def without_copies(head: str) -> str:
    """TVM's declarations without those of asynchronous copies, some of which NVRTC refuses."""
    return _DECLARED.sub("\n", head)


def with_copies(body: str) -> tuple[str, str]:
    """Kernels with our asynchronous copies in place of TVM's; and what declares them."""
    body, count = _COPY.subn(r"flextune::copy_async<\1, \2, \3>(", body)
    body = _WAIT.sub(r"flextune::wait_for_copies<\1>()", _COMMIT.sub("flextune::commit_copies()", body))
    needed = count or "flextune::wait_for_copies<" in body or SWIZZLED_STRIDE in body
    return body, _text("copies") if needed else ""


def with_fragments(body: str) -> tuple[str, str]:
    """Kernels with fragments by our names, those of `mma.sync` as our own; and what declares them."""
    for theirs, ours in _WMMA_CALLS.items():
        body = body.replace(theirs, ours)
    body = _TF32.sub(r"\1nvcuda::wmma::precision::tf32,", body)
    body = _MMA_FRAGMENT.sub("flextune::fragment<flextune::", body)
    lines = [_own_layout(line) if "flextune::fragment<" in line else line for line in body.splitlines()]
    body, declared = "\n".join(lines) + "\n", ""
    if "nvcuda::wmma::fragment<" in body:
        declared += _text("wmma")
    if "flextune::fragment<" in body:
        declared += _mma_fragments(tuple(each for each in _PRODUCTS if f"{each[1]}," in body and f"{each[2]}," in body))
    return body, declared


def _own_layout(line: str) -> str:
    return line.replace("nvcuda::wmma::", "flextune::")


@cache
def _mma_fragments(needed: tuple[tuple[int, str, str, str, str], ...]) -> str:
    """Declared with the products that are needed: the types of others may be unknown to the compiler."""
    products = "".join(
        _text("mma_multiply").replace("$K", str(steps)).replace("$A", left).replace("$B", right).replace("$C", sums)
        .replace("$types", types).replace("$r", "f" if sums == "float" else "r")
        for steps, left, right, sums, types in needed
    )  # fmt: skip
    in_half = any(left == "half" for _, left, *_ in needed)
    if in_half:
        products += _text("mma_half")
    text = _text("mma").replace("$multiply", products)
    return text.replace("$half", _SUMS_IN_HALF if in_half else "")


def _text(name: str) -> str:
    return _HERE.joinpath(f"{name}.cuh").read_text(encoding="utf-8")
