"""`flextune completion`: what makes a shell complete the command's verbs, options and values."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]


class Shell(StrEnum):
    """Shells that can."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that is to complete.")]) -> None:
    """Print a script that makes a shell complete the command; for bash: eval "$(flextune completion bash)"."""
    print(get_completion_script(prog_name="flextune", complete_var="_FLEXTUNE_COMPLETE", shell=shell))


def answer_shells() -> None:
    """From now on the command answers the questions of such a script, which come in an environment variable."""
    completion_init()


def strategy_names_like(incomplete: str) -> list[str]:
    """Names of strategies that begin so."""
    from flextune.search.strategy_registry import strategy_names

    return [name for name in strategy_names() if name.startswith(incomplete)]
