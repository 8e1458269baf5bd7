"""The models: choosing them, building a small one, its inputs, and the PyTorch form of ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from benchmarks.model_zoo import files
from benchmarks.model_zoo.build import build_light
from benchmarks.model_zoo.catalog import MODELS, choose_models
from benchmarks.model_zoo.inputs import input_specs, random_inputs
from flextune.errors import UsageError
from flextune.workload import list_workload_names, parse_workload


def test_there_are_fifteen_models_nine_of_them_light() -> None:
    assert len(MODELS) == 15
    assert sum(model.is_light for model in MODELS.values()) == 9
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    assert all((folder / f"{model.name}.onnx").exists() for model in MODELS.values() if model.is_light)


def test_models_are_chosen_by_name_with_or_without_the_prefix() -> None:
    assert choose_models([]) == tuple(MODELS.values())
    assert [model.name for model in choose_models(["bert_base", "resnet50"])] == ["light_resnet50", "bert_base"]
    with pytest.raises(UsageError, match="did you mean 'light_squeezenet'"):
        choose_models(["squeezenett"])


@pytest.mark.parametrize(
    ("network", "size", "result", "shapes"),
    [("yolo_v1", 448, 1470, "flextensor.conv2d.yolo_shapes_b1"), ("overfeat", 231, 1000, "")],
)
def test_networks_of_flextensor(network: str, size: int, result: int, shapes: str) -> None:
    """Without weights: the result's shape, and YOLO-v1's different convolutions as FlexTensor lists them."""
    torch = pytest.importorskip("torch")
    from benchmarks.model_zoo import convolutional_networks

    with torch.device("meta"):
        module = getattr(convolutional_networks, network)()
        found: list[tuple[int, ...]] = []

        def note(convolution: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
            kernel, stride, pad = (
                each[0] for each in (convolution.kernel_size, convolution.stride, convolution.padding)
            )
            found.append((*inputs[0].shape, convolution.out_channels, kernel, stride, pad))

        for each in module.modules():
            if isinstance(each, torch.nn.Conv2d):
                each.register_forward_hook(note)
        assert module(torch.zeros(1, 3, size, size)).shape == (1, result)
    names = [name for name in list_workload_names() if shapes and name.startswith(f"{shapes}.")]
    listed = [parse_workload(name).checked_params for name in names]
    order = ("ci", "h", "w", "co", "kh")
    wanted = [(1, *p.integers(*order), *p.per_dimension("stride", 2)[:1], p.integer("pad")) for p in listed]
    assert len(found) == (24 if shapes else 5)
    assert list(dict.fromkeys(found)) == wanted or not shapes


def test_a_light_model_gets_random_weights_the_same_each_time(tmp_path: Path) -> None:
    weights = []
    for name in ("a.onnx", "b.onnx"):
        build_light("light_squeezenet", tmp_path / name)
        graph = onnx.load(tmp_path / name).graph
        weights.append({tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer})
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(array, weights[1][name]) for name, array in weights[0].items())
    large = [array for array in weights[0].values() if array.ndim == 4]
    assert len(large) == 26
    assert all(array.std() > 0 for array in large)


def test_inputs_are_seeded_and_within_the_vocabulary(tmp_path: Path) -> None:
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, (1, 64))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 4, 4))
    out = helper.make_tensor_value_info("out", TensorProto.INT64, (1, 64))
    graph = helper.make_graph([helper.make_node("Identity", ["tokens"], ["out"])], "g", [tokens, image], [out])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    specs = input_specs(str(tmp_path / "m.onnx"))
    first, again, other = (random_inputs(MODELS["gpt2_small"], specs, seed) for seed in (0, 0, 1))
    assert first["tokens"].dtype == np.int64
    assert 1 < first["tokens"].max() < MODELS["gpt2_small"].integer_limit
    assert all(np.array_equal(first[name], again[name]) for name in ("tokens", "image"))
    assert not np.array_equal(first["image"], other["image"])
    assert set(random_inputs(MODELS["bert_base"], specs, 0)["tokens"].flat) == {0, 1}


def test_a_dynamic_input_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 4))
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 4))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match="dynamic"):
        input_specs(str(tmp_path / "m.onnx"))


def test_files_are_kept_by_the_versions_that_made_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr(files, "_version", lambda package: "1.0")
    before = files.model_path(MODELS["bert_base"])
    monkeypatch.setattr(files, "_version", lambda package: "2.0" if package == "transformers" else "1.0")
    assert tmp_path in before.parents
    assert files.model_path(MODELS["bert_base"]) != before
    light = files.model_path(MODELS["light_resnet50"])
    monkeypatch.setattr(files, "_version", lambda package: "" if package in ("torch", "transformers") else "1.0")
    assert files.model_path(MODELS["light_resnet50"]) == light
    with pytest.raises(UsageError, match="bert_base needs torch, transformers: pip install"):
        files.model_path(MODELS["bert_base"])


def test_a_file_that_is_there_is_not_built_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path))
    built: list[Path] = []

    def build(model: object, path: Path) -> None:
        built.append(path)
        path.write_bytes(b"model")

    monkeypatch.setattr(files, "_build", build)
    first, second = (files.model_file(MODELS["light_squeezenet"]) for _ in range(2))
    assert first == second == built[0]
    assert len(built) == 1


def every_operator() -> onnx.ModelProto:
    """A graph with each operator and form that the light models have."""
    rng = np.random.default_rng(0)
    weights = {
        "conv_w": (8, 3, 3, 3),
        "conv_b": (8,),
        "group_w": (8, 4, 1, 1),
        "scale": (8,),
        "bias": (8,),
        "mean": (8,),
        "factor": (8, 1, 1),
        "fc_w": (5, 8),
        "fc_b": (5,),
    }
    arrays = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in weights.items()}
    arrays["variance"] = rng.uniform(0.5, 1.5, 8).astype(np.float32)
    arrays["grouped"], arrays["flat"] = np.array([1, 2, 4, 5, 5]), np.array([1, 8])
    arrays["back"] = np.array([1, 8, 5, 5])

    def node(op: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(op, inputs.split(), [output], **attributes)

    nodes = [
        node("Conv", "x conv_w conv_b", "a", strides=[2, 2], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Conv", "a group_w", "b", group=2, kernel_shape=[1, 1]),
        node("BatchNormalization", "b scale bias mean variance", "c", epsilon=1e-3),
        node("Relu", "c", "d"),
        node("LRN", "d", "e", size=5, alpha=0.5, beta=0.75, bias=2.0),
        node("MaxPool", "e", "f", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]),
        node("MaxPool", "e", "g", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", "g", "h", kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
        node("AveragePool", "e", "h2", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0]),
        node("Sum", "f h2", "i"),
        node("Mul", "i factor", "j"),
        node("Add", "j factor", "k"),
        node("Dropout", "k", "l"),
        node("Reshape", "l grouped", "m"),
        node("Transpose", "m", "n", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "n back", "o"),
        node("Concat", "o h", "p", axis=1),
        node("AveragePool", "o", "q1", kernel_shape=[6, 6], strides=[1, 1], pads=[0, 0, 1, 1]),
        node("GlobalAveragePool", "o", "q2"),
        node("Sum", "q1 q2", "q"),
        node("Reshape", "q flat", "r"),
        node("Gemm", "r fc_w fc_b", "s", transB=1),
        node("Softmax", "s", "prob", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "every",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 20, 20))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("prob", "p")],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 9)], ir_version=8)


def test_the_pytorch_form_of_a_graph_computes_the_same(tmp_path: Path) -> None:
    torch, runtime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    from benchmarks.model_zoo.onnx_to_torch import light_module

    model = every_operator()
    onnx.save(model, tmp_path / "m.onnx")
    data = np.random.default_rng(1).standard_normal((1, 3, 20, 20)).astype(np.float32)
    wanted = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": data})
    with torch.no_grad():
        got = light_module(tmp_path / "m.onnx")(torch.from_numpy(data))
    for output, want in zip(got, wanted, strict=True):
        np.testing.assert_allclose(output.numpy(), want, rtol=1e-4, atol=1e-5)


def test_an_operator_of_no_light_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.model_zoo.onnx_to_torch import ConversionError, light_module

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 4)) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    with pytest.raises(ConversionError, match="Tanh"):
        light_module(tmp_path / "m.onnx")
