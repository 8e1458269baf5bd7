"""The models that are PyTorch modules: architectures of `transformers` built from configurations, weights drawn here.

No attention mask is left out and none is added: BERT takes the three inputs that its tokenizer gives, GPT-2 the tokens
of a prompt of which it computes all logits (no key-value cache is returned).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

SEED = 0
SEQUENCE = 128
CLASSES = 1000


@dataclass(frozen=True, slots=True)
class TorchModel:
    """A module in inference mode that takes its inputs by position and returns a tuple of tensors.

    `example` holds the inputs by name, `outputs` the names of what it returns.
    """

    module: nn.Module
    example: dict[str, torch.Tensor]
    outputs: tuple[str, ...]


class _Tensors(nn.Module):
    """A model of `transformers` as a function from tensors to tensors."""

    def __init__(self, model: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        super().__init__()
        self.model = model
        self._inputs = inputs
        self._outputs = outputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        result = self.model(**dict(zip(self._inputs, tensors, strict=True)))
        return tuple(getattr(result, name) for name in self._outputs)


def build(name: str) -> TorchModel:
    """The model with its weights: the same ones for the same versions of the libraries."""
    torch.manual_seed(SEED)
    return _BUILDERS[name]()


def _mobilenet_v2() -> TorchModel:
    """MobileNetV2 1.0 at 224 x 224 (arXiv 1801.04381), padded on both sides alike."""
    model = MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=CLASSES, tf_padding=False))
    _draw_convolutions(model)
    return _as_function(model, {"pixel_values": torch.zeros(1, 3, 224, 224)}, ("logits",))


def _vit_b16() -> TorchModel:
    """ViT-B/16 at 224 x 224 (arXiv 2010.11929)."""
    model = ViTForImageClassification(ViTConfig(num_labels=CLASSES))
    return _as_function(model, {"pixel_values": torch.zeros(1, 3, 224, 224)}, ("logits",))


def _bert_base() -> TorchModel:
    """BERT-base (arXiv 1810.04805) without a task's head."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    example = {name: torch.ones(1, SEQUENCE, dtype=torch.int64) for name in names}
    return _as_function(BertModel(BertConfig()), example, ("last_hidden_state", "pooler_output"))


def _gpt2_small() -> TorchModel:
    """GPT-2 with 124 million parameters and its language model head, reading a prompt."""
    model = GPT2LMHeadModel(GPT2Config(use_cache=False))
    return _as_function(model, {"input_ids": torch.ones(1, SEQUENCE, dtype=torch.int64)}, ("logits",))


def _as_function(model: nn.Module, example: dict[str, torch.Tensor], outputs: tuple[str, ...]) -> TorchModel:
    module = _Tensors(model, tuple(example), outputs).eval()
    return TorchModel(module, example, outputs)


def _draw_convolutions(model: nn.Module) -> None:
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


_BUILDERS: dict[str, Callable[[], TorchModel]] = {
    "mobilenet_v2": _mobilenet_v2,
    "vit_b16": _vit_b16,
    "bert_base": _bert_base,
    "gpt2_small": _gpt2_small,
}
