"""The Subgraph Mapper: a model as a list of distinct workloads with the number of times each one is called.

A workload's key says what it computes and nothing of the model it comes from, so equal parts of all models share their
records, and whatever finds a kernel for a workload (a schedule, a library, another device) finds it for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import tvm
import tvm_ffi
from tvm import relax

from flextune.analysis.symbols import bound, symbols_of
from flextune.errors import UsageError
from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.passes import Observer
from flextune.lowering.calls import CallSite, call_sites, check_element_types
from flextune.lowering.estimator import Estimator
from flextune.lowering.kernel_operators import described, operators_of
from flextune.lowering.kernels import LoweredKernels, fuse_by_default, tvm_errors
from flextune.lowering.lower import relax_operators
from flextune.lowering.precision.precision import FLOAT32, Precision, with_precision
from flextune.lowering.regions import kernel_counts
from flextune.lowering.symbolic_shapes import Sizes, kernel_sizes, sizes_for_plans
from flextune.plan.alternative import Choice
from flextune.plan.bodies import with_planned_bodies
from flextune.plan.fusion.switcher import FusionSwitcher
from flextune.plan.layouts.layout_assignment import ALL_NHWC, LayoutAssignment
from flextune.plan.layouts.rewriting import with_layouts
from flextune.plan.pass_list import float32_only
from flextune.tvm_types import IRModule, PrimFunc
from flextune.workload.dim import Dim
from flextune.workload.tir import from_prim_func
from flextune.workload.workload import Workload

PLANNED = "fusion-plan"
"""What observers of passes are told for the program in the groups of its plan."""


@dataclass(frozen=True, slots=True)
class ModelTask:
    """One distinct fused group of a model.

    `count` is how often it is called per run, `functions` the names of the module's functions that are equal to it,
    `flops_share` its part of the model's arithmetic (all calls, 0..1).
    """

    workload: Workload
    """What the function computes; of a function with symbolic sizes, at `sizes`."""
    count: int
    functions: tuple[str, ...]
    flops_share: float
    sizes: tuple[tuple[str, int], ...] = ()
    """Representative sizes of the symbols of its functions, by name; none where there are none."""
    typical: tuple[tuple[str, int], ...] = ()
    """The same where default schedules are made: in the middle of the range of a symbol of the model. Where sizes are
    multiplied it is best to be above: tasks of few rows read the other operand again and again."""

    @property
    def name(self) -> str:
        return self.functions[0]


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """A lowered model and its workloads."""

    model: Model
    """The model that was lowered."""
    module: IRModule
    """Relax `main` and the unscheduled PrimFuncs that it calls."""
    tasks: tuple[ModelTask, ...]
    """Its workloads, those with most arithmetic first; pure reshapes are none: they become views."""
    fallbacks: tuple[str, ...]
    """Functions that are no workload (shapes that are not static, for instance): built without any search."""
    switcher: FusionSwitcher | None = None
    """The groups of the fusion plan and what else they can be; None for a model that branches."""
    choice: Choice = field(default_factory=dict)
    """What its kinds of groups are compiled as: the default where nothing is said."""
    precision: Precision = FLOAT32
    """What the module computes in."""
    without: tuple[str, ...] = ()
    """The passes that the plan was made without."""
    layouts: LayoutAssignment = ALL_NHWC
    """Groups of the plan in NHWC that are laid out otherwise; `switcher` is that of the model laid out so."""
    kernels: LoweredKernels = field(default_factory=LoweredKernels)
    """Shared by all partitions made of this one: what one of them lowered, the others need not."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """A representative size of each symbol of `main`, by name; none where its shapes are static."""

    @property
    def flops(self) -> int:
        """Arithmetic operations of one run, as far as it is in workloads."""
        return sum(task.workload.flops * task.count for task in self.tasks)

    def by_default(self) -> Partition:
        """The same with a plan whose groups are its kernels: none of them is parts of one that is not measured yet.

        What is decided about this plan (layouts, by place) stays valid where two of its groups may become one.
        """
        return self if self.switcher is None else replace(self, switcher=self.switcher.by_default)

    def switched(self, choice: Choice) -> Partition:
        """The same model with its kinds of groups compiled as `choice` says."""
        if self.switcher is None or dict(choice) == dict(self.choice):
            return self
        module = with_precision(self.kernels.lower(self.switcher.module(choice)), self.precision)
        parts = partition_module(self.model, module, sizes=self.sizes)
        return replace(self, module=parts.module, tasks=parts.tasks, fallbacks=parts.fallbacks, choice=dict(choice))

    def laid_out(self, layouts: LayoutAssignment) -> Partition:
        """The same model with groups of its plan by default in other layouts; `self` is in NHWC throughout."""
        if self.switcher is None or not layouts:
            return self
        if self.sizes:
            raise UsageError("other layouts are chosen for models with static shapes only")
        plan = self.switcher.by_default.plan
        operators = with_layouts(plan, layouts).module
        switcher = FusionSwitcher.of(operators, _without(self.without, self.precision), plan.graph.estimator)
        assert switcher is not None
        module = with_precision(self.kernels.lower(switcher.module({})), self.precision)
        parts = replace(partition_module(self.model, module), switcher=switcher, precision=self.precision)
        return replace(parts, without=self.without, layouts=layouts, kernels=self.kernels)


def partition_model(
    model: Model,
    without: Collection[str] = (),
    precision: Precision = FLOAT32,
    estimator: Estimator | None = None,
    observe: Observer[OnnxGraph | IRModule] | None = None,
    sizes: Sizes | None = None,
) -> Partition:
    """Lower the model, fuse it by the plan, and split it into tasks; equal functions (up to names) are one task.

    `without` names passes to do without (`flextune.plan.pass_list`). In another
    `precision` than float32 the model's inputs and outputs stay what they are. The plan is for the target of the
    `estimator` (`flextune.platforms.estimator.plan_estimator`), by default this machine. `observe` is told what every
    pass left, and of the program in the groups of the plan (as `PLANNED`). `sizes` are representative ones of the
    model's symbols, if it has any; by default those of `flextune.lowering.symbolic_shapes.sizes_for_plans`.
    """
    if sizes is None and model.dims:
        sizes = sizes_for_plans(model)
    precision = precision.of(model.weight_bytes)
    with tvm_errors():
        operators = relax_operators(model, without, precision, observe)
        return partition_operators(model, operators, without, precision, estimator, observe, sizes)


def partition_operators(
    model: Model,
    operators: IRModule,
    without: Collection[str] = (),
    precision: Precision = FLOAT32,
    estimator: Estimator | None = None,
    observe: Observer[OnnxGraph | IRModule] | None = None,
    sizes: Sizes | None = None,
) -> Partition:
    """As `partition_model`, for a model that is Relax operators already (`relax_operators`)."""
    kept = LoweredKernels(without)
    operators = with_planned_bodies(operators, kept, _without(without, precision), estimator, sizes)
    switcher = FusionSwitcher.of(operators, _without(without, precision), estimator, sizes)
    if switcher is None:
        lowered = fuse_by_default(operators, without, observe)
    else:
        grouped = switcher.module({})
        if observe is not None:
            observe(PLANNED, grouped)
        lowered = kept.lower(grouped, observe=observe)
    module = with_precision(lowered, precision)
    if observe is not None and not precision.is_float32:
        observe(precision.name, module)
    parts = replace(partition_module(model, module, sizes=sizes or {}), kernels=kept, switcher=switcher)
    return replace(parts, precision=precision, without=tuple(without))


def _without(names: Collection[str], precision: Precision) -> frozenset[str]:
    """What a plan does without: what was switched off, and what computes in float32 where the model does not."""
    return frozenset(names) if precision.is_float32 else frozenset((*names, *float32_only()))


def partition_module(
    model: Model, module: tvm.IRModule, sites: tuple[CallSite, ...] | None = None, sizes: Sizes | None = None
) -> Partition:
    """Split an already lowered module into tasks: what all of its functions call, or only these `sites`.

    Of a function with symbolic sizes the workload is that at representative ones, by those of `main`'s symbols.
    """
    counts = kernel_counts(module) if sites is None else Counter(site.function for site in sites)
    sites = call_sites(module) if sites is None else sites
    check_element_types(module, sites, model.name)
    functions: dict[_Kernel, list[str]] = {}
    fallbacks = []
    typical = {**(sizes or {}), **{dim.name: _several(dim) for dim in model.dims}}
    for name in counts:
        function = module[name]
        if relax.analysis.has_reshape_pattern(function):
            continue
        kernel = _kernel(name, function, sites, sizes or {}, typical)
        if kernel is None:
            fallbacks.append(name)
        else:
            functions.setdefault(kernel, []).append(name)
    return Partition(model, module, _tasks(functions, counts), tuple(fallbacks), sizes=dict(sizes or {}))


@dataclass(frozen=True, slots=True)
class _Kernel:
    """What functions must have in common to be one task."""

    workload: Workload
    sizes: tuple[tuple[str, int], ...] = ()
    typical: tuple[tuple[str, int], ...] = ()
    form: int = 0
    """Of a function with symbolic sizes a hash of its structure: others may be equal at representative sizes only."""


def _tasks(functions: dict[_Kernel, list[str]], counts: Counter[str]) -> tuple[ModelTask, ...]:
    calls = {kernel: sum(counts[name] for name in names) for kernel, names in functions.items()}
    flops = {kernel: kernel.workload.flops * calls[kernel] for kernel in functions}
    total = max(sum(flops.values()), 1)
    tasks = [
        ModelTask(kernel.workload, calls[kernel], tuple(names), flops[kernel] / total, kernel.sizes, kernel.typical)
        for kernel, names in functions.items()
    ]
    return tuple(sorted(tasks, key=lambda task: (-task.flops_share, task.name)))


def _several(dim: Dim) -> int:
    """A usual size, but not 1 where others are possible: what a schedule is like does not show on an axis of 1."""
    return dim.middle if dim.middle != 1 else next((size for size in dim.sizes if size > 1), 1)


def _kernel(name: str, function: PrimFunc, sites: tuple[CallSite, ...], sizes: Sizes, typical: Sizes) -> _Kernel | None:
    calls = [site for site in sites if site.function == name]
    constants = tuple(sorted(frozenset.intersection(*(site.constants for site in calls))))
    called = described(operators_of(function))
    if not symbols_of(function) or not sizes:
        workload = _workload_of(function, called, constants)
        return None if workload is None else _Kernel(workload)
    if any(isinstance(argument.ty, tvm.ir.PrimType) for argument in calls[0].arguments):
        return None  # it is told sizes as numbers
    own = kernel_sizes(function, calls[0], sizes)
    workload = _workload_of(bound(function, own), called, constants)
    form = tvm_ffi.structural_hash(function.without_attr("global_symbol"), map_free_vars=True)
    usual = {**own, **{name: size for name, size in typical.items() if name in own}}
    return None if workload is None else _Kernel(workload, tuple(own.items()), tuple(usual.items()), form)


@lru_cache(maxsize=1024)
def _workload_of(function: PrimFunc, name: str, constants: tuple[int, ...]) -> Workload | None:
    """The workload of a function, kept with it; None for what is no workload."""
    try:
        return from_prim_func(function, name, constants)
    except UsageError:
        return None
