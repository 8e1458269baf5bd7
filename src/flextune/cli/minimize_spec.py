"""The JSON file that `flextune minimize` reads: parameters, constraints, and the command to tune."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from flextune.csp.parameter_space import ParameterSpace
from flextune.csp.parameters import Parameter, Parameters
from flextune.database.tabular_file import parsed, text_of
from flextune.errors import UsageError
from flextune.measure.command import Command
from flextune.registry import nearest
from flextune.tuning.minimize_options import MinimizeOptions

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_Words = list[StrictStr]
_MIB = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ParameterSpec(_Strict):
    """A list of values, or numbers from `low` to `high`: each `step`-th, powers of two, or `log` many of one ratio."""

    values: list[Any] | None = None
    low: StrictInt | StrictFloat | None = None
    high: StrictInt | StrictFloat | None = None
    step: StrictInt | StrictFloat = 1
    powers_of_two: StrictBool = False
    log: StrictInt | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, given: object) -> object:
        return {"values": given} if isinstance(given, list) else given

    def parameter(self, name: str) -> Parameter:
        """`UsageError` where it is neither of the two."""
        if self.values is not None and self.low is None and self.high is None:
            return Parameter(name, tuple(self.values))
        if self.values is not None or self.low is None or self.high is None:
            raise UsageError(f"parameter {name!r}: give a list of values, or 'low' and 'high'")
        if self.log is not None:
            return Parameter.log_range(name, self.low, self.high, self.log)
        low, high, step = self.low, self.high, self.step
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int):
            return (Parameter.powers_of_two if self.powers_of_two else partial(Parameter.range, step=step))(
                name, low, high
            )
        if self.powers_of_two:
            raise UsageError(f"parameter {name!r}: powers of two need whole numbers, got {low}, {high}")
        return Parameter.float_range(name, low, high, step)


class CommandSpec(_Strict):
    """As `Command`; the working folder is relative to the file's."""

    run: _Words
    build: _Words = []
    value: StrictStr = "wall"
    metrics: dict[str, StrictStr] = {}
    expect: StrictStr = ""
    environment: dict[str, StrictStr] = {}
    working_folder: StrictStr = "."

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, given: object) -> object:
        if not isinstance(given, list | dict):
            raise ValueError("expected a list of words such as ['./app', '{tile}'], or an object with 'run'")
        return {"run": given} if isinstance(given, list) else given


class MinimizeSpec(_Strict):
    """The whole file."""

    parameters: dict[str, ParameterSpec]
    command: CommandSpec
    constraints: list[StrictStr] = []
    name: StrictStr = ""
    default: dict[str, Any] | None = None
    enqueue: list[dict[str, Any]] = []
    direction: StrictStr | dict[str, StrictStr] = "minimize"
    workers: StrictInt = Field(1, ge=1)
    finalists: StrictInt = Field(0, ge=0)
    stop_value: float | None = None
    version: StrictStr = ""
    repeats: StrictInt = 1
    timeout_secs: float = Field(60.0, gt=0)
    build_timeout_secs: float = Field(120.0, gt=0)
    memory_mib: StrictInt = Field(0, ge=0)

    def space(self) -> ParameterSpace:
        """The configurations that the file declares."""
        found = [each.parameter(name) for name, each in self.parameters.items()]
        return ParameterSpace(Parameters(tuple(found)), tuple(self.constraints))

    def objective(self, folder: Path) -> Command:
        """The command, which runs in a folder relative to the file's."""
        given = self.command
        return Command(
            run=tuple(given.run),
            build=tuple(given.build),
            value=given.value,
            metrics=tuple(given.metrics.items()),
            expect=given.expect,
            environment=tuple(given.environment.items()),
            working_folder=str(folder / given.working_folder),
        )

    def options(self, resume: bool) -> MinimizeOptions:
        return MinimizeOptions(
            repeats=self.repeats,
            timeout_secs=self.timeout_secs,
            build_timeout_secs=self.build_timeout_secs,
            memory_bytes=self.memory_mib * _MIB,
            resume=resume,
            workers=self.workers,
            finalists=self.finalists,
            stop_value=self.stop_value,
        )


def read_spec(path: Path) -> MinimizeSpec:
    """Read and check a file. `UsageError` naming the file and the key."""
    data = parsed(path, text_of(path))
    try:
        return MinimizeSpec.model_validate(data)
    except ValidationError as error:
        faults = sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")
        raise UsageError(f"{path}: {_described(faults[0])}") from None


def _described(error: ErrorDetails) -> str:
    """One fault, with its place and, for an unknown key, the nearest known one."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown key {place!r}: {nearest(str(error['loc'][-1]), _known_keys(error['loc']))}"
    if error["type"] == "missing":
        return f"it lacks {place!r}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}, got {error['input']!r:.80}"


def _known_keys(place: tuple[int | str, ...]) -> tuple[str, ...]:
    if len(place) == 1:
        return tuple(MinimizeSpec.model_fields)
    return tuple((CommandSpec if place[0] == "command" else ParameterSpec).model_fields)
