"""What a model of the benchmark that is a PyTorch module consists of, and how its weights are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import nn

from benchmarks.model_zoo.catalog import MODELS

SEED = 0
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A module in inference mode that takes its inputs by position and returns a tuple of tensors.

    `example` holds the inputs by name, `outputs` the names of what it returns.
    """

    module: nn.Module
    example: dict[str, torch.Tensor]
    outputs: tuple[str, ...]


def build(name: str) -> TorchModel:
    """The model with its weights: the same ones for the same versions of the libraries."""
    module = import_module(f"benchmarks.model_zoo.{MODELS[name].module}")
    torch.manual_seed(SEED)
    model: TorchModel = module.BUILDERS[name]()
    return model


def draw_convolutions(model: nn.Module) -> None:
    """Weights under which signals neither vanish nor blow up: He's for convolutions, batch norms near the identity.

    With the small weights that `transformers` draws, values shrink by every layer until they are denormal, which
    costs time of its own.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in _batch_norm_ranges(module):
                nn.init.uniform_(tensor, low, high)


def _batch_norm_ranges(module: Any) -> tuple[tuple[torch.Tensor, float, float], ...]:
    return (
        (module.weight, 0.5, 1.0),
        (module.bias, -0.2, 0.2),
        (module.running_mean, -0.2, 0.2),
        (module.running_var, 0.5, 1.5),
    )
