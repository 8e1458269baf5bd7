"""Libraries of macro-actions as JSON files, each for one space: what it has learned is there for the next run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flextune.csp.problem import Problem
from flextune.csp.problem_text import parse_lines
from flextune.errors import UsageError
from flextune.search.flexaction.library import Entry
from flextune.search.flexaction.macro_actions import AND, MacroAction

_FORMAT = "flextune macro-actions"
_VERSION = 1


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Action(_Model):
    name: str
    constraints: list[str]
    parts: list[str] | None = None
    """Missing in files of before: there the name says it."""
    uses: int = Field(ge=0)
    rewards: int = Field(ge=0)
    mean_reward: float


class _Header(BaseModel):
    """What is read first, whatever else there is."""

    format: str
    version: int


class _File(_Model):
    """`space` maps the name of every variable to a digest of its domain ("computed" for auxiliary ones)."""

    format: str
    version: int
    space: dict[str, str]
    actions: list[_Action]


def library_path(given: str, problem: Problem) -> Path:
    """The file that is meant: the given one, or in a folder the one named after the space.

    Raises `UsageError` where it could not be written.
    """
    path = Path(given)
    if path.is_dir():
        digest = hashlib.sha256(repr(sorted(_signature(problem).items())).encode()).hexdigest()[:16]
        path = path / f"{digest}.json"
    if not path.parent.is_dir():
        raise UsageError(f"library {path}: there is no folder {path.parent}; make it, or name another file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"library {path}: the folder cannot be written; name a file in another one")
    return path


def load_library(path: Path, problem: Problem) -> list[Entry] | None:
    """The entries of a file, None if there is no such file.

    `UsageError` for a file that is damaged, of another version, or of a space with other variables or domains.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise UsageError(f"library {path} is damaged: it is no text; {_REMEDY}") from None
    except OSError as error:
        raise UsageError(f"library {path} cannot be read: {error.strerror}; {_REMEDY}") from None
    try:
        header = _Header.model_validate_json(text)
        if (header.format, header.version) != (_FORMAT, _VERSION):
            raise UsageError(
                f"library {path} is of another kind or version ({header.format!r}, {header.version}), expected"
                f" {_FORMAT!r}, {_VERSION}; {_REMEDY}"
            )
        content = _File.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(f"library {path} is damaged: {_first_fault(error)}; {_REMEDY}") from None
    _check_space(path, content.space, _signature(problem))
    return [_entry(path, action, problem) for action in content.actions]


def save_library(path: Path, entries: Sequence[Entry], problem: Problem) -> None:
    """Replace the file at once: whoever reads it finds the old one or the new one. Raises `OSError`."""
    actions = [
        _Action(
            name=entry.action.name,
            constraints=[constraint.formula() for constraint in entry.action.constraints],
            parts=list(entry.action.parts),
            uses=entry.uses,
            rewards=entry.rewards,
            mean_reward=entry.mean_reward,
        )
        for entry in entries
    ]
    content = _File(format=_FORMAT, version=_VERSION, space=_signature(problem), actions=actions)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(content.model_dump_json(indent=1) + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


_REMEDY = "name another file, or delete this one"


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{fault['msg']}" + (f" at {where}" if where else "")


def _signature(problem: Problem) -> dict[str, str]:
    return {
        variable.name: "computed"
        if variable.domain is None
        else hashlib.sha256(str(variable.domain).encode()).hexdigest()[:12]
        for variable in problem.variables
    }


def _check_space(path: Path, theirs: dict[str, str], ours: dict[str, str]) -> None:
    if theirs == ours:
        return
    missing = [name for name in ours if name not in theirs]
    unknown = [name for name in theirs if name not in ours]
    changed = [name for name in ours if name in theirs and theirs[name] != ours[name]]
    differences = [
        f"{what} {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        for what, names in (("it lacks", missing), ("it has", unknown), ("other values for", changed))
        if names
    ]
    raise UsageError(f"library {path} is of another space ({'; '.join(differences)}); {_REMEDY}")


def _entry(path: Path, action: _Action, problem: Problem) -> Entry:
    try:
        variables, constraints = parse_lines("\n".join(action.constraints))
        if variables or len(constraints) != len(action.constraints):
            raise UsageError("expected one constraint in each text")
        parts = action.name.split(AND) if action.parts is None else action.parts
        found = MacroAction(action.name, constraints, tuple(parts) if len(parts) > 1 else ())
        problem.with_constraints(constraints)
    except UsageError as error:
        raise UsageError(f"library {path} is damaged: macro-action {action.name!r}: {error}; {_REMEDY}") from None
    return Entry(found, action.uses, action.rewards, action.mean_reward)
