"""A split model to an `Executable`: parts of ours compiled as models are, the others by their compilers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from flextune.apply.build import Build, compile_model
from flextune.apply.executable import Executable
from flextune.apply.hybrid_code import HybridCode, HybridPart, OtherPart, OwnPart
from flextune.apply.hybrid_machine import PartPorts, plain_specs
from flextune.apply.signature import Runtime, Signature
from flextune.apply.threads import default_thread_count
from flextune.compilers import registry
from flextune.compilers.subgraph_compiler import SubgraphCompiler, SubgraphOptions, Types
from flextune.errors import BuildError, EnvironmentFault, ModelError
from flextune.importing.model import Model, require_own
from flextune.importing.values import ValueSpec
from flextune.plan.partition import Partition
from flextune.plan.parts.graph import Inference, output_specs
from flextune.plan.parts.parts import Lower, ModelPart, ModelParts, ModelSplitter
from flextune.target.detect import detect
from flextune.target.target import Target

PROCEDURES = "procedures"
"""The compiler of what is ours, but no program over tensors."""

BuildOwn = Callable[[Partition], Build]
"""Builds a part of ours."""


@dataclass(frozen=True, slots=True)
class HybridOptions:
    """What runs that which is not ours: a compiler by name, and which of its devices, by its names for them."""

    compiler: str = "onnxruntime"
    providers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class SplitModel:
    """A model that was split between us and another runtime, and what splits it again."""

    parts: ModelParts
    splitter: ModelSplitter
    options: HybridOptions | None
    """None where all of it must be ours."""

    @property
    def model(self) -> Model:
        return self.parts.model

    @property
    def whole(self) -> Partition | None:
        """The lowered model, if all of it is ours."""
        return self.parts.whole

    def described(self) -> tuple[str, ...]:
        """The parts in words."""
        other = "" if self.options is None else self.options.compiler
        return tuple(self.parts.described(part, other) for part in self.parts.parts)


def split_model(model: Model, lower: Lower, options: HybridOptions | None) -> SplitModel:
    """The model, what is not ours of it for that compiler. Without options all of it must be ours: ModelError.

    A model that is wholly ours asks nobody else, who need not be installed; also if it has procedures.
    """
    splitter = ModelSplitter(model, lower, _inference(options), _why_no_procedure)
    try:
        require_own(model)
        whole = ModelParts(model, (ModelPart(model, lower(model)),))
        return SplitModel(whole, splitter, options)
    except ModelError as error:
        parts = splitter.split()
        if parts.needs_other and options is None:
            raise
        if parts.needs_other and options is not None:
            _require(registry.get(options.compiler), error)
    return SplitModel(parts, splitter, options)


def _inference(options: HybridOptions | None) -> Inference:
    """What another runtime knows of types, if it is there and may be asked."""
    if options is None or not is_there(options):
        return _nothing_known
    return registry.get(options.compiler).infer


def _nothing_known(model: onnx.ModelProto) -> Types:
    del model
    return {}


def _why_no_procedure(model: Model) -> str:
    """Of a model of one node."""
    compiler = registry.get(PROCEDURES)
    try:
        compiler.compile(model, SubgraphOptions(1))
    except (ModelError, BuildError, EnvironmentFault) as error:
        return str(error)
    return "".join(map(compiler.supports, model.proto.graph.node))


def other_runtime(model: Model, target: Target, options: HybridOptions, threads: int | None = None) -> Build:
    """All of a model for the other runtime, which is known to be faster, or compared to know it."""
    part = ModelPart(
        model,
        None,
        why="the whole model is faster there",
        outputs=output_specs(model, registry.get(options.compiler).infer),
    )
    return assemble_parts(ModelParts(model, (part,)), [], target, options, threads)


def other_part_name(compiler: str, part: ModelPart) -> str:
    """What a part of the other runtime's is called in times of kernels."""
    return f"{compiler}_{part.model.name}"


def _require(compiler: SubgraphCompiler, error: ModelError) -> None:
    """ModelError with what is not ours, where there is nobody else to run it."""
    try:
        compiler.supports(onnx.NodeProto())
    except EnvironmentFault as fault:
        raise ModelError(f"{error}\n{fault}") from error


def assemble_parts(
    parts: ModelParts, builds: Sequence[Build], target: Target, options: HybridOptions, threads: int | None = None
) -> Build:
    """One executable of all parts; `builds` are those of ours, in their order. ModelError for what nobody can run."""
    compiler, count = registry.get(options.compiler), threads or default_thread_count()
    _check_supported(parts, compiler)
    if any(part.are_procedures for part in parts.parts) and target.kind != detect().kind:
        raise ModelError(
            f"model {parts.model.name!r} has procedures, which are compiled for this machine's processor only"
        )
    asked = SubgraphOptions(count, options.providers, alone=len(parts.parts) == 1)
    own, kept = iter(builds), dict[str, np.ndarray]()
    built = [
        _own(part, next(own)) if part.is_own else _other(part, _compiler_of(part, compiler), asked, kept)
        for part in parts.parts
    ]
    keys = {name: key for build in builds for name, key in build.executable.workload_keys.items()}
    signature = _signature(parts, built, compiler, target, count)
    executable = Executable(HybridCode(tuple(built)), signature, workload_keys=keys)
    return Build(executable, tuple(task for build in builds for task in build.tasks))


def build_split(
    split: SplitModel, build: BuildOwn, target: Target, threads: int | None = None
) -> tuple[SplitModel, Build]:
    """The model built, with more of it for the other runtime where parts of ours turn out not to compile.

    The build of a model that is wholly ours is that of its only part. BuildError where that fails and nobody else may.
    """
    while True:
        builds: list[Build] = []
        for part in split.parts.parts:
            if part.partition is None:
                continue
            try:
                builds.append(build(part.partition))
            except BuildError as error:
                split = _given_up(split, part, error, target)
                break
        else:
            if split.whole is not None:
                return split, builds[0]
            return split, assemble_parts(split.parts, builds, target, split.options or HybridOptions(), threads)


def is_there(options: HybridOptions) -> bool:
    """Whether the other runtime is installed."""
    try:
        registry.get(options.compiler).supports(onnx.NodeProto())
    except EnvironmentFault:
        return False
    return True


def _given_up(split: SplitModel, part: ModelPart, error: BuildError, target: Target) -> SplitModel:
    """Split again so that a part is left out that cannot be built."""
    if split.options is None or not is_there(split.options):
        raise error
    return replace(split, parts=split.splitter.give_up(part, str(error), _trial(split.splitter, target)))


def _trial(splitter: ModelSplitter, target: Target) -> Callable[[Model], str]:
    def why_not(model: Model) -> str:
        try:
            compile_model(splitter.lower(model), {}, target)
        except (ModelError, BuildError) as error:
            return str(error)
        return ""

    return why_not


def _compiler_of(part: ModelPart, other: SubgraphCompiler) -> SubgraphCompiler:
    return registry.get(PROCEDURES) if part.are_procedures else other


def _own(part: ModelPart, build: Build) -> OwnPart:
    signature = build.executable.signature
    ports = PartPorts(part.model.name, plain_specs(signature.inputs), plain_specs(signature.outputs))
    return OwnPart(ports, build.executable.code, signature)


def _other(
    part: ModelPart, compiler: SubgraphCompiler, options: SubgraphOptions, kept: dict[str, np.ndarray]
) -> OtherPart:
    """`kept` has the constants of parts before, by name: those that are read again are kept once."""
    artifact, found = compiler.compile(part.model, options)
    weights = {name: kept.setdefault(name, array) for name, array in found.items()}
    ports = PartPorts(other_part_name(compiler.name, part), plain_specs(part.model.inputs), plain_specs(part.outputs))
    return OtherPart(ports, artifact, weights, options)


def _signature(
    parts: ModelParts, built: Sequence[HybridPart], compiler: SubgraphCompiler, target: Target, threads: int
) -> Signature:
    own = [part.signature for part in built if isinstance(part, OwnPart)]
    weights = {
        id(array): array.nbytes for part in built if isinstance(part, OtherPart) for array in part.weights.values()
    }
    specs: dict[str, ValueSpec] = {spec.name: spec for part in built for spec in part.ports.outputs}
    specs |= {spec.name: spec for spec in parts.model.inputs}
    return Signature(
        parts.model.name,
        parts.model.inputs,
        tuple(_output(parts, specs[name]) for name in parts.model.outputs),
        str(target),
        threads,
        Runtime.HYBRID,
        tuple(sorted({name for each in own for name in each.instructions})),
        tuple(name for each in own for name in each.kernels),
        sum(each.weight_bytes for each in own) + sum(weights.values()),
        None,
        tuple(parts.described(part, compiler.name) for part in parts.parts),
        parts.model.dims,
    )


def _output(parts: ModelParts, found: ValueSpec) -> ValueSpec:
    """An output with its sizes as expressions, where these follow from those of the model's inputs."""
    spec = found if parts.graph is None else parts.graph.spec(found.name)
    names = {name for size in spec.sizes for name in size.names}
    return spec if names and names <= {dim.name for dim in parts.model.dims} else found


def _check_supported(parts: ModelParts, compiler: SubgraphCompiler) -> None:
    """ModelError that names every node that neither side has."""
    found = [
        f"  {label}: {why}; {theirs}" for label, node, why in parts.given_away() if (theirs := compiler.supports(node))
    ]
    if found:
        raise ModelError(
            f"model {parts.model.name!r} has {len(found)} node(s) that nothing here runs:\n" + "\n".join(found)
        )
