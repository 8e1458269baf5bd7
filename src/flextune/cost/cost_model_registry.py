"""Cost models by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from flextune.cost.cost_model import CostModel
from flextune.cost.cost_model_options import OptionText
from flextune.errors import UsageError
from flextune.registry import Registry, nearest

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel
    from flextune.cost.task_description import TaskDescription

NONE = "none"
"""No model at all: strategies then go by measurements alone."""

_MODELS: Registry[type[CostModel]] = Registry(
    "cost model",
    {
        "trees": "flextune.cost.trees:TreesCostModel",
        "gp": "flextune.cost.gp:GpCostModel",
        "mlp": "flextune.cost.mlp:MlpCostModel",
    },
)


def cost_model_names() -> tuple[str, ...]:
    """What `create_cost_model` knows."""
    return (NONE, *_MODELS.names)


def register_cost_model(name: str, model: type[CostModel] | str) -> None:
    """Add a model by its class, or by `module:Class`, imported when it is first used. A taken name is an error."""
    if name == NONE:
        raise UsageError(f"cost model {name!r} is registered already; choose another name")
    _MODELS.register(name, model)


def cost_model_options(name: str) -> tuple[OptionText, ...]:
    """The options of a cost model, to be listed."""
    return () if name == NONE else _class(name).options_type.described()


def check_cost_model(name: str, options: Mapping[str, str] | None = None, pretrained: bool = False) -> None:
    """Raises `UsageError` for what `create_cost_model` would refuse. Loads the library only to check options."""
    if name != NONE:
        _check_name(name)
        if options:
            _class(name).options_type.parse(options)
    elif options:
        raise UsageError(f"unknown cost model option {next(iter(options))!r}: the cost model {NONE!r} has none")
    elif pretrained:
        raise UsageError(
            f"a pretrained model is the start of a cost model, and {NONE!r} is none; choose one of the others"
        )


def create_cost_model(
    name: str,
    names: Sequence[str],
    seed: int,
    *,
    options: Mapping[str, str] | None = None,
    task: TaskDescription | None = None,
    pretrained: PretrainedModel | None = None,
) -> CostModel | None:
    """A new model over a task's variables; None for `none`. Raises `UsageError` for an unknown name or option."""
    check_cost_model(name, options, pretrained is not None)
    if name == NONE:
        return None
    model = _class(name)
    return model(names, seed, options=model.options_type.parse(options or {}), task=task, pretrained=pretrained)


def _check_name(name: str) -> None:
    if name not in cost_model_names():
        raise UsageError(f"unknown cost model {name!r}: {nearest(name, cost_model_names())}")


def _class(name: str) -> type[CostModel]:
    _check_name(name)
    return _MODELS.get(name)
