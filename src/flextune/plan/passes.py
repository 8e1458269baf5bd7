"""Every step that a model goes through before it is tuned, by name: what `--without` can switch off, and what not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify import PASSES as IMPORT_PASSES
from flextune.lowering.estimator import Estimator
from flextune.lowering.passes import KERNEL_PASSES, OPERATOR_PASSES
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.alternative import PARTS
from flextune.plan.fusion.algorithm import registered_algorithms
from flextune.plan.fusion.merged import MERGED_PRODUCTS
from flextune.plan.fusion.pattern import registered
from flextune.plan.fusion.switcher import LAYOUTS
from flextune.plan.partition import partition_model
from flextune.tvm_types import IRModule


@dataclass(frozen=True, slots=True)
class PassText:
    """A pass for people: its stage and name, what it does, and why a model cannot do without it (empty if it can)."""

    stage: str
    name: str
    about: str
    needed: str = ""


def listed_passes() -> tuple[PassText, ...]:
    """All passes in the order they run, each once."""
    return tuple(dict.fromkeys(_all()))


def _all() -> Iterator[PassText]:
    yield from (PassText("onnx", each.name, each.about, each.needed) for each in IMPORT_PASSES)
    yield from (PassText("relax", each.name, each.about, each.needed) for each in OPERATOR_PASSES)
    yield from (PassText("fusion", each.name, each.description) for each in registered())
    yield PassText("fusion", MERGED_PRODUCTS, "products that read one tensor as one product, cut by slices")
    parts = "a fused group as the kernels it was fused from, to see whether fusion pays"
    yield PassText("alternative", str(PARTS), parts)
    yield from (PassText("alternative", each.name, each.description) for each in registered_algorithms())
    yield PassText("layout", LAYOUTS, "groups in other orders of axes than NHWC, where that is measured to be faster")
    yield from (PassText("kernel", each.name, each.about, each.needed) for each in KERNEL_PASSES)


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
