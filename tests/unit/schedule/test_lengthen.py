from __future__ import annotations

import pytest
import tvm
import tvm_ffi
from tvm import te

from flextune.schedule.lengthen import lengthen


def stencil(length: int) -> tvm.s_tir.Schedule:
    """Two stages, the second of which moves into a loop of the first's consumer."""
    data = te.placeholder((3, length + 2), name="data")
    doubled = te.compute((3, length + 2), lambda i, j: data[i, j] * 2, name="doubled")
    result = te.compute((3, length), lambda i, j: doubled[i, j] + doubled[i, j + 2], name="result")
    return tvm.s_tir.Schedule(te.create_prim_func([data, result]))


def loop_of(schedule: tvm.s_tir.Schedule) -> object:
    return schedule.get_loops(schedule.get_sblock("result"))[1]


@pytest.mark.parametrize("factors", [(None, 4), (None, 2, 3), (2, 8), (None, 13), (13, 1)])
def test_a_split_of_a_lengthened_loop_is_the_split_that_tvm_makes(factors: tuple[int | None, ...]) -> None:
    plain, ours = stencil(13), stencil(13)
    expected = plain.split(loop_of(plain), list(factors), preserve_unit_iters=True)
    loop, product = loop_of(ours), 1
    for factor in factors:
        product *= factor or 1
    lengthen(ours, loop, product, open_ended=None in factors)
    parts = ours.split(loop, list(factors), preserve_unit_iters=True)
    for schedule, loops in ((plain, expected), (ours, parts)):
        schedule.compute_at(schedule.get_sblock("doubled"), loops[0])
    assert tvm_ffi.structural_equal(ours.mod, plain.mod)


def test_what_divides_stays_as_it_is() -> None:
    schedule = stencil(12)
    lengthen(schedule, loop_of(schedule), 4, open_ended=True)
    assert tvm_ffi.structural_equal(schedule.mod, stencil(12).mod)


def test_steps_that_cannot_be_counted_are_not_made() -> None:
    schedule = stencil(2**31 - 4)
    lengthen(schedule, loop_of(schedule), 16, open_ended=True)
    assert tvm_ffi.structural_equal(schedule.mod, stencil(2**31 - 4).mod)
