"""What is printed: JSON, tables, units."""

from __future__ import annotations

import json
import math

import pytest

from flextune.cli.output import print_json, rate, seconds, table
from flextune.target.sizes import size


def test_json_has_null_for_what_was_never_measured(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"best_secs": math.inf, "tasks": [{"secs": math.nan}, {"secs": 0.5}], "name": "é"})
    assert json.loads(capsys.readouterr().out) == {
        "best_secs": None,
        "tasks": [{"secs": None}, {"secs": 0.5}],
        "name": "é",
    }


def test_table_aligns_numbers_to_the_right() -> None:
    text = table(("name", "secs"), [("a", "1.5"), ("longer", "12.0")], "  ")
    assert text.splitlines() == ["  name    secs", "  a        1.5", "  longer  12.0"]


def test_lists_of_numbers_are_texts() -> None:
    assert table(("values",), [("1 2 4",), ("8",)]).splitlines() == ["values", "1 2 4", "8"]


def test_table_without_rows_is_its_header() -> None:
    assert table(("a", "b"), []) == "a  b"


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5, "2.5 s"), (0.0012345, "1.234 ms"), (5.67e-5, "56.7 µs"), (3e-9, "3 ns"), (math.inf, "-"), (math.nan, "-")],
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text


def test_rates_and_sizes() -> None:
    assert rate(5.123e11) == "512.3 GFLOP/s"
    assert rate(1.8e12, "OP/s") == "1.8 TOP/s"
    assert rate(12.0) == "12 FLOP/s"
    assert size(32768) == "32 KiB"
    assert size(1.5 * 2**30) == "1.5 GiB"
    assert size(12) == "12 B"
