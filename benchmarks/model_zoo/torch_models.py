"""The models that are PyTorch modules: architectures of `transformers` built from configurations, weights drawn here.

No attention mask is left out and none is added: BERT takes the three inputs that its tokenizer gives, GPT-2 the tokens
of a prompt of which it computes all logits (no key-value cache is returned).
"""

from __future__ import annotations

from collections.abc import Callable

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

from benchmarks.model_zoo.torch_model import CLASSES, TorchModel, draw_convolutions

SEQUENCE = 128


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


def _mobilenet_v2() -> TorchModel:
    """MobileNetV2 1.0 at 224 x 224 (arXiv 1801.04381), padded on both sides alike."""
    model = MobileNetV2ForImageClassification(MobileNetV2Config(num_labels=CLASSES, tf_padding=False))
    draw_convolutions(model)
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


BUILDERS: dict[str, Callable[[], TorchModel]] = {
    "mobilenet_v2": _mobilenet_v2,
    "vit_b16": _vit_b16,
    "bert_base": _bert_base,
    "gpt2_small": _gpt2_small,
}
