"""YOLO-v1 and OverFeat, the networks that FlexTensor was evaluated on, as plain PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from benchmarks.model_zoo.torch_model import CLASSES, TorchModel, draw_convolutions

YOLO_SIZE = 448
"""Rows and columns of an image of YOLO-v1."""
YOLO_CELLS, YOLO_NUMBERS = 7, 30
"""It divides an image into 7 x 7 cells, and says of each: 20 classes, and 2 boxes of 5 numbers."""
_LEAKAGE = 0.1

OVERFEAT_SIZE = 231
"""Rows and columns of an image of OverFeat."""

_POOL = 0
_YOLO: tuple[tuple[int, int, int], ...] = (
    (64, 7, 2), (_POOL, 2, 2),
    (192, 3, 1), (_POOL, 2, 2),
    (128, 1, 1), (256, 3, 1), (256, 1, 1), (512, 3, 1), (_POOL, 2, 2),
    *((256, 1, 1), (512, 3, 1)) * 4, (512, 1, 1), (1024, 3, 1), (_POOL, 2, 2),
    *((512, 1, 1), (1024, 3, 1)) * 2, (1024, 3, 1), (1024, 3, 2), (1024, 3, 1), (1024, 3, 1),
)  # fmt: skip
"""Channels, kernel and stride of each layer; no channels for a max-pooling (arXiv 1506.02640, figure 3)."""


def yolo_v1() -> nn.Module:
    """The 24 convolutions and two fully connected layers of "You Only Look Once", for one image of 448 x 448."""
    return nn.Sequential(
        *_yolo_features(),
        nn.Flatten(),
        nn.Linear(1024 * YOLO_CELLS**2, 4096),
        nn.LeakyReLU(_LEAKAGE),
        nn.Linear(4096, YOLO_CELLS**2 * YOLO_NUMBERS),
    )


def _yolo_features() -> Iterator[nn.Module]:
    inputs = 3
    for channels, kernel, stride in _YOLO:
        if channels == _POOL:
            yield nn.MaxPool2d(kernel, stride)
            continue
        yield nn.Conv2d(inputs, channels, kernel, stride, kernel // 2)
        yield nn.LeakyReLU(_LEAKAGE)
        inputs = channels


def overfeat() -> nn.Module:
    """The fast model of "OverFeat" (arXiv 1312.6229, table 1), for one image of 231 x 231."""
    return nn.Sequential(
        nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(96, 256, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(256, 512, 3, padding=1), nn.ReLU(),
        nn.Conv2d(512, 1024, 3, padding=1), nn.ReLU(),
        nn.Conv2d(1024, 1024, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(1024 * 6 * 6, 3072), nn.ReLU(),
        nn.Linear(3072, 4096), nn.ReLU(),
        nn.Linear(4096, CLASSES),
    )  # fmt: skip


class _AsTuple(nn.Module):
    """A network with one result, as a function that returns a tuple."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.network(image),)


def _drawn(network: nn.Module, size: int) -> TorchModel:
    """A network from one square image to one tensor. Its fully connected layers keep the scale of signals too."""
    draw_convolutions(network)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return TorchModel(_AsTuple(network).eval(), {"image": torch.zeros(1, 3, size, size)}, ("scores",))


BUILDERS: dict[str, Callable[[], TorchModel]] = {
    "yolo_v1": lambda: _drawn(yolo_v1(), YOLO_SIZE),
    "overfeat": lambda: _drawn(overfeat(), OVERFEAT_SIZE),
}
