"""Runs on this machine: all strategies take turns seed by seed, so that what drifts meets all of them alike."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.outcome import Judgement, LiveRun, Outcomes
from benchmarks.rounds import turns
from flextune.csp.assignment import Assignment
from flextune.database.store import open_database
from flextune.measure.runner import Runner
from flextune.platforms import platform_registry
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, TrialMeasured
from flextune.tuning.loop import provenance
from flextune.tuning.task_search import TuningTask
from flextune.tuning.tune_options import TuneOptions
from flextune.tuning.tuning_run import TuningRun
from flextune.workload.parse import parse_workload

JUDGING_ROUNDS = 15


@dataclass(frozen=True, slots=True)
class LivePlan:
    """`trials[strategy]` trials of each strategy on each workload with each seed.

    A strategy is `NAME` or `NAME+COST_MODEL`.
    """

    workloads: tuple[str, ...]
    trials: Mapping[str, int]
    seeds: int

    def __len__(self) -> int:
        return len(self.workloads) * len(self.trials) * self.seeds

    def groups(self) -> Iterator[tuple[str, int, tuple[str, ...]]]:
        """Workload, seed, and the strategies in the order they run in: it rotates from seed to seed."""
        orders = turns(list(self.trials), self.seeds)
        for seed, order in enumerate(orders):
            for workload in self.workloads:
                yield workload, seed, order


class LiveComparison:
    """Tunes with the product's own loop; nothing is taken from earlier records, every trial is measured."""

    def __init__(self, plan: LivePlan, runner: Runner, target: Target, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._runner = runner
        self._target = target
        self._say = say

    def play(self, known: Outcomes) -> Iterator[str]:
        """JSON lines of the runs and judgements that are not known yet, each as soon as it is there."""
        runs = {run.key: run for run in known.runs}
        judged = {judgement.key for judgement in known.judgements}
        for workload, seed, order in self._plan.groups():
            for strategy in (each for each in order if (workload, each, seed) not in runs):
                run = self.run(workload, strategy, seed)
                runs[run.key] = run
                self._say(
                    f"{len(runs)}/{len(self._plan)} {workload} {strategy} seed {seed}: "
                    f"{min(run.trial_secs) * 1e6:.1f} us after {len(run.trial_secs)} trials, {run.ended_secs[-1]:.1f} s"
                )
                yield run.to_json()
            if (workload, seed) not in judged:
                yield self.judge([runs[workload, strategy, seed] for strategy in order]).to_json()

    def run(self, workload: str, strategy: str, seed: int) -> LiveRun:
        """One tuning run; its winner is that of its final comparison, as `flextune tune` would name it."""
        name, _, model = strategy.partition("+")
        trials = self._plan.trials[strategy]
        options = TuneOptions(Budget(trials=trials), name, model or "none", seed=seed, resume=False)
        times: list[float] = []
        ends: list[float] = []

        def note(event: Event) -> None:
            if isinstance(event, TrialMeasured):
                times.append(event.measurement.secs)
                ends.append(run.elapsed_secs)

        with tempfile.TemporaryDirectory() as folder, open_database(Path(folder) / "records.db") as database:
            platform = platform_registry.get(self._target.kind)
            run = TuningRun(
                self._runner,
                platform,
                self._target,
                database,
                options,
                provenance(options, self._target),
                callbacks=(note,),
            )
            search = run.open(TuningTask(parse_workload(workload)))
            while search.trials < trials and not search.exhausted:
                run.play_round(search, trials=trials - search.trials)
            run.compare_finalists(search)
        best = search.best
        return LiveRun(workload, strategy, seed, tuple(times), tuple(ends), str(best.assignment) if best else "")

    def judge(self, runs: Sequence[LiveRun]) -> Judgement:
        """The winners of these runs, timed in turns; the same winner of several is timed once."""
        workload = parse_workload(runs[0].workload)
        space = platform_registry.get(self._target.kind).search_space(workload, self._target)
        winners = {
            run.best: Candidate(workload, self._target, space.trace, Assignment.parse(run.best))
            for run in runs
            if run.best
        }
        measured = self._runner.compare(list(winners.values()), JUDGING_ROUNDS)
        secs = dict(zip(winners, (measurement.secs for measurement in measured), strict=True))
        ran = {run.strategy: secs[run.best] for run in runs if math.isfinite(secs.get(run.best, math.inf))}
        return Judgement(runs[0].workload, runs[0].seed, ran)
