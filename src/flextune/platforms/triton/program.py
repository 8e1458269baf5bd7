"""A product under an assignment: which kernels in Triton are launched, with which constants."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from flextune.platforms.triton.form import Product

Constant = int | bool | str

PARTS = "parts"
"""The buffer of the parts of a product that is split along k."""
_FINISH_BLOCK = 1024
_FINISH_WARPS = 4


@dataclass(frozen=True, slots=True)
class TritonLaunch:
    """One start of a kernel of `kernels.py`."""

    kernel: str
    arguments: tuple[tuple[str, str], ...]
    """Buffers by parameter."""
    types: tuple[tuple[str, str], ...]
    """Of them, as Triton writes them, by parameter."""
    constants: tuple[tuple[str, Constant], ...]
    """By parameter; types are by their names in `triton.language`."""
    grid: tuple[int, int, int]
    warps: int
    stages: int


@dataclass(frozen=True, slots=True)
class TritonProgram:
    """What is launched, in order; the program's parameters by name, and the bytes of buffers that live in between."""

    parameters: tuple[str, ...]
    launches: tuple[TritonLaunch, ...]
    workspaces: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def triton_program(form: Product, assignment: Mapping[str, int]) -> TritonProgram:
    """The launches of a product."""
    split, pointers = assignment["split_k"], form.pointers()
    parameters = ("a", "b", *(["bias"] if form.has_bias else []), "c")
    bias = "bias" if form.has_bias else "c"  # never read then
    m, n, k = form.m, form.n, form.k
    tiles = -(-m // assignment["block_m"]) * -(-n // assignment["block_n"])
    after: dict[str, Constant] = {"HAS_BIAS": form.has_bias, "HAS_RELU": form.has_relu}
    constants: dict[str, Constant] = {
        "m": m, "n": n, "k": k,
        "a_batch": m * k, "a_row": 1 if form.ta else k, "a_step": m if form.ta else 1,
        "b_batch": k * n, "b_step": 1 if form.tb else n, "b_column": k if form.tb else 1,
        "BLOCK_M": assignment["block_m"], "BLOCK_N": assignment["block_n"], "BLOCK_K": assignment["block_k"],
        "GROUP": assignment["group"], "SPLIT": split, "SUM": form.sums, "PRECISION": form.precision, **after,
    }  # fmt: skip
    result = "c" if split == 1 else PARTS
    buffers = {"a": "a", "b": "b", "bias": bias, "c": result}
    types = {"a": pointers["a"], "b": pointers["b"], "bias": pointers[bias], "c": pointers[result]}
    multiply = TritonLaunch(
        "gemm", tuple(buffers.items()), tuple(types.items()), tuple(constants.items()), (tiles, form.batch, split),
        assignment["warps"], assignment["stages"],
    )  # fmt: skip
    if split == 1:
        return TritonProgram(parameters, (multiply,), ())
    elements = form.batch * m * n
    finish = TritonLaunch(
        "finish",
        (("parts", PARTS), ("bias", bias), ("c", "c")),
        (("parts", pointers[PARTS]), ("bias", pointers[bias]), ("c", pointers["c"])),
        tuple({"elements": elements, "n": n, "SPLIT": split, "BLOCK": _FINISH_BLOCK, **after}.items()),
        (-(-elements // _FINISH_BLOCK), 1, 1),
        _FINISH_WARPS,
        1,
    )
    return TritonProgram(parameters, (multiply, finish), ((PARTS, 4 * split * elements),))
