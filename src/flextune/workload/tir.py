"""Workloads that are arbitrary programs, such as the fused groups of a model.

The program travels as TVM's JSON, which is read without evaluating anything, and only after a check that it does
nothing but compute (`stored_program`). The unscheduled program is its own reference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import s_tir, tirx
from tvm.ir import Call, TensorLoad
from tvm_ffi.serialization import from_json_graph_str

from flextune.errors import UsageError
from flextune.tvm_types import Block, Buffer
from flextune.workload.counting import count_flops, reads_data
from flextune.workload.element_type import BFLOAT16, ELEMENT_TYPES, FLOAT32, INT8, UINT8
from flextune.workload.extremes import register_extremes
from flextune.workload.loop_order import results_innermost
from flextune.workload.rounding import register_rounding
from flextune.workload.stored_elements import bfloat16_buffers, buffer_element, is_among
from flextune.workload.stored_program import checked_graph
from flextune.workload.tensor import FLOAT32_ROUNDING, TensorSpec, Tolerance
from flextune.workload.workload import TIR, Workload, constants_text, program_sha

GAIN = "flextune.gain"
"""The block annotation that says by how much an algorithm's terms outgrow inputs within [-1, 1] before they cancel."""

_KEPT_ATTRIBUTES = ("global_symbol", "tirx.noalias", "s_tir")
_PARTIAL_DOMAIN = frozenset(("sqrt", "rsqrt", "log", "log2", "log10", "log1p", "pow"))
_REDUCE_AXIS = 2
_REFERENCE_TARGET = {"kind": "llvm", "opt-level": 2}
"""Any CPU. What runs once is worth little compiling: level 3 unrolls the loop of a sum for a third of a second."""

_BYTES = frozenset((UINT8, INT8))

_BYTE_SCALE = 1e-4
"""Of a product of two bytes; usual quantised activations have steps near 0.01 and weights near 0.001."""


def from_prim_func(func: Any, name: str, constants: Sequence[int] = ()) -> Workload:
    """The workload that computes what `func` does.

    `func` writes its last parameters and only reads the others; `constants` are positions of inputs that are known
    before the program runs. Names of its parameters and attributes that do not matter are dropped, so that equal
    programs have equal keys. `name` is for people and must not hold `,` or `=`. Raises `UsageError` for shapes that
    are not constants.
    """
    body = _canonical_body(func)
    count = len(load_program(body, tuple(constants)).inputs)
    if not all(0 <= index < count for index in constants):
        raise UsageError(f"{name}: constants {list(constants)} must be positions below {count}")
    if not name or set(name) & set(",=: \n"):
        raise UsageError(f"expected a name without ',', '=', ':' and spaces, got {name!r}")
    positions = tuple(sorted(set(constants)))
    params: list[tuple[str, int | str]] = [("name", name), ("sha", program_sha(body))]
    if positions:
        params.append(("constants", constants_text(positions)))
    return Workload(TIR, tuple(params), body, positions)


@lru_cache(maxsize=256)
def load_program(body: str, constants: tuple[int, ...]) -> TirProgram:
    """The program in `body`; raises `UsageError` when the text is damaged or the program cannot be a workload.

    That is so for every program that does more than compute, whether it comes from a file or not.
    """
    register_rounding()
    register_extremes()
    checked = checked_graph(body)
    try:
        func = from_json_graph_str(checked)
    except (ValueError, RuntimeError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"the body of a tir workload is not a program of this TVM: {_first_line(error)}") from None
    return TirProgram(func, constants)


@dataclass(frozen=True)
class TirProgram:
    """A PrimFunc as a workload: what it reads and writes, counts, inputs, and how to run it."""

    func: Any
    constants: tuple[int, ...]

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._specs[: self._output_start]

    @cached_property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._specs[self._output_start :]

    @cached_property
    def flops(self) -> int:
        return count_flops(self.func)

    @property
    def main_dtype(self) -> str:
        """uint8 for sums of products of bytes, bfloat16 for sums over stored bfloat16 numbers, else float32."""
        types = {spec.element for spec in self.inputs}
        if types >= _BYTES or (types & _BYTES and all(spec.element.is_whole for spec in self.outputs)):
            return UINT8.name
        return BFLOAT16.name if BFLOAT16 in types and self._reduction_length > 1 else FLOAT32.name

    @property
    def tolerance(self) -> Tolerance:
        """As for operators, with the reductions of all blocks added up, and four times wider for their combination.

        The absolute part is wider by the gains that blocks state. A number that is stored as bfloat16, or as a byte
        after scaling, may be rounded the other way; so may one that is rounded inside, as the weights of an attention,
        which are at most 1 together and may be rounded before or after they are divided by their sum.
        """
        elements = {spec.element for spec in self.outputs}
        whole = 1.0 if self._scales_bytes and elements & _BYTES else 0.0
        if not any(each.is_float for each in elements):
            return Tolerance(0.0, 0.0, whole)
        length, coarsest = self._reduction_length, max(each.step for each in elements)
        stored = coarsest if coarsest > FLOAT32.step else 0.0
        relative = 2e-5 + 16 * self._rounding * math.sqrt(length) + stored
        absolute = 16 * self._rounding * max(16, length) * self._gain
        return Tolerance(relative, absolute + (BFLOAT16.step / 2 if self._rounds_inside else 0.0), whole)

    def random_inputs(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Floats in [-1, 1], or in [0.5, 1.5] when the program takes roots or logarithms, or divides by an input.

        Floats that scale sums of products of bytes are so small that the results fit bytes again. Integers that are
        used as positions stay within the dimension they index.
        """
        return [self._random(spec, rng) for spec in self.inputs]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of the program as it is, compiled without a schedule for this machine.

        By TVM's own code for any CPU: platforms have their functions in code for their own targets only, so that a
        reference shares none with the kernel that is checked against it.
        """
        function = results_innermost(self.func)
        module = tvm.compile(function, target=tvm.target.Target(_REFERENCE_TARGET)).jit()
        results = [tvm.runtime.tensor(np.zeros(spec.shape, spec.dtype)) for spec in self.outputs]
        module["main"](*[tvm.runtime.tensor(np.ascontiguousarray(array)) for array in arrays], *results)
        return [result.numpy() for result in results]

    @cached_property
    def _specs(self) -> tuple[TensorSpec, ...]:
        return tuple(
            _spec(param, position in self.constants, self._bfloat16) for position, param in enumerate(self.func.params)
        )

    @cached_property
    def _bfloat16(self) -> tuple[Buffer, ...]:
        return bfloat16_buffers(self.func)

    @cached_property
    def _output_start(self) -> int:
        """The position of the first written parameter; all that follow must be written too."""
        written = _written_buffers(self.func)
        is_written = [any(param.same_as(buffer) for buffer in written) for param in self.func.params]
        start = is_written.index(True) if any(is_written) else len(is_written)
        if start == len(is_written) or not all(is_written[start:]):
            raise UsageError("a tir workload must write its last parameters and none of those before them")
        return start

    @cached_property
    def _reduction_length(self) -> int:
        lengths: list[int] = []

        def visit(block: Any) -> None:
            extents = [it.dom.extent for it in block.iter_vars if int(it.iter_type) == _REDUCE_AXIS]
            lengths.append(math.prod(int(e) for e in extents if isinstance(e, tirx.IntImm)))

        tvm_ffi.structural_walk(self.func.body, (s_tir.SBlock, visit))
        return max(1, sum(length for length in lengths if length > 1))

    @cached_property
    def _rounding(self) -> float:
        """The relative error of one addition in the coarsest type that a block sums in; that of float32 at least."""
        sums: set[str] = set()

        def visit(block: Block) -> None:
            if any(int(it.iter_type) == _REDUCE_AXIS for it in block.iter_vars):
                sums.update(str(region.source.ty.dtype) for region in block.writes)

        tvm_ffi.structural_walk(self.func.body, (s_tir.SBlock, visit))
        return max(FLOAT32_ROUNDING, *(each.step / 2 for name, each in ELEMENT_TYPES.items() if name in sums), 0.0)

    @cached_property
    def _gain(self) -> int:
        gains: list[int] = []

        def visit(block: Any) -> None:
            if GAIN in block.annotations:
                gains.append(int(block.annotations[GAIN]))

        tvm_ffi.structural_walk(self.func.body, (s_tir.SBlock, visit))
        return math.prod(gains)

    @cached_property
    def _rounds_inside(self) -> bool:
        """Whether what was computed as float32 inside becomes bfloat16 inside."""
        own = {
            buffer: BFLOAT16.name if is_among(buffer, self._bfloat16) else str(buffer.ty.dtype)
            for buffer in self.func.body.block.alloc_buffers
        }
        found: list[str] = []

        def visit(block: Any) -> None:
            if any(own.get(region.source) == BFLOAT16.name for region in block.writes):
                found.extend(own.get(region.source, "") for region in block.reads)

        tvm_ffi.structural_walk(self.func.body, (s_tir.SBlock, visit))
        return "float32" in found

    @cached_property
    def _scales_bytes(self) -> bool:
        """Whether bytes are made into floats and back, as in a quantised model."""
        casts: list[Any] = []
        tvm_ffi.structural_walk(self.func.body, (tirx.Cast, casts.append))
        bytes_in = any(spec.element in _BYTES for spec in self.inputs)
        return bytes_in and any(str(cast.ty.dtype) == "float32" for cast in casts)

    @cached_property
    def _has_partial_domain(self) -> bool:
        found = []

        def visit_call(call: Any) -> None:
            name = str(getattr(call.op, "name", "")).rpartition(".")[2]
            if name in _PARTIAL_DOMAIN and not (name == "pow" and _is_whole(call.args[1])):
                found.append(call)

        def visit_quotient(quotient: Any) -> None:
            divisor = quotient.b
            if isinstance(divisor, TensorLoad) and any(divisor.source.same_as(param) for param in self.func.params):
                found.append(quotient)

        tvm_ffi.structural_walk(self.func.body, [(Call, visit_call), (tirx.Div, visit_quotient)])
        return bool(found)

    @cached_property
    def _position_bound(self) -> int | None:
        """The smallest extent that data of the program is used as a position in; None when it never is."""
        bounds: list[int] = []

        def visit(load: Any) -> None:
            for index, extent in zip(load.indices, load.source.ty.shape, strict=True):
                if reads_data(index):
                    bounds.append(int(extent))

        tvm_ffi.structural_walk(self.func.body, (TensorLoad, visit))
        return min(bounds, default=None)

    def _random(self, spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
        element = spec.element
        if element.is_whole and self._position_bound is not None:
            return rng.integers(0, self._position_bound, spec.shape).astype(spec.dtype)
        values = element.random(spec.shape, rng)
        if element.is_float and self._scales_bytes:
            return element.encode(element.decode(values) * _BYTE_SCALE / math.sqrt(self._reduction_length))
        if element.is_float and self._has_partial_domain:
            values = element.encode(element.decode(values) * 0.5 + 1)
        return values


def _canonical_body(func: Any) -> str:
    """The program as JSON with its parameters called p0, p1, ... and no attribute that other parts of TVM left."""
    func = func.with_attr("global_symbol", "main")
    for name in list(func.attrs.keys()):
        if name not in _KEPT_ATTRIBUTES:
            func = func.without_attr(name)
    tree = json.loads(tvm.ir.save_json(func))
    nodes = tree["nodes"]
    for position, index in enumerate(nodes[nodes[tree["root_index"]]["data"]["params"]]["data"]):
        nodes.append({"type": "ffi.String", "data": f"p{position}"})
        nodes[index]["data"]["name"] = len(nodes) - 1
    return str(tvm.ir.save_json(from_json_graph_str(json.dumps(tree))))


def _spec(param: Any, constant: bool, bfloat16: Sequence[Buffer]) -> TensorSpec:
    shape = getattr(param.ty, "shape", None)
    if shape is None:
        raise UsageError(f"parameter {param.name} of a tir workload is not a tensor")
    if not all(isinstance(extent, tirx.IntImm) for extent in shape):
        raise UsageError(f"parameter {param.name} has the shape {list(shape)}: bind its symbols to numbers first")
    element = buffer_element(param, bfloat16)
    return TensorSpec(str(param.name), tuple(int(extent) for extent in shape), element, constant)


def _written_buffers(func: Any) -> list[Any]:
    written: list[Any] = []

    def visit_block(block: Any) -> None:
        written.extend(region.source for region in block.writes)

    callbacks = [(tirx.BufferStore, lambda store: written.append(store.buffer)), (s_tir.SBlock, visit_block)]
    tvm_ffi.structural_walk(func.body, callbacks)
    return written


def _is_whole(exponent: Any) -> bool:
    return isinstance(exponent, tirx.FloatImm) and float(exponent.value).is_integer()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
