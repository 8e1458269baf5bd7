"""The nine models that ship with onnx, with random weights: imported, built by default, equal to ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import flextune
from flextune.apply.model_check import check_against_onnxruntime
from flextune.importing.model import Model, load_model
from flextune.importing.random_weights import is_weightless, with_random_weights

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
TOLERANCE = 1e-4


def light_model(name: str) -> Model:
    model = load_model(LIGHT / f"light_{name}.onnx")
    assert is_weightless(model)
    return with_random_weights(model, seed=0)


def assert_equal_to_onnxruntime(name: str, seeds: int) -> None:
    model = light_model(name)
    partition = flextune.partition_model(model)
    assert partition.fallbacks == ()
    build = flextune.compile_model(partition, {}, flextune.detect())
    outputs = build.executable.run(model.random_inputs(0))
    assert all(array.std() > 1e-7 for array in outputs.values()), "the check would be blind"
    errors = [check_against_onnxruntime(model, build.executable, seed) for seed in range(seeds)]
    assert max(errors) < TOLERANCE, errors


@pytest.mark.slow
@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_small_models_equal_onnxruntime(name: str) -> None:
    pytest.importorskip("onnxruntime")
    assert_equal_to_onnxruntime(name, seeds=3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet50", "inception_v1", "inception_v2", "densenet121", "bvlc_alexnet", "zfnet512", "vgg19"]
)
def test_large_models_equal_onnxruntime(name: str) -> None:
    pytest.importorskip("onnxruntime")
    assert_equal_to_onnxruntime(name, seeds=1)


def test_layout_of_squeezenet_changes_only_at_its_ends() -> None:
    partition = flextune.partition_model(light_model("squeezenet"))
    names = [task.name for task in partition.tasks for _ in range(task.count) if "permute_dims" in task.name]
    assert len(names) == 1  # the end is a view
    assert partition.flops == pytest.approx(0.7e9, rel=0.05)


def test_light_models_share_workloads() -> None:
    """Equal groups of different models have equal keys, so records of one serve the other."""
    keys = [
        {task.workload.key for task in flextune.partition_model(light_model(name)).tasks}
        for name in ("squeezenet", "shufflenet")
    ]
    assert keys[0] & keys[1]
