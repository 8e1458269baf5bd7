"""The models by name. All have random weights and batch 1; nothing is downloaded."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from flextune.errors import UsageError

LIGHT_PREFIX = "light_"
"""Names of the models in the onnx wheel; all others are PyTorch modules."""


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A model of the benchmark.

    Integer inputs take values below `integer_limit`; floats are normal. `convolutional` networks run in PyTorch with
    channels-last tensors too.
    """

    name: str
    integer_limit: int = 2
    convolutional: bool = False
    module: str = "torch_models"
    """The module beside this one that builds a model which is not light."""

    @property
    def packages(self) -> tuple[str, ...]:
        """What its file is made by, and depends on the versions of."""
        if self.is_light:
            return ("onnx", "numpy")
        return ("onnx", "torch", *(("transformers",) if self.module == "torch_models" else ()), "onnxscript")

    @property
    def is_light(self) -> bool:
        """Whether it comes from the onnx wheel, without weights."""
        return self.name.startswith(LIGHT_PREFIX)


_LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)

MODELS = {
    model.name: model
    for model in (
        *(ZooModel(LIGHT_PREFIX + name, convolutional=True) for name in _LIGHT),
        ZooModel("mobilenet_v2", convolutional=True),
        ZooModel("yolo_v1", convolutional=True, module="convolutional_networks"),
        ZooModel("overfeat", convolutional=True, module="convolutional_networks"),
        ZooModel("vit_b16"),
        ZooModel("bert_base"),
        ZooModel("gpt2_small", integer_limit=50257),
    )
}


def choose_models(names: Sequence[str]) -> tuple[ZooModel, ...]:
    """The models named, in the catalog's order; all where none is. The prefix `light_` may be left out.

    Raises `UsageError` for an unknown name.
    """
    full = {_full_name(name) for name in names}
    return tuple(model for model in MODELS.values() if not names or model.name in full)


def _full_name(name: str) -> str:
    for known in (name, LIGHT_PREFIX + name):
        if known in MODELS:
            return known
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UsageError(f"unknown model {name!r}; {hint}known: {', '.join(MODELS)}")
