from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from benchmarks.leaderboard.contestants import Contestant, contestant, contestants
from benchmarks.leaderboard.ledger import Charge, Finished, Ledger
from benchmarks.leaderboard.peers.kernel_tuner import STRATEGIES
from benchmarks.leaderboard.peers.pyatf import TECHNIQUES
from benchmarks.leaderboard.score import Score, budgets_up_to, evaluate, summary
from benchmarks.leaderboard.space import RecordedSpace, space_files
from benchmarks.leaderboard.stuck import ends_when_stuck
from benchmarks.leaderboard.tournament import Settings, content, joined, read_scores
from flextune.database.space_files import save_space
from flextune.errors import UsageError

from .recorded import bowl, recorded

SPACE = recorded(bowl)
ROWS = np.argsort(-np.nan_to_num(SPACE.secs, nan=1.0))


def slowest_first(space: RecordedSpace, ledger: Ledger, seed: int) -> None:
    del space, seed
    for row in ROWS.tolist():
        ledger.measure(row)


def test_columns_end_with_the_budget() -> None:
    assert budgets_up_to(1600) == (25, 50, 100, 200, 400, 800, 1600)
    assert budgets_up_to(60) == (25, 50, 60)
    assert budgets_up_to(25) == (25,)


def test_fractions_of_a_run_that_is_known() -> None:
    score = evaluate(Contestant("slowest", slowest_first), SPACE, Charge(36), [0, 1])
    expected = SPACE.optimum_secs / SPACE.secs[ROWS[24]]
    assert score.fractions == pytest.approx(np.array([[expected, 1.0]] * 2))
    assert (score.p < 0).all()


def test_capped_gives_every_column_a_run_of_its_own() -> None:
    budgets: list[int] = []

    def play(space: RecordedSpace, ledger: Ledger, seed: int) -> None:
        budgets.append(ledger.charge.budget)
        slowest_first(space, ledger, seed)

    capped = evaluate(Contestant("slowest", play), SPACE, Charge(36), [0], capped=True)
    assert budgets == [36, 25]
    assert capped.fractions == pytest.approx(
        evaluate(Contestant("slowest", slowest_first), SPACE, Charge(36), [0]).fractions
    )


def test_means_are_over_repeats_then_spaces_and_errors_over_repeats() -> None:
    first = Score(np.array([[0.2], [0.4]]), np.array([0.0, 0.0]), 0.0)
    second = Score(np.array([[0.9], [0.9]]), np.array([1.0, 1.0]), 0.0)
    means, errors = summary([first, second])
    assert means == pytest.approx([0.6, 0.5])
    assert errors == pytest.approx([0.1 / 2, 0.0])  # a standard error of 0.1, over two spaces


def test_scores_are_found_again_and_not_mixed_with_others(tmp_path: Path) -> None:
    settings = Settings(Charge(36), 2, capped=False)
    score = evaluate(Contestant("slowest", slowest_first), SPACE, Charge(36), [0, 1])
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(content(settings, {"slowest": {"made": score}})))
    again = read_scores(path, settings)["slowest"]["made"]
    assert np.array_equal(again.fractions, score.fractions)
    assert np.array_equal(again.p, score.p)
    with pytest.raises(UsageError, match="other settings"):
        read_scores(path, Settings(Charge(36), 3, capped=False))


def test_parts_of_the_repeats_are_joined_in_order() -> None:
    parts = [Score(np.array([[value]]), np.array([value]), value) for value in (0.1, 0.2, 0.3)]
    whole = joined(parts)
    assert whole.fractions[:, 0].tolist() == [0.1, 0.2, 0.3]
    assert whole.thinking_secs == 0.2


def test_spaces_are_found_in_folders_and_by_name(tmp_path: Path) -> None:
    save_space(SPACE.tabular, tmp_path / "b.json.gz")
    save_space(SPACE.tabular, tmp_path / "a.json", "kernel-tuner")
    (tmp_path / "README.md").write_text("no space")
    files = space_files([tmp_path])
    assert [file.name for file in files] == ["a.json", "b.json.gz"]
    for space in map(RecordedSpace.load, files):
        assert space.rows == SPACE.rows
        assert space.secs == pytest.approx(SPACE.secs, nan_ok=True)
        assert space.cost_secs == pytest.approx(SPACE.cost_secs)
    with pytest.raises(UsageError, match="no such"):
        space_files([tmp_path / "c"])


def test_rows_are_positions_and_labels_values() -> None:
    assert SPACE.rows[7] == (1, 1)
    assert SPACE.labels(7) == (2, 2)
    assert SPACE.row_of[1, 1] == 7


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="random"):
        contestants(["randm"])
    with pytest.raises(UsageError, match="trees"):
        contestant("cga+treees")
    assert [each.name for each in contestants(["random", "cga+trees", "random"])] == ["random", "cga+trees"]


def test_a_tuner_that_loops_without_asking_is_ended() -> None:
    def loop(space: RecordedSpace, ledger: Ledger, seed: int) -> None:
        del space, seed
        ledger.measure(7)
        while True:
            pass

    account = Ledger(SPACE, Charge(10), np.random.default_rng(0))
    with pytest.raises(Finished), ends_when_stuck(account, 0.05):
        loop(SPACE, account, 0)
    assert account.evaluations == 1


PLAYED = (
    "random",
    *(f"kernel-tuner:{name}" for name in STRATEGIES if name not in ("bayesian", "dual-annealing")),
    *(f"pyatf:{name}" for name in TECHNIQUES),
    "optuna:tpe",
)


@pytest.mark.parametrize("name", PLAYED)
def test_contestants_play_by_the_rules(name: str) -> None:
    player = contestant(name)
    if not player.installed:
        pytest.skip(f"{player.package} is not installed")
    asked: list[int | None] = []

    class Watched(Ledger):
        def measure(self, row: int | None) -> float | None:
            asked.append(row)
            return super().measure(row)

    account = Watched(recorded(bowl, size=8), Charge(12), np.random.default_rng(0))
    with suppress(Finished), ends_when_stuck(account, 5.0):
        player.play(account.space, account, 0)
    assert None not in asked
    assert 1 <= account.evaluations <= 12
    assert account.evaluations == 12 or account.curve.at(np.array([12.0]))[0] == account.space.optimum_secs
