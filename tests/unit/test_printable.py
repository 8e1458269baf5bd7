"""Control characters of strangers reach neither terminals nor pictures."""

import xml.etree.ElementTree as ElementTree

import pytest

from flextune.cli.main import describe
from flextune.cli.output import table
from flextune.errors import UsageError
from flextune.printable import json_values, printable
from flextune.report.picture import escape


@pytest.mark.parametrize("text", [r'"\ud800"', r'{"a": ["\udfffb"]}', r'{"\ud83d": 1}'])
def test_halves_of_letters_are_no_text(text: str) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        json_values(text)


def test_whole_letters_are_text() -> None:
    assert json_values(r'["\ud83d\ude00", "\u0000"]') == [chr(0x1F600), chr(0)]


def test_what_steers_is_spelled_out():
    odd = "".join(map(chr, range(0x20))) + "\x7f\x9b31m\u202e\ud800\ufffe<é>\U0001f600"
    told = printable(odd)
    assert not any(letter in told for letter in "\x00\x1b\x07\r\x9b\u202e\ud800")
    assert "\t" in told
    assert told.endswith("<é>\U0001f600")
    ElementTree.fromstring(f"<t>{escape(odd)}</t>")
    assert "\x1b" not in describe(UsageError("bad \x1b[2J name"))[0]
    assert "\x1b" not in table(("name",), [("\x1b[2J",)])
