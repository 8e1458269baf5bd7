"""Which records decide."""

from __future__ import annotations

from flextune.testing.databases import example_record
from flextune.trial.evidence import best_record, deciding_records
from flextune.trial.record import Evidence, TuningRecord


def final(tile: int, secs: float | None) -> TuningRecord:
    return example_record(tile, secs, evidence=Evidence.FINALIST)


def test_without_a_comparison_the_latest_record_of_each_candidate_decides() -> None:
    records = [example_record(1, 0.1), example_record(2, 0.2), example_record(1, 0.3)]
    assert [record.secs for record in deciding_records(records)] == [0.3, 0.2]
    assert best_record(records) == records[1]


def test_a_comparison_outweighs_a_lucky_trial() -> None:
    records = [example_record(1, 0.01), example_record(2, 0.2), final(2, 0.25), final(3, 0.3)]
    assert deciding_records(records) == records[2:]
    assert best_record(records) == records[2]


def test_a_trial_after_the_comparison_reopens_the_question() -> None:
    records = [example_record(1, 0.2), final(1, 0.25), example_record(2, 0.1)]
    assert best_record(records) == records[2]


def test_nothing_that_failed_is_best() -> None:
    assert best_record([example_record(1, None)]) is None
    assert best_record([]) is None
    assert best_record([example_record(1, 0.1), final(1, None)]) is None
