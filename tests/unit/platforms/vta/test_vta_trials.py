"""VTA in the loop: trials in worker processes, costs in simulated cycles, and random members of random spaces."""

from dataclasses import replace

from benchmarks.platforms.vta import random_outcomes
from flextune.csp.assignment import Assignment
from flextune.database.store import open_database
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.platforms import platform_registry
from flextune.quantities import CostOrigin, Scale, Unit
from flextune.trial.measurement import Candidate, Status
from flextune.tuning.budget import Budget
from flextune.tuning.loop import tune_workload
from flextune.tuning.search_options import SearchOptions
from flextune.workload.parse import parse_workload

from .programs import VTA

TOO_EARLY = "load_slots=1,store_slots=1,order=0,tile_n=32,tile_k=48,tile_m=8,loops=0"
"""Both loops run over accumulators, so that a list of micro-ops adds to one of them again and again."""


def test_random_schedules_on_random_hardware_are_right():
    outcomes = list(random_outcomes(30, seed=11))
    assert [outcome.fault for outcome in outcomes if outcome.fault] == []
    assert len({outcome.candidate.workload for outcome in outcomes}) > 6


def test_a_search_counts_simulated_cycles_and_a_fault_is_one_candidates(tmp_path):
    workload = parse_workload("gemm:m=24,n=40,k=48,dtype=int8")
    with local_runner(MeasureOptions(), VTA) as runner, open_database(tmp_path / "records.db") as database:
        options = SearchOptions().tune_options(Budget(12))
        result = tune_workload(workload, VTA, options, database, runner=runner)
        assert (result.trials, result.failed) == (12, 0)
        assert result.scale == Scale(Unit.CYCLES, CostOrigin.SIMULATED)
        assert workload.flops / 512 <= result.best_secs <= result.default_secs
        assert result.parts["gemm_operations"] >= 3 * 3 * 24
        assert all(record.scale == result.scale for record in database.records(workload.key, VTA.key))

        trace = platform_registry.get("vta").search_space(workload, VTA).trace
        faulty = Candidate(workload, VTA, trace, Assignment.parse(TOO_EARLY))
        right = replace(faulty, assignment=result.best)
        first, second = runner.measure([faulty, right])
        assert (first.status, second.status) == (Status.RUN_ERROR, Status.OK)
        assert "is needed 1 cycle after it was written" in first.error
