"""Cost models by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flextune.cost.model import CostModel
from flextune.registry import Registry

CostModelFactory = Callable[[Sequence[str], int], CostModel | None]
"""From the names of the variables and a seed to a model that knows nothing yet."""


def no_cost_model(_names: Sequence[str], _seed: int) -> None:
    """The factory of `none`: strategies then go by measurements alone."""


_MODELS: Registry[CostModelFactory] = Registry(
    "cost model", {"none": no_cost_model, "trees": "flextune.cost.trees:TreesCostModel"}
)


def cost_model_names() -> tuple[str, ...]:
    """What `create_cost_model` knows."""
    return _MODELS.names


def register_cost_model(name: str, factory: CostModelFactory | str) -> None:
    """Add a model by its factory, or by `module:attribute`, imported when it is first used."""
    _MODELS.register(name, factory)


def create_cost_model(name: str, names: Sequence[str], seed: int) -> CostModel | None:
    """A new model over these variables; None for `none`. Raises `UsageError` for an unknown name."""
    return _MODELS.get(name)(names, seed)
