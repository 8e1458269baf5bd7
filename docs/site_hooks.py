"""What `mkdocs` does beyond its own for this site: a page of all verbs, and links to files that are not pages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from flextune.cli.main import app

_OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+(?:src|examples|benchmarks|tests)[^)]*)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page of the command line, which is made of the command itself."""
    files.append(File.generated(config, "reference/command_line.md", content=command_line_page()))
    return files


def on_page_markdown(markdown: str, **_given: object) -> str:
    """Links to files of the project that are not on the site name the file instead."""
    return _OUTSIDE.sub(lambda found: f"{found[1]} (`{found[2].replace('../', '')}`)", markdown)


def command_line_page() -> str:
    """Every verb with its arguments and options, as `--help` has them."""
    parts = ["# Command line", "", "`flextune VERB --help` prints the same. All verbs end with 0 when done, 1 when"]
    parts += ["something failed, 2 on bad usage.", ""]
    for name, command in _verbs("flextune", typer.main.get_command(app)):
        context = typer.Context(command, info_name=name)
        parts += [f"## {name}", "", command.help or "", "", "```text", command.get_usage(context), "```", ""]
        rows = [row for each in command.params if (row := each.get_help_record(context)) is not None]
        parts += ["| option | meaning |", "|---|---|"] * bool(rows)
        parts += [f"| `{words}` | {_cell(text)} |" for words, text in rows] + [""]
    return "\n".join(parts)


def _verbs(name: str, command: object) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    for verb, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _verbs(f"{name} {verb}", inner)
        else:
            yield f"{name} {verb}", inner


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")
