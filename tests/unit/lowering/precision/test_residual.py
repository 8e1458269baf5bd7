"""The residual stream stays float32 in bfloat16 models, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.importing.model import Model, load_model
from flextune.lowering.calls import call_sites
from flextune.lowering.precision.bfloat16 import from_bfloat16, to_bfloat16
from flextune.lowering.precision.precision import Precision
from flextune.plan.alternative import FUSED
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value

BFLOAT16 = Precision.parse("bf16")
ROWS, WIDTH, INNER, LAYERS = 64, 64, 128, 12
FORMS = {"norm behind the sum": False, "norm before the product": True}


def weights() -> dict[str, np.ndarray]:
    arrays = {"one": np.ones(WIDTH, np.float32), "zero": np.zeros(WIDTH, np.float32)}
    arrays |= {"two": np.float32(2), "least": np.float32(1e-5)}
    for layer in range(LAYERS):
        arrays[f"up{layer}"] = random_array(2 * layer, WIDTH, INNER) / 6
        arrays[f"down{layer}"] = random_array(2 * layer + 1, INNER, WIDTH) / 6
    return arrays


Norm = Callable[[str, str], list[onnx.NodeProto]]


def layer_norm(source: str, result: str) -> list[onnx.NodeProto]:
    return [helper.make_node("LayerNormalization", [source, "one", "zero"], [result], axis=-1)]


def by_mean_squares(centered: str, result: str) -> list[onnx.NodeProto]:
    steps = [f"{result}_{step}" for step in ("squares", "mean", "sum", "root", "ratio")]
    return [
        helper.make_node("Pow", [centered, "two"], [steps[0]]),
        helper.make_node("ReduceMean", [steps[0]], [steps[1]], axes=[-1]),
        helper.make_node("Add", [steps[1], "least"], [steps[2]]),
        helper.make_node("Sqrt", [steps[2]], [steps[3]]),
        helper.make_node("Div", [centered, steps[3]], [steps[4]]),
        helper.make_node("Mul", [steps[4], "one"], [result]),
    ]


def rms_norm(source: str, result: str) -> list[onnx.NodeProto]:
    """As LLaMA is exported: several kernels."""
    return by_mean_squares(source, result)


def layer_norm_by_definition(source: str, result: str) -> list[onnx.NodeProto]:
    """As models of opsets before 17 have it: several kernels."""
    mean, centered = f"{result}_center", f"{result}_centered"
    return [
        helper.make_node("ReduceMean", [source], [mean], axes=[-1]),
        helper.make_node("Sub", [source, mean], [centered]),
        *by_mean_squares(centered, result),
    ]


def transformer(folder: Path, before: bool, normalised: Norm = layer_norm) -> Model:
    """Layers of two products with a residual sum; the norm reads the sum, or else each layer norms what it reads."""
    nodes, stream = [], "x"
    for layer in range(LAYERS):
        read = f"n{layer}" if before else stream
        if before:
            nodes += normalised(stream, read)
        nodes += [
            helper.make_node("MatMul", [read, f"up{layer}"], [f"u{layer}"]),
            helper.make_node("Relu", [f"u{layer}"], [f"r{layer}"]),
            helper.make_node("MatMul", [f"r{layer}", f"down{layer}"], [f"d{layer}"]),
            helper.make_node("Add", [f"d{layer}", stream], [f"s{layer}"]),
        ]
        stream = f"s{layer}"
        if not before:
            nodes += normalised(stream, f"n{layer}")
            stream = f"n{layer}"
    nodes += normalised(stream, "y")
    shape = [1, ROWS, WIDTH]
    onnx.save(model_of(nodes, [value("x", shape)], [value("y", shape)], weights()), folder / "model.onnx")
    return load_model(folder / "model.onnx")


def rounded(values: np.ndarray) -> np.ndarray:
    return from_bfloat16(to_bfloat16(values.astype(np.float32)))


def exact(values: np.ndarray) -> np.ndarray:
    return values


def norm(x: np.ndarray) -> np.ndarray:
    spread = x - x.mean(axis=-1, keepdims=True)
    result: np.ndarray = spread / np.sqrt((spread**2).mean(axis=-1, keepdims=True) + 1e-5)
    return result


def by_definition(x: np.ndarray, before: bool, factor=exact, stored=exact) -> np.ndarray:
    """The transformer in NumPy, with its products' factors and the values of the stream as given."""
    arrays = weights()
    for layer in range(LAYERS):
        read = stored(norm(x)) if before else x
        inner = np.maximum(factor(read) @ factor(arrays[f"up{layer}"]), 0)
        x = stored(factor(inner) @ factor(arrays[f"down{layer}"]) + x)
        x = x if before else stored(norm(x))
    return norm(x)


def error(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.sqrt(((got - want) ** 2).mean() / (want**2).mean()))


@pytest.mark.parametrize("form", FORMS)
def test_the_error_is_that_of_rounding_what_products_read(form: str, tmp_path: Path) -> None:
    before = FORMS[form]
    x = random_array(99, 1, ROWS, WIDTH)
    partition = partition_model(transformer(tmp_path, before), precision=BFLOAT16)
    got = compile_model(partition, {}, detect()).executable.run({"x": x})["y"]
    wide = x.astype(np.float64)
    want = by_definition(wide, before)
    of_products, of_storage = (error(by_definition(wide, before, rounded, stored), want) for stored in (exact, rounded))
    assert of_storage > 1.3 * of_products
    assert error(got, want) < 1.05 * of_products


@pytest.mark.parametrize("form", FORMS)
def test_what_only_products_read_is_stored_in_two_bytes(form: str, tmp_path: Path) -> None:
    partition = partition_model(transformer(tmp_path, FORMS[form]), precision=BFLOAT16)
    stored = {site.function.rstrip("0123456789"): str(site.variable.ty.dtype) for site in call_sites(partition.module)}
    assert stored["fused_matmul_relu"] == "uint16"
    assert stored["fused_matmul_add"] == "float32"
    norms = {str(s.variable.ty.dtype) for s in call_sites(partition.module)[:-1] if "layer_norm" in s.function}
    assert norms == ({"uint16"} if FORMS[form] else {"float32"})


@pytest.mark.parametrize("normalised", [rms_norm, layer_norm_by_definition])
def test_norms_of_several_kernels_are_known(normalised: Norm, tmp_path: Path) -> None:
    partition = partition_model(transformer(tmp_path, before=True, normalised=normalised), precision=BFLOAT16)
    sites = call_sites(partition.module)
    sums = [site for site in sites if site.function.startswith("fused_matmul_add")]
    assert [str(site.variable.ty.dtype) for site in sums] == ["float32"] * LAYERS
    read = {site.arguments[0] for site in sites if site.function.startswith("fused_matmul_relu")}
    assert {str(variable.ty.dtype) for variable in read} == {"uint16"}


@pytest.mark.parametrize("form", FORMS)
def test_the_groups_that_are_measured_are_those_of_the_model(form: str, tmp_path: Path) -> None:
    partition = partition_model(transformer(tmp_path, FORMS[form]), precision=BFLOAT16)
    known = {task.workload.key for task in partition.tasks}
    groups = group_kernels(partition)
    assert {"matmul + add", "matmul + relu", "layer_norm"} <= {group.operators for group in groups}
    assert all({each.key for each in group.kernels[FUSED]} <= known for group in groups)


def test_residual_sums_of_convolutions_are_stored_in_two_bytes(tmp_path: Path) -> None:
    constants = {f"w{layer}": random_array(layer, 32, 32, 3, 3) / 12 for layer in range(3)}
    nodes, stream = [], "c0"
    nodes.append(helper.make_node("Conv", ["x", "w0"], [stream], pads=[1, 1, 1, 1]))
    for layer in (1, 2):
        nodes += [
            helper.make_node("Conv", [stream, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", [f"c{layer}", stream], [f"s{layer}"]),
            helper.make_node("Relu", [f"s{layer}"], [f"r{layer}"]),
        ]
        stream = f"r{layer}"
    nodes.append(helper.make_node("GlobalAveragePool", [stream], ["y"]))
    proto = model_of(nodes, [value("x", [1, 32, 16, 16])], [value("y", [1, 32, 1, 1])], constants)
    onnx.save(proto, tmp_path / "residual.onnx")
    partition = partition_model(load_model(tmp_path / "residual.onnx"), precision=BFLOAT16)
    stored = [str(s.variable.ty.dtype) for s in call_sites(partition.module) if "conv2d" in s.function]
    assert stored == ["uint16"] * 3
