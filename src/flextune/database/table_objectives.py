"""What files of other tuners minimise or maximise beside time, as positive numbers to minimise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flextune.errors import UsageError
from flextune.trial.tabular import TabularTrial

TIME = "time"
VALUE = "value"
"""How own files call the number of an objective, which has no unit."""

_LARGE_IS_GOOD: Mapping[str, bool] = {
    VALUE: False,
    "energy": False,
    **dict.fromkeys(("fitness", "cost", "loss"), False),
    **dict.fromkeys(("GFLOP/s", "TFLOP/s", "GB/s", "TB/s", "GFLOPS/W", "TFLOPS/W", "GFLOP/J", "TFLOP/J"), True),
}
ZERO = "ZeroTime"
"""How a configuration failed whose time is 0: it cannot have been measured."""


def check_objective(where: str, objective: str) -> None:
    """`UsageError` for an objective of which it is not known which way it goes."""
    if objective != TIME and objective not in _LARGE_IS_GOOD:
        raise UsageError(
            f"{where}: its objective is {objective[:80]!r}, of which is not known whether large or small is good; "
            f"known are {TIME}, {', '.join(_LARGE_IS_GOOD)}"
        )


def losses(where: str, objective: str, numbers: Sequence[float]) -> tuple[float, ...]:
    """Numbers of which the smallest is the best; what is to be large by its reciprocal, so that ratios stay."""
    if not _LARGE_IS_GOOD[objective]:
        return tuple(numbers)
    if not min(numbers) > 0:
        raise UsageError(f"{where}: expected a positive {objective}, got {min(numbers)}")
    return tuple(1 / number for number in numbers)


def positive(trials: Sequence[TabularTrial]) -> tuple[TabularTrial, ...]:
    """The same trials; where a value is not positive, all are raised, by as much as they differ at most."""
    values = [number for trial in trials for number in trial.run_secs]
    if not values or min(values) > 0:
        return tuple(trials)
    base = min(values) - (max(values) - min(values) or 1.0)
    return tuple(replace(trial, run_secs=tuple(number - base for number in trial.run_secs)) for trial in trials)
