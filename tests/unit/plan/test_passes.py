"""Named passes: listed, switched off one by one without changing what is computed, and written out one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper
from onnx.reference import ReferenceEvaluator
from tvm import relax

from flextune.errors import UsageError
from flextune.importing.model import Model, model_from_proto
from flextune.importing.passes import Pass, run_passes
from flextune.lowering.kernels import fuse_by_default
from flextune.lowering.lower import relax_operators
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.plan.partition import PLANNED, partition_model
from flextune.plan.pass_dump import dump_passes
from flextune.plan.pass_list import check_passes, listed_passes, pass_names
from flextune.testing.models import model_of, random_array, value

STAGES = ("onnx", "relax", "kernel")
OPTIONAL = sorted({each.name for each in listed_passes() if each.stage in STAGES and not each.needed})
ALWAYS = sorted({each.name for each in listed_passes() if each.needed})


def small_model() -> Model:
    """A padded convolution with its batch norm, a bound, an identity, transposes that cancel, and a linear layer."""
    constants = {"w": random_array(0, 4, 3, 3, 3), "f": random_array(1, 36, 5), "pads": np.array([0, 0, 1, 1] * 2)}
    constants |= {name: np.abs(random_array(2 + place, 4)) + 0.5 for place, name in enumerate("sbmv")}
    constants |= {"low": np.array(0, np.float32), "shape": np.array([1, 36])}
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["p"]),
        helper.make_node("Conv", ["p", "w"], ["c"], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Clip", ["n", "low"], ["r"]),
        helper.make_node("Identity", ["r"], ["i"]),
        helper.make_node("Transpose", ["i"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("Transpose", ["t"], ["u"], perm=[0, 3, 1, 2]),
        helper.make_node("Reshape", ["u", "shape"], ["z"]),
        helper.make_node("MatMul", ["z", "f"], ["y"]),
    ]
    proto = model_of(nodes, [value("x", [1, 3, 5, 5])], [value("y", [1, 5])], constants)
    return model_from_proto(proto, "small")


def block_model() -> Model:
    """An inverted residual block, then rows that are normalised and attend to themselves."""
    shapes = {
        "w": (12, 4, 1, 1),
        "d": (12, 1, 3, 3),
        "p": (4, 12, 1, 1),
        "q": (4, 4),
        "k": (4, 4),
        "s": (4,),
        "b": (4,),
    }
    constants = {name: random_array(place, *shape) for place, (name, shape) in enumerate(shapes.items())}
    constants |= {"rows": np.array([1, 25, 4])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["wide_relu"]),
        helper.make_node("Conv", ["wide_relu", "d"], ["deep"], group=12, pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["deep", "p"], ["narrow"]),
        helper.make_node("Add", ["narrow", "x"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["last", "rows"], ["z"]),
        helper.make_node("LayerNormalization", ["z", "s", "b"], ["norm"]),
        helper.make_node("MatMul", ["norm", "q"], ["queries"]),
        helper.make_node("MatMul", ["norm", "k"], ["keys"]),
        helper.make_node("Transpose", ["keys"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["queries", "turned"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
        helper.make_node("MatMul", ["weights", "norm"], ["y"]),
    ]
    return model_from_proto(model_of(nodes, [value("x", [1, 4, 5, 5])], [value("y", [1, 25, 4])], constants), "block")


def outputs(module: tvm.IRModule, model: Model) -> np.ndarray:
    target = tvm.target.Target({"kind": "llvm"})
    machine = relax.VirtualMachine(tvm.compile(module, target=target), tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in model.random_inputs(0).values()])
    return np.asarray(result.numpy())


def reference(model: Model) -> np.ndarray:
    """The outputs by ONNX's own evaluator."""
    return np.asarray(ReferenceEvaluator(model.proto).run(None, dict(model.random_inputs(0)))[0])


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_model_without_a_pass_computes_the_same(name: str) -> None:
    check_passes([name])
    model = small_model()
    found = outputs(partition_model(model, [name]).module, model)
    np.testing.assert_allclose(found, reference(model), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [small_model(), block_model()], ids=lambda model: model.name)
def test_a_model_without_anything_that_can_be_switched_off_computes_the_same(model: Model) -> None:
    without = partition_model(model, pass_names())
    np.testing.assert_allclose(outputs(without.module, model), reference(model), rtol=1e-4, atol=1e-4)
    assert without.without == pass_names()
    assert without.module.script() != partition_model(model).module.script()


@pytest.mark.parametrize("name", ["group-operators", "narrow-indices", "remove-copies"])
def test_operators_without_a_plan_compute_the_same_without_a_pass(name: str) -> None:
    model = block_model()
    module, anew = (fuse_by_default(relax_operators(model), without) for without in ((), (name,)))
    assert anew.script() != module.script()
    for each in (module, anew):
        np.testing.assert_allclose(outputs(each, model), reference(model), rtol=1e-4, atol=1e-4)


def test_a_pass_that_is_switched_off_does_not_run() -> None:
    with_it, without = (relax_operators(small_model(), names) for names in ((), ("fold-affine",)))
    assert "R.sqrt" not in with_it.script()
    assert len(without.script()) > len(with_it.script())


@pytest.mark.parametrize("name", ALWAYS)
def test_what_cannot_be_left_out_says_why(name: str) -> None:
    needed = next(each.needed for each in listed_passes() if each.name == name)
    with pytest.raises(UsageError, match=f"without the pass '{name}'.*{needed}"):
        check_passes([name])
    assert name not in pass_names()


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="fold-affine"):
        check_passes(["fold-afine"])


def test_every_name_is_one_pass_and_says_what_it_does() -> None:
    listed = listed_passes()
    assert len({each.name for each in listed}) == len(listed)
    assert all(each.about for each in listed)
    assert {each.name for each in listed if not each.needed} == set(pass_names())


def test_passes_run_in_order_and_are_observed() -> None:
    passes = [Pass("upper", "", str.upper), Pass("twice", "", lambda text: 2 * text), Pass("strip", "", str.strip, "x")]
    seen: list[tuple[str, str]] = []
    found = run_passes(passes, " a", ("twice", "strip"), lambda name, text: seen.append((name, text)))
    assert found == "A"
    assert seen == [("upper", " A"), ("strip", "A")]


CASES = {
    "planned": (small_model(), FLOAT32, {"group-operators", "along-lines", "bfloat16"}),
    "bfloat16": (small_model(), Precision("bfloat16"), {"group-operators"}),
}
"""A model, its precision, and the passes that it does not go through."""


@pytest.mark.parametrize("case", CASES)
def test_every_pass_is_written_out(case: str, tmp_path: Path) -> None:
    model, precision, others = CASES[case]
    written = dump_passes(model, tmp_path / "passes", ("lift-slices", "narrow-indices"), precision)
    names = [path.stem.partition("_")[2] for path in written]
    ran = [each.name for each in listed_passes() if each.stage in STAGES]
    assert set(ran) - set(names) == {"lift-slices", "narrow-indices"} | others
    assert set(names) - set(ran) == {PLANNED}
    first = [name for name in dict.fromkeys(names) if name in ran]
    assert first == [name for name in ran if name in first]
    assert [path.name for path in sorted((tmp_path / "passes").iterdir())] == [path.name for path in written]
    for path in written:
        if path.suffix == ".onnx":
            onnx.checker.check_model(onnx.load(path))
    last = partition_model(model, ("lift-slices", "narrow-indices"), precision).module.script(show_meta=False)
    assert written[-1].read_text(encoding="utf-8") == last
