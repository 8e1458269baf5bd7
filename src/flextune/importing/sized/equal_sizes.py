"""Dimensions of inputs that are the same size in every valid run, by one name.

before: x[n, 4], z[m, 4]; y = Add(x, z)   -->   after: x[n, 4], z[n, 4]

A run then refuses inputs in which they differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from flextune.errors import ModelError
from flextune.importing.shapes.names import input_shapes
from flextune.importing.shapes.standard import dimensions
from flextune.importing.shapes.table import Demand
from flextune.importing.shapes.tracker import track_shapes
from flextune.workload.dim import Dim


def unify_sizes(proto: onnx.ModelProto, dims: Mapping[str, Dim], source: str) -> tuple[dict[str, Dim], list[str]]:
    """Gives dimensions of inputs that must be the same size one name, in place; the ranges then, and notes.

    ModelError where no size is in both ranges.
    """
    found, notes = dict(dims), list[str]()
    while (demand := _first_of_names(proto, found)) is not None:
        kept, gone = sorted(_names(demand), key=[*found].index)
        found[kept] = _common(found[kept], found.pop(gone), demand, source)
        _rename(proto, gone, kept)
        notes.append(f"{gone} is taken to be the same size as {kept} ({demand.about})")
    return found, notes


def equal_sizes(proto: onnx.ModelProto, dims: Sequence[Dim]) -> tuple[str, ...]:
    """What a run has to check, because no name says it: `h=2*(h//2)`."""
    if not dims:
        return ()
    demands = track_shapes(proto, {dim.name: dim for dim in dims}).demands
    return tuple(dict.fromkeys(f"{each.left}={each.right}" for each in demands if each.right is not None))


def _first_of_names(proto: onnx.ModelProto, dims: Mapping[str, Dim]) -> Demand | None:
    for demand in track_shapes(proto, dims).demands:
        if demand.right is not None and demand.left.name in dims and demand.right.name in dims:
            return demand
    return None


def _names(demand: Demand) -> tuple[str, str]:
    return demand.left.name or "", (demand.right.name or "") if demand.right is not None else ""


def _common(one: Dim, other: Dim, demand: Demand, source: str) -> Dim:
    low, high = max(one.lo, other.lo), min(one.hi, other.hi)
    multiple = math.lcm(one.multiple, other.multiple)
    if low > high or not range(-(-low // multiple) * multiple, high + 1, multiple):
        raise ModelError(f"{source}: {one} and {other} must be the same size ({demand.about}), and no size is in both")
    return replace(one, lo=low, hi=high, multiple=multiple)


def _rename(proto: onnx.ModelProto, gone: str, kept: str) -> None:
    shapes = input_shapes(proto.graph.input)
    for value in proto.graph.input:
        shape = shapes.get(value.name)
        if shape is None or not any(gone in size.names for size in shape):
            continue
        renamed = [size.substitute({gone: kept}) for size in shape]
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, dimensions(renamed)))
