"""Ctrl-C comes before or after what must not end in the middle."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine.base import RootTransaction

from flextune.database.store import open_database
from flextune.testing.databases import example_record
from flextune.uninterrupted import entered_and_ended_whole, uninterrupted


def test_it_comes_after_the_block() -> None:
    done: list[str] = []

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("block")
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["block"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_one_does_not_wait() -> None:
    done: list[str] = []

    def block() -> None:
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("first")
            signal.raise_signal(signal.SIGINT)
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert done == ["first"]


@contextmanager
def _steps(done: list[str], error: type[BaseException] | None = None) -> Iterator[str]:
    try:
        yield "value"
    finally:
        signal.raise_signal(signal.SIGINT)
        done.append("ended")
        if error is not None:
            raise error


def test_the_end_of_a_manager_is_whole_and_the_block_is_not() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), entered_and_ended_whole(_steps(done)) as value:
        done.append(value)
    with pytest.raises(KeyboardInterrupt), entered_and_ended_whole(_steps(done)):
        signal.raise_signal(signal.SIGINT)
    assert done == ["value", "ended", "ended"]


def test_errors_of_the_block_stay() -> None:
    with pytest.raises(ValueError, match="own"), entered_and_ended_whole(open(__file__)) as file:
        raise ValueError("own")
    assert file.closed


def test_ctrl_c_while_a_transaction_ends_is_ctrl_c_and_the_record_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLAlchemy's own assertion fails otherwise: the record is stored, and the connection does not know it yet."""
    plain = RootTransaction._deactivate_from_connection

    def interrupted(transaction: RootTransaction) -> None:
        signal.raise_signal(signal.SIGINT)
        plain(transaction)

    with open_database(tmp_path / "records.db") as database:
        database.commit(example_record(2))
        with monkeypatch.context() as patch:
            patch.setattr(RootTransaction, "_deactivate_from_connection", interrupted)
            with pytest.raises(KeyboardInterrupt):
                database.commit(example_record(4))
        assert len(database.records()) == 2
        assert database.commit(example_record(8))
