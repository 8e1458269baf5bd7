"""Options of the backend are checked, each with one message that says what is expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from flextune.errors import UsageError
from flextune.torch_backend.backend_options import BackendOptions


def test_what_is_given_and_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEXTUNE_DB", "records.db")
    assert BackendOptions.of(None) == BackendOptions() == BackendOptions.of({})
    assert BackendOptions().database == "records.db"
    given = {"minutes": 1, "db": Path("x.db"), "threads": 2, "frozen": True, "strict": True}
    assert BackendOptions.of(given) == BackendOptions(1, Path("x.db"), 2, True, True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"minute": 1}, r"unknown option 'minute' .*did you mean 'minutes'"),
        ({3: 1}, "unknown option 3"),
        ({"minutes": -1}, "minutes: expected a number >= 0, got -1"),
        ({"minutes": "1"}, "minutes: expected a number >= 0, got '1'"),
        ({"minutes": True}, "minutes: expected a number"),
        ({"minutes": float("nan")}, "minutes: expected a number"),
        ({"db": 5}, "db: expected the path of a records file, got 5"),
        ({"threads": 1.5}, "threads: expected a whole number"),
        ({"frozen": 1}, "frozen: expected True or False, got 1"),
        ({"strict": "yes"}, "strict: expected True or False, got 'yes'"),
        (["minutes"], "options: expected a dictionary, got list"),
    ],
)
def test_what_cannot_be(given, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BackendOptions.of(given)
