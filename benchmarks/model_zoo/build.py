"""Makes one model's file: `python -m benchmarks.model_zoo.build MODEL FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx

from benchmarks.model_zoo.catalog import MODELS
from flextune.importing.model import load_model
from flextune.importing.random_weights import with_random_weights

OPSET = 18
"""Of the models exported from PyTorch: what its exporter writes by itself, and every runtime here reads."""


def build_light(name: str, path: Path) -> None:
    """A model of the onnx wheel with random weights in place of its constants; the same graph otherwise."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    with_random_weights(load_model(folder / f"{name}.onnx")).save(path)


def export_torch(name: str, path: Path) -> None:
    """A PyTorch module through `torch.export` and its ONNX exporter, weights in the same file."""
    import torch

    from benchmarks.model_zoo.torch_model import build

    model = build(name)
    with torch.no_grad():
        program = torch.onnx.export(
            model.module,
            tuple(model.example.values()),
            input_names=list(model.example),
            output_names=list(model.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # without a file name it is returned
    onnx.save(program.model_proto, str(path))


def main(arguments: list[str]) -> None:
    name, path = arguments
    make = build_light if MODELS[name].is_light else export_torch
    make(name, Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
