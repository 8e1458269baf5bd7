"""The ordered rules that turn a workload into a schedule space for a CPU."""

# ruff: noqa: ARG001  # every rule pass gets the limits

from __future__ import annotations

from collections.abc import Callable

from tvm import s_tir

from flextune.analysis.blocks import read_program
from flextune.analysis.program_facts import BlockFacts, BlockKind, ProgramFacts
from flextune.analysis.roles import role_of
from flextune.analysis.sharing import work_of
from flextune.csp import Assignment, Problem
from flextune.errors import InfeasibleError, ScheduleError
from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.rules.anchor import choose_anchor, without_epilogue
from flextune.platforms.cpu.rules.attention import apply_attention
from flextune.platforms.cpu.rules.fusion import inlinable, within_nesting
from flextune.platforms.cpu.rules.groups import apply_groups
from flextune.platforms.cpu.rules.nests import ElementwiseRule, ParallelNestRule
from flextune.platforms.cpu.rules.phases import apply_phases
from flextune.platforms.cpu.rules.register_tile import apply_register_tile
from flextune.platforms.cpu.rules.rows import LEAST_ROW, RowRule, peel_rows, reduces_contiguously, row_dimensions
from flextune.platforms.cpu.rules.scans import apply_blocked_scan
from flextune.platforms.cpu.rules.separable import apply_separable
from flextune.platforms.cpu.rules.splits import SPLIT_RULE, peel_odd_columns, split_long_reductions
from flextune.platforms.cpu.rules.transposed import TransposeRule, transposed_axis
from flextune.platforms.cpu.rules.winograd import apply_winograd
from flextune.schedule.apply import apply_trace
from flextune.schedule.peel import main_block_name
from flextune.schedule.space import Draft, SearchSpace
from flextune.schedule.steps import Inline
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.workload.workload import Workload

UNTUNED_RULE = "untuned"

_FEW_FUNCTIONS = 4

RulePass = Callable[[Draft, CpuLimits], None]


def cpu_space(workload: Workload, target: Target, limits: CpuLimits) -> SearchSpace:
    """The space of schedules of `workload` on a CPU with these limits.

    The rules are tried from the most to the least demanding set; a set that knows nothing of the program, or whose
    default schedule TVM rejects, is passed over. A program that no rule knows gets a space with one member, the
    unscheduled program (`tunable` is False). The tensor intrinsics in `limits` are registered by then.
    """
    program = read_program(workload.prim_func())
    if program is not None:
        for passes in (_WITH_ATTENTION, _FULL, _WITHOUT_SPLITS, _WITHOUT_PHASES, _WITHOUT_ROWS, _NESTS_ONLY):
            space = _try_passes(workload, target, program, limits, passes)
            if space is not None:
                return space
    return SearchSpace(workload, target, Trace(()), Problem((), ()), Assignment({}), (UNTUNED_RULE,))


def _try_passes(
    workload: Workload, target: Target, program: ProgramFacts, limits: CpuLimits, passes: tuple[RulePass, ...]
) -> SearchSpace | None:
    draft = Draft(workload.prim_func(), program, target, workload.constants)
    for rule in passes:
        rule(draft, limits)
    if not draft.scheduled:
        return None
    try:
        space = draft.finish(workload)
        apply_trace(workload, space.trace, space.default, target)
    except (ScheduleError, InfeasibleError):
        return None
    return space


def _remaining(draft: Draft) -> list[BlockFacts]:
    return [b for b in draft.program.blocks if b.name not in draft.scheduled]


def attention(draft: Draft, limits: CpuLimits) -> None:
    """Attention is one kernel of its own form. First of all: it is recognised by its plain blocks."""
    apply_attention(draft, limits)


def whole_algorithms(draft: Draft, limits: CpuLimits) -> None:
    """Algorithms of several blocks that are scheduled together."""
    apply_winograd(draft, limits)
    apply_separable(draft, limits)


def phases(draft: Draft, limits: CpuLimits) -> None:
    """Transposed convolutions become one plain convolution for all phases of the stride, before all else."""
    apply_phases(draft)


def scans(draft: Draft, limits: CpuLimits) -> None:
    """Prefix sums are summed up in blocks."""
    apply_blocked_scan(draft, limits)


def groups(draft: Draft, limits: CpuLimits) -> None:
    """Groups of channels become an axis of their own. Before anything is inlined: what follows is rewritten too."""
    apply_groups(draft, limits)


def splits(draft: Draft, limits: CpuLimits) -> None:
    """Reductions are cut where that lets more cores, caches or vectors work. What follows sees the parts."""
    split_long_reductions(draft, limits)
    peel_odd_columns(draft, limits)


def contractions(draft: Draft, limits: CpuLimits) -> None:
    """Every reduction whose loads are reused gets a register tile if it has a vector axis, the largest first."""
    found = [b for b in _remaining(draft) if b.kind is BlockKind.CONTRACTION or _reuses(b)]
    _register_tiles(draft, limits, sorted(found, key=lambda b: -b.trips))


def _reuses(block: BlockFacts) -> bool:
    """Whether a sum of loads has a spatial axis that no load depends on."""
    loaded = {n for access in block.operands for n in access.iterators}
    return block.kind is BlockKind.REDUCTION and any(it.name not in loaded and it.extent > 1 for it in block.spatial)


def spatial_reductions(draft: Draft, limits: CpuLimits) -> None:
    """Reductions over outer axes (pooling, column sums) get a register tile too."""
    _register_tiles(draft, limits, [b for b in _remaining(draft) if b.reduce and b.kind is not BlockKind.OPAQUE])


def _register_tiles(draft: Draft, limits: CpuLimits, blocks: list[BlockFacts]) -> None:
    for block in blocks:
        anchor = choose_anchor(draft.program, block, limits, draft.constants)
        if anchor is None or block.name in draft.scheduled:
            continue
        if anchor.last is not None and anchor.last.name in draft.scheduled:  # it follows another reduction too
            anchor = without_epilogue(anchor)
        apply_register_tile(draft, anchor, limits, f"{block.name}." if draft.rules else "")


def inlining(draft: Draft, limits: CpuLimits) -> None:
    """Element-wise blocks with one element-wise consumer are computed inside it; what follows sees the rest.

    Blocks of a whole algorithm are left to its rule.
    """
    schedule = s_tir.Schedule(draft.function)
    free = [block for block in _remaining(draft) if role_of(block) is None]
    names = within_nesting(draft.program, {block.name for block in free if inlinable(draft.program, block)})
    for name in names:
        schedule.compute_inline(schedule.get_sblock(name))
    if names:
        draft.scheduled.update(names)
        draft.rewrite(schedule.mod["main"], *map(Inline, names))


def rows(draft: Draft, limits: CpuLimits) -> None:
    """What remains, if it reduces along rows, is computed row by row; unless there are too few rows for that."""
    blocks = _remaining(draft)
    if (
        SPLIT_RULE in draft.rules
        or not any(_is_long_row(b) or _is_short_row(b) for b in blocks)
        or any(b.kind is BlockKind.OPAQUE for b in blocks)
    ):
        return
    if not any(map(_is_long_row, blocks)) and any(_calls_functions_along_rows(b) for b in blocks):
        return
    count = row_dimensions(blocks)
    if count:
        tails = peel_rows(draft, blocks, limits)
        RowRule(draft, _remaining(draft), count, limits, tails).apply()


def _calls_functions_along_rows(block: BlockFacts) -> bool:
    """Whether a block has exponentials or the like that vectors over several rows would do better."""
    width = block.spatial[-1].extent if block.kind is BlockKind.ELEMENTWISE and block.spatial else 1
    return width > _FEW_FUNCTIONS and work_of(block) > block.trips


def _is_long_row(block: BlockFacts) -> bool:
    return reduces_contiguously(block) and block.reduce[-1].extent >= LEAST_ROW


def _is_short_row(block: BlockFacts) -> bool:
    """Whether a block reduces rows, and not windows; LLVM computes several short ones side by side."""
    if block.kind is not BlockKind.REDUCTION or block.is_symbolic or not reduces_contiguously(block):
        return False
    inner = block.reduce[-1].name
    alone = all(set(uses) <= {inner} for access in block.operands for uses in access.uses if inner in uses)
    return alone and len(block.reduce) == 1 and block.reduce[-1].extent > 1


def single_rows(draft: Draft, limits: CpuLimits) -> None:
    """Reductions along rows that are no part of a larger computation in rows are each computed row by row."""
    for name in [block.name for block in _remaining(draft) if _is_row_reduction(block)]:
        block, prefix = draft.program.block(name), f"{name}." if draft.rules else ""
        tails = peel_rows(draft, [block], limits)
        main = draft.program.block(main_block_name(name) if tails else name)
        RowRule(draft, [main], len(main.spatial), limits, frozenset(), prefix).apply()


def _is_row_reduction(block: BlockFacts) -> bool:
    if block.kind not in (BlockKind.REDUCTION, BlockKind.CONTRACTION) or block.is_symbolic or not block.spatial:
        return False
    return reduces_contiguously(block) and block.reduce[-1].extent >= LEAST_ROW


def nests(draft: Draft, limits: CpuLimits) -> None:
    """Every block left is a loop nest of its own."""
    for number, block in enumerate(_remaining(draft)):
        across = transposed_axis(block)
        if across is not None:
            TransposeRule(draft, block, across, limits, f"n{number}." if number else "").apply()
            continue
        rule = ElementwiseRule if block.kind is BlockKind.ELEMENTWISE else ParallelNestRule
        rule(draft, block, limits, f"n{number}." if number else "").apply()


def bare_nests(draft: Draft, limits: CpuLimits) -> None:
    """Parallel outer loops only."""
    for number, block in enumerate(_remaining(draft)):
        ParallelNestRule(draft, block, limits, f"n{number}." if number else "").apply()


_WITH_ATTENTION: tuple[RulePass, ...] = (attention,)
_REST: tuple[RulePass, ...] = (contractions, rows, spatial_reductions, single_rows, nests)
_FULL: tuple[RulePass, ...] = (phases, scans, groups, inlining, whole_algorithms, splits, *_REST)
_WITHOUT_SPLITS: tuple[RulePass, ...] = (phases, scans, groups, inlining, whole_algorithms, *_REST)
_WITHOUT_PHASES: tuple[RulePass, ...] = (groups, inlining, whole_algorithms, *_REST)
_WITHOUT_ROWS: tuple[RulePass, ...] = (groups, inlining, whole_algorithms, contractions, spatial_reductions, nests)
_NESTS_ONLY: tuple[RulePass, ...] = (bare_nests,)
