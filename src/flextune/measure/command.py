"""A command line as an objective: build it, run it, take its wall time or a number that it prints."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Value
from flextune.errors import EnvironmentFault, UsageError
from flextune.measure.command_service import FOLDER_TEXT
from flextune.measure.ending import Ending, Outcome, exit_text
from flextune.measure.fingerprint import Fingerprint, fingerprint_of
from flextune.measure.function import Check, check_fault
from flextune.measure.objective import identity_text, median_metrics, number_fault
from flextune.measure.objective_protocol import ObjectiveProtocol
from flextune.measure.outcome import cause_of_end
from flextune.measure.source_files import is_compiled, program_file, source_files
from flextune.measure.trial_steps import Call, Steps, cut, run_steps
from flextune.measure.watch import RunLimits
from flextune.measure.worker_process import Worker
from flextune.registry import nearest
from flextune.trial.measurement import Measurement, Status

WALL = "wall"
PRINTED = "printed"
FOLDER = "folder"
_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|(?:nan|inf(?:inity)?)\b)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Command:
    """What is run for a configuration: words with `{name}` in place of values, no shell.

    `{folder}` is an empty folder that each trial gets. A word that is one placeholder alone and has an empty value is
    left out. Truth values read 1 and 0; `{{` and `}}` are braces.

    >>> Command(("./app", "--tile={tile}")).words(("./app", "--tile={tile}"), {"tile": "8"})
    ('./app', '--tile=8')
    """

    run: tuple[str, ...]
    """What is run and counted."""
    build: tuple[str, ...] = ()
    """What is run first, if anything."""
    value: str = WALL
    """What counts: `wall`, the seconds of the run; `printed`, the last number that it prints; else a regular expression
    with one group, whose last match in the output is the number."""
    expect: str = ""
    """A regular expression that the output must match, else the answer is wrong; empty for none."""
    environment: tuple[tuple[str, str], ...] = ()
    """Variables that are added to this process's own."""
    working_folder: str = "."
    """Where both are run."""
    metrics: tuple[tuple[str, str], ...] = ()
    """What else is measured: names, each with what `value` may be."""

    def __post_init__(self) -> None:
        for name in ("run", "build"):
            object.__setattr__(self, name, _checked_words(name, getattr(self, name)))
        if not self.run:
            raise UsageError("a command needs words to run, got none")
        _pattern("expect", self.expect)
        for name, value in (("value", self.value), *((f"metric {name!r}", value) for name, value in self.metrics)):
            if _pattern(name, value).groups != 1 and value not in (WALL, PRINTED):
                raise UsageError(
                    f"command {name} {value!r}: expected '{WALL}', '{PRINTED}' or a regular expression with one group"
                )

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The names in braces, `folder` included, each once."""
        texts = (*self.build, *self.run, *(text for _, text in self.environment))
        return tuple(dict.fromkeys(name for text in texts for name in _names(text)))

    def words(self, template: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
        """The words with their placeholders replaced."""
        filled = [(word, filled_in(word, values)) for word in template]
        return tuple(text for word, text in filled if text or not re.fullmatch(r"\{[^{}]*\}", word))


@dataclass(frozen=True, slots=True)
class _Ran:
    """How one process ended."""

    status: Status
    error: str = ""
    secs: float = 0.0
    output: str = ""


@dataclass(frozen=True)
class CommandObjective:
    """Runs a command `repeats` times per trial. Whatever it leaves running is killed with it."""

    command: Command
    """What is run."""
    parameters: tuple[str, ...]
    """The names that its placeholders may have."""
    name: str = ""
    """What records call it; by default what it runs."""
    check: Check | None = None
    """Looks at each output, if given."""
    repeats: int = 1
    """Runs of each trial."""
    limits: RunLimits = field(default_factory=RunLimits)
    """Of a run."""
    build_limits: RunLimits = field(default_factory=RunLimits)
    """Of a build."""
    protocol: ObjectiveProtocol = field(default_factory=ObjectiveProtocol)
    """As records keep it."""
    texts: tuple[str, ...] = ()
    """Values of parameters that may name files."""
    version: str = ""
    """What else decides its value."""
    metrics: tuple[str, ...] = ("",)
    """What must be measured, of which the first counts; one empty name stands for the command's value."""
    sign: int = 1
    """What makes that a number to minimise."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or Path(self.command.run[0]).name)
        if FOLDER in self.parameters:
            raise UsageError(f"a parameter of a command cannot be named {FOLDER!r}: it is the trial's own folder")
        for name in self.command.placeholders:
            if name not in (*self.parameters, FOLDER):
                raise UsageError(f"unknown placeholder {{{name}}}: {nearest(name, (*self.parameters, FOLDER))}")
        known = ("", WALL, *(name for name, _ in self.command.metrics))
        for name in self.metrics:
            if name not in known:
                raise UsageError(f"the command has no metric {name!r}: {nearest(name, known[1:])}")
        unused = [name for name in self.parameters if name not in self.command.placeholders]
        if unused:
            raise UsageError(f"parameter {unused[0]!r} is not used: the command has no {{{unused[0]}}}")
        if not Path(self.command.working_folder).is_dir():
            raise UsageError(f"the working folder {self.command.working_folder!r} does not exist")
        for words in filter(None, (self.command.build, self.command.run)):
            self._need_program(words[0])

    @cached_property
    def identity(self) -> str:
        """The command itself, with the files that it runs and reads as far as its words and their texts name them."""
        command = self.command
        parts: list[object] = [command.run, command.build, command.value, command.expect, command.environment]
        parts += [command.metrics] if command.metrics else []  # texts of commands without stay as they are
        text = "command:" + json.dumps(parts) + "".join(f"\n{name}:{digest}" for name, digest in self._files())
        return identity_text(text, self.version, self._checked.digest)

    @property
    def unknown(self) -> str:
        return self._checked.unknown

    @cached_property
    def _checked(self) -> Fingerprint:
        return Fingerprint("") if self.check is None else fingerprint_of(self.check)

    def _files(self) -> list[tuple[str, str]]:
        command, folder = self.command, Path(self.command.working_folder)
        programs = [program_file(words[0], folder) for words in (command.build, command.run) if words]
        words = [*map(str, filter(None, programs)), *command.build, *command.run, *self.texts]
        words += [text for _, text in command.environment]
        named = [found for word in words for found in _expanded(word, folder)]
        files = source_files(named, folder, any_kind=True)
        made = {
            str(Path(word)) for before, word in zip(command.build, command.build[1:], strict=False) if before == "-o"
        }
        kept = (name for name in files if not (command.build and _is_made(name, folder, command.build[0], made)))
        return [(name, files[name]) for name in kept]

    def workers(self, count: int) -> Sequence[Worker]:
        while len(self._workers) < count:
            self._workers.append(Worker.of_service("commands"))
        return tuple(self._workers[:count])

    def measure(self, assignment: Assignment, values: Mapping[str, Value]) -> Measurement:
        """One trial, waited for."""
        return run_steps(self.steps(assignment, values), self.workers(1)[0])

    def steps(self, assignment: Assignment, values: Mapping[str, Value], within_secs: float = math.inf) -> Steps:
        started = time.perf_counter()
        texts = {name: value_text(value) for name, value in values.items()} | {FOLDER: FOLDER_TEXT}
        yield Call({"action": "open"})
        last = built = yield from self._built(texts, within_secs)
        runs: list[float] = []
        metrics: list[dict[str, float]] = []
        while last.status is Status.OK and len(runs) < self.repeats:
            ran = yield from self._ran(texts, within_secs - (time.perf_counter() - started))
            last, found = self._numbers(ran)
            runs.append(self.sign * found.get(self.metrics[0], 0.0))
            metrics.append({name: number for name, number in found.items() if name})
        yield Call({"action": "close"})
        return Measurement(
            assignment,
            last.status,
            run_secs=tuple(runs) if last.status is Status.OK else (),
            error=last.error,
            build_secs=built.secs,
            elapsed_secs=time.perf_counter() - started,
            metrics=median_metrics(metrics) if last.status is Status.OK else (),
        )

    def close(self) -> None:
        for worker in self._workers:
            worker.close()

    @cached_property
    def _workers(self) -> list[Worker]:
        return []

    def _built(self, texts: Mapping[str, str], within_secs: float) -> Generator[Call, Outcome, _Ran]:
        if not self.command.build:
            return _Ran(Status.OK)
        limits = cut(self.build_limits, within_secs)
        outcome = yield self._call(self.command.build, texts, limits)
        return _end_of(outcome, limits, building=True)

    def _ran(self, texts: Mapping[str, str], within_secs: float) -> Generator[Call, Outcome, _Ran]:
        limits = cut(self.limits, within_secs)
        outcome = yield self._call(self.command.run, texts, limits)
        return _end_of(outcome, limits, building=False)

    def _numbers(self, ran: _Ran) -> tuple[_Ran, dict[str, float]]:
        """What a run measured by name, the number that counts alone under an empty one."""
        if ran.status is not Status.OK:
            return ran, {}
        if self.command.expect and not re.search(self.command.expect, ran.output):
            return _Ran(Status.WRONG_OUTPUT, f"wrong answer: the output has no match of {self.command.expect!r}"), {}
        if self.check is not None and (fault := check_fault(self.check, ran.output)):
            return _Ran(Status.WRONG_OUTPUT, fault), {}
        found: dict[str, float] = {}
        sources = dict(self.command.metrics) | ({"": self.command.value} if "" in self.metrics else {})
        for name in dict.fromkeys((*self.metrics, *sources)):
            read, found[name] = _number(ran, sources.get(name, WALL))
            if read.status is not Status.OK:
                return read, {}
        return ran, found

    def _call(self, template: Sequence[str], texts: Mapping[str, str], limits: RunLimits) -> Call:
        added = {name: filled_in(text, texts) for name, text in self.command.environment}
        return Call(
            {
                "action": "run",
                "words": self.command.words(template, texts),
                "environment": {**os.environ, **added},
                "working_folder": os.path.abspath(self.command.working_folder),
                "timeout_secs": limits.timeout_secs,
                "memory_bytes": limits.memory_bytes,
            }
        )

    def _need_program(self, word: str) -> None:
        if _names(word):
            return
        here = Path(self.command.working_folder, word)
        if shutil.which(word) is None and not (os.sep in word and os.access(here, os.X_OK)):
            raise EnvironmentFault(f"the program {word!r} cannot be found or run; install it or give its path")


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The text with `{name}` replaced; `{{` and `}}` are braces."""

    def replacement(match: re.Match[str]) -> str:
        found = match.group()
        return found[0] if found in ("{{", "}}") else values[match.group(1)]

    return _PLACEHOLDER.sub(replacement, text)


def value_text(value: Value) -> str:
    """A value as a word of a command: truth values are 1 and 0."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _expanded(word: str, folder: Path) -> list[str]:
    """The word, or where it has placeholders beside other text the files of the working folder that it may name."""
    if not _names(word):
        return [word]
    pattern = _PLACEHOLDER.sub(lambda match: match.group()[0] if match.group(1) is None else "*", word)
    if FOLDER in _names(word) or not pattern.strip("*") or "**" in pattern or Path(pattern).is_absolute():
        return [word]
    return [word, *(str(path.relative_to(folder)) for path in folder.glob(pattern))]


def _is_made(name: str, folder: Path, compiler: str, made: set[str]) -> bool:
    """Whether the build makes this file: what the file holds before says nothing then."""
    path = (folder / name).resolve()
    return path != program_file(compiler, folder) and (str(Path(name)) in made or is_compiled(path))


def _names(text: str) -> list[str]:
    return [match.group(1) for match in _PLACEHOLDER.finditer(text) if match.group(1) is not None]


def _checked_words(name: str, words: object) -> tuple[str, ...]:
    if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"command {name}: expected a list of words such as ['./app', '{{tile}}'], got {words!r:.80}")
    for word in words:
        if "\0" in word or any(match.group() in ("{", "}") for match in _PLACEHOLDER.finditer(word)):
            raise UsageError(f"command {name}: {word!r:.80} has a single brace; write {{{{ and }}}} for braces")
    return tuple(words)


def _pattern(name: str, text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"command {name} {text!r:.80} is no regular expression: {error}") from None


def _reason(code: int, errors: str) -> str:
    """How it ended, with the line of its error output that says most."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    line = next((line for line in lines if "error" in line.lower()), lines[-1] if lines else "")
    ended = exit_text(code).removeprefix("worker ")
    return f"{ended}: {line[:200]}" if line else ended


def _end_of(outcome: Outcome, limits: RunLimits, *, building: bool) -> _Ran:
    """How a process ended, from what the service that ran it says."""
    failure = Status.BUILD_ERROR if building else Status.RUN_ERROR
    stage = "build" if building else "run"
    if outcome.ending is not Ending.REPLY:
        return _Ran(failure, f"{stage}: the process that runs commands ended: {outcome.text}")
    reply = outcome.reply
    if reply["error"]:
        return _Ran(failure, f"{stage}: {reply['error']}")
    ending, code = Ending(reply["ending"]), reply["code"]
    if ending is Ending.DIED and code == 0:
        return _Ran(Status.OK, "", reply["secs"], reply["output"])
    text = _reason(code, reply["errors"]) if ending is Ending.DIED else limits.text(ending)
    ended = Outcome(ending, text=text, log_tail=reply["errors"], code=code)
    status, cause = cause_of_end(ended, building=building)
    return _Ran(status, f"{stage}: {cause}", reply["secs"])


def _number(ran: _Ran, source: str) -> tuple[_Ran, float]:
    """What a run measured: its wall time, the last number that it printed, or that of a regular expression."""
    if source == WALL:
        return ran, ran.secs
    pattern = _NUMBER if source == PRINTED else re.compile(source)
    found = pattern.findall(ran.output)
    if not found:
        return _Ran(Status.WRONG_OUTPUT, f"it printed no number: {ran.output.strip()[-120:]!r}"), 0.0
    return _as_number(ran, found[-1])


def _as_number(ran: _Ran, text: str) -> tuple[_Ran, float]:
    try:
        number = float(text)
    except ValueError:
        return _Ran(Status.WRONG_OUTPUT, f"it printed no number: {text[:120]!r}"), 0.0
    if fault := number_fault(number):
        return _Ran(Status.WRONG_OUTPUT, fault), 0.0
    return ran, number
