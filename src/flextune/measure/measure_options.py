"""How candidates are measured, as one frozen value with a text form that goes into every record."""

from __future__ import annotations

import difflib
import math
import sys
from dataclasses import dataclass, fields, replace

from flextune.errors import UsageError

MEBIBYTE = 1 << 20
_LEAST_REPEATS = 3
_PATIENCE = 6


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """Limits and timing protocol.

    A run is: one checked call; one call that gives `number`, unless set; one repeat. A candidate slower than
    `slow_factor` times the incumbent stops there, one whose n repeats are all slower than the n-th root of that factor
    stops after n. Others get `repeats` in all, though only three where more would take longer than `repeats_secs`, and
    as many again when their median is better than the incumbent by no more than `noise`.

    >>> MeasureOptions.parse("repeats=3").repeats
    3
    """

    workers: int = 0
    """Processes that build and run; 0: one per available core, at most 8."""
    build_timeout_secs: float = 15.0
    """The longest that a build may take."""
    run_timeout_secs: float = 10.0
    """The longest that a run may take."""
    memory_bytes: int = 1024 * MEBIBYTE
    """What one candidate may take beyond its inputs and outputs, during its build and during its run."""
    repeats: int = 5
    """Timed repeats of a run."""
    min_repeat_secs: float = 0.002
    """What a repeat lasts at least."""
    repeats_secs: float = 0.03
    """The longest that all repeats should take."""
    number: int = 0
    """Calls per repeat; 0: so many that it lasts `min_repeat_secs`."""
    slow_factor: float = 1.5
    """Over the incumbent's time: beyond, measuring stops early."""
    noise: float = 0.02
    """The fraction by which times differ by chance."""
    runner: str = ""
    """What measures (`flextune.target.kinds.runner_of`); empty for what usually does for such a target."""

    def __post_init__(self) -> None:
        _at_least(self, 0, ("workers", "number", "min_repeat_secs", "repeats_secs", "noise"))
        _at_least(self, 1, ("repeats", "slow_factor"))
        _at_least(self, 16 * MEBIBYTE, ("memory_bytes",))
        _at_least(self, 0.05, ("build_timeout_secs", "run_timeout_secs"))
        if "," in self.runner:
            raise UsageError(f"expected the name of a runner, which has no comma, got {self.runner!r}")

    def __str__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return ",".join(f"{name}={_number_text(value)}" for name, value in values.items() if value != "")

    def patient(self) -> MeasureOptions:
        """The same for programs that run slowly here, in an emulator or a simulator, and are measured once."""
        build, run = self.build_timeout_secs * _PATIENCE, self.run_timeout_secs * _PATIENCE
        return replace(self, build_timeout_secs=build, run_timeout_secs=run)

    def repeats_of(self, repeat_secs: float) -> int:
        """Repeats of a promising candidate whose one repeat takes so long."""
        fitting = math.floor(self.repeats_secs / max(repeat_secs, 1e-9))
        return min(self.repeats, max(_LEAST_REPEATS, fitting))

    @classmethod
    def parse(cls, text: str) -> MeasureOptions:
        """Inverse of `str`; what is left out has its default. Raises `UsageError`."""
        defaults = cls()
        kinds: dict[str, type[float] | type[str]] = {
            field.name: type(getattr(defaults, field.name)) for field in fields(cls)
        }
        values: dict[str, float | str] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in kinds:
                close = difflib.get_close_matches(name, kinds, 1)
                hint = f"did you mean {close[0]!r}? " if close else ""
                raise UsageError(f"unknown measuring option {name!r}; {hint}known: {', '.join(kinds)}")
            try:
                values[name] = kinds[name](value)
            except ValueError:
                raise UsageError(f"measuring option {name}: expected {kinds[name].__name__}, got {value!r}") from None
        return cls(**values)  # type: ignore[arg-type]


def _at_least(options: MeasureOptions, least: float, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(options, name)
        if not least <= value <= sys.float_info.max:
            raise UsageError(f"measuring option {name} must be at least {least:g}, got {value}")


def _number_text(value: float | str) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)
