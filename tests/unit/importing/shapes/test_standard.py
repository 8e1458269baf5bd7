"""The rules against the ONNX project's own tests: results' shapes, types and elements, also with sizes as names."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from flextune.importing.shapes.table import ShapeTable
from flextune.importing.shapes.tracked import Tracked
from flextune.importing.shapes.tracker import track_shapes
from flextune.workload.dim_expr import DimExpr

pytestmark = pytest.mark.slow  # the project's tests take seconds to make

Case = tuple[str, onnx.ModelProto, list[np.ndarray | None], list[np.ndarray | None]]

NOT_FOLLOWED = {
    "GatherND", "LinearAttention", "OptionalGetElement", "Scan",
}  # fmt: skip
"""Of these the tests have forms that cannot be followed: a rank that is a size, one that is not declared, version 8."""
ROUNDED = ("is rounded to a float", "rounds what depends on sizes")


@pytest.fixture(scope="module")
def cases() -> Sequence[Case]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        return [found for case in load_model_tests(kind="node") if (found := _read(case)) is not None]


def _read(case: object) -> Case | None:
    model, data = getattr(case, "model", None), getattr(case, "data_sets", None)
    if model is None or not data:
        return None
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    inputs, outputs = data[0]
    return getattr(case, "name", ""), model, list(map(_array, inputs)), list(map(_array, outputs))


def _array(value: object) -> np.ndarray | None:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def _is_argument(number: int, value: np.ndarray) -> bool:
    """Whether an input says how to compute (axes, sizes, scales): small, and not the data."""
    return number > 0 and value.ndim < 2 and value.size <= 16


def _with_names(model: onnx.ModelProto, inputs: Sequence[np.ndarray | None], named: bool) -> dict[str, int]:
    """Make constants of what says how to compute, and names of the sizes of the rest: the same for the same size."""
    sizes: dict[str, int] = {}
    kept = []
    alone = len(model.graph.input) == 1 and model.graph.node[0].op_type == "ConstantOfShape"
    for number, (declared, value) in enumerate(zip(model.graph.input, inputs, strict=False)):
        if value is not None and value.dtype != object and (alone or _is_argument(number, value)):
            model.graph.initializer.append(numpy_helper.from_array(value, declared.name))
            continue
        kept.append(declared)
        for dim in declared.type.tensor_type.shape.dim if named and declared.type.HasField("tensor_type") else ():
            if dim.dim_value > 1:
                sizes[f"s{dim.dim_value}"] = dim.dim_value
                dim.dim_param = f"s{dim.dim_value}"
    del model.graph.input[:]
    model.graph.input.extend(kept)
    return sizes


def _outcome(table: ShapeTable, name: str, wanted: np.ndarray, sizes: dict[str, int]) -> str:
    found = table.tensors[name]
    if not isinstance(found, Tracked) or found.shape is None:
        return "not followed: " + "; ".join(map(str, table.problems))
    decided = {each.dim.name for each in table.decided}
    for axis, size in enumerate(found.shape):
        if not size.names & decided and size.bind(sizes) != wanted.shape[axis]:
            return f"WRONG SHAPE {table.text(name)} for {wanted.shape}"
    if len(found.shape) != wanted.ndim:
        return f"WRONG RANK {table.text(name)} for {wanted.shape}"
    return _outcome_of_elements(found, wanted, sizes)


def _outcome_of_elements(found: Tracked, wanted: np.ndarray, sizes: dict[str, int]) -> str:
    if found.elements is None:
        return "shape"
    for element, value in zip(found.elements.reshape(-1), wanted.reshape(-1), strict=True):
        if element is not None and element.numerator.names <= sizes.keys():
            got = element.numerator.bind(sizes) / element.denominator
            if abs(got - float(value)) > 1e-6 * max(1.0, abs(got)):
                return f"WRONG VALUE {got} for {value}"
    return "elements"


def _outcomes(cases: Sequence[Case], named: bool) -> Iterator[tuple[str, str, str]]:
    for name, original, inputs, outputs in cases:
        model = onnx.ModelProto.FromString(original.SerializeToString())
        if model.graph.node and any(node.domain not in ("", "ai.onnx") for node in model.graph.node):
            continue
        sizes = _with_names(model, inputs, named)
        table = track_shapes(model)
        for demand in table.demands:
            names = demand.left.names | (demand.right or DimExpr.of(0)).names
            assert not names <= sizes.keys() or demand.holds(sizes), f"{name}: {demand}"
        operators = {node.op_type for node in model.graph.node}
        for declared, wanted in zip(model.graph.output, outputs, strict=False):
            if wanted is not None:
                yield name, "/".join(sorted(operators)), _outcome(table, declared.name, wanted, sizes)


@pytest.mark.parametrize("named", [False, True], ids=["numbers", "names"])
def test_results_are_as_the_standard_says(cases: Sequence[Case], named: bool) -> None:
    outcomes = list(_outcomes(cases, named))
    wrong = [each for each in outcomes if each[2].startswith("WRONG")]
    lost = [
        each
        for each in outcomes
        if each[2].startswith("not followed")
        and not set(each[1].split("/")) & NOT_FOLLOWED
        and not any(words in each[2] for words in ROUNDED)
    ]
    assert not wrong
    assert not lost
    assert len(outcomes) > 1500
