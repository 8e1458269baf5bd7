"""What the verbs that take a model share: reading it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from flextune.apply.hybrid_build import HybridOptions, SplitModel, split_model
from flextune.cli.output import seconds
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.optimization.hybrid import Lowering
from flextune.plan.partition import Partition
from flextune.target.target import Target
from flextune.trial.runtime_decision import BOTH, RuntimeDecision
from flextune.workload.dim import Dim


def runtime_line(found: RuntimeDecision) -> str:
    """Who runs a model, with the times that say so."""
    times = [f"{option.name} {_time(option.measured_secs)}" for option in found.options]
    about = found.reason if found.chosen == BOTH else f"{found.rival} {found.reason}"
    return f"  runtime    {found.chosen}: {', '.join(times)}; {about}"


def _time(secs: float | None) -> str:
    return "failed" if secs is None else seconds(secs)


def read_partition(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    target: Target,
    without: Sequence[str] = (),
    precision: Precision = FLOAT32,
    dims: Sequence[Dim] = (),
) -> Partition:
    """The model file, lowered, fused for the target and split into tasks; all of it must be ours.

    Raises `ModelError`; UsageError for an unknown pass.
    """
    from flextune.plan.pass_list import check_passes

    check_passes(without)
    return Lowering(target, tuple(without), precision)(load_model(path, shapes, dims=dims))


def read_split(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    lowering: Lowering,
    only_own: bool = False,
    providers: Sequence[str] | None = None,
    values: Mapping[str, ArrayLike] | None = None,
    dims: Sequence[Dim] = (),
    usual_ranges: bool = False,
) -> SplitModel:
    """As `read_partition`, with what is not ours for ONNX Runtime, unless all of it must be (`only_own`).

    `usual_ranges` is for `load_model`.
    """
    from flextune.plan.pass_list import check_passes

    check_passes(lowering.without)
    options = None if only_own else HybridOptions(providers=tuple(providers or ()))
    model = load_model(path, shapes, only_own=only_own, values=values, dims=dims, usual_ranges=usual_ranges)
    return split_model(model, lowering, options)
