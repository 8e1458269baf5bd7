"""Assignments as rows of numbers to train on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flextune.csp.assignment import Assignments

Features = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float64]
Columns = Mapping[str, Numbers]


@dataclass(frozen=True, slots=True)
class Feature:
    """One number per assignment. `variables` are those it is computed from; none where it describes the task."""

    name: str
    variables: tuple[str, ...]
    values: Callable[[Columns], Numbers]


class FeatureTable:
    """From assignments to rows of these features."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def rows(self, assignments: Assignments) -> Features:
        """Array (assignments, features)."""
        columns = {name: column.astype(np.float64) for name, column in assignments.columns.items()}
        result = np.empty((len(assignments), len(self.features)), dtype=np.float32)
        for index, feature in enumerate(self.features):
            result[:, index] = feature.values(columns)
        return result

    def shares(self, importance: Numbers) -> dict[str, float]:
        """Importance per feature as importance per variable: a feature's is shared by the variables it comes from.

        Sums to 1, or is empty where nothing is important. What describes the task only does not count.
        """
        shares: dict[str, float] = {}
        for feature, amount in zip(self.features, importance.tolist(), strict=True):
            for name in feature.variables if amount > 0 else ():
                shares[name] = shares.get(name, 0.0) + amount / len(feature.variables)
        total = sum(shares.values())
        return {name: share / total for name, share in shares.items()} if total > 0 else {}


def logarithm(values: Numbers) -> Numbers:
    """The base-2 logarithm of the size plus one, with the sign of the value."""
    result: Numbers = np.copysign(np.log2(1 + np.abs(values)), values)
    return result


def value_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """Every variable's value as it is, then the logarithm of each.

    Tile sizes act by their ratios, flags and counts by their value; trees take what separates best.
    """
    return (*(Feature(name, (name,), _value_of(name)) for name in names), *log_features(names))


def log_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """The logarithm of every variable."""
    return tuple(Feature(f"log {name}", (name,), _logarithm_of(name)) for name in names)


def _value_of(name: str) -> Callable[[Columns], Numbers]:
    return lambda columns: columns[name]


def _logarithm_of(name: str) -> Callable[[Columns], Numbers]:
    return lambda columns: logarithm(columns[name])
