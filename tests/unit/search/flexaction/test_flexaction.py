import itertools
import json

import numpy as np
import pytest

from flextune.csp.assignment import Assignment, Assignments
from flextune.csp.constraint import Eq, Le
from flextune.csp.problem import Problem
from flextune.errors import UsageError
from flextune.search.extras import is_installed
from flextune.search.flexaction.flexaction import FlexActionOptions, FlexActionStrategy
from flextune.search.flexaction.library import Entry
from flextune.search.flexaction.library_file import load_library, save_library
from flextune.search.flexaction.macro_actions import MacroAction
from flextune.search.flexaction.rewards import rank_rewards
from flextune.search.flexaction.state import STATE_SIZE, Progress, StateOfSearch
from flextune.testing.strategies import HUGE, ONE, SMALL, example_measurement, failed_measurement, solved
from flextune.trial.history import History
from flextune.trial.measurement import Measurement, Status

needs_torch = pytest.mark.skipif(not is_installed("rl"), reason="the extra 'rl' (torch) is not installed")


def timed(assignment, secs):
    return Measurement(assignment, Status.OK, (secs,))


def strategy_on(solutions, seed=0, default=None, trials=None, **options):
    return FlexActionStrategy(
        solutions,
        rng=np.random.default_rng(seed),
        default=default,
        options=FlexActionOptions(**({"device": "cpu", "steps": 2} | options)),
        trials=trials,
    )


def run(strategy, rounds, measure=example_measurement):
    asked = []
    for _ in range(rounds):
        answer = strategy.ask(1000)
        asked.append(list(answer))
        strategy.tell([measure(assignment) for assignment in answer])
    return asked


def library_of(*actions):
    return [Entry(action, rewards=9, mean_reward=mean) for action, mean in actions]


def test_rewards_by_rank():
    known = np.array([4.0, 1.0, np.inf, 2.0, 3.0, 1.0, 8.0])
    rewards = rank_rewards(known, known)
    assert rewards[1] == rewards[5] == pytest.approx(0.3 - 0.1 / np.log(2))
    assert (np.diff(rewards[[1, 3, 4, 0, 6, 2]]) < 0).all()
    assert rewards[2] == -0.3
    assert rank_rewards(1000 * known, 1000 * known) == pytest.approx(rewards)
    times = np.random.default_rng(0).random(4000)
    assert rank_rewards(times, times).mean() == pytest.approx(0, abs=1e-3)


def test_state():
    solutions = solved(SMALL)
    history = History(solutions.names)
    states = StateOfSearch(solutions)
    progress = Progress(solutions.count, 1.0, [], 0, 0.0)
    empty = states.of(history, progress)
    assert empty.shape == (STATE_SIZE,) == (128,)
    assert empty.dtype == np.float32
    history.add([example_measurement(assignment) for assignment in itertools.islice(solutions, 50)])
    full = states.of(history, Progress(54, 0.5, [0.1] * 30, 3, 0.7))
    assert np.abs(full).max() <= 1.5
    for part in (slice(0, 24), slice(24, 64), slice(64, 128)):
        assert (empty[part] != full[part]).any()
    wide = solved("\n".join(f"var v{index} in {{0, 1}}" for index in range(40)))
    history = History(wide.names)
    history.add([timed(assignment, 1.0) for assignment in wide.sample(np.random.default_rng(0), 3)])
    assert StateOfSearch(wide).of(history, progress).shape == (128,)
    other = StateOfSearch(solved(HUGE)).of(History(solved(HUGE).names), progress)
    assert (other[:24] != empty[:24]).any(), "the structure of the space is part of it"


@needs_torch
def test_network_and_exploration_are_those_of_flexaction():
    strategy = strategy_on(solved(HUGE))
    shapes = [tuple(weight.shape[1:]) for weight in strategy.agent.network._weights[::2]]
    assert shapes == [(128, 256), (256, 256), (256, 64)]
    options = FlexActionOptions()
    assert (options.epsilon, options.decay, options.discount, options.replay) == (0.3, 0.995, 0.95, 10_000)
    assert strategy.agent.epsilon == 0.3
    run(strategy, 4)
    assert strategy.agent.epsilon == pytest.approx(0.3 * 0.995**3), "the first round was drawn at random"


@needs_torch
def test_a_round_is_shared_by_several_actions_and_all_of_them_are_trained():
    strategy = strategy_on(solved(HUGE), round_size=12, actions=4, combine=0)
    run(strategy, 1)
    asked = strategy.ask(1000)
    uses = [slot for slot, entry in enumerate(strategy.library.slots) if entry is not None and entry.uses]
    assert len(uses) == 4
    taught = {transition.action for transition in strategy.agent.replay.transitions}
    rewards_before = {slot: strategy.library.entry(slot).rewards for slot in uses}
    seen = len(strategy.agent.replay)
    strategy.tell([example_measurement(assignment) for assignment in asked])
    fresh = strategy.agent.replay.transitions[seen:]
    satisfied = strategy.spaces.satisfied(Assignments.of(asked, strategy.solutions.names))
    assert taught
    for slot in uses:
        count = sum(transition.action == slot for transition in fresh)
        assert count == satisfied[slot].sum() >= 3
        assert strategy.library.entry(slot).rewards == rewards_before[slot] + count


@needs_torch
def test_every_assignment_of_a_round_satisfies_one_of_its_actions(monkeypatch):
    strategy = strategy_on(solved(HUGE))
    run(strategy, 1)
    taken = []
    choose = strategy.agent.taken
    monkeypatch.setattr(strategy.agent, "taken", lambda *given: taken.append(choose(*given)) or taken[-1])
    for _ in range(6):
        asked = strategy.ask(1000)
        satisfied = strategy.spaces.satisfied(Assignments.of(asked, strategy.solutions.names))
        assert satisfied[taken[-1]].any(axis=0).all()
        strategy.tell([example_measurement(assignment) for assignment in asked])


@needs_torch
def test_actions_without_solutions_left_are_masked(tmp_path):
    """The best known action has two solutions; when they are measured it is never taken again."""
    solutions = solved(SMALL)
    path = tmp_path / "library.json"
    narrow = MacroAction("narrow", (Eq("tile_i", 32), Eq("tile_j", 2), Le("unroll", 1)))
    wide = MacroAction("wide", (Le("tile_i", 4),))
    save_library(path, library_of((narrow, 0.9), (wide, -0.1)), solutions.problem)
    strategy = strategy_on(solutions, library=str(path), epsilon=0.0, combine=0, actions=1, round_size=4, steps=0)
    first = strategy.ask(1000)
    strategy.tell([timed(assignment, 1.0) for assignment in first])
    inside = [a for a in solutions if a["tile_i"] == 32 and a["tile_j"] == 2 and a["unroll"] <= 1]
    left = [a for a in inside if a not in first]
    assert left, "the first round must leave some"
    second = strategy.ask(1000)
    assert set(second) == set(left)
    strategy.tell([timed(assignment, 1.0) for assignment in second])
    assert strategy.spaces.open().tolist()[:2] == [False, True]
    uses = strategy.library.entry(0).uses
    run(strategy, 5)
    assert strategy.library.entry(0).uses == uses


@needs_torch
def test_actions_of_no_solution_are_never_in_the_library(tmp_path):
    solutions = solved(SMALL)
    path = tmp_path / "library.json"
    never, always = MacroAction("never", (Eq("tile_i", 32), Eq("tile_j", 32))), MacroAction("all", (Le("tile_i", 32),))
    some = MacroAction("some", (Eq("tile_i", 32),))
    save_library(path, library_of((never, 1.0), (always, 1.0), (some, 0.0)), solutions.problem)
    strategy = strategy_on(solutions, library=str(path))
    assert [entry.action.name for entry in strategy.library.entries] == ["some"]
    assert len(list(itertools.chain(*run(strategy, 60)))) == solutions.count


@needs_torch
def test_learns_which_actions_are_good():
    """Only large v0 and small v1 are fast: what says so is worth more than what says the opposite."""
    strategy = strategy_on(solved(HUGE), combine=0, population=1, steps=FlexActionOptions().steps)
    run(strategy, 40, lambda a: timed(a, 1e-3 * (2.0 ** (10 - a["v0"]) + 2.0 ** a["v1"])))
    by_name = {entry.action.name: slot for slot, entry in enumerate(strategy.library.slots) if entry is not None}
    merit = {name: strategy.library.entry(slot).merit for name, slot in by_name.items()}
    assert merit["high v0"] > merit["low v0"]
    assert merit["low v1"] > merit["high v1"]
    values = strategy.agent.values(strategy._state())
    assert values[by_name["high v0"]] > values[by_name["low v0"]]
    assert values[by_name["low v1"]] > values[by_name["high v1"]]
    best = max(merit, key=merit.__getitem__)
    assert best in ("high v0", "low v1")


@needs_torch
def test_the_library_evolves():
    strategy = strategy_on(solved(HUGE), start=20, capacity=24)
    started = {entry.action.name for entry in strategy.library.entries}
    run(strategy, 30, lambda a: timed(a, 1e-3 * (2.0 ** (10 - a["v0"]) + 2.0 ** a["v1"])))
    entries = strategy.library.entries
    combined = [entry for entry in entries if entry.action.is_combined]
    assert len(entries) == 24
    assert combined
    assert started - {entry.action.name for entry in entries}, "some are dropped for them"
    for entry in combined:
        restricted = strategy.spaces.restrictions.of(entry.action)
        assert 0 < restricted.count < strategy.solutions.count
    assert len({entry.action.key for entry in entries}) == len(entries)
    slots = range(24)
    actions = [strategy.library.entry(slot).action for slot in slots]
    rows = strategy.solutions.sample(np.random.default_rng(0), 200)
    expected = np.array([action.holds(rows) for action in actions])
    assert (strategy.spaces.satisfied(rows) == expected).all(), "slots of library and spaces stay the same"


@needs_torch
def test_a_new_combination_starts_with_nothing_of_its_predecessor():
    strategy = strategy_on(solved(SMALL), combine=0)
    run(strategy, 3)
    slot = next(t.action for t in strategy.agent.replay.transitions)
    others = [s for s, entry in enumerate(strategy.library.slots) if entry is not None and s != slot][:2]
    child = Entry(MacroAction("child & more", (Eq("tile_i", 8), Le("area", 32))))
    strategy.agent._put(slot, child, others)
    assert all(transition.action != slot for transition in strategy.agent.replay.transitions)
    assert strategy.library.entry(slot) == child
    values = strategy.agent.values(strategy._state())
    assert values[slot] == pytest.approx(values[others].mean(), abs=1e-5)


@needs_torch
def test_records_of_an_earlier_run_teach():
    strategy = strategy_on(solved(SMALL))
    earlier = list(strategy.solutions)[:40]
    strategy.tell([example_measurement(assignment) for assignment in earlier])
    strategy.ask(1)
    satisfied = strategy.spaces.satisfied(Assignments.of(earlier, strategy.solutions.names)).sum(axis=1)
    rewards = [0 if entry is None else entry.rewards for entry in strategy.library.slots]
    assert rewards == satisfied.tolist()
    strategy.tell([example_measurement(assignment) for assignment in earlier])
    strategy.ask(100)
    assert rewards == [0 if entry is None else entry.rewards for entry in strategy.library.slots], "told twice"


@needs_torch
def test_a_round_that_is_never_finished_does_not_stop_learning():
    strategy = strategy_on(solved(HUGE))
    run(strategy, 1)
    learned = []
    for _ in range(8):
        asked = strategy.ask(1000)
        strategy.tell([example_measurement(assignment) for assignment in asked[1:]])
        learned.append(len(strategy.agent.replay))
    assert len(strategy._open_rounds) <= 4
    assert learned[-1] > learned[0]


@needs_torch
def test_all_that_fails_is_worth_the_least():
    strategy = strategy_on(solved(SMALL))
    run(strategy, 1)
    asked = strategy.ask(1000)
    strategy.tell([failed_measurement(assignment) for assignment in asked])
    rewards = [t.reward for t in strategy.agent.replay.transitions[-3:]]
    assert rewards == [-0.3] * 3


@needs_torch
def test_the_library_is_kept_and_taken_up(tmp_path):
    path = tmp_path / "library.json"
    solutions = solved(HUGE)
    first = strategy_on(solutions, library=str(path))
    assert not path.exists()
    run(first, 6)
    kept = load_library(path, solutions.problem)
    assert kept == list(first.library.entries)
    second = strategy_on(solutions, seed=1, library=str(path))
    assert sorted(map(str, second.library.entries)) == sorted(map(str, kept))
    values = second.agent.values(second._state())
    merits = np.array([entry.merit for entry in second.library.entries])
    assert np.corrcoef(values[: len(merits)], merits)[0, 1] > 0.9, "what was learned is where the values start"
    run(second, 3)
    assert sum(entry.uses for entry in load_library(path, solutions.problem)) > sum(entry.uses for entry in kept)


@needs_torch
def test_library_of_another_space_is_refused(tmp_path):
    path = tmp_path / "library.json"
    run(strategy_on(solved(HUGE), library=str(path)), 3)
    with pytest.raises(UsageError, match=r"library\.json is of another space"):
        strategy_on(solved(SMALL), library=str(path))
    path.write_text(json.dumps({"format": "flextune macro-actions", "version": 9}))
    with pytest.raises(UsageError, match="another kind or version"):
        strategy_on(solved(HUGE), library=str(path))


@needs_torch
def test_a_folder_serves_several_spaces(tmp_path):
    for text in (HUGE, SMALL):
        run(strategy_on(solved(text), library=str(tmp_path)), 3)
    assert len(list(tmp_path.iterdir())) == 2


@needs_torch
def test_a_library_that_cannot_be_written_does_not_stop_the_search(tmp_path, monkeypatch):
    strategy = strategy_on(solved(HUGE), library=str(tmp_path / "library.json"))

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flextune.search.flexaction.flexaction.save_library", full)
    with pytest.warns(UserWarning, match="cannot be written .No space left on device.; the search goes on") as caught:
        run(strategy, 5)
    assert len(caught) == 1


@needs_torch
def test_a_space_that_offers_no_action():
    assert run(strategy_on(solved(ONE)), 2) == [[Assignment({"tile": 4})], []]


@needs_torch
def test_round_of_fewer_assignments_than_actions():
    strategy = strategy_on(solved(HUGE), round_size=2, actions=4)
    assert [len(answer) for answer in run(strategy, 5)] == [2] * 5


@needs_torch
def test_finds_better_ones_than_chance():
    """On a space of 10^6 whose times have structure, 120 trials of FlexAction beat as many random ones."""
    solutions = Problem.parse("\n".join(f"var v{index} in {{0..9}}" for index in range(6))).solve()

    def secs(a):
        return 1e-3 * (1 + sum((a[f"v{index}"] - index - 2) ** 2 for index in range(6)))

    best = []
    for seed in range(3):
        asked = itertools.chain(*run(strategy_on(solutions, seed), 15, lambda a: timed(a, secs(a))))
        best.append(min(map(secs, asked)))
    chance = [min(map(secs, solutions.sample(np.random.default_rng(seed), 120))) for seed in range(20)]
    assert np.mean(best) < np.quantile(chance, 0.25)
