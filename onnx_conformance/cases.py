"""The tests there are: what each one is called, which operator it is about, and which element types it uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from onnx.backend.test import BackendTest
from onnx.backend.test.case import node as node_tests
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

_OPERATORS = (
    "Add And AveragePool BatchNormalization Cast Clip Concat Constant ConstantOfShape Conv Div Dropout Equal Erf Exp "
    "Expand Flatten Gather Gelu Gemm GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity LRN "
    "LayerNormalization Less LessOrEqual LogSoftmax MatMul Max MaxPool Min Mul Neg Not Or Pad Pow Range ReduceMean "
    "ReduceSum Relu Reshape Shape Sigmoid Slice Softmax Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Trilu Unsqueeze "
    "Where"
)
MODEL_OPERATORS = frozenset(_OPERATORS.split())
"""Operators of the benchmarked models: the light ones, MobileNetV2, ViT, BERT and GPT-2 as PyTorch exports them."""

DRAWN = frozenset({"Bernoulli", "RandomUniformLike"})
"""Operators that node tests whose results are random begin with; each number is 0 or 1."""

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator", "real")


HALF_TOLERANCE = {"rtol": 2.0**-8, "atol": 2.0**-10}
"""Four units in the last place of a float16."""

FLOAT_UNITS = 2.0**-21
"""Four units in the last place of a float32 of size 1."""


class Elements(StrEnum):
    """The element types of a test's inputs and outputs, as far as they matter for what a backend can do.

    The bytes of an image file are no numbers to compute with, and count as what is none.
    """

    FLOAT32 = "float32"
    WHOLE = "integers and booleans"
    FLOAT64 = "float64"
    HALF = "float16 and bfloat16"
    NARROW = "fewer than 8 bits, or float8"
    OTHER = "strings, sequences, optionals, maps, images"


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `operator` is the one a node test is about, also where its model is that operator's expansion."""

    name: str
    kind: str
    operator: str
    elements: Elements
    run: Callable[[], None]
    run_loosely: Callable[[], None] | None = None
    """With the tolerance of the element type (`_tolerance`), where it has one."""
    is_own: Callable[[], bool] = lambda: True
    """Whether what was run last was computed by the backend alone, with no other runtime."""

    @property
    def matters_most(self) -> bool:
        """Whether it is a float32 test of an operator that the benchmarked models use."""
        return self.kind == "node" and self.elements is Elements.FLOAT32 and self.operator in MODEL_OPERATORS


class WatchedBackend:
    """A backend's module that remembers the model it prepared last."""

    def __init__(self, backend: ModuleType) -> None:
        self._backend = backend
        self._last: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def prepare(self, model: onnx.ModelProto, device: str = "CPU", **options: Any) -> Any:
        self._last = self._backend.prepare(model, device, **options)
        return self._last

    def is_own(self) -> bool:
        """Whether the backend computed all of that model; one that does not say did."""
        return bool(getattr(self._last, "is_own", True))


class Comparisons(BackendTest):  # type: ignore[misc]
    """The suite, which compares elements of sequences as if each was a sequence of arrays: a scalar has no length."""

    @classmethod
    def assert_similar_outputs(cls, ref_outputs: Any, outputs: Any, rtol: float, atol: float, **about: Any) -> None:
        if isinstance(ref_outputs, np.ndarray):
            ref_outputs, outputs = [ref_outputs], [outputs]
        super().assert_similar_outputs(ref_outputs, outputs, rtol, atol, **about)


def suite_cases(backend: WatchedBackend) -> dict[str, Case]:
    """The tests of `onnx.backend.test` for a backend's module, by name; those on the GPU are left out."""
    described = {f"{case.name}_cpu": case for kind in KINDS for case in load_model_tests(kind=kind)}
    operators = {name: _operator(case.model) for name, case in described.items() if case.model is not None}
    loose = {case.name: tolerance for case in described.values() if (tolerance := _tolerance(case))}
    loosely = Comparisons(backend, __name__, loose).test_cases
    cases = {}
    for title, group in Comparisons(backend, __name__).test_cases.items():
        for name in sorted(name for name in vars(group) if name in described):
            case = described[name]
            base = f"{case.name.partition('_expanded')[0]}_cpu"
            model = case.model or _model_of(case)
            operator = operators.get(base, operators.get(name, "")) if case.kind == "node" else ""
            elements = _elements(model)
            loose_run = loosely[title](name).debug if case.name in loose else None
            run = _DrawTest(backend, case) if operator in DRAWN else group(name).debug
            cases[name] = Case(name, case.kind, operator, elements, run, loose_run, backend.is_own)
    return cases


def _tolerance(case: TestCase) -> dict[str, float] | None:
    """How far apart results may be that differ in their last places only; None where outputs are no such floats."""
    if case.kind != "node" or case.model is None:
        return None
    elements = _elements(case.model)
    if elements is Elements.HALF:
        return HALF_TOLERANCE
    if elements is not Elements.FLOAT32:
        return None
    expected = (_array(value) for _, outputs in case.data_sets for value in outputs)
    floats = [array for array in expected if isinstance(array, np.ndarray) and array.dtype == np.float32]
    largest = max((float(np.abs(array[np.isfinite(array)]).max(initial=0.0)) for array in floats), default=0.0)
    return {"rtol": case.rtol, "atol": max(case.atol, FLOAT_UNITS * largest)}


def operator_cases(backend: WatchedBackend, files: Sequence[str]) -> dict[str, Case]:
    """The node tests in these files of the suite (`softmax`, `reshape`), which is quicker than to load all of them."""
    for file in files:
        import_module(f"{node_tests.__name__}.{file}")
    cases = {}
    for case in node_tests._NodeTestCases:
        name, operator = f"{case.name}_cpu", _operator(case.model)
        run = (_DrawTest if operator in DRAWN else _NodeTest)(backend, case)
        cases[name] = Case(name, "node", operator, _elements(case.model), run, None, backend.is_own)
    return cases


class _NodeTest:
    """What the suite does with a node test."""

    def __init__(self, backend: WatchedBackend, case: TestCase) -> None:
        self._backend = backend
        self._case = case

    def __call__(self) -> None:
        prepared = self._backend.prepare(self._case.model, "CPU")
        for inputs, expected in self._case.data_sets:
            arrays, wanted = (list(map(_array, values)) for values in (inputs, expected))
            Comparisons.assert_similar_outputs(wanted, prepared.run(arrays), self._case.rtol, self._case.atol)


class _DrawTest(_NodeTest):
    """Of random numbers: the suite's are one draw of NumPy's, so only shapes and types are compared, and the range."""

    def __call__(self) -> None:
        prepared = self._backend.prepare(self._case.model, "CPU")
        for inputs, expected in self._case.data_sets:
            for wanted, got in zip(map(_array, expected), prepared.run(list(map(_array, inputs))), strict=True):
                assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), f"{got.dtype}{list(got.shape)}"
                assert ((got == 0) | (got == 1)).all(), "numbers that are neither 0 nor 1"


def _array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def _model_of(case: object) -> onnx.ModelProto:
    folder, url = getattr(case, "model_dir", None), getattr(case, "url", None)
    if folder is not None:
        return onnx.load(str(Path(folder) / "model.onnx"), load_external_data=False)
    return onnx.load(str(Path(onnx.__file__).parent.parent / str(url)), load_external_data=False)


def _operator(model: onnx.ModelProto) -> str:
    node = model.graph.node[0]
    return node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"


def _elements(model: onnx.ModelProto) -> Elements:
    values = [*model.graph.input, *model.graph.output]
    if any(node.op_type == "ImageDecoder" for node in model.graph.node):
        return Elements.OTHER
    if not all(value.type.HasField("tensor_type") for value in values):
        return Elements.OTHER
    found = {onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type) for value in values}
    if found & _OTHERS:
        return Elements.OTHER
    if found - _WHOLE - {"FLOAT", *(name for names in _NAMES.values() for name in names)}:
        return Elements.NARROW
    for elements, names in _NAMES.items():
        if found & names:
            return elements
    floats = any(name.startswith(("FLOAT", "BFLOAT")) for name in found)
    return Elements.FLOAT32 if floats else Elements.WHOLE


_NAMES: Mapping[Elements, frozenset[str]] = {
    Elements.FLOAT64: frozenset({"DOUBLE"}),
    Elements.HALF: frozenset({"FLOAT16", "BFLOAT16"}),
}
_OTHERS = frozenset({"STRING", "COMPLEX64", "COMPLEX128", "UNDEFINED"})
_WHOLE = frozenset({"BOOL", *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))})
