"""Reading and writing at computed places, in range as ONNX has it, and out of range without harm."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as runtime
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.importing.model import model_from_proto
from flextune.plan.partition import partition_model
from flextune.target.detect import detect
from flextune.testing.models import model_of, random_array, value

FAR = 1 << 40


def built_and_meant(
    operator: str, data: np.ndarray, places: np.ndarray, updates: np.ndarray | None = None, **attributes: object
) -> tuple[np.ndarray, np.ndarray]:
    """What the built model gives, and ONNX Runtime's result with places that are in range."""
    names = ["x", "places", *([] if updates is None else ["updates"])]
    inputs = [value("x", data.shape), value("places", places.shape, TensorProto.INT64)]
    inputs += [] if updates is None else [value("updates", updates.shape)]
    node = helper.make_node(operator, names, ["y"], **attributes)
    proto = onnx.shape_inference.infer_shapes(model_of([node], inputs, [value("y", None)], {}, opset=18))
    given = {"x": data, "places": places} | ({} if updates is None else {"updates": updates})
    in_range = given | {"places": np.where(abs(places) < 1000, places, 0)}
    got = compile_model(partition_model(model_from_proto(proto, "places")), {}, detect()).executable.run(given)["y"]
    want = runtime.InferenceSession(proto.SerializeToString()).run(None, in_range)[0]
    return got, np.asarray(want)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_are_gathered(axis: int) -> None:
    places = np.random.default_rng(axis % 3).integers(-3, 3, (3, 2, 3))
    got, want = built_and_meant("GatherElements", random_array(0, 4, 5, 3), places, axis=axis)
    np.testing.assert_array_equal(got, want)
    places[1, 1, 1], places[0, 1, 0] = FAR, -FAR
    got, want = built_and_meant("GatherElements", random_array(0, 4, 5, 3), places, axis=axis)
    assert np.isnan(got[1, 1, 1])
    assert np.isnan(got[0, 1, 0])
    assert np.isnan(got).sum() == 2
    np.testing.assert_array_equal(np.where(np.isnan(got), want, got), want)


@pytest.mark.parametrize(("batch", "depth"), [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)])
def test_slices_are_gathered(batch: int, depth: int) -> None:
    places = np.random.default_rng(depth).integers(-3, 3, (4, 2, depth))
    got, want = built_and_meant("GatherND", random_array(0, 4, 5, 3), places, batch_dims=batch)
    np.testing.assert_array_equal(got, want)
    places[2, 1, depth - 1] = FAR
    got, want = built_and_meant("GatherND", random_array(0, 4, 5, 3), places, batch_dims=batch)
    assert np.isnan(got[2, 1]).all()
    assert np.isnan(got).sum() == got[2, 1].size


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_elements_are_scattered(axis: int, reduction: str) -> None:
    """The places are fewer than the elements along every axis; one of them counts from the end."""
    data, updates = random_array(0, 4, 5, 6), random_array(1, 3, 2, 3)
    rng = np.random.default_rng(0)
    places = np.argsort(rng.random((3, 2, 3)), axis=axis) if reduction == "none" else rng.integers(0, 4, (3, 2, 3))
    places[2, 1, 2] -= data.shape[axis]
    got, want = built_and_meant("ScatterElements", data, places, updates, axis=axis, reduction=reduction)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    far = places.copy()
    far[1, 0, 1], far[0, 1, 2] = FAR, -FAR
    kept = np.delete(np.arange(18), [np.ravel_multi_index(at, (3, 2, 3)) for at in ((1, 0, 1), (0, 1, 2))])
    want = data.copy()
    for index in (np.unravel_index(each, (3, 2, 3)) for each in kept):
        at = tuple(places[index] if each == axis % 3 else index[each] for each in range(3))
        old, new = want[at], updates[index]
        want[at] = {"none": new, "add": old + new, "mul": old * new, "min": min(old, new), "max": max(old, new)}[
            reduction
        ]
    got, _ = built_and_meant("ScatterElements", data, far, updates, axis=axis, reduction=reduction)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "min", "max"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_slices_are_scattered(depth: int, reduction: str) -> None:
    data = random_array(0, 4, 5, 6)
    flat = np.random.default_rng(0).permutation(np.prod(data.shape[:depth]))[:3]
    places = np.stack(np.unravel_index(flat, data.shape[:depth]), axis=-1).astype(np.int64)
    places[1, 0] -= 4
    updates = random_array(1, 3, *data.shape[depth:])
    got, want = built_and_meant("ScatterND", data, places, updates, reduction=reduction)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    places[2, depth - 1] = FAR
    got, _ = built_and_meant("ScatterND", data, places, updates, reduction=reduction)
    untouched = np.unravel_index(flat[2], data.shape[:depth])
    np.testing.assert_array_equal(got[untouched], data[untouched])
    changed = np.unravel_index(flat[:2], data.shape[:depth])
    np.testing.assert_allclose(got[changed], want[changed], rtol=1e-6)


def test_a_table_that_is_looked_up_needs_no_trust(capfd: pytest.CaptureFixture[str]) -> None:
    node = helper.make_node("Gather", ["table", "places"], ["y"])
    inputs = [value("places", (3,), TensorProto.INT64)]
    table = random_array(0, 5, 4)
    proto = onnx.shape_inference.infer_shapes(model_of([node], inputs, [value("y", None)], {"table": table}, opset=18))
    build = compile_model(partition_model(model_from_proto(proto, "table")), {}, detect())
    got = build.executable.run({"places": np.array([4, -1, FAR])})["y"]
    np.testing.assert_array_equal(got[:2], table[[4, 4]])
    assert np.isnan(got[2]).all()
    assert "segfault" not in capfd.readouterr().err
