"""`ModelSearcher` and `SearchOption`, as CINN's design document has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tvm_ffi
from tvm import tirx

from flextune.compat.cinn.operator import TunedOperator
from flextune.compat.cinn.ops import ProgramBuilder
from flextune.compat.cinn.record import Head, Trial, read_record
from flextune.compat.cinn.schedules import Schedules
from flextune.errors import ScheduleError, UsageError
from flextune.lowering.symbolic_shapes import generic_sizes
from flextune.platforms import platform_registry as platforms
from flextune.platforms.symbolic_kernels import by_variant
from flextune.target.detect import detect
from flextune.target.target import Target
from flextune.trial.measurement import Status
from flextune.trial.variant import Variant
from flextune.tuning.variants.points import Grid
from flextune.tuning.variants.selection import Dispatch, fewest_variants
from flextune.tuning.variants.study import Study, StudyOptions, VariantTrial
from flextune.tuning.variants.tile_model import predicted, work_counts
from flextune.tvm_types import PrimFunc
from flextune.workload.dim import Dim, Weights

_POINTS = 9


@dataclass(frozen=True, slots=True)
class SearchOption:
    """How to search."""

    num_measure_trials: int = 32
    """Configurations that are measured, the default schedule besides."""
    repeat: int = 3
    """Times of each at each size; the median counts."""
    timeout: float = 30.0
    """Seconds that building a kernel, or all its times at one size, may take; what takes longer is a failed trial."""
    target: Target | None = None
    """What to tune for; this machine if it is not given."""

    def __post_init__(self) -> None:
        for name in ("num_measure_trials", "repeat"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(f"SearchOption: {name} is a whole number, at least 1, got {value!r}")
        if isinstance(self.timeout, bool) or not isinstance(self.timeout, int | float) or not self.timeout > 0:
            raise UsageError(f"SearchOption: timeout is a number of seconds > 0, got {self.timeout!r}")
        if self.target is not None and not isinstance(self.target, Target):
            raise UsageError(f"SearchOption: target comes from common.DefaultTarget(), got {self.target!r:.60}")


class ModelSearcher:
    """Searches the schedules of a program, or of several together, over ranges of sizes.

    `shape` has a range (lowest, highest) for each dimension, `shape_name` their names and `layout` a letter for each:
    in the programs of `ops` S is a spatial axis and R a reduced one. A configuration says a schedule of every program;
    its score is the sum of their times over sizes spread by weight, by default that of logarithms. With `windows` the
    sizes are divided, and schedules chosen, as CINN does it: to compare, since that loses up to twice the time.
    """

    def __init__(
        self,
        name: str,
        shape: Sequence[Sequence[int]],
        shape_name: Sequence[str],
        layout: str,
        program_builder: ProgramBuilder | Sequence[ProgramBuilder],
        candidate_generator: Iterable[Mapping[str, int]],
        *,
        weights: Mapping[str, Weights] | None = None,
        points: int = _POINTS,
        loss: float = 0.05,
        windows: bool = False,
        log_path: str | Path = "record.json",
    ) -> None:
        self.name = str(name)
        self.dims = _dims(shape, shape_name, weights or {})
        self.layout = str(layout)
        self.builders = (program_builder,) if isinstance(program_builder, ProgramBuilder) else tuple(program_builder)
        if not self.builders or not all(isinstance(each, ProgramBuilder) for each in self.builders):
            raise UsageError("ModelSearcher: program_builder is one of those of flextune.compat.cinn.ops, or several")
        symbols = [tirx.Var(dim.name, "int64") for dim in self.dims]
        self.functions = tuple(builder.build(symbols, self.layout) for builder in self.builders)
        self.generator, self.loss, self._path = candidate_generator, loss, Path(log_path)
        self.windows = windows
        self.grid = Grid.of_windows(self.dims) if windows else Grid.by_weight(self.dims, points)
        self._sizes = generic_sizes({dim.name: (dim.sizes[0], dim.sizes[-1]) for dim in self.dims})

    @property
    def get_log_path(self) -> str:
        """Where the trials are recorded."""
        return str(self._path)

    def search(self, option: SearchOption | None = None) -> dict[str, int]:
        """Measure configurations in the generator's order; returns the one with the best score ({}: the default)."""
        option = option or SearchOption()
        target = option.target or detect()
        schedules = [self._schedules(function, target) for function in self.functions]
        options = StudyOptions(option.repeat, option.timeout, loss=self.loss)
        head = self._head(target)
        trials: list[Trial] = []
        with ExitStack() as stack, self._path.open("w", encoding="utf-8") as file:
            studies = [stack.enter_context(Study(each, (), target, self.grid, options)) for each in self.functions]
            print(head.line(), file=file)
            for config, variants in self._candidates(schedules, option.num_measure_trials):
                trials.append(self._trial(config, variants, studies))
                print(trials[-1].line(), file=file, flush=True)
        return self._best(trials, target.cores)

    def apply(self, record: str | Path) -> TunedOperator | tuple[TunedOperator, ...]:
        """The program with the kernels that a record shows to be worth keeping; several programs, several operators.

        UsageError for a record of another program, target or range of sizes, or without a schedule that runs.
        """
        head, trials = read_record(Path(record))
        target = Target.parse(head.target)
        self._check(head, Path(record))
        operators = tuple(
            self._operator(place, function, head, trials, target) for place, function in enumerate(self.functions)
        )
        return operators[0] if len(operators) == 1 else operators

    def _head(self, target: Target) -> Head:
        programs = tuple(_check_sum(function) for function in self.functions)
        return Head(self.name, self.layout, self.dims, programs, str(target), self.grid.sizes, self.loss)

    def _check(self, head: Head, path: Path) -> None:
        expected = self._head(Target.parse(head.target))
        if head.programs != expected.programs or head.layout != expected.layout:
            raise UsageError(f"{path} is a record of another program: {head.name!r}")
        if [(dim.name, dim.sizes) for dim in head.dims] != [(dim.name, dim.sizes) for dim in self.dims]:
            ranges = ", ".join(map(str, head.dims))
            raise UsageError(f"{path} is a record of other sizes: {ranges}; wanted: {', '.join(map(str, self.dims))}")

    def _schedules(self, function: PrimFunc, target: Target) -> Schedules:
        try:
            return Schedules(function, self._sizes, (), target)
        except ScheduleError as error:
            raise UsageError(f"{self.name}: no schedule can be applied at all sizes: {error}") from error

    def _candidates(
        self, schedules: Sequence[Schedules], most: int
    ) -> Iterable[tuple[dict[str, int], tuple[Variant, ...]]]:
        """The default, and configurations that say different schedules."""
        seen = {default := tuple(each.default for each in schedules)}
        yield {}, default
        kept = 0
        for config in self.generator:
            if kept == most:
                return
            variants = tuple(each.variant(config) for each in schedules)
            known = tuple(each for each in variants if each is not None)
            if len(known) == len(variants) and known not in seen:
                seen.add(known)
                kept += 1
                yield dict(config), known

    def _trial(self, config: Mapping[str, int], variants: Sequence[Variant], studies: Sequence[Study]) -> Trial:
        measured: list[VariantTrial] = []
        for study, variant in zip(studies, variants, strict=True):
            study.measure([variant])
            measured.append(study.trials[-1])
        return Trial.of(config, measured, self.grid.points)

    def _best(self, trials: Sequence[Trial], cores: int) -> dict[str, int]:
        total = sum(self._secs(place, trials, self.grid, cores) for place in range(len(self.functions)))
        score = (total * self.grid.weights).sum(axis=1)
        if not np.isfinite(score).any():
            errors = "; ".join(dict.fromkeys(trial.error for trial in trials if trial.error))
            raise UsageError(f"{self.name}: no schedule runs at all sizes: {errors[:500]}")
        return dict(trials[int(np.argmin(score))].config)

    def _dispatch(self, head: Head, secs: np.ndarray) -> Dispatch:
        if self.windows:
            return Dispatch.by_windows(head.grid, secs)
        return Dispatch.of(head.grid, secs, fewest_variants(secs, head.grid.weights, head.loss))

    def _secs(self, place: int, trials: Sequence[Trial], grid: Grid, cores: int) -> np.ndarray:
        """[trials, points] of one program, by the model where nothing was measured."""
        names = [dim.name for dim in self.dims]
        works = [trial.variants[place].work(self.functions[place], cores) for trial in trials]
        counts = work_counts(works, names, grid.points)
        return predicted(np.stack([trial.secs(place) for trial in trials]), counts)

    def _operator(
        self, place: int, function: PrimFunc, head: Head, trials: Sequence[Trial], target: Target
    ) -> TunedOperator:
        platforms.get(target.kind)  # its traces name its instructions
        usable = [trial for trial in trials if trial.status is Status.OK and trial.run_secs]
        if not usable:
            raise UsageError(f"the record of {head.name!r} has no trial that went well")
        dispatch = self._dispatch(head, self._secs(place, usable, head.grid, target.cores))
        programs = {
            number: by_variant(function, usable[number].variants[place], (), target)
            for number in sorted(set(dispatch.variants))
        }
        default = by_variant(function, self._schedules(function, target).default, (), target)
        return TunedOperator(function, self.dims, target, programs, dispatch, default)


def _check_sum(function: PrimFunc) -> str:
    return f"{tvm_ffi.structural_hash(function, map_free_vars=True) & (2**64 - 1):016x}"


def _dims(shape: Sequence[Sequence[int]], names: Sequence[str], weights: Mapping[str, Weights]) -> tuple[Dim, ...]:
    if len(shape) != len(names) or not names:
        raise UsageError(f"ModelSearcher: {len(shape)} ranges in shape, but {len(names)} names in shape_name")
    if len(set(names)) != len(names):
        raise UsageError(f"ModelSearcher: names in shape_name are distinct, got {list(names)}")
    if unknown := sorted(weights.keys() - set(names)):
        raise UsageError(f"ModelSearcher: weights of {unknown[0]!r}, which is not in shape_name")
    found = []
    for ends, name in zip(shape, names, strict=True):
        if len(ends) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in ends):
            raise UsageError(f"ModelSearcher: {name} needs (lowest, highest), got {ends!r}")
        given: dict[str, Weights] = {"weights": weights[name]} if name in weights else {}
        found.append(Dim(name, ends[0], ends[1], **given))  # type: ignore[arg-type]
    return tuple(found)
