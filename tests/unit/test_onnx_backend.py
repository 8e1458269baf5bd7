"""The interface of ONNX's backends: what it takes, what it builds when, and what it says of bad input."""

from __future__ import annotations

import gc

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.base import Backend

import flextune.onnx_backend as backend
from flextune.errors import ModelError, UsageError
from flextune.importing.sparse import make_dense
from flextune.testing.models import conv_block, evaluate, model_of, random_array, value


def test_prepared_models_take_lists_names_and_single_arrays() -> None:
    proto, x = conv_block(), random_array(1, 1, 4, 10, 10)
    (want,) = evaluate(proto, {"x": x})
    prepared = backend.prepare(proto, schedules="none")
    for inputs in ([x], {"x": x}, x, (x,)):
        outputs = prepared.run(inputs)
        np.testing.assert_allclose(outputs[0], want, rtol=1e-4, atol=1e-5)
    assert outputs["y"] is outputs[0]
    np.testing.assert_allclose(backend.run_model(proto, [x])[0], want, rtol=1e-4, atol=1e-5)


def test_dynamic_dimensions_take_the_shape_that_comes() -> None:
    proto = model_of([helper.make_node("Neg", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])])
    prepared = backend.prepare(proto)
    for size in (2, 5, 2):
        x = random_array(size, size, 3)
        np.testing.assert_array_equal(prepared.run([x])[0], -x)


def test_inputs_that_decide_shapes_are_bound_when_they_come() -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"])]
    inputs = [value("x", [2, 6]), value("a", [2], TensorProto.INT64), value("b", [2], TensorProto.INT64)]
    prepared = backend.prepare(model_of(nodes, inputs, [value("y", [None, None])]))
    x = random_array(0, 2, 6)
    for shape in ((3, 4), (6, 2)):
        given = [x, np.array(shape, np.int64) - 1, np.ones(2, np.int64)]
        np.testing.assert_array_equal(prepared.run(given)[0], x.reshape(shape))


def test_nodes_run_alone() -> None:
    x = random_array(0, 2, 3)
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    np.testing.assert_array_equal(backend.run_node(node, [x])[0], x.T)
    squeeze = helper.make_node("Squeeze", ["x"], ["y"], axes=[0])
    np.testing.assert_array_equal(backend.run_node(squeeze, [x[None]], opset_version=11)[0], x)


def test_scalars_stay_scalars() -> None:
    node = helper.make_node("Mul", ["x", "c"], ["y"])
    outputs = backend.run_node(node, [random_array(0, 3), np.array(2.0, np.float32)])
    np.testing.assert_array_equal(outputs[0], 2 * random_array(0, 3))
    assert backend.run_node(helper.make_node("Neg", ["x"], ["y"]), [np.array(2.0, np.float32)])[0].shape == ()


def test_devices_and_compatibility() -> None:
    assert issubclass(backend.FlextuneBackend, Backend)
    assert backend.supports_device("CPU")
    assert not backend.supports_device("CUDA:1")
    assert not backend.supports_device("toaster")
    assert backend.is_compatible(conv_block())
    unknown = model_of([helper.make_node("StringNormalizer", ["x"], ["y"])], [value("x", [2])], [value("y", [2])])
    assert not backend.is_compatible(unknown, only_own=True)
    with pytest.raises(UsageError, match="CUDA"):
        backend.prepare(conv_block(), "CUDA")
    with pytest.raises(ModelError, match="StringNormalizer"):
        backend.prepare(unknown, only_own=True)


def test_what_is_not_ours_runs_in_onnxruntime() -> None:
    pytest.importorskip("onnxruntime")
    inverse = helper.make_node("Inverse", ["x"], ["y"], domain="com.microsoft")
    theirs = model_of([inverse], [value("x", [2, 2])], [value("y", [2, 2])])
    theirs.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    assert backend.is_compatible(theirs)
    (result,) = backend.run_model(theirs, [np.array([[2, 1], [1, 3]], np.float32)])
    np.testing.assert_allclose(result, [[0.6, -0.2], [-0.2, 0.4]], rtol=1e-5)
    foreign = model_of(
        [helper.make_node("Foo", ["x"], ["y"], domain="org.example")], [value("x", [2])], [value("y", [2])]
    )
    foreign.opset_import.append(helper.make_opsetid("org.example", 1))
    assert not backend.is_compatible(foreign)
    with pytest.raises(ModelError, match=r"org.example::Foo \(writes y\).*no such operator either"):
        backend.prepare(foreign)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"z": np.zeros(3, np.float32)}, ["'z'", "did you mean"]),
        ({"xx": np.zeros(3, np.float32)}, ["'xx'", "did you mean 'x'"]),
        ([], ["'x' is missing"]),
        ([np.zeros(3, np.float32)] * 2, ["2 inputs", "takes 1", "x"]),
        ([np.zeros(3)], ["'x'", "float32", "float64"]),
        ([np.zeros((1, 3), np.float32)], ["'x'", "[3]", "[1, 3]"]),
    ],
)
def test_bad_inputs_say_what_was_expected(inputs: object, words: list[str]) -> None:
    proto = model_of([helper.make_node("Neg", ["x"], ["y"])], [value("x", [3])], [value("y", [3])])
    with pytest.raises(UsageError) as caught:
        backend.prepare(proto, schedules="none").run(inputs)
    assert all(word in str(caught.value) for word in words if word != "did you mean"), caught.value


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="did you mean 'default'"):
        backend.prepare(conv_block(), schedules="defalt")
    with pytest.raises(UsageError, match="threads"):
        backend.prepare(conv_block(), threads=-1)


def test_nothing_of_the_compilers_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Neither where serial loops are compiled nor where an import fails half-way."""
    scatter = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"])
    inputs = [value("x", [3]), value("i", [1], TensorProto.INT64), value("u", [1])]
    prepared = backend.prepare(model_of([scatter], inputs, [value("y", [3])]))
    (found,) = prepared.run([np.zeros(3, np.float32), np.array([1]), np.ones(1, np.float32)])
    np.testing.assert_array_equal(found, [0, 1, 0])
    doubles = [value(name, [1, 3, 3], TensorProto.DOUBLE) for name in "xy"]
    with pytest.raises(ModelError, match="LRN"):
        backend.prepare(model_of([helper.make_node("LRN", ["x"], ["y"], size=1)], *[[each] for each in doubles]))
    gc.collect()
    assert capfd.readouterr().err == ""


def test_sparse_constants_are_written_out() -> None:
    values, places = (
        numpy_helper.from_array(np.array(each), name) for each, name in (([5.0, 7.0], "w"), ([1, 5], "i"))
    )
    sparse = helper.make_sparse_tensor(values, places, [2, 3])
    proto = model_of(
        [helper.make_node("Constant", [], ["w"], sparse_value=sparse), helper.make_node("Add", ["x", "w"], ["y"])],
        *[[value(name, [2, 3], TensorProto.DOUBLE)] for name in "xy"],
    )
    (found,) = backend.prepare(proto, schedules="none").run([np.ones((2, 3))])
    np.testing.assert_array_equal(found, [[1, 6, 1], [1, 1, 8]])
    sparse.dims[:] = [2**20, 2**20]
    with pytest.raises(ModelError, match="written out"):
        make_dense(
            onnx.GraphProto(sparse_initializer=[sparse]),
            "the model",
        )


def test_a_chain_of_functions_builds_in_time_that_grows_with_its_length() -> None:
    """Each is written out with what it is of in several places: eight in one expression would take hours."""
    links = 8
    nodes = [helper.make_node("Sigmoid", [f"t{link}"], [f"t{link + 1}"]) for link in range(links)]
    prepared = backend.prepare(model_of(nodes, [value("t0", [2, 8])], [value(f"t{links}", [2, 8])]))
    given = expected = random_array(0, 2, 8)
    for _ in range(links):
        expected = 1 / (1 + np.exp(-expected))
    np.testing.assert_allclose(prepared.run([given])[0], expected, rtol=1e-5)
