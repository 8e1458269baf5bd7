"""A workload: one operator with all its parameters, as a value."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from flextune.errors import UsageError
from flextune.tvm_types import PrimFunc
from flextune.workload.operator_parameters import Params, Value, complete
from flextune.workload.operator_registry import find_operator
from flextune.workload.tensor import TensorSpec, Tolerance

if TYPE_CHECKING:
    from flextune.workload.tir import TirProgram

TIR = "tir"
MAX_ELEMENTS = 2**31 - 1  # of one tensor: programs count elements in 32 bits


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be computed. Equal workloads compute the same thing.

    `params` may be given in any order and without defaults; it is checked, completed and put into declaration order
    (`UsageError` when it cannot be used). `body` and `constants` belong to the operator `tir`, an arbitrary program
    as TVM's JSON (see `from_prim_func`); for all others `constants` follows from the parameter `weights`. It holds
    the positions of inputs whose values are known before the program runs.

    >>> str(Workload("gemm", (("m", 8), ("k", 4), ("n", 2))))
    'gemm:m=8,n=2,k=4,dtype=float32'
    """

    operator: str
    params: tuple[tuple[str, Value], ...]
    body: str | None = None
    constants: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.operator == TIR:
            _check_program(self.params, self.body, self.constants)
            return
        operator = find_operator(self.operator)
        params = complete(self.operator, operator.parameters, _unique(self.operator, self.params))
        operator.check(params)
        object.__setattr__(self, "params", params.items)
        inputs = operator.inputs(params)
        for spec in (*inputs, *operator.outputs(params)):
            if spec.elements > MAX_ELEMENTS:
                raise params.error(
                    f"{spec.name}{list(spec.shape)} has more than {MAX_ELEMENTS} elements: use smaller sizes"
                )
        object.__setattr__(self, "constants", tuple(i for i, spec in enumerate(inputs) if spec.constant))

    def __str__(self) -> str:
        if self.operator == TIR:
            shown = self.params
        else:
            declared = {p.name: p for p in find_operator(self.operator).parameters}
            shown = tuple(
                (name, value)
                for name, value in self.params
                if declared[name].always_printed or value != declared[name].default
            )
        return f"{self.operator}:" + ",".join(f"{name}={value}" for name, value in shown)

    @property
    def key(self) -> str:
        """Short stable hex: equal keys mean the same computation on the same element types."""
        identity = str(self) if self.operator != TIR else f"tir:{self.body}:{self.constants}"
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def param(self, name: str) -> Value:
        """The value of one parameter, also where it is the default; `KeyError` for an unknown name."""
        return Params(self.operator, self.params)[name]

    @property
    def checked_params(self) -> Params:
        return Params(self.operator, self.params)

    @property
    def dtype(self) -> str:
        """The parameter of that name, of which `OPERAND_TYPES` says what it means: float32, uint8, float16, ..."""
        if self.operator == TIR:
            return _program(self).main_dtype
        return str(dict(self.params).get("dtype", "float32"))

    @property
    def flops(self) -> int:
        """Arithmetic operations; a multiply-add counts two."""
        if self.operator == TIR:
            return _program(self).flops
        return find_operator(self.operator).flops(self.checked_params)

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        if self.operator == TIR:
            return _program(self).inputs
        return find_operator(self.operator).inputs(self.checked_params)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        if self.operator == TIR:
            return _program(self).outputs
        return find_operator(self.operator).outputs(self.checked_params)

    def prim_func(self) -> PrimFunc:
        """The program as a TVM PrimFunc named `main`: parameters are the inputs, then the outputs."""
        if self.operator == TIR:
            return _program(self).func
        builder = import_module("flextune.workload.tensor_builder")
        build = builder.TensorBuilder(self.dtype)
        placeholders = [build.placeholder(spec) for spec in self.inputs]
        results = find_operator(self.operator).expression(build, self.checked_params, placeholders)
        return builder.prim_func([*placeholders, *(results if isinstance(results, tuple) else (results,))])

    def random_inputs(self, seed: int) -> list[np.ndarray]:
        """One array per input, in storage form; the same for the same seed."""
        rng = np.random.default_rng(seed)
        if self.operator == TIR:
            return _program(self).random_inputs(rng)
        return find_operator(self.operator).random_inputs(self.checked_params, rng)

    def reference(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the outputs must be: by NumPy, or for `tir` by the program as it came, without any schedule."""
        _check_arrays(self, inputs)
        if self.operator == TIR:
            return _program(self).run(inputs)
        results = find_operator(self.operator).reference(self.checked_params, inputs)
        numbers = results if isinstance(results, tuple) else (results,)
        return [_stored(spec, each) for spec, each in zip(self.outputs, numbers, strict=True)]

    def tolerance(self) -> Tolerance:
        if self.operator == TIR:
            return _program(self).tolerance
        return find_operator(self.operator).tolerance(self.checked_params)


def _stored(spec: TensorSpec, numbers: np.ndarray) -> np.ndarray:
    rounded = spec.element.encode(numbers) if spec.element.is_float else numbers
    return np.ascontiguousarray(rounded, dtype=spec.dtype)


def _program(workload: Workload) -> TirProgram:
    from flextune.workload.tir import load_program  # here, because it loads TVM, which other workloads do without

    return load_program(workload.body or "", workload.constants)


def _check_program(params: tuple[tuple[str, Value], ...], body: str | None, constants: tuple[int, ...]) -> None:
    given = _unique(TIR, params)
    if set(given) - {"constants"} != {"name", "sha"}:
        raise UsageError(f"tir expects name=...,sha=..., got {', '.join(given) or 'nothing'}")
    if body is None:
        raise UsageError(
            f"tir:name={given['name']} is a model's program; its text does not hold the body, which is needed"
        )
    if given["sha"] != program_sha(body):
        raise UsageError(f"tir:name={given['name']}: the body does not match sha={given['sha']}")
    listed = str(given.get("constants", "none"))
    if listed != constants_text(constants):
        raise UsageError(f"tir:name={given['name']}: constants={listed}, but the inputs {list(constants)} are constant")


def program_sha(body: str) -> str:
    """The check sum of a `tir` body in its text form; never all digits, so that it stays a word."""
    return "h" + hashlib.sha256(body.encode()).hexdigest()[:16]


def constants_text(constants: tuple[int, ...]) -> str:
    return "+".join(map(str, constants)) if constants else "none"


def _unique(operator: str, params: tuple[tuple[str, Value], ...]) -> dict[str, Value]:
    given: dict[str, Value] = {}
    for name, value in params:
        if name in given:
            raise UsageError(f"{operator}: parameter {name!r} is given twice ({given[name]} and {value})")
        given[name] = value
    return given


def _check_arrays(workload: Workload, arrays: Sequence[np.ndarray]) -> None:
    specs = workload.inputs
    if len(arrays) != len(specs):
        raise UsageError(f"{workload.operator} has {len(specs)} inputs, got {len(arrays)} arrays")
    for spec, array in zip(specs, arrays, strict=True):
        if array.shape != spec.shape or array.dtype != np.dtype(spec.dtype):
            raise UsageError(
                f"{workload.operator}: input {spec.name} is {spec.dtype}{list(spec.shape)}, "
                f"got {array.dtype}{list(array.shape)}"
            )
