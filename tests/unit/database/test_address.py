"""What is shown of an address holds no part of a password, however the address was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from flextune.database.address import DatabaseAddress
from flextune.database.store import open_database
from flextune.errors import FlextuneError, UsageError
from flextune.torch_backend.backend_options import BackendOptions

SHOWN = {
    "postgresql://host/name": "postgresql://host/name",
    "postgresql://me@host/name": "postgresql://me@host/name",
    "postgresql://me:hush-hush@host:5433/name": "postgresql://me:***@host:5433/name",
    "postgres://me:hush-hush@host/name": "postgres://me:***@host/name",
    "postgresql+psycopg://me:hush%40hush@host/name": "postgresql+psycopg://me:***@host/name",
    "postgresql://me:hush:hush@host/name": "postgresql://me:***@host/name",
    "postgresql://me@host/name?password=hush&sslmode=require": "postgresql://me@host/name?sslmode=require",
    "postgresql://me@host/name?password=hush&hush=hush": "postgresql://me@host/name",
    "postgresql://me@host/name?passw%6Frd=hush": "postgresql://me@host/name",
    "postgresql:///name?host=/var/run/postgresql": "postgresql:///name?host=/var/run/postgresql",
}


@pytest.mark.parametrize("given", SHOWN)
def test_an_address_is_shown_without_its_password(given: str) -> None:
    address = DatabaseAddress.of(given)
    assert address == str(address) == f"{address}" == SHOWN[given]
    assert "hush" not in repr(address) + address.journal
    assert (address.full, address.is_server, address.exists) == (given, True, True)
    assert DatabaseAddress.of(address) is address
    assert "hush" not in repr(BackendOptions(db=given))
    assert BackendOptions(db=given).database.full == given


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://me:hush/hush@host/name",
        "postgresql://me:hush?hush@host/name",
        "postgresql://me:hush#hush@host/name",
        "postgresql://me:hush@hush@host/name",
        "postgresql://me@host/name?password=hush@hush",
        "postgresql://me:hush@host:hush/name",
        "postgresql://me:hush@host:port/name",
        "postgresql+none://me:hush@host/name",
        "mysql://me:hush@host/name",
        "postgresql:/me:hush@host/name",
        " postgres:me:hush@host/name",
        "me:hush@host://name",
        "https://me:hush@hush@host/name",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(FlextuneError) as caught:
        open_database(given)
    shown, cause = str(caught.value), caught.value.__cause__
    assert "hush" not in shown.replace("host:hush", "")
    assert cause is None


def test_one_place_has_one_journal_whoever_asks() -> None:
    names = [DatabaseAddress.of(f"postgresql://{who}host:5432/team").journal for who in ("", "me@", "you:hush@")]
    assert len({*names}) == 1
    assert names[0].startswith("host-5432-team-")
    assert DatabaseAddress.of("postgresql://host:5432/other").journal != names[0]


def test_files_stay_what_they_are(tmp_path: Path) -> None:
    address = DatabaseAddress.of(tmp_path / "r.db")
    assert address == str(tmp_path / "r.db") == address.full
    assert not address.exists
    assert not address.is_server
    (tmp_path / "r.db").touch()
    assert address.exists
    for nothing in ("", "  ", None, 5):
        with pytest.raises(UsageError, match="expected the file name or postgresql"):
            DatabaseAddress.of(nothing)  # type: ignore[arg-type]


def test_what_an_engine_says_is_told_without_the_password() -> None:
    address = DatabaseAddress.of("postgresql://me:a%40b@host/name")
    assert address.without_secrets("no a@b, no a%40b, but me") == "no ***, no ***, but me"
    assert DatabaseAddress.of("postgresql://me:me@host/me").without_secrets('of user "me"') == 'of user "me"'
