"""`flextune run`: Heron's command, its JSON configurations run with flextune."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import Json, StrategyOptionTexts
from flextune.cli.output import JsonValue, amount, print_json, rate
from flextune.errors import EnvironmentFault, FlextuneError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flextune.compat.heron import HeronConfig
    from flextune.compat.heron_case import CaseFolder
    from flextune.database.database import Database
    from flextune.measure.measure_options import MeasureOptions
    from flextune.target.target import Target
    from flextune.tuning.events import Event
    from flextune.tuning.result import TuningResult
    from flextune.tuning.tune_options import TuneOptions
    from flextune.workload.workload import Workload

_BUILT_FOR = "cuda:a100"
"""What candidates are built for where this machine has no GPU."""


def run(
    config: Annotated[Path, typer.Option("-c", "--config", help="Heron's JSON configuration.")],
    platform: Annotated[
        str,
        typer.Option("-p", "--platform", help="dlboost (int8 on x86), vta (simulated) or tensorcore (NVIDIA GPUs)."),
    ] = "dlboost",
    tuned: Annotated[
        Path | None, typer.Option("-t", "--tuned", help="Replay the best of this records file instead of searching.")
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option("-m", "--max-trials", min=1, help="At most so many trials per case.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    compile_only: Annotated[
        int | None,
        typer.Option("--compile", min=1, help="Build so many candidates per case, and measure none: needs no GPU."),
    ] = None,
    strategy_option: StrategyOptionTexts = None,
    as_json: Json = False,
) -> None:
    """Run the cases of a Heron configuration; each leaves records.jsonl, stat.csv, schedule.py and constraints.json.

    A second run into the same folder goes on with the records that are there.
    """
    from flextune.cli.inputs import read_strategy_options
    from flextune.compat.heron import case_workload, heron_platform, read_config

    heron_platform(platform)
    checked, options = read_config(config, platform), read_strategy_options(strategy_option)
    workloads = {case.name: case_workload(case, checked) for case in checked.cases}
    if tuned is not None:
        cases = _replay(workloads, tuned)
    elif compile_only is not None:
        cases = _compile(workloads, checked, compile_only, seed)
    else:
        trials = min(checked.max_trials, max_trials or checked.max_trials)
        cases = _tune(workloads, checked, trials, seed, options)
    if as_json:
        print_json({"out_name": checked.out_name, "cases": cases})


def _tune(
    workloads: Mapping[str, Workload],
    config: HeronConfig,
    trials: int,
    seed: int,
    strategy_options: tuple[tuple[str, str], ...],
) -> list[JsonValue]:
    from flextune.database.store import open_database
    from flextune.search.strategy_registry import check_strategy
    from flextune.target.peaks import peaks_of
    from flextune.tuning.budget import Budget
    from flextune.tuning.tune_options import TuneOptions

    check_strategy(config.strategy, dict(strategy_options))
    target = _target(config)
    options = TuneOptions(
        Budget(trials=trials),
        config.strategy,
        config.cost_model,
        seed,
        measure=measure_options(config),
        peaks=peaks_of(target),
        strategy_options=strategy_options,
    )
    out = Path(config.out_name)
    out.mkdir(parents=True, exist_ok=True)
    cases: list[JsonValue] = []
    with open_database(out / "records.db") as database:
        for name, workload in workloads.items():
            result = _tune_case(out / name, workload, target, options, database)
            print(_case_line(name, result), file=sys.stderr)
            cases.append({"case": name, **result.to_dict()})
            if result.interrupted:
                raise FlextuneError(f"interrupted in case {name}; the same command goes on from there")
    return cases


def _target(config: HeronConfig) -> Target:
    from flextune.target import kinds
    from flextune.target.detect import detect
    from flextune.target.target import Target

    platform = config.platform
    if platform.target:
        return Target.parse(platform.target)
    if not platform.device:
        return detect()
    if found := kinds.host_support(kinds.get(platform.device)).detect():
        return found
    reason = kinds.unmeasurable(Target.parse(_BUILT_FOR))
    raise EnvironmentFault(
        f"-p {platform.name} measures on a GPU of this machine: {reason}; --compile 20 builds candidates without one"
    )


def _compile(workloads: Mapping[str, Workload], config: HeronConfig, count: int, seed: int) -> list[JsonValue]:
    from flextune.compat.heron_compiled import compile_case
    from flextune.target import kinds
    from flextune.target.target import Target

    device = config.platform.device
    target = kinds.host_support(kinds.get(device)).detect() if device else _target(config)
    target = target or Target.parse(_BUILT_FOR)
    cases: list[JsonValue] = []
    for name, workload in workloads.items():
        case = compile_case(Path(config.out_name) / name, workload, target, count, seed)
        print(f"{name}: {case}", file=sys.stderr)
        cases.append({"case": name, **case.to_dict()})
    return cases


def _tune_case(
    path: Path, workload: Workload, target: Target, options: TuneOptions, database: Database
) -> TuningResult:
    from flextune.cli.live import LiveView
    from flextune.cli.space import problem_facts
    from flextune.compat.heron_case import CaseFolder
    from flextune.platforms import platform_registry
    from flextune.target.kinds import scale_of
    from flextune.tuning.loop import tune_workload

    folder, scale = CaseFolder(path), scale_of(target)
    folder.create(resumed=bool(database.measured(workload.key, target.key)))
    space = platform_registry.get(target.kind).search_space(workload, target)
    folder.write_constraints(problem_facts(space.problem))
    with LiveView(options.budget, f"{path.name}: {workload}", scale=scale) as view:
        watchers = (view, _StatisticsWriter(folder))
        result = tune_workload(workload, target, options, database, watchers, str(path.parent / "records.db"))
    best = result.best or space.default
    cost = amount(result.best_secs, scale) if result.best else "not measured"
    folder.write_schedule(space.trace.python(best), str(workload), str(best), cost)
    folder.write_records(database, workload.key)
    return result


class _StatisticsWriter:
    """A callback that adds each round to the case's `stat.csv`."""

    def __init__(self, folder: CaseFolder) -> None:
        self._folder = folder

    def __call__(self, event: Event) -> None:
        from flextune.compat.heron_case import RoundStatistics
        from flextune.tuning.events import RoundFinished

        if isinstance(event, RoundFinished):
            row = RoundStatistics(
                event.number, event.trials, event.best_secs, event.mean_secs, event.failed, event.elapsed_secs
            )
            self._folder.add_round(row)


def _replay(workloads: Mapping[str, Workload], file: Path) -> list[JsonValue]:
    from flextune.cli.replay import best_record, costs, measure_record, read_records

    records = read_records(file, None)
    best = {name: best_record(records, str(workload)) for name, workload in workloads.items()}
    cases: list[JsonValue] = []
    for name, record in best.items():
        measurement = measure_record(record)
        now, then = amount(measurement.secs, record.scale), amount(record.secs, record.scale)
        print(f"{name}: {now}, recorded {then}", file=sys.stderr)
        cases.append({"case": name, "workload": record.workload, **costs(record, measurement)})
        if not measurement.ok:
            raise FlextuneError(f"case {name}: {measurement.status}: {measurement.error}")
    return cases


def measure_options(config: HeronConfig) -> MeasureOptions:
    """Heron's measuring options.

    Each repeat is as many calls as last long enough to be timed, at least one; so `runner_number * runner_repeat`
    repeats run the program at least as often as Heron does.
    """
    from flextune.measure.measure_options import MeasureOptions

    return MeasureOptions(
        build_timeout_secs=float(config.build_timeout),
        run_timeout_secs=float(config.runner_timeout),
        repeats=config.runner_number * config.runner_repeat,
    )


def _case_line(name: str, result: TuningResult) -> str:
    best, default = amount(result.best_secs, result.scale), amount(result.default_secs, result.scale)
    speed = f", {rate(result.best_gflops * 1e9, 'OP/s')}" if result.scale.is_time else ""
    return f"{name}: {best}{speed}, default {default}, {result.trials} trials, {result.failed} failed"
