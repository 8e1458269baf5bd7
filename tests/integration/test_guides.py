"""The tutorial and the pages about tasks: what they tell a newcomer to type is typed, and does what they say.

In the order of a page, in one folder: Python blocks are run, `console` blocks are lines `$ COMMAND` with the beginnings
of lines that the command prints, and files with a title are written. Blocks of `sh` are not run: they install
something or need a server.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = (DOCS / "tutorial.md", *sorted((DOCS / "tasks").glob("*.md")))
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
MODEL = BLOCK.search((DOCS / "tutorial.md").read_text().partition("## 2. A model")[2])


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type, and how lines begin that must then be printed, in this order."""

    line: str
    shown: tuple[str, ...]


def commands(block: str) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, *shown = part.splitlines()
        yield Command(line, tuple(shown))


def test_the_parser_finds_commands_and_what_they_print() -> None:
    assert list(commands("$ one two\nfirst\n  second\n$ three\n")) == [
        Command("one two", ("first", "  second")),
        Command("three", ()),
    ]
    assert len(GUIDES) >= 7
    assert all("```console" in page.read_text() or page.stem == "board" for page in GUIDES)


@pytest.mark.slow
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_what_a_page_says_works(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    environment = with_programs(tmp_path)
    if "model.onnx" in text and "```console" in text and page.stem != "tutorial":
        assert MODEL is not None
        run([sys.executable, "-c", MODEL[3]], tmp_path, environment)
    for language, title, block in BLOCK.findall(text):
        if title:
            (tmp_path / title).write_text(block)
        elif language == "python":
            (tmp_path / "block.py").write_text(block)  # in a file: functions are known by their sources
            run([sys.executable, "block.py"], tmp_path, environment)
        elif language == "console":
            for command in commands(block):
                printed = run(["sh", "-c", command.line], tmp_path, environment)
                check_shown(command, printed)


def with_programs(folder: Path) -> dict[str, str]:
    """An environment in which `flextune` and `python` are those of this interpreter, and nothing is shared."""
    programs = folder / "programs"
    programs.mkdir()
    for name, arguments in (("flextune", "-m flextune"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    mine = {name: value for name, value in os.environ.items() if name not in ("FLEXTUNE_DB", "FLEXTUNE_JOURNAL")}
    return mine | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def check_shown(command: Command, printed: str) -> None:
    lines = iter(printed.splitlines())
    for shown in command.shown:
        assert any(line.startswith(shown) for line in lines), f"{command.line} printed no line {shown!r}:\n{printed}"
