from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison.bootstrap import difference_interval, mean_interval, median_interval
from benchmarks.comparison.document import with_section
from benchmarks.comparison.live import LiveComparison, LivePlan
from benchmarks.comparison.live_tables import LiveScores, finished, live_section, reach, target_section
from benchmarks.comparison.markdown import signed
from benchmarks.comparison.outcome import Judgement, LiveRun, Outcomes, append_lines, read_outcomes
from benchmarks.comparison.replay import Charged
from benchmarks.comparison.tables import Replayed, leaderboard_section, replay_section
from benchmarks.leaderboard.ledger import Charge
from benchmarks.leaderboard.score import Score
from benchmarks.leaderboard.tournament import Settings, content
from flextune.errors import UsageError
from flextune.target.target import Target

from .fake_runner import FakeRunner

GEMM = "gemm:m=64,n=64,k=64,dtype=float32"
TARGET = Target.parse("null:cpu=none,cores=1")


def run(strategy: str, seed: int, *secs: float, each_takes: float = 1.0, workload: str = GEMM) -> LiveRun:
    ends = tuple(each_takes * (number + 1) for number in range(len(secs)))
    return LiveRun(workload, strategy, seed, secs, ends, f"tile={seed + 1}")


AUTO = [run("auto", seed, 8.0, 2.0, 1.0, each_takes=2.0) for seed in range(3)]
RANDOM = [run("random", seed, 8.0, 8.0 - seed, math.inf, 4.0, 1.04, 1.2) for seed in range(3)]
OUTCOMES = Outcomes(
    {},
    (*AUTO, *RANDOM),
    tuple(Judgement(GEMM, seed, {"auto": 1.0, "random": 1.25}) for seed in range(3)),
)


def test_an_interval_has_the_mean_and_shrinks_with_more_seeds() -> None:
    rng = np.random.default_rng(0)
    few, many = (mean_interval([rng.normal(1.0, 0.1, n)], np.random.default_rng(1)) for n in (10, 1000))
    assert few.low < few.mean < few.high
    assert many.high - many.low < (few.high - few.low) / 5
    assert many.low < 1.0 < many.high or abs(many.mean - 1.0) < 0.02


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    intervals = [mean_interval([rng.normal(0.0, 1.0, 20)], rng) for _ in range(60)]
    assert 0.85 <= np.mean([each.low <= 0.0 <= each.high for each in intervals]) <= 1.0


def test_paired_differences_do_not_see_what_both_have_in_common() -> None:
    rng = np.random.default_rng(0)
    drift = rng.normal(0.0, 1.0, 10)
    first, second = [drift + 0.1], [drift]
    paired = difference_interval(first, second, np.random.default_rng(1), paired=True)
    unpaired = difference_interval(first, second, np.random.default_rng(1), paired=False)
    assert paired.mean == pytest.approx(0.1) == unpaired.mean
    assert paired.excludes_zero
    assert not unpaired.excludes_zero


def test_groups_count_alike_however_many_seeds_they_have() -> None:
    assert mean_interval([np.zeros(2), np.ones(50)], np.random.default_rng(0)).mean == 0.5


def test_one_seed_says_nothing_about_certainty() -> None:
    interval = mean_interval([np.array([0.5])], np.random.default_rng(0))
    assert (interval.mean, interval.low, interval.high) == (0.5, -math.inf, math.inf)
    assert not interval.excludes_zero


def test_a_median_may_be_out_of_reach() -> None:
    rng = np.random.default_rng(0)
    assert median_interval(np.array([1.0, 3.0]), rng).mean == 2.0
    assert median_interval(np.array([1.0, 3.0, np.inf]), rng).mean == 3.0
    assert median_interval(np.array([1.0, np.inf]), rng).mean == np.inf
    assert median_interval(np.array([1.0, np.inf, np.inf]), rng).high == np.inf


def test_a_difference_is_bold_where_it_is_told_from_0() -> None:
    rng = np.random.default_rng(0)
    assert signed(mean_interval([np.full(3, -0.5)], rng)) == "**-0.500 [-0.500, -0.500]**"
    assert signed(mean_interval([np.array([-1.0, 1.0])], rng)).startswith("+0.000 [")


def test_best_by_trials_by_seconds_and_without_the_default() -> None:
    one = run("auto", 0, 1.0, math.inf, 3.0, 2.0, each_takes=0.5)
    assert one.best_after(4) == 1.0
    assert one.best_after(3, with_default=False) == 3.0
    assert one.best_after(2, with_default=False) == math.inf
    assert one.best_within(0.49) == math.inf
    assert one.best_within(1.5) == 1.0
    assert one.trials_to(2.0) == 1
    assert one.trials_to(2.0, with_default=False) == 3
    assert one.trials_to(0.5) == math.inf


def test_lines_round_trip_and_an_unfinished_one_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    failed = run("random", 0, math.inf, 2.0)
    judgement = Judgement(GEMM, 0, {"random": 2.0})
    append_lines(path, ['{"about": {"plan": 1}}', failed.to_json(), judgement.to_json()])
    with path.open("a") as file:
        file.write(AUTO[0].to_json()[:40])
    found = read_outcomes(path)
    assert (found.about, found.runs, found.judgements) == ({"plan": 1}, (failed,), (judgement,))
    append_lines(path, [AUTO[0].to_json()])
    with pytest.raises(UsageError, match="line 4"):
        read_outcomes(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    path.write_text('{"run": {"strategy": "auto"}}\n{}\n')
    with pytest.raises(UsageError, match="line 1"):
        read_outcomes(path)


def test_fractions_are_of_the_best_ever_seen() -> None:
    scores = LiveScores(OUTCOMES)
    assert scores.fractions("random", lambda each: each.best_after(4))[0] == pytest.approx([0.25] * 3)
    assert scores.judged("random")[0] == pytest.approx([0.8] * 3)
    assert scores.equal_secs(GEMM) == 6.0
    assert scores.within_equal_secs("auto")[0] == pytest.approx([1.0] * 3)


def test_only_seeds_that_all_strategies_have_are_compared() -> None:
    more = Outcomes({}, (*OUTCOMES.runs, run("auto", 3, 0.5)), OUTCOMES.judgements)
    assert finished(more) == OUTCOMES


def test_trials_to_come_close() -> None:
    assert reach(OUTCOMES, GEMM, "auto", with_default=True).tolist() == [3, 3, 3]
    assert reach(OUTCOMES, GEMM, "random", with_default=True).tolist() == [5, 5, 5]
    assert reach(OUTCOMES, GEMM, "random", with_default=False).tolist() == [4, 4, 4]
    alone, everything, second = target_section(OUTCOMES).splitlines()[-3:]
    assert "| random-feasible alone |" in alone
    assert "| 3 [3, 3], 3/3 | 4 [4, 4], 3/3 | 0.75 |" in alone
    assert "| 3 [3, 3], 3/3 | 5 [5, 5], 3/3 | 0.60 |" in everything
    assert "| 2 [2, 2], 3/3 | 4 [4, 4], 3/3 | 0.50 |" in second


def test_the_ratio_is_a_bound_where_random_did_not_come_there() -> None:
    short = tuple(run("random", seed, 8.0, 8.0, 8.0, 8.0) for seed in range(3))
    section = target_section(Outcomes({}, (*AUTO, *short), ()))
    assert "not reached [not reached, not reached], 0/3 | < 0.75 |" in section


def test_the_live_section_has_a_row_per_strategy_and_tests_differences() -> None:
    section = live_section(OUTCOMES, "auto")
    rows = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| ") and "strategy" not in line]
    assert [row for row in rows if "---" not in row] == ["| auto", "| random", "| random", "| auto", "| random"]
    assert "**+0.038 [+0.038, +0.038]** | **+0.038" in section  # 1 / 1 against 1 / 1.04
    assert "**+0.200 [+0.200, +0.200]**" in section


def test_the_replay_section_has_fractions_differences_and_spaces() -> None:
    def score(value: float) -> Score:
        return Score(np.full((4, 2), value), np.zeros(4), 0.002)

    scores = {"flexaction": {"x": score(0.8), "y": score(0.6)}, "random": {"x": score(0.7), "y": score(0.3)}}
    section = replay_section(Replayed(Charged.TRIALS, 50, 4, scores))
    assert "| flexaction | 0.700 [0.700, 0.700] | 0.700 [0.700, 0.700] | 2.0 ms |" in section
    assert "| random | **+0.200 [+0.200, +0.200]** | **+0.200 [+0.200, +0.200]** |" in section
    assert "| random | 0.700 [0.700, 0.700] | 0.300 [0.300, 0.300] |" in section


def test_the_leaderboard_section_is_over_the_spaces_that_all_have_played() -> None:
    def score(value: float) -> Score:
        return Score(np.full((4, 2), value), np.full(4, value - 1), 0.002)

    scores = {"auto": {"x": score(0.8), "y": score(0.6)}, "random": {"x": score(0.5)}}
    section = leaderboard_section(content(Settings(Charge(50), 4, capped=False), scores))
    assert "| auto | 0.800 ± 0.000 | 0.800 ± 0.000 | -0.200 ± 0.000 |" in section
    assert "mean over x and 4 repeats" in section


def test_sections_of_the_page_are_replaced_and_the_rest_is_kept() -> None:
    page = "# Title\n<!-- live begin -->\nold\n<!-- live end -->\nby hand\n"
    once = with_section(page, "live", "new")
    assert once == "# Title\n<!-- live begin -->\n\nnew\n\n<!-- live end -->\nby hand\n"
    assert with_section(once, "live", "new") == once
    with pytest.raises(UsageError, match="target begin"):
        with_section(page, "target", "new")


def test_the_page_has_a_place_for_every_section() -> None:
    page = (Path(__file__).parents[3] / "docs" / "search.md").read_text()
    for name in ("replay-trials", "replay-seconds", "live", "target", "leaderboard"):
        assert "new text" in with_section(page, name, "new text")


PLAN = LivePlan((GEMM,), {"cga": 6, "random": 4}, 2)


def test_all_strategies_run_for_a_seed_before_the_next_and_the_winners_are_timed_in_turns(tmp_path: Path) -> None:
    runner, said = FakeRunner(), []
    path = tmp_path / "live.jsonl"
    append_lines(path, LiveComparison(PLAN, runner, TARGET, said.append).play(read_outcomes(path)))
    found = read_outcomes(path)
    assert [(each.strategy, each.seed) for each in found.runs] == [("cga", 0), ("random", 0), ("random", 1), ("cga", 1)]
    assert [len(each.trial_secs) for each in found.runs] == [6, 4, 4, 6]
    assert all(list(each.ended_secs) == sorted(each.ended_secs) for each in found.runs)
    assert len(runner.measured) == 20
    assert len(runner.compared) == 4 + 2  # each run's finalists, then each seed's winners
    assert [judgement.key for judgement in found.judgements] == [(GEMM, 0), (GEMM, 1)]
    assert all(set(judgement.secs) == {"cga", "random"} for judgement in found.judgements)


def test_a_comparison_that_is_stopped_goes_on_with_the_run_it_was_in(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"

    def play(runner: FakeRunner) -> None:
        for line in LiveComparison(PLAN, runner, TARGET, len).play(read_outcomes(path)):
            append_lines(path, [line])

    with pytest.raises(KeyboardInterrupt):
        play(FakeRunner(patience=12))
    runner = FakeRunner()
    play(runner)
    assert len(runner.measured) == 10  # of the second seed; the first one's runs are there
    assert len(read_outcomes(path).runs) == 4
