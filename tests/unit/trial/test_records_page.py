"""`docs/records.md` names every field of records and decisions, and every status and evidence."""

import dataclasses
import re
from pathlib import Path

import pytest

from flextune.testing.databases import example_record
from flextune.trial.decision import Decision, GroupDecision, LayoutDecision, Verdict
from flextune.trial.measurement import Status
from flextune.trial.record import Evidence, TuningRecord

PAGE = Path(__file__).parents[3] / "docs" / "records.md"


@pytest.fixture(scope="module")
def named() -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", PAGE.read_text()))


@pytest.mark.parametrize("kind", [TuningRecord, Decision, GroupDecision, LayoutDecision, Verdict])
def test_every_field_is_described(named: set[str], kind: type) -> None:
    assert {field.name for field in dataclasses.fields(kind) if field.init} <= named


def test_what_is_written_is_described(named: set[str]) -> None:
    assert example_record(8).json_values().keys() <= named


def test_every_status_evidence_and_kind_is_described(named: set[str]) -> None:
    assert {*Status, *Evidence, *(kind.KIND for kind in (GroupDecision, LayoutDecision, Verdict))} <= named
