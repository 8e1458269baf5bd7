"""What an executable takes, gives and was made for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any

from flextune.apply.program import dlpack_type
from flextune.errors import UsageError
from flextune.importing.values import UNKNOWN, ValueSpec
from flextune.plan.parts.words import OURS
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr


class Runtime(StrEnum):
    """What runs a model: code of its own library alone, TVM's virtual machine, or these and other runtimes in turns."""

    OWN = "own"
    TVM = "tvm"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True)
class Signature:
    """What an executable takes, gives and was made for. The text form (JSON) is stored with a saved executable."""

    name: str
    """The model's."""
    inputs: tuple[ValueSpec, ...]
    """Names, shapes and element types of what it takes."""
    outputs: tuple[ValueSpec, ...]
    """The same of what it gives."""
    target: str
    """What it was built for, as a text."""
    threads: int
    """How many a run uses."""
    runtime: Runtime = Runtime.TVM
    """What runs it: code of its own, or TVM's virtual machine."""
    instructions: tuple[str, ...] = ()
    """The processor features, by LLVM's names, that its code may use."""
    kernels: tuple[str, ...] = ()
    """The names of what it calls, in order."""
    weight_bytes: int = 0
    """The size of its constants."""
    activation_bytes: int | None = None
    """The peak of the memory between inputs and outputs; None where TVM decides about it at run time."""
    parts: tuple[str, ...] = ()
    """Of a hybrid model, in words: who runs what, and why."""
    dims: tuple[Dim, ...] = ()
    """The dimensions of its inputs that have a range rather than one size."""
    equal: tuple[str, ...] = ()
    """Sizes that must be the same in each run, as `h=2*(h//2)`; of dimensions by name."""

    def __post_init__(self) -> None:
        known = {dim.name for dim in self.dims}
        for spec in (*self.inputs, *self.outputs):
            if missing := sorted({name for size in spec.sizes for name in size.names} - known):
                raise UsageError(f"{spec} has a size {missing[0]} that no range is given for")

    @property
    def is_own(self) -> bool:
        """Whether all of it is ours, and nothing runs in another runtime."""
        return all(part.startswith(f"{OURS}:") for part in self.parts)

    def with_threads(self, threads: int) -> Signature:
        return replace(self, threads=threads)

    def to_json(self) -> str:
        ports = {"inputs": [_port(spec) for spec in self.inputs], "outputs": [_port(spec) for spec in self.outputs]}
        rest = {field.name: getattr(self, field.name) for field in fields(self)}
        return json.dumps({**rest, **ports, "dims": [str(dim) for dim in self.dims]})

    @classmethod
    def from_json(cls, text: str) -> Signature:
        """Inverse of `to_json`; `UsageError` where a field is missing, or is not what it can be."""
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"its signature is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise UsageError("its signature is not a JSON object")
        runtime = Runtime(_field(raw, "runtime", lambda value: _is_text(value) and value in list(Runtime)))
        read = hybrid_spec if runtime is Runtime.HYBRID else _value_spec
        return cls(
            _field(raw, "name", _is_text),
            tuple(map(read, _field(raw, "inputs", _is_list))),
            tuple(map(read, _field(raw, "outputs", _is_list))),
            _field(raw, "target", _is_text),
            _field(raw, "threads", lambda value: _is_count(value) and value > 0),
            runtime,
            tuple(_field(raw, "instructions", _are_texts)),
            tuple(_field(raw, "kernels", _are_texts)),
            _field(raw, "weight_bytes", _is_count),
            _field(raw, "activation_bytes", lambda value: value is None or _is_count(value)),
            tuple(_field({"parts": [], **raw}, "parts", _are_texts)),
            tuple(map(Dim.parse, _field({"dims": [], **raw}, "dims", _are_texts))),
            tuple(_field({"equal": [], **raw}, "equal", _are_texts)),
        )


def hybrid_spec(raw: object) -> ValueSpec:
    """An input or output from its JSON, which may be of a type or size that only another runtime knows. UsageError."""
    if not isinstance(raw, dict):
        raise UsageError(f"its signature has {raw!r:.80} as an input or output")
    dtype = _field(raw, "dtype", lambda value: _is_text(value) and (_is_element(value) or _is_open_type(value)))
    name, sizes = _field(raw, "name", _is_text), _field(raw, "shape", _are_open_sizes)
    if any(map(_is_text, sizes)):
        return ValueSpec.symbolic(name, [DimExpr.parse(n) if _is_text(n) else n for n in sizes], dtype)
    return ValueSpec(name, tuple(sizes), dtype)


def _are_open_sizes(given: object) -> bool:
    return isinstance(given, list) and all(_is_count(size) or size == UNKNOWN or _is_text(size) for size in given)


def _is_open_type(text: str) -> bool:
    return re.fullmatch(r"string|(tensor|sequence|optional|map|sparse_tensor|unknown)\([\w(), ]*\)", text) is not None


def _field(raw: Mapping[str, Any], name: str, fits: Callable[[Any], bool]) -> Any:
    if name not in raw or not fits(raw[name]):
        raise UsageError(f"its signature has {raw.get(name)!r:.80} as {name!r}")
    return raw[name]


def _value_spec(raw: object) -> ValueSpec:
    if not isinstance(raw, dict):
        raise UsageError(f"its signature has {raw!r:.80} as an input or output")
    name, dtype = _field(raw, "name", _is_text), _field(raw, "dtype", _is_element)
    shape = _field(raw, "shape", lambda sizes: _is_list(sizes) and all(_is_count(n) or _is_text(n) for n in sizes))
    return ValueSpec.symbolic(name, [DimExpr.parse(n) if _is_text(n) else n for n in shape], dtype)


def _port(spec: ValueSpec) -> dict[str, object]:
    """A size that depends on dimensions as its text."""
    shape = [size if isinstance(size, int) else str(size) for size in spec.axis_sizes]
    return {"name": spec.name, "shape": shape, "dtype": spec.dtype}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_element(value: object) -> bool:
    """Whether this names an element type that programs have."""
    try:
        dlpack_type(str(value))
    except (KeyError, TypeError, ValueError, SyntaxError):
        return False
    return _is_text(value)
