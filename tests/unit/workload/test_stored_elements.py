"""Which uint16 buffers of a program hold bfloat16 numbers, and that all others are compared as integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tvm import te, tirx

from flextune.lowering.precision.bfloat16 import rounded, widened
from flextune.measure.output_check import check_outputs
from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import BFLOAT16, element_type
from flextune.workload.rounding import by_bits
from flextune.workload.tir import from_prim_func
from flextune.workload.workload import Workload

SIZE = 64


def program(function: Callable[..., Expression], *dtypes: str) -> Workload:
    inputs = [te.placeholder((SIZE,), dtype, name=f"x{place}") for place, dtype in enumerate(dtypes)]
    result = te.compute((SIZE,), lambda i: function(*(tensor[i] for tensor in inputs)), name="y")
    return from_prim_func(te.create_prim_func([*inputs, result]), "program")


def elements(workload: Workload) -> list[str]:
    return [spec.element.name for spec in (*workload.inputs, *workload.outputs)]


PLAIN = {
    "add": program(lambda x, y: x + y, "uint16", "uint16"),
    "max": program(tirx.max, "uint16", "uint16"),
    "copy": program(lambda x: x, "uint16"),
    "cast": program(lambda x: (x * 100.0 + 200.0).astype("uint16"), "float32"),
    "shift": program(lambda x: tirx.shift_right(x, tirx.const(3, "uint16")), "uint16"),
    "read": program(lambda x, y: (x.astype("float32") + y).astype("uint16"), "uint16", "float32"),
}


@pytest.mark.parametrize("name", PLAIN)
def test_integers_off_by_one_are_wrong(name: str) -> None:
    workload = PLAIN[name]
    assert "bfloat16" not in elements(workload)
    assert workload.dtype == "float32"
    inputs = workload.random_inputs(0)
    references = workload.reference(inputs)
    assert not check_outputs(workload, [each.copy() for each in references], references).error
    found = check_outputs(workload, [references[0] + 1], references)
    assert f"wrong in {SIZE} of {SIZE}" in found.error
    assert found.max_error == 1.0


def padded_product(x: Tensor, w: Tensor) -> list[Tensor]:
    """x is only moved, into what is widened; the result is rounded, and moved once more."""
    pad = te.compute((SIZE + 2,), lambda i: tirx.if_then_else(i < SIZE, x[i], tirx.const(0, "uint16")), name="pad")
    k = te.reduce_axis((0, 3), name="k")
    total = te.compute((SIZE,), lambda i: te.sum(widened(pad[i + k]) * widened(w[k]), axis=[k]), name="total")
    narrow = te.compute((SIZE,), lambda i: rounded(total[i]), name="narrow")
    return [te.compute((SIZE,), lambda i: tirx.Select(i < 3, narrow[i], narrow[i]), name="moved")]


def test_bfloat16_is_told_by_what_a_program_does() -> None:
    x, w = te.placeholder((SIZE,), "uint16", name="x"), te.placeholder((3,), "uint16", name="w")
    workload = from_prim_func(te.create_prim_func([x, w, *padded_product(x, w)]), "program")
    assert elements(workload) == ["bfloat16"] * 3
    assert workload.dtype == "bfloat16"
    inputs = workload.random_inputs(0)
    assert all(np.abs(BFLOAT16.decode(array)).max() <= 1 for array in inputs)
    references = workload.reference(inputs)
    assert not check_outputs(workload, [references[0] + 1], references).error  # the neighbouring number
    assert check_outputs(workload, [references[0] + 4], references).error


def _by_bits(value: Expression) -> Expression:
    """As programs rounded before there was an operator for it."""

    class Call:
        args = (value,)

    return by_bits(Call)


@pytest.mark.parametrize("rounding", [rounded, _by_bits])
def test_what_is_rounded_is_bfloat16(rounding: Any) -> None:
    workload = program(lambda x: rounding(x * 2.0), "float32")
    assert elements(workload) == ["float32", "bfloat16"]
    references = workload.reference(workload.random_inputs(0))
    assert not check_outputs(workload, [references[0] + 1], references).error


def test_integers_beside_bfloat16_stay_integers() -> None:
    """One program, both kinds: indices in uint16 and numbers in bfloat16."""
    x, n = te.placeholder((SIZE,), "uint16", name="x"), te.placeholder((SIZE,), "uint16", name="n")
    y = te.compute((SIZE,), lambda i: widened(x[i]) * 2.0, name="y")
    m = te.compute((SIZE,), lambda i: n[i] + tirx.const(1, "uint16"), name="m")
    workload = from_prim_func(te.create_prim_func([x, n, y, m]), "program")
    assert elements(workload) == ["bfloat16", "uint16", "float32", "uint16"]
    references = workload.reference(workload.random_inputs(0))
    assert "output p3" in check_outputs(workload, [references[0], references[1] + 1], references).error


def test_integers_beside_floats_are_exact() -> None:
    x = te.placeholder((SIZE,), "float32", name="x")
    n = te.placeholder((SIZE,), "int32", name="n")
    y = te.compute((SIZE,), lambda i: x[i] * 2.0, name="y")
    m = te.compute((SIZE,), lambda i: n[i] * 65536, name="m")
    workload = from_prim_func(te.create_prim_func([x, n, y, m]), "program")
    references = workload.reference(workload.random_inputs(0))
    assert "output p3" in check_outputs(workload, [references[0], references[1] + 1], references).error


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats(dtype: str) -> None:
    """Sums in any order pass, other numbers do not."""
    x = te.placeholder((SIZE, 32), dtype, name="x")
    k = te.reduce_axis((0, 32), name="k")
    y = te.compute((SIZE,), lambda i: te.sum(x[i, k], axis=[k]), name="y")
    workload = from_prim_func(te.create_prim_func([x, y]), "program")
    inputs = workload.random_inputs(0)
    references = workload.reference(inputs)
    backwards = np.zeros(SIZE, dtype)
    for column in inputs[0].T[::-1]:
        backwards = (backwards + column).astype(dtype)
    assert not check_outputs(workload, [backwards], references).error
    assert check_outputs(workload, [(references[0] * 1.3 + 1).astype(dtype)], references).error
    assert element_type(dtype) is workload.outputs[0].element
