import json

import numpy as np
import pytest

from flextune.csp.constraint import Eq, In, Le
from flextune.csp.problem import Problem
from flextune.errors import UsageError
from flextune.search.flexaction.library import Entry, Library
from flextune.search.flexaction.library_file import library_path, load_library, save_library
from flextune.search.flexaction.macro_actions import MacroAction
from flextune.testing.strategies import SMALL

PROBLEM = Problem.parse(SMALL)


def entry(value, mean=0.0, rewards=10):
    return Entry(MacroAction(f"tile {value}", (Eq("tile_i", value),)), rewards=rewards, mean_reward=mean)


def library(*means, capacity=None, rewards=10):
    entries = [entry(2**index, mean, rewards) for index, mean in enumerate(means)]
    return Library(capacity or len(entries), entries)


def named(found):
    return [entry.action.name for entry in found]


def test_statistics():
    used = entry(1, rewards=0).used().rewarded(np.array([0.5, 0.1])).used().rewarded(np.array([0.3]))
    assert (used.uses, used.rewards) == (2, 3)
    assert used.mean_reward == pytest.approx(0.3)
    assert used.rewarded(np.array([])) == used
    assert entry(1, 0.4, rewards=1).merit < entry(1, 0.4, rewards=10).merit < 0.4
    assert entry(1, 0.4, rewards=0).merit == 0


def test_keeps_those_of_most_merit():
    kept = library(0.1, 0.3, -0.2, 0.2, capacity=2)
    assert named(kept.entries) == ["tile 2", "tile 8"]
    assert named(library(0.1, 0.3, capacity=4).entries) == ["tile 2", "tile 1"]
    assert len(library(0.1, 0.3, capacity=4).slots) == 4


def test_contains_what_says_the_same():
    kept = library(0.1, 0.2)
    assert MacroAction("by another name", (Eq("tile_i", 2),)) in kept
    assert MacroAction("tile 2", (Eq("tile_j", 2),)) not in kept


def test_good_ones_are_combined():
    kept = library(0.9, 0.8, 0.7, 0.0, -0.1, -0.2, -0.25, -0.3)
    rng = np.random.default_rng(0)
    pairs = [kept.good_pair(rng) for _ in range(500)]
    assert all(len(set(pair)) == 2 for pair in pairs)
    chosen = np.bincount(np.array(pairs).ravel(), minlength=8)
    assert chosen[:3].sum() > 2.5 * chosen[3:].sum()
    assert chosen[6:].sum() == 0, "the two worst never win among three"


def test_untried_ones_are_not_combined():
    assert library(0.1, 0.2, rewards=0).good_pair(np.random.default_rng(0)) == ()
    assert library(0.1).good_pair(np.random.default_rng(0)) == ()


def test_bad_ones_are_dropped():
    assert library(0.1, 0.2, capacity=3).free_slot((), ()) == 2, "an empty slot comes first"
    full = library(0.3, 0.2, 0.1, -0.1)
    assert full.free_slot((), ()) == 3
    assert full.free_slot((), spared=(3,)) == 2
    assert full.free_slot(used_up=(0, 1), spared=()) == 1, "what is used up comes before what is bad"
    assert full.free_slot((), spared=(2, 3)) is None, "the better half stays"
    assert library(0.3, -0.2, rewards=1).free_slot((), ()) is None, "one reward proves nothing"


ENTRIES = [
    Entry(MacroAction("low tile_i & small", (Le("tile_i", 4), Le("area", 16))), uses=3, rewards=9, mean_reward=0.1),
    Entry(MacroAction("unroll", (In("unroll", (1, 3)),)), uses=0, rewards=0, mean_reward=0.0),
    Entry(MacroAction("one", (Eq("tile_j", 8), Le(8, "area"))), uses=7, rewards=70, mean_reward=-1 / 3),
]


def saved(tmp_path):
    path = tmp_path / "library.json"
    save_library(path, ENTRIES, PROBLEM)
    return path


def changed(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    return path


def test_round_trip(tmp_path):
    path = saved(tmp_path)
    assert load_library(path, PROBLEM) == ENTRIES
    save_library(path, ENTRIES[:1], PROBLEM)
    assert load_library(path, PROBLEM) == ENTRIES[:1]
    assert [each.name for each in tmp_path.iterdir()] == ["library.json"]


def test_combined_actions_keep_their_parts(tmp_path):
    path = tmp_path / "library.json"
    combined = MacroAction("a & b", (Eq("tile_i", 1),), ("a", "b"))
    entries = [Entry(combined), Entry(MacroAction("a & c", (Eq("tile_i", 2),)))]
    save_library(path, entries, PROBLEM)
    assert load_library(path, PROBLEM) == entries
    older = json.loads(path.read_text())
    for action in older["actions"]:
        del action["parts"]
    path.write_text(json.dumps(older))
    assert [entry.action.parts for entry in load_library(path, PROBLEM) or ()] == [("a", "b"), ("a", "c")]


def test_no_file_is_no_library(tmp_path):
    assert load_library(tmp_path / "library.json", PROBLEM) is None


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 1}', '{"format": "flextune macro-actions", "version": 1}', "\x00", '"text"', "1e999"],
)
def test_damaged_file(tmp_path, content):
    path = tmp_path / "library.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"library .*library.json is damaged: .*; name another file, or delete this"):
        load_library(path, PROBLEM)


def test_a_truncated_file_is_damaged(tmp_path):
    path = saved(tmp_path)
    text = path.read_bytes()
    for end in range(1, len(text) - 2, 37):
        path.write_bytes(text[:end])
        with pytest.raises(UsageError, match="is damaged"):
            load_library(path, PROBLEM)
    path.write_bytes(b"\xff\xfe" + text)
    with pytest.raises(UsageError, match="is damaged: it is no text"):
        load_library(path, PROBLEM)


def test_other_version(tmp_path):
    with pytest.raises(UsageError, match=r"another kind or version \('flextune macro-actions', 2\), expected"):
        load_library(changed(saved(tmp_path), version=2, new_field=[]), PROBLEM)
    with pytest.raises(UsageError, match=r"another kind or version \('other', 1\)"):
        load_library(changed(saved(tmp_path), format="other"), PROBLEM)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("unroll", "unrolled"), r"\(it lacks unrolled; it has unroll\)"),
        (SMALL.replace("{0, 1, 2, 3}", "{0, 1}"), r"\(other values for unroll\)"),
        (SMALL.replace("aux area", "var area in {1, 2, 4, 8, 16, 32, 64}"), r"\(other values for area\)"),
        ("var x in {1, 2}", r"\(it lacks x; it has tile_i, tile_j, unroll, ...\)"),
    ],
)
def test_library_of_another_space(tmp_path, text, message):
    with pytest.raises(UsageError, match="is of another space " + message):
        load_library(saved(tmp_path), Problem.parse(text))


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ("tile_i <= tile_j", "expected IN, EQ or LE of one variable"),
        ("tile_i != 4", "expected IN, EQ or LE"),
        ("predicate anything(tile_i)", "anything"),
        ("elsewhere <= 4", "unknown variable 'elsewhere'"),
        ("__import__('os').system('true')", "unexpected"),
        ("tile_i <= 4\ntile_j <= 4", "one constraint in each"),
        ("var z in {1}", "one constraint in each"),
        ("", "one constraint in each"),
    ],
)
def test_constraints_are_checked(tmp_path, constraint, message):
    action = {"name": "odd", "constraints": [constraint], "uses": 0, "rewards": 0, "mean_reward": 0.0}
    with pytest.raises(UsageError, match=f"is damaged: macro-action 'odd': .*{message}"):
        load_library(changed(saved(tmp_path), actions=[action]), PROBLEM)


@pytest.mark.parametrize("change", [{"uses": -1}, {"uses": "3"}, {"mean_reward": None}, {"more": 1}, {"name": 3}])
def test_statistics_are_checked(tmp_path, change):
    action = {"name": "a", "constraints": ["tile_i <= 4"], "uses": 0, "rewards": 0, "mean_reward": 0.0} | change
    with pytest.raises(UsageError, match=rf"is damaged: .* at actions\.0\.{next(iter(change))}"):
        load_library(changed(saved(tmp_path), actions=[action]), PROBLEM)


def test_a_folder_has_a_file_per_space(tmp_path):
    first, second = library_path(str(tmp_path), PROBLEM), library_path(str(tmp_path), Problem.parse("var x in {1, 2}"))
    assert first != second
    assert first.parent == second.parent == tmp_path
    assert first == library_path(str(tmp_path), Problem.parse(SMALL + "tile_i <= 16"))


def test_a_file_that_cannot_be(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        library_path(str(tmp_path / "missing" / "library.json"), PROBLEM)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path)

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space"):
        save_library(path, [], PROBLEM)
    assert load_library(path, PROBLEM) == ENTRIES
    assert len(list(tmp_path.iterdir())) == 1
