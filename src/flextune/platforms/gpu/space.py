"""The ordered rules that turn a workload into a schedule space for a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tvm import s_tir

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, BlockKind, ProgramFacts
from flextune.errors import InfeasibleError, ScheduleError, UsageError
from flextune.platforms.gpu.limits import GpuLimits
from flextune.platforms.gpu.matrix_form import MatrixAxes
from flextune.platforms.gpu.rules.contraction import is_cheap, product_axes, tileable
from flextune.platforms.gpu.rules.matrix import apply_matrix_tile
from flextune.platforms.gpu.rules.tensor import apply_tensor_tile
from flextune.platforms.gpu.rules.threads import apply_nest, apply_rows, remaining, row_loops
from flextune.schedule.apply import apply_trace
from flextune.schedule.space import Draft, SearchSpace
from flextune.schedule.steps import Inline
from flextune.target.target import Target
from flextune.workload.workload import Workload

RulePass = Callable[[Draft, GpuLimits], None]


def gpu_space(workload: Workload, target: Target, limits: GpuLimits, *, tensor_cores: bool = True) -> SearchSpace:
    """The space of schedules of `workload` on a GPU with these limits; `tensor_cores` where its family has NVIDIA's.

    Sets of rules are tried from the most to the least demanding, as on CPUs; one whose default schedule TVM rejects is
    passed over. Raises `UsageError` for a program that no rule can give to threads.
    """
    program = read_program(workload.prim_func())
    if program is None:
        raise UsageError(f"{workload} is no nest of plain loops: there is no GPU schedule for it")
    fault = ""
    for passes in (*([_TENSOR] if tensor_cores else []), _FULL, _WITHOUT_ROWS, _NESTS, _BARE_NESTS):
        try:
            return _space(workload, target, program, limits, passes)
        except (ScheduleError, InfeasibleError) as error:
            fault = fault or str(error)
    raise UsageError(f"no GPU schedule of {workload}: {fault}")


def _space(
    workload: Workload, target: Target, program: ProgramFacts, limits: GpuLimits, passes: tuple[RulePass, ...]
) -> SearchSpace:
    draft = Draft(workload.prim_func(), program, target, workload.constants)
    for rule in passes:
        rule(draft, limits)
    space = draft.finish(workload)
    apply_trace(workload, space.trace, space.default, target)
    return space


def products(draft: Draft, limits: GpuLimits) -> None:
    """Every product of matrices that is large enough gets tiles, with what is computed before and after it."""
    for block, axes in _large_products(draft):
        apply_matrix_tile(draft, block, axes, limits, _prefix(draft, block))


def tensor_products(draft: Draft, limits: GpuLimits) -> None:
    """Products whose operands tensor cores take get tiles of warps."""
    for block, axes in _large_products(draft):
        apply_tensor_tile(draft, block, axes, limits, _prefix(draft, block))


def _large_products(draft: Draft) -> Iterator[tuple[BlockFacts, MatrixAxes]]:
    """Those that nothing has scheduled when it is their turn."""
    for block in draft.program.blocks:
        axes = product_axes(block)
        if axes is not None and block.name not in draft.scheduled and tileable(block, axes):
            yield block, axes


def _prefix(draft: Draft, block: BlockFacts) -> str:
    """Of the names of its variables: none for the first rule."""
    return f"{block.name}." if draft.rules else ""


def inlining(draft: Draft, limits: GpuLimits) -> None:
    """Element-wise blocks that are cheap, or whose readers are element-wise, are computed where they are read."""
    del limits
    schedule = s_tir.Schedule(draft.function)
    free = remaining(draft.program, draft.scheduled)
    names = [block.name for block in free if _inlinable(draft, block)]
    for name in names:
        schedule.compute_inline(schedule.get_sblock(name))
    if names:
        draft.rewrite(schedule.mod["main"], *map(Inline, names))
    draft.scheduled.update(names)


def _inlinable(draft: Draft, block: BlockFacts) -> bool:
    if block.kind is not BlockKind.ELEMENTWISE or block.output.parameter is not None:
        return False
    axes = block.writes[0].plain_axes()
    if axes is None or None in axes:
        return False
    consumers = draft.program.consumers(block)
    if any(each.name in draft.scheduled or each.kind is BlockKind.OPAQUE for each in consumers):
        return False
    return is_cheap(block) or all(each.kind is BlockKind.ELEMENTWISE for each in consumers)


def rows(draft: Draft, limits: GpuLimits) -> None:
    """What remains, if it reduces along rows, is computed row by row by blocks of threads."""
    blocks = remaining(draft.program, draft.scheduled)
    loops = row_loops(blocks) if blocks and not draft.rules else 0
    if loops and (len(blocks) > 1 or blocks[-1].reduce):
        apply_rows(draft, blocks, loops, limits)


def nests(draft: Draft, limits: GpuLimits) -> None:
    """Every block left is a nest of its own."""
    for number, block in enumerate(remaining(draft.program, draft.scheduled)):
        apply_nest(draft, block, limits, f"n{number}." if number or draft.rules else "")


_TENSOR: tuple[RulePass, ...] = (tensor_products, products, inlining, rows, nests)
_FULL: tuple[RulePass, ...] = (products, inlining, rows, nests)
_WITHOUT_ROWS: tuple[RulePass, ...] = (products, inlining, nests)
_NESTS: tuple[RulePass, ...] = (inlining, nests)
_BARE_NESTS: tuple[RulePass, ...] = (nests,)
