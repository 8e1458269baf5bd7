"""Named passes: listed, switched off one by one without changing what is computed, and written out one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper
from tvm import relax

from flextune.errors import UsageError
from flextune.importing.model import Model, model_from_proto
from flextune.importing.passes import Pass, run_passes
from flextune.lowering.kernels import fuse_by_default
from flextune.lowering.lower import relax_operators
from flextune.plan.fusion.switcher import check_passes, pass_names
from flextune.plan.passes import dump_passes, listed_passes
from flextune.testing.models import model_of, random_array, value

OPTIONAL = sorted({each.name for each in listed_passes() if each.stage in ("onnx", "relax") and not each.needed})
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


def outputs(module: tvm.IRModule, model: Model) -> np.ndarray:
    target = tvm.target.Target({"kind": "llvm"})
    machine = relax.VirtualMachine(tvm.compile(fuse_by_default(module), target=target), tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in model.random_inputs(0).values()])
    return np.asarray(result.numpy())


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return outputs(relax_operators(small_model()), small_model())


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_model_without_a_pass_computes_the_same(name: str, expected: np.ndarray) -> None:
    check_passes([name])
    found = outputs(relax_operators(small_model(), [name]), small_model())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


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


def test_every_pass_is_written_out(tmp_path: Path) -> None:
    written = dump_passes(small_model(), tmp_path / "passes", ("lift-slices",))
    names = [path.stem.partition("_")[2] for path in written]
    ran = [each.name for each in listed_passes() if each.stage in ("onnx", "relax")]
    assert set(ran) - set(names) == {"lift-slices"}
    assert [path.name for path in sorted((tmp_path / "passes").iterdir())] == [path.name for path in written]
    for path in written:
        if path.suffix == ".onnx":
            onnx.checker.check_model(onnx.load(path))
    last = relax_operators(small_model(), ("lift-slices",)).script(show_meta=False)
    assert written[-1].read_text(encoding="utf-8") == last
