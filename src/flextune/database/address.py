"""Where records are: a file, or a server by its address. What is shown of an address never holds its password."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from flextune.errors import NoDatabaseError, UsageError

_SCHEMES: Final = ("postgresql", "postgres")
_NEARLY_SERVER: Final = re.compile(r"\s*postgres(ql)?(\+\w*)?:", re.IGNORECASE)
"""An address in which slashes were forgotten is no file's name, which messages would show."""
_SECRET_SETTINGS: Final = ("password", "sslpassword")
_SHOWN_SETTINGS: Final = ("host", "port", "user", "dbname", "sslmode", "options", "target_session_attrs")
"""Others are not shown: with an & in a password, a part of it would pass for a setting."""
_HIDDEN: Final = "***"
_SPLITTING: Final = "/?#@"
"""Letters that end a part of an address; within a user name or a password they are spelled as %40 and the like."""


class DatabaseAddress(str):
    """The name of a file, or the address of a server as it may be shown: a text that holds no password.

    So messages, results and JSON may print it. `full` is what a connection is made with.
    """

    __slots__ = ("full", "secrets")

    full: str
    secrets: tuple[str, ...]
    """What no message may hold."""

    @classmethod
    def of(cls, given: str | Path) -> DatabaseAddress:
        """UsageError for what is neither a name nor an address, of which a file of that name would be made."""
        if isinstance(given, DatabaseAddress):
            return given
        if not isinstance(given, str | Path) or not str(given).strip():
            raise UsageError(f"expected the file name or postgresql:// URL of a records database, got {given!r:.80}")
        text = str(given)
        shown, secrets = _shown(text) if is_server(text) else (text, ())
        if not is_server(text) and ("://" in text or _NEARLY_SERVER.match(text)):
            raise NoDatabaseError(
                f"records database {text.partition(':')[0].strip()}:{_HIDDEN}: expected a file name or a "
                "postgresql:// URL such as postgresql://user@host/name"
            )
        address = cls(shown)
        address.full, address.secrets = text, secrets
        return address

    @property
    def is_server(self) -> bool:
        """Whether a server is asked, and not a file read."""
        return is_server(self.full)

    @property
    def exists(self) -> bool:
        """Whether there is something to open; of a server that is only known once it was asked."""
        return self.is_server or Path(self).exists()

    @property
    def journal(self) -> str:
        """What to call the folder of what waits for the server: the same whoever asks it."""
        place = self.rpartition("://")[2].rpartition("@")[2]
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", place).strip("-.")[:60]
        return f"{readable}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"

    def without_secrets(self, message: str) -> str:
        """What an engine says, in which it may have repeated what it was given."""
        for secret in self.secrets:
            message = message.replace(secret, _HIDDEN)
        return message


def is_server(text: str) -> bool:
    """Whether a text is a server's address: `postgresql://`, also with the name of a driver."""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower().partition("+")[0] in _SCHEMES


def _shown(text: str) -> tuple[str, tuple[str, ...]]:
    """The address without its passwords, and these. What cannot be taken apart for sure is refused, and not shown."""
    scheme, _, rest = text.partition("://")
    before, at, place = rest.rpartition("@")
    if any(letter in before for letter in _SPLITTING):
        raise UsageError(
            f"records database {scheme}://{_HIDDEN}: a user name or a password in it has one of the letters "
            f"{' '.join(_SPLITTING)}, which are written %2F %3F %23 %40 there; or leave the password out and give it "
            "in $PGPASSWORD or ~/.pgpass"
        )
    user, colon, password = before.partition(":")
    shown = f"{scheme}://{user}{colon + _HIDDEN if colon else ''}{at}"
    place, question, query = place.partition("?")
    settings = parse_qsl(query, keep_blank_values=True)
    told = [(name, value) for name, value in settings if name in _SHOWN_SETTINGS]
    tail = question + urlencode(told, safe="/:", quote_via=quote) if told else ""
    secrets = [value for name, value in settings if name in _SECRET_SETTINGS]
    return shown + place + tail, _spellings([password, *secrets], shown + place + tail)


def _spellings(passwords: list[str], shown: str) -> tuple[str, ...]:
    """As they may be repeated by others: as given and decoded. What the address shows anyway is no secret."""
    found = {spelling for each in passwords for spelling in (each, unquote(each)) if spelling}
    return tuple(sorted((each for each in found if each not in shown), key=len, reverse=True))
