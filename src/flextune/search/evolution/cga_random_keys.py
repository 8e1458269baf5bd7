"""CGA with random keys: what the choice of key variables by importance is worth shows beside it."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.search.evolution.cga import CgaOptions, CgaStrategy
from flextune.search.strategy_options import option


@dataclass(frozen=True, slots=True)
class CgaRandomKeysOptions(CgaOptions):
    """As those of `cga`; `keys=importance` would be that."""

    keys: str = option("random", choices=("importance", "random"))


class CgaRandomKeysStrategy(CgaStrategy):
    """CGA whose key variables are drawn at random."""

    options_type = CgaRandomKeysOptions
    source = "Heron, ASPLOS 2023, the baseline RCGA"
