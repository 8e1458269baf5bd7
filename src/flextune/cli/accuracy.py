"""`flextune accuracy`: what a model in bfloat16 loses, and which layers to keep in float32 so that it loses less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import Dims, Json, PrecisionName, Shapes, TargetText
from flextune.cli.output import JsonValue, print_json
from flextune.errors import UsageError

if TYPE_CHECKING:
    from flextune.apply.accuracy import Accuracy
    from flextune.apply.build import Build
    from flextune.importing.model import Model
    from flextune.lowering.precision.precision import Precision
    from flextune.plan.partition import Partition
    from flextune.target.target import Target


def accuracy(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    precision: PrecisionName = "bf16",
    inputs: Annotated[
        Path | None,
        typer.Option(
            help="An .npz file with an array per input, or with a leading axis over samples (default: random)."
        ),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option("--max-error", min=0.0, help="Find layers to keep in float32 until no output is further off."),
    ] = None,
    target: TargetText = None,
    shape: Shapes = None,
    dim: Dims = None,
    as_json: Json = False,
) -> None:
    """Compare a model in bfloat16 with itself in float32: per output, error, cosine and top-1 agreement.

    With ranges of sizes (--dim seq=1..512) they are compared at several, the ends among them.
    With --max-error, prints the --precision to give `tune` and `compile`, with the layers that it keeps in float32.
    """
    from flextune.apply.accuracy import compared, read_samples
    from flextune.apply.kept_layers import find_kept_layers
    from flextune.apply.layerwise import LayerwiseModel
    from flextune.cli.inputs import read_dims, read_shapes, read_target
    from flextune.cli.models import read_partition
    from flextune.cli.working import working
    from flextune.importing.model import load_model
    from flextune.lowering.precision.precision import Precision

    wanted, chosen = Precision.parse(precision), read_target(target)
    wanted.check(chosen)
    if wanted.is_float32:
        raise UsageError("flextune accuracy compares with float32: give another --precision, such as bf16")
    dims, shapes = read_dims(dim), read_shapes(shape)
    if any(each.fixed is None for each in dims):
        if inputs is not None or max_error is not None:
            raise UsageError("--inputs and --max-error are for one size of each dimension, such as --dim NAME=SIZE")
        _over_ranges(str(model), load_model(model, shapes, dims=dims), wanted, chosen, as_json)
        return
    with working(f"importing {model}") as work:
        partition = read_partition(model, shapes, chosen, dims=dims)
        samples = read_samples(inputs, partition.model.inputs)
        work.now(f"building {model} in both precisions")
        layerwise = LayerwiseModel(partition, chosen)
        reached = True
        if max_error is not None:
            work.now("looking for layers to keep in float32")
            kept = find_kept_layers(layerwise, samples, max_error)
            wanted, reached = wanted.keeping(kept.layers), kept.error <= max_error
        work.now(f"running {len(samples)} samples in both precisions")
        pairs = [(layerwise.run(sample, wanted.keep), layerwise.run(sample, None)) for sample in samples]
        found = compared(pairs)
    layers = _layers(partition, layerwise.light_bytes)
    if as_json:
        names: list[JsonValue] = [layers[number] for number in wanted.keep if number < len(layers)]
        print_json({**accuracy_json(found), "precision": str(wanted), "float32_layers": names, "layers": len(layers)})
    else:
        print("\n".join((str(model), *accuracy_lines(found), *_kept_lines(wanted.keep, layers))))
        print(f"  --precision {wanted}")
        if not reached:
            print(
                f"  no choice of layers brings the error down to {max_error}: what is stored between them is bfloat16"
            )


def _over_ranges(path: str, model: Model, wanted: Precision, target: Target, as_json: bool) -> None:
    """Prints the accuracy of a model with ranges at several combinations of sizes, the ends among them."""
    from flextune.apply.accuracy import accuracy_of
    from flextune.apply.build import compile_model
    from flextune.cli.working import working
    from flextune.importing.values import random_values
    from flextune.optimization.hybrid import Lowering
    from flextune.optimization.symbolic import compared_sizes

    with working(f"building {path} in both precisions") as work:
        narrow, wide = (
            compile_model(lowering(model), {}, target).executable
            for lowering in (Lowering(target, precision=wanted), Lowering(target))
        )
        work.now("running at several sizes in both precisions")
        found = [
            (sizes, accuracy_of(narrow.run, wide.run, [random_values([spec.bind(sizes) for spec in model.inputs], 0)]))
            for sizes in compared_sizes(model.dims)
        ]
    if as_json:
        rows: list[JsonValue] = [{"sizes": {**sizes}, **accuracy_json(each)} for sizes, each in found]
        worst = max(each.max_relative_error for _, each in found)
        print_json({"max_relative_error": worst, "precision": str(wanted), "at": rows})
        return
    print(path)
    for sizes, each in found:
        print(f"  at {', '.join(f'{name}={size}' for name, size in sizes.items())}")
        print("\n".join(accuracy_lines(each)))
    print(f"  --precision {wanted}")


def accuracy_of_build(partition: Partition, built: Build, target: Target) -> Accuracy:
    """A built model against float32 on random inputs: ONNX Runtime's, or where it is not installed its own."""
    from flextune.apply.accuracy import accuracy_of, read_samples
    from flextune.apply.build import compile_model
    from flextune.apply.model_check import OnnxRuntime
    from flextune.errors import EnvironmentFault
    from flextune.plan.partition import partition_model

    samples, model = read_samples(None, partition.model.inputs), partition.model
    try:
        return accuracy_of(built.executable.run, OnnxRuntime(model, target.cores).run, samples)
    except EnvironmentFault:
        reference = compile_model(partition_model(model), {}, target).executable
        return accuracy_of(built.executable.run, reference.run, samples)


def accuracy_lines(found: Accuracy) -> list[str]:
    """The accuracy in words, one line per output."""
    title = f"  against float32, {found.samples} sample(s):"
    return [title, *(f"    {output}" for output in found.outputs)]


def accuracy_json(found: Accuracy) -> dict[str, JsonValue]:
    """The accuracy as it prints with --json."""
    outputs: dict[str, JsonValue] = {
        output.name: {
            "max_relative_error": output.max_relative_error,
            "cosine": output.cosine,
            "top1_agreement": output.top1,
        }
        for output in found.outputs
    }
    return {"samples": found.samples, "max_relative_error": found.max_relative_error, "outputs": outputs}


def _layers(partition: Partition, light_bytes: int) -> tuple[str, ...]:
    from flextune.lowering.precision.rewrite import product_layers

    return tuple(map(str, product_layers(partition.module, light_bytes)))


def _kept_lines(keep: tuple[int, ...], layers: tuple[str, ...]) -> list[str]:
    named = ", ".join(layers[number] for number in keep if number < len(layers)) or "none"
    return [
        f"  float32 layers, for the error's sake: {named} (of {len(layers)} with products of matrices)",
        "  always float32: sums, exponentials and all that is no such product; the model's inputs and outputs;",
        "  values between kernels of fewer than 4096 elements, and sums that a normalisation of rows reads;",
        "  products of a single row with at most a hundredth of the weights, of up to 16 channels with a thousandth",
    ]
