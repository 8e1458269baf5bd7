"""Searches of wide numeric spaces beside Optuna: functions that cost nothing, so that only the search counts.

    python -m benchmarks.numeric_spaces [--strategies A,B,...] [--functions A,B,...] [--trials N] [--seeds N]


A figure is how far the best of so many trials is above the function's least value, the median of the seeds with the
least and the greatest. `optuna` is Optuna as it comes (`optuna.create_study`), told constraints as pruned trials; all
other names are strategies of flextune. The last line counts, for each strategy, where it is more than 1.2 times as far
as Optuna, and where it is farther than random search.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flextune.csp.parameters import Parameter, Value
from flextune.tuning.ask_tell import Search

Values = Mapping[str, Value]
Space = Mapping[str, Sequence[Value] | Parameter]

_FACTOR = 1.2
_OPTUNA = "optuna"


@dataclass(frozen=True, slots=True)
class NumericSpace:
    """A function of parameters, and its least value in the space."""

    space: Space
    function: Callable[[Values], float]
    constraints: tuple[str, ...] = ()
    noise: float = 0.0
    """Standard deviation of what each value is multiplied with; the figures are of the true values."""
    least: float = 0.0
    """Of all values that the constraints allow."""


def _numbers(count: int, values: Sequence[Value]) -> Space:
    return {f"x{index}": values for index in range(count)}


def _at(values: Values, centre: Sequence[float]) -> list[float]:
    """The numeric parameters less a centre, in their order."""
    return [float(values[f"x{index}"]) - place for index, place in enumerate(centre)]


def _sphere(centre: Sequence[float], offset: float = 0.0) -> Callable[[Values], float]:
    return lambda values: offset + sum(x * x for x in _at(values, centre))


def _rosenbrock(scale: float, shift: float) -> Callable[[Values], float]:
    def value(values: Values) -> float:
        x = [(float(each) - shift) * scale for each in values.values()]
        return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))

    return value


def _ellipsoid(values: Values) -> float:
    return sum(10 ** (index - 2) * x * x for index, x in enumerate(_at(values, (11, 50, 32, 7, 60, 21))))


def _rastrigin(values: Values) -> float:
    x = [each / 10 for each in _at(values, (41, 17, 33, 26))]
    return sum(each * each + 3 * (1 - math.cos(2 * math.pi * each)) for each in x)


def _ackley(values: Values) -> float:
    x = [each / 8 for each in _at(values, (13, 44, 29, 51, 20))]
    root = math.sqrt(sum(each * each for each in x) / len(x))
    waves = sum(math.cos(2 * math.pi * each) for each in x) / len(x)
    return 20 - 20 * math.exp(-0.2 * root) + math.e - math.exp(waves)


def _tiles(values: Values) -> float:
    """As of a kernel: each size is best at some power of two, by its ratio to that."""
    wanted = (64, 16, 256, 8)
    ratios = [math.log2(float(values[f"x{index}"]) / want) for index, want in enumerate(wanted)]
    return 1 + sum(ratio * ratio for ratio in ratios) / 4 + 0.3 * abs(ratios[0] - ratios[1])


def _mixed(values: Values) -> float:
    penalty = {"a": 3.0, "b": 0.0, "c": 8.0, "d": 1.0}[str(values["method"])]
    bend = 12 if values["order"] == "rows" else 30
    x = _at(values, (bend, 40, 22))
    return penalty * (1 + x[2] ** 2 / 100) + (0 if values["fast"] else 2) + sum(each * each for each in x) / 20


def _learning(values: Values) -> float:
    """As of training: a rate by its logarithm, a width, and two that act together."""
    rate = math.log10(float(values["rate"])) + 2.4
    width = math.log2(float(values["width"])) - 7
    together = float(values["decay"]) * float(values["steps"]) - 20
    return -math.exp(-(rate**2) - width**2 / 8 - together**2 / 800)


@dataclass(frozen=True, slots=True)
class _Mixture:
    """Several wells of which one is the deepest."""

    wells: tuple[tuple[tuple[float, ...], float, float], ...] = field(
        default=(((70.0, 20.0, 55.0), 1.0, 18.0), ((20.0, 80.0, 30.0), 0.7, 30.0), ((85.0, 85.0, 85.0), 0.6, 35.0))
    )

    def __call__(self, values: Values) -> float:
        depths = [
            depth * math.exp(-sum(x * x for x in _at(values, centre)) / (2 * width**2))
            for centre, depth, width in self.wells
        ]
        return 2 - max(depths)


SPACES: Mapping[str, NumericSpace] = {
    "sphere-6x100": NumericSpace(_numbers(6, range(100)), _sphere((37, 61, 12, 80, 55, 29))),
    "sphere-6x100-centred": NumericSpace(_numbers(6, range(-50, 50)), _sphere((3, -7, 12, -20, 0, 25))),
    "rosenbrock-4x50": NumericSpace(_numbers(4, range(50)), _rosenbrock(0.08, 25), least=0.0),
    "sphere-10x40": NumericSpace(
        _numbers(10, range(1, 41)), _sphere((7, 31, 12, 20, 25, 9, 38, 3, 17, 28), 50.0), least=50.0
    ),
    "sphere-3x1000": NumericSpace(_numbers(3, range(1000)), _sphere((612, 77, 401))),
    "sphere-2x30": NumericSpace(_numbers(2, range(30)), _sphere((7, 19))),
    "ellipsoid-6x64": NumericSpace(_numbers(6, range(1, 65)), _ellipsoid),
    "rastrigin-4x50": NumericSpace(_numbers(4, range(50)), _rastrigin),
    "ackley-5x60": NumericSpace(_numbers(5, range(60)), _ackley),
    "tiles-4": NumericSpace(_numbers(4, range(1, 513)), _tiles, least=1.0),
    "mixed": NumericSpace(
        {**_numbers(3, range(50)), "method": ["a", "b", "c", "d"], "order": ["rows", "columns"], "fast": [False, True]},
        _mixed,
    ),
    "learning": NumericSpace(
        {
            "rate": Parameter.log_range("rate", 1e-5, 1.0, 60),
            "width": range(8, 513, 8),
            "decay": [index / 20 for index in range(1, 41)],
            "steps": range(1, 101),
        },
        _learning,
        least=-1.0,
    ),
    "wells-3x100": NumericSpace(_numbers(3, range(100)), _Mixture(), least=1.0),
    "constrained": NumericSpace(
        _numbers(5, range(1, 61)),
        _sphere((30, 40, 10, 50, 20), 10.0),
        ("x0 + x1 <= 60", "x2 * x3 <= 400", "x4 % 4 == 0"),
        least=10.0,
    ),
    "noisy-6x100": NumericSpace(
        _numbers(6, range(100)), _sphere((37, 61, 12, 80, 55, 29), 500.0), noise=0.05, least=500.0
    ),
    "noisy-4x40": NumericSpace(_numbers(4, range(40)), _sphere((10, 31, 22, 5), 100.0), noise=0.1, least=100.0),
}


def best_of(name: str, strategy: str, trials: int, seed: int) -> float:
    """How far the best of a search is above the least value."""
    space = SPACES[name]
    noise = np.random.default_rng([seed, 1])

    def measured(values: Values) -> tuple[float, float]:
        true = space.function(values)
        return true, true * (1 + space.noise * float(noise.standard_normal()))

    found = (
        _optuna(space, measured, trials, seed) if strategy == _OPTUNA else _own(space, strategy, measured, trials, seed)
    )
    return min(found, key=lambda pair: pair[1])[0] - space.least


Measured = Callable[[Values], tuple[float, float]]


def _own(space: NumericSpace, strategy: str, measured: Measured, trials: int, seed: int) -> list[tuple[float, float]]:
    search = Search(space.space, strategy, constraints=space.constraints, seed=seed, trials=trials)
    found: list[tuple[float, float]] = []
    while len(found) < trials and (values := search.ask()) is not None:
        found.append(measured(values))
        search.tell(values, found[-1][1])
    return found


def _optuna(space: NumericSpace, measured: Measured, trials: int, seed: int) -> list[tuple[float, float]]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    found: list[tuple[float, float]] = []
    while len(found) < trials:
        trial = study.ask()
        values = {name: _suggested(trial, name, choices) for name, choices in space.space.items()}
        if not all(eval(rule, {}, dict(values)) for rule in space.constraints):  # noqa: S307 - rules of this file
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        found.append(measured(values))
        study.tell(trial, found[-1][1])
    return found


def _suggested(trial: object, name: str, choices: Sequence[Value] | Parameter) -> Value:
    """As Optuna's users would say it."""
    if isinstance(choices, Parameter):
        values = choices.values
        return trial.suggest_float(name, float(values[0]), float(values[-1]), log=True)  # type: ignore[attr-defined]
    if isinstance(choices, range):
        return trial.suggest_int(name, choices[0], choices[-1], step=choices.step)  # type: ignore[attr-defined]
    if all(isinstance(value, float) for value in choices):
        step = round(float(choices[1]) - float(choices[0]), 9)
        return trial.suggest_float(name, float(choices[0]), float(choices[-1]), step=step)  # type: ignore[attr-defined]
    return trial.suggest_categorical(name, list(choices))  # type: ignore[attr-defined]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.numeric_spaces", description=__doc__)
    parser.add_argument("--strategies", default="auto,random,optuna")
    parser.add_argument("--functions", default=",".join(SPACES))
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    strategies = options.strategies.split(",")
    behind: dict[str, list[str]] = {strategy: [] for strategy in strategies}
    print(f"{'':22}" + "".join(f"{strategy:>32}" for strategy in strategies) + "  CPU seconds")
    for name in options.functions.split(","):
        medians: dict[str, float] = {}
        texts, secs = [], []
        for strategy in strategies:
            began = time.process_time()
            found = sorted(best_of(name, strategy, options.trials, seed) for seed in range(options.seeds))
            secs.append(f"{(time.process_time() - began) / options.seeds:.1f}")
            medians[strategy] = statistics.median(found)
            texts.append(f"{medians[strategy]:.4g} [{found[0]:.4g}, {found[-1]:.4g}]")
        print(f"{name:22}" + "".join(f"{text:>32}" for text in texts) + "  " + " ".join(secs), flush=True)
        for strategy, median in medians.items():
            if median > _FACTOR * medians.get(_OPTUNA, math.inf) + 1e-9:
                behind[strategy].append(f"{name} (optuna)")
            if median > medians.get("random", math.inf) + 1e-9:
                behind[strategy].append(f"{name} (random)")
    for strategy, names in behind.items():
        if strategy not in ("random", _OPTUNA):
            print(f"{strategy} is behind on {', '.join(names) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
