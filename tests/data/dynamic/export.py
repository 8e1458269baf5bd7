"""Writes the models beside it: small dynamic ones, each as both of PyTorch's exporters see it.

Run as `python -m tests.data.dynamic.export`; the files are kept because exporting takes seconds per model.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

FOLDER = Path(__file__).parent


class Encoder(nn.Module):
    """A text encoder of two layers: positions cut to the length, a mask, heads made by reshapes with -1."""

    def __init__(self, words: int = 50, size: int = 16, heads: int = 2, longest: int = 64) -> None:
        super().__init__()
        self.heads, self.size = heads, size
        self.words, self.positions = nn.Embedding(words, size), nn.Embedding(longest, size)
        self.register_buffer("position_ids", torch.arange(longest).unsqueeze(0))
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {"qkv": nn.Linear(size, 3 * size), "out": nn.Linear(size, size), "norm": nn.LayerNorm(size),
                 "up": nn.Linear(size, 2 * size), "down": nn.Linear(2 * size, size), "last": nn.LayerNorm(size)}
            )
            for _ in range(2)
        )  # fmt: skip

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        length = input_ids.size(1)
        x = self.words(input_ids) + self.positions(self.position_ids[:, :length])
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -1e4
        for layer in self.layers:
            q, k, v = (self._split(part) for part in layer["qkv"](x).chunk(3, -1))
            scores = (q @ k.transpose(-1, -2) / (q.size(-1) ** 0.5) + mask).softmax(-1)
            joined = (scores @ v).transpose(1, 2).contiguous().view(x.size(0), -1, self.size)
            x = layer["norm"](x + layer["out"](joined))
            x = layer["last"](x + layer["down"](F.gelu(layer["up"](x))))
        return x, torch.tanh(x[:, 0])

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)


class Network(nn.Module):
    """An image classifier for any batch, height and width: strides, pooling, a flattened mean."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.bn, self.pool, self.head = nn.BatchNorm2d(8), nn.MaxPool2d(3, 2, 1), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.bn(self.a(x))))
        x = torch.relu(self.b(x) + x)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Recogniser(nn.Module):
    """Reads a line of text of any width: columns of features through an LSTM to one class each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, (2, 1), 1)
        self.lstm, self.head = nn.LSTM(32, 8, bidirectional=True, batch_first=True), nn.Linear(16, 11)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))))
        n, c, h, w = x.shape
        x = x.permute(0, 3, 1, 2).reshape(n, w, c * h)
        return self.head(self.lstm(x)[0]).log_softmax(-1)


class Detector(nn.Module):
    """A pyramid over any height and width: maps resized to others' sizes, anchors made from shapes, boxes joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1)
        self.head = nn.Conv2d(8, 2 * 5, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = torch.relu(self.a(x))
        b = torch.relu(self.b(a))
        c = torch.relu(self.c(b))
        b = b + F.interpolate(c, size=b.shape[-2:], mode="nearest")
        a = a + F.interpolate(b, size=a.shape[-2:], mode="bilinear", align_corners=False)
        found = [self._boxes(self.head(each)) for each in (a, b, c)]
        return torch.cat(found, 1), F.pad(a, (0, 1, 0, 1))

    def _boxes(self, maps: torch.Tensor) -> torch.Tensor:
        n, _, h, w = maps.shape
        ys = torch.arange(h, device=maps.device).view(h, 1).expand(h, w)
        xs = torch.arange(w, device=maps.device).view(1, w).expand(h, w)
        centres = torch.stack((xs, ys), -1).reshape(1, h * w, 1, 2).to(maps.dtype)
        maps = maps.view(n, 2, 5, h * w).permute(0, 3, 1, 2)
        boxes = torch.cat((maps[..., :2] + centres, maps[..., 2:]), -1)
        return boxes.reshape(n, -1, 5)


def _write(name: str, module: nn.Module, inputs: dict[str, torch.Tensor], axes: dict[str, dict[int, str]]) -> None:
    module.eval()
    arguments = tuple(inputs.values())
    names = {"input_names": list(inputs), "opset_version": 17}
    torch.onnx.export(module, arguments, FOLDER / f"{name}_script.onnx", dynamo=False, dynamic_axes=axes, **names)
    dims = {text: torch.export.Dim(text, min=2, max=4096) for sizes in axes.values() for text in sizes.values()}
    shapes = tuple({axis: dims[text] for axis, text in axes[each].items()} for each in inputs)
    program = torch.onnx.export(
        module, arguments, dynamo=True, dynamic_shapes=shapes, input_names=list(inputs), opset_version=18
    )
    assert program is not None
    program.save(FOLDER / f"{name}_dynamo.onnx")


def main() -> None:
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    ids = torch.randint(0, 50, (2, 7))
    text = {0: "batch", 1: "seq"}
    _write(
        "encoder", Encoder(), {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
        {"input_ids": text, "attention_mask": text},
    )  # fmt: skip
    _write("network", Network(), {"x": torch.randn(2, 3, 40, 48)}, {"x": {0: "batch", 2: "h", 3: "w"}})
    _write("recogniser", Recogniser(), {"x": torch.randn(2, 1, 16, 40)}, {"x": {0: "batch", 3: "w"}})
    _write("detector", Detector(), {"x": torch.randn(2, 3, 48, 40)}, {"x": {0: "batch", 2: "h", 3: "w"}})


if __name__ == "__main__":
    main()
