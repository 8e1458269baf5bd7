"""How much faster and how sure, from records whose times are known."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from flextune.report.comparison import compare, median_interval
from flextune.testing.databases import example_record
from flextune.trial.record import Evidence, TuningRecord


def timed(tile: int, *secs: float, evidence: Evidence = Evidence.FINALIST, model: str = "") -> TuningRecord:
    return replace(example_record(tile, 1.0, evidence=evidence), run_secs=secs, model=model)


def test_trials_alone_give_a_ratio_and_no_interval() -> None:
    found = compare([example_record(1, 0.4), example_record(2, 0.1)])
    assert (found.speedup, found.interval, found.rounds) == (pytest.approx(4.0), None, 0)


def test_rounds_in_turns_are_paired() -> None:
    """The machine became ten times slower in the middle: medians alone would say nothing, pairs say 2."""
    before = timed(1, 2.0, 2.2, 1.8, 20.0, 22.0, 18.0)
    after = timed(2, 1.0, 1.1, 0.9, 10.0, 11.0, 9.0)
    found = compare([example_record(1, 9.0), example_record(2, 9.0), after, before])
    assert found.rounds == 6
    assert found.speedup == pytest.approx(2.0)
    assert found.interval is not None
    assert found.interval.low == pytest.approx(2.0)
    assert found.interval.high == pytest.approx(2.0)
    assert found.interval.coverage == pytest.approx(1 - 2 / 2**6)


def test_times_of_different_evidence_are_never_divided() -> None:
    """The best was timed in a model, the default only alone: so their trials are compared, not these two times."""
    inside = timed(2, 5.0, evidence=Evidence.IN_MODEL, model="net")
    found = compare([example_record(1, 0.4), example_record(2, 0.1), inside])
    assert found.best == inside
    assert (found.before, found.after) == (example_record(1, 0.4), example_record(2, 0.1))
    assert found.speedup == pytest.approx(4.0)
    assert found.rounds == 0


def test_comparisons_of_two_models_are_not_mixed() -> None:
    first = timed(1, 0.4, evidence=Evidence.IN_MODEL, model="a")
    second = timed(2, 0.3, evidence=Evidence.IN_MODEL, model="b")
    found = compare([example_record(1, 1.0), example_record(2, 2.0), first, second])
    assert found.rounds == 0
    assert found.speedup == pytest.approx(0.5)


def test_an_earlier_comparison_is_not_paired_with_a_later_one() -> None:
    """The default was slow in the first comparison; the second one was without it."""
    records = [
        example_record(1, 1.0),
        example_record(2, 0.5),
        timed(1, 8.0),
        timed(2, 4.0),
        timed(3, 5.0),
        timed(2, 0.2),
    ]
    found = compare(records)
    assert found.best == records[-1]
    assert found.rounds == 0
    assert found.speedup == pytest.approx(2.0)


def test_what_is_missing_is_not_made_up() -> None:
    assert compare([example_record(1, None)]).best is None
    failed_default = compare([example_record(1, None), example_record(2, 0.1)])
    assert failed_default.best is not None
    assert failed_default.speedup is None
    assert compare([replace(example_record(1, 0.5), evidence=Evidence.FINALIST)]).speedup is None


@pytest.mark.parametrize("count", [2, 5, 6, 9, 12])
def test_the_interval_covers_the_median_as_often_as_it_says(count: int) -> None:
    """Of all ways in which independent values can lie below and above the median, each as likely."""
    found = median_interval(list(map(float, range(count))))
    assert found is not None
    left_out = int(found.low)
    hits = sum(left_out < sum(sides) < count - left_out for sides in itertools.product((0, 1), repeat=count))
    assert found.coverage == pytest.approx(hits / 2**count)
    assert found.high == count - 1 - left_out
    assert found.coverage >= 0.95 or left_out == 0


def test_one_value_has_no_interval() -> None:
    assert median_interval([1.0]) is None
