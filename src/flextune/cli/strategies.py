"""`flextune strategies`: what can search, where it comes from, and how it can be set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import Json
from flextune.cli.output import JsonValue, print_json, table

if TYPE_CHECKING:
    from flextune.search.strategy_registry import StrategyText


def strategies(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these (default: all there are).", show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """List the search strategies with their options, for `tune --strategy NAME --strategy-option NAME=VALUE`."""
    from flextune.search.strategy_registry import strategy_names, strategy_text

    listed = [strategy_text(name) for name in names or strategy_names()]
    if as_json:
        print_json({"strategies": [_facts(text) for text in listed]})
    else:
        print("\n\n".join(map(_text, listed)))


def _facts(text: StrategyText) -> JsonValue:
    from flextune.search.extras import is_installed

    return {
        "name": text.name,
        "summary": text.summary,
        "source": text.source,
        "extra": text.extra,
        "installed": is_installed(text.extra),
        "options": [
            {"name": option.name, "type": option.type, "default": option.default, "limits": option.limits}
            for option in text.options
        ],
    }


def _text(text: StrategyText) -> str:
    from flextune.search.extras import install_command, is_installed

    lines = [text.name, f"  {text.summary}"]
    if text.source:
        lines.append(f"  Source: {text.source}")
    if not is_installed(text.extra):
        lines.append(f"  Not installed: {install_command(text.extra)}")
    rows = [(option.name, option.type, option.default, option.limits) for option in text.options]
    if rows:
        lines.append(table(("option", "type", "default", "expected"), rows, "    "))
    return "\n".join(lines)
