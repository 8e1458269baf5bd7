"""From planned modules with symbolic sizes to one library each: right at every size, with nothing left unwritten."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper
from tvm import relax

import flextune
from flextune.apply.build import compile_model, compile_unscheduled
from flextune.apply.executable import Executable
from flextune.apply.signature import Runtime
from flextune.importing.model import Model
from flextune.importing.passes import run_passes
from flextune.importing.values import ValueSpec
from flextune.lowering.lower import PASSES
from flextune.lowering.symbolic_shapes import generic_sizes
from flextune.plan.partition import Partition, partition_operators
from flextune.target.target import Target
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr
from tests.unit.apply.test_symbolic_sizes import CASES, Case, perceptron


def _partition(case: Case) -> Partition:
    dims = tuple(Dim(name, min(sizes), max(sizes)) for name, sizes in case.sizes.items())
    main = case.module["main"]
    inputs = tuple(
        ValueSpec.symbolic(str(each.name), [_size(size) for size in each.ty.shape], str(each.ty.dtype))
        for each in main.params
    )
    returned = main.ret_ty
    count = len(returned.fields) if isinstance(returned, relax.TupleType) else 1
    outputs = tuple(f"y{number}" for number in range(count))
    model = Model("symbolic", _proto(inputs, outputs), inputs, outputs, dims=dims)
    sizes = generic_sizes({dim.name: (dim.lo, dim.hi) for dim in dims})
    return partition_operators(model, run_passes(PASSES, case.module, (), None), sizes=sizes)


def _proto(inputs: Sequence[ValueSpec], outputs: Sequence[str]) -> onnx.ModelProto:
    """A model without nodes: what it computes is in the program."""
    read = [
        helper.make_tensor_value_info(
            spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), [*map(_declared, spec.axis_sizes)]
        )
        for spec in inputs
    ]
    written = [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in outputs]
    return helper.make_model(helper.make_graph([], "symbolic", read, written))


def _declared(size: DimExpr | int) -> int | str:
    return int(str(size)) if str(size).isdigit() else str(size)


def _size(extent: tvm.tirx.Expr) -> DimExpr:
    return DimExpr.of(int(extent) if isinstance(extent, tvm.tirx.IntImm) else str(extent.name))


def _combinations(case: Case) -> Iterator[tuple[int, ...]]:
    """All, in an order in which neighbours are far apart."""
    found = list(itertools.product(*case.sizes.values()))
    yield from found[::2]
    yield from reversed(found)


def _check(executable: Executable, case: Case, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(sum(sizes))
    arrays = [rng.standard_normal(shape).astype(np.float32) for shape in case.shapes(*sizes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy warns of what it makes of tensors without elements
        expected = [np.asarray(each, np.float32) for each in case.reference(*arrays)]
    rooms = {
        spec.name: np.full(each.shape, np.nan, np.float32)
        for spec, each in zip(executable.outputs, expected, strict=True)
    }
    inputs = {spec.name: array for spec, array in zip(executable.inputs, arrays, strict=True)}
    for got, wanted in zip(executable.run(inputs, rooms).values(), expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=str(sizes), strict=True)


@pytest.mark.parametrize("make", CASES)
def test_one_library_is_right_at_all_sizes(make: Callable[[], Case], target: Target, tmp_path: Path) -> None:
    case = make()
    build = compile_model(_partition(case), {}, target)
    assert build.executable.signature.runtime is Runtime.OWN, build.executable.notes
    with flextune.load(build.executable.save(tmp_path / "model.so")) as executable:
        for sizes in _combinations(case):
            _check(executable, case, sizes)


def test_a_model_without_schedules_too(target: Target) -> None:
    case = perceptron()
    executable = compile_unscheduled(_partition(case), target)
    for sizes in _combinations(case):
        _check(executable, case, sizes)
