"""Workloads tuned for a device that a simulator or an emulation executes, beside the least that they can cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from benchmarks.platforms.case import PlatformCase
from flextune.database.store import open_database
from flextune.errors import FlextuneError
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.platforms import platform_registry
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.temporary import PrivateFolder
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.tuning.budget import Budget
from flextune.tuning.loop import tune_workload
from flextune.tuning.search_options import SearchOptions
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload


def tuned_cases(
    device: str, workloads: Sequence[str], trials: int, ideal: Callable[[Workload, Target], float]
) -> Iterator[PlatformCase]:
    """Each workload tuned, with the outputs of the winner compared once more on other inputs."""
    target = Target.parse(device)
    scale = scale_of(target)
    with (
        PrivateFolder() as folder,
        local_runner(MeasureOptions(), target) as runner,
        open_database(folder.path / "records.db") as database,
    ):
        for text in workloads:
            workload, options = parse_workload(text), SearchOptions().tune_options(Budget(trials))
            found = tune_workload(workload, target, options, database, runner=runner)
            assert found.best is not None
            space = platform_registry.get(target.kind).search_space(workload, target)
            wrong = fault_of(Candidate(workload, target, space.trace, found.best), seed=1)
            costs = (found.best_secs, scale.unit, scale.origin, ideal(workload, target), found.default_secs)
            yield PlatformCase(device, text, not wrong, *costs)


def fault_of(candidate: Candidate, seed: int) -> str:
    """What is wrong with a schedule, its outputs or what a device would do with it; empty when nothing is."""
    platform = platform_registry.get(candidate.target.kind)
    try:
        [artifact] = platform.build([candidate])
        return output_fault(platform.load(artifact), candidate.workload, seed)
    except FlextuneError as error:
        return f"{type(error).__name__}: {error}"
