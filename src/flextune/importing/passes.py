"""What a step over a graph or a module is: it has a name, says what it does, and may be left out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

Subject = TypeVar("Subject")
Observer = Callable[[str, Subject], None]
"""Is told the name of every pass that ran, and what it left."""


@dataclass(frozen=True, slots=True)
class Pass(Generic[Subject]):
    """One step: its name (for `--without NAME`), what it does in words, and the function, whose result goes on.

    `needed` says why a model cannot do without it; it is empty for what can be switched off.
    """

    name: str
    about: str
    run: Callable[[Subject], Subject]
    needed: str = ""


def in_place(change: Callable[[Subject], None], needed: str = "") -> Pass[Subject]:
    """The pass of a function that changes what it is given. Its name and docstring are those of the pass."""

    def run(subject: Subject) -> Subject:
        change(subject)
        return subject

    return Pass(name_of(change), about(change), run, needed)


def replacing(rewrite: Callable[[Subject], Subject], needed: str = "") -> Pass[Subject]:
    """The pass of a function that gives the rewritten one. Its name and docstring are those of the pass."""
    return Pass(name_of(rewrite), about(rewrite), rewrite, needed)


def name_of(function: Callable[..., object]) -> str:
    """A function's name as that of a pass.

    >>> name_of(replacing)
    'replacing'
    """
    return function.__name__.replace("_", "-")


def about(function: Callable[..., object]) -> str:
    """The first paragraph of a function's docstring, without the full stop."""
    text = (inspect.getdoc(function) or "").partition("\n\n")[0].split("\nbefore:")[0]
    return " ".join(text.split()).rstrip(".")


def run_passes(
    passes: Collection[Pass[Subject]],
    subject: Subject,
    without: Collection[str] = (),
    observe: Observer[Subject] | None = None,
) -> Subject:
    """What the passes make of it, one after the other, without those of these names that can be switched off."""
    for each in passes:
        if each.name in without and not each.needed:
            continue
        subject = each.run(subject)
        if observe is not None:
            observe(each.name, subject)
    return subject
