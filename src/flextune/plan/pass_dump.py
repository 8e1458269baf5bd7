"""What every pass leaves of a model, in files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.lowering.estimator import Estimator
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.partition import partition_model
from flextune.tvm_types import IRModule


def dump_passes(
    model: Model,
    folder: Path,
    without: Collection[str] = (),
    precision: Precision = FLOAT32,
    estimator: Estimator | None = None,
) -> tuple[Path, ...]:
    """Write what every pass leaves, in order, as `partition_model` runs them: ONNX models, then Relax modules as text.

    Constants of more than a thousand elements are inputs of the ONNX models.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []

    def path(name: str, ending: str) -> Path:
        written.append(folder / f"{len(written):02d}_{name}.{ending}")
        return written[-1]

    def write(name: str, left: OnnxGraph | IRModule) -> None:
        if isinstance(left, OnnxGraph):
            path(name, "onnx").write_bytes(left.skeleton().SerializeToString())
        else:
            path(name, "relax").write_text(left.script(show_meta=False), encoding="utf-8")

    partition_model(model, without, precision, estimator, write)
    return tuple(written)
