"""Placing buffers: nothing alive overlaps, and little is wasted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flextune.apply.memory_plan import Lifetime, least_bytes, plan_memory

LIFETIMES = st.lists(
    st.builds(lambda size, first, length: Lifetime(size, first, first + length),
              st.integers(0, 5000), st.integers(0, 30), st.integers(0, 10)),
    max_size=40,
)  # fmt: skip


@given(LIFETIMES, st.sampled_from([1, 64]))
def test_buffers_that_live_together_do_not_overlap(buffers: list[Lifetime], alignment: int) -> None:
    plan = plan_memory(buffers, alignment)
    ends = [offset + buffer.nbytes for offset, buffer in zip(plan.offsets, buffers, strict=True)]
    assert all(offset % alignment == 0 for offset in plan.offsets)
    assert plan.nbytes >= max(ends, default=0)
    for one in range(len(buffers)):
        for other in range(one):
            if buffers[one].meets(buffers[other]) and buffers[one].nbytes and buffers[other].nbytes:
                assert plan.offsets[one] >= ends[other] or plan.offsets[other] >= ends[one]


@given(LIFETIMES)
def test_no_plan_is_below_what_lives_at_once(buffers: list[Lifetime]) -> None:
    assert plan_memory(buffers, 1).nbytes >= least_bytes(buffers)


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    sizes = [100, 400, 300, 50, 600, 10]
    chain = [Lifetime(size, step, step + 1) for step, size in enumerate(sizes)]
    assert plan_memory(chain, 1).nbytes == least_bytes(chain) == 700


def test_nothing_needs_nothing() -> None:
    assert plan_memory([], 64).nbytes == 0
