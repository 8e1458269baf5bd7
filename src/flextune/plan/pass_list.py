"""Every step that a model goes through before it is tuned, by name: what `--without` can switch off, and what not."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import flextune.plan.fusion.algorithms
import flextune.plan.fusion.patterns  # noqa: F401  and the patterns
from flextune.errors import UsageError
from flextune.importing.simplify import PASSES as IMPORT_PASSES
from flextune.lowering.passes import KERNEL_PASSES, OPERATOR_PASSES
from flextune.plan.alternative import PARTS
from flextune.plan.fusion.algorithm import registered_algorithms
from flextune.plan.fusion.merged import MERGED_PRODUCTS
from flextune.plan.fusion.pattern import registered
from flextune.registry import nearest

LAYOUTS = "layouts"
"""The name of the choice between layouts."""


@dataclass(frozen=True, slots=True)
class ListedPass:
    """A pass for people."""

    stage: str
    """When it runs: on ONNX, on operators in Relax, when a plan is made, ..."""
    name: str
    """For `--without NAME`."""
    about: str
    """What it does, in words."""
    needed: str = ""
    """Why a model cannot do without it; empty if it can."""
    float32_only: bool = False
    """Whether it is for models in float32 alone, and others do without it."""


def listed_passes() -> tuple[ListedPass, ...]:
    """All passes in the order they run, each once."""
    return tuple(dict.fromkeys(_all()))


def pass_names() -> tuple[str, ...]:
    """Everything that `--without` can switch off: passes of the import and of the plan, alternatives, layouts."""
    return tuple(dict.fromkeys(each.name for each in _all() if not each.needed))


def check_passes(names: Collection[str]) -> None:
    """UsageError for a name of nothing that can be switched off; for a pass that is needed it says why."""
    if isinstance(names, str) or not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"expected a list of names of passes to do without, got {names!r:.80}")
    known = pass_names()
    needed = {each.name: each.needed for each in _all() if each.needed}
    for name in names:
        if name in needed:
            raise UsageError(f"no model can be compiled without the pass {name!r}: {needed[name]}")
        if name not in known:
            raise UsageError(f"unknown pass {name!r}: {nearest(name, known)}")


def float32_only() -> tuple[str, ...]:
    """The names of what models in other precisions do without."""
    return tuple(each.name for each in _all() if each.float32_only)


def _all() -> Iterator[ListedPass]:
    yield from (ListedPass("onnx", each.name, each.about, each.needed) for each in IMPORT_PASSES)
    yield from (ListedPass("relax", each.name, each.about, each.needed) for each in OPERATOR_PASSES)
    for pattern in registered():
        yield ListedPass("fusion", pattern.name, pattern.description, float32_only=pattern.float32_only)
    yield ListedPass("fusion", MERGED_PRODUCTS, "products that read one tensor as one product, cut by slices")
    parts = "a fused group as the kernels it was fused from, to see whether fusion pays"
    yield ListedPass("alternative", str(PARTS), parts)
    for algorithm in registered_algorithms():
        yield ListedPass("alternative", algorithm.name, algorithm.description, float32_only=algorithm.float32_only)
    yield ListedPass("layout", LAYOUTS, "groups in other orders of axes than NHWC, where that is measured to be faster")
    yield from (ListedPass("kernel", each.name, each.about, each.needed) for each in KERNEL_PASSES)
