"""What a stored program may be made of: the nodes of TVM's JSON graph, and their fields.

A list of what is allowed. Everything else that TVM could read from such a graph is refused: functions and modules,
calls of foreign code, pragmas, addresses, vectors (a stored program has no schedule), and statements that only lowered
programs have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flextune.errors import UsageError

TENSOR: Final = "a tensor"
"""The kind of an `ir.Var` that stands for a tensor and not for a number."""


def refused(reason: str) -> UsageError:
    """The error for a stored program that is not accepted."""
    return UsageError(f"the body of a tir workload is refused, because it may only compute: {reason}")


@dataclass(frozen=True, slots=True)
class Node:
    """A field that holds the number of a node of one of these kinds."""

    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Nodes:
    """A field that holds the number of an array of nodes of these kinds; of no node at all where there is no kind."""

    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Text:
    """A field that holds the number of a string: any, or one of these."""

    words: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Literal:
    """A field that holds one of these values itself; 0 and False are two."""

    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A field that holds a number itself."""


@dataclass(frozen=True, slots=True)
class Element:
    """A field that holds the name of an element type itself."""


@dataclass(frozen=True, slots=True)
class Named:
    """A field that holds the number of a map from these names to nodes of these kinds, or arrays of such."""

    kinds_of: Mapping[str, frozenset[str]]


ELEMENTS: Final = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["bool", "bfloat16", "float16", "float32", "float64"]
)
"""Names of element types: no vectors and no pointers."""

Field = Node | Nodes | Text | Literal | Number | Element | Named


def _of(*kinds: str) -> Node:
    return Node(frozenset(kinds))


ARITHMETIC: Final = frozenset(
    f"prim.{name}" for name in ("Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max")
)
"""Of two numbers of the result's type."""

BITS: Final = frozenset(("prim.BitwiseAnd", "prim.BitwiseOr", "prim.BitwiseXor", "prim.LShift", "prim.RShift"))
"""Of two whole numbers of the result's type."""

COMPARISONS: Final = frozenset(("prim.EQ", "prim.NE", "prim.LT", "prim.LE", "prim.GT", "prim.GE"))
"""Of two numbers of equal types, with a truth value as result."""

CONNECTIVES: Final = frozenset(("prim.And", "prim.Or"))
"""Of two truth values."""

EXPRESSIONS: Final = (
    ARITHMETIC
    | BITS
    | COMPARISONS
    | CONNECTIVES
    | {"ir.IntImm", "ir.FloatImm", "ir.Var", "ir.TensorLoad", "ir.Call"}
    | {"prim.Not", "prim.BitwiseNot", "prim.Cast", "prim.Select", "prim.Let"}
)

STATEMENTS: Final = frozenset(
    ("tirx.For", "tirx.SeqStmt", "tirx.BufferStore", "tirx.IfThenElse", "tirx.Bind", "tirx.AttrStmt")
) | {"s_tir.SBlockRealize"}

_NONE: Final = _of("None")
_EXPRESSION: Final = Node(EXPRESSIONS)
_EXPRESSIONS: Final = Nodes(EXPRESSIONS)
_STATEMENT: Final = Node(STATEMENTS)
_NOTHING: Final = Nodes(frozenset())
_SIZES: Final = Nodes(EXPRESSIONS)
_REGIONS: Final = Nodes(frozenset(("ir.TensorRegion",)))
_ELEMENT: Final = _of("ir.PrimType")
_UNARY: Final = {"span": _NONE, "ty": _ELEMENT, "a": _EXPRESSION}
_BINARY: Final = {**_UNARY, "b": _EXPRESSION}

_ANNOTATIONS: Final = Named(
    {
        "axis": frozenset(("int",)),
        "schedule_rule": frozenset(("ffi.String",)),
        "auto_scheduler_simplify_const_tensor_indices": frozenset(("ffi.String",)),
        "auto_scheduler_always_unroll_inner": frozenset(("ffi.String",)),
        "flextune.role": frozenset(("ffi.String",)),
        "flextune.strides": frozenset(("int", "ir.IntImm")),
        "flextune.lows": frozenset(("int", "ir.IntImm")),
        "flextune.gain": frozenset(("int",)),
        "flextune.online": frozenset(("int",)),
    }
)
"""Those of blocks, by which nothing is done but what our own analysis does."""

_FUNCTION_ATTRIBUTES: Final = Named(
    {
        "global_symbol": frozenset(("ffi.String",)),
        "tirx.noalias": frozenset(("bool",)),
        "s_tir": frozenset(("bool",)),
    }
)

NODES: Final[Mapping[str, Mapping[str, Field]]] = {
    **dict.fromkeys(ARITHMETIC | BITS | COMPARISONS | CONNECTIVES, _BINARY),
    **dict.fromkeys(("prim.Not", "prim.BitwiseNot"), _UNARY),
    "prim.Cast": {"span": _NONE, "ty": _ELEMENT, "value": _EXPRESSION},
    "prim.Select": {
        "span": _NONE,
        "ty": _ELEMENT,
        "condition": _EXPRESSION,
        "true_value": _EXPRESSION,
        "false_value": _EXPRESSION,
    },
    "prim.Let": {"span": _NONE, "ty": _ELEMENT, "var": _of("ir.Var"), "value": _EXPRESSION, "body": _EXPRESSION},
    "ir.IntImm": {"span": _NONE, "ty": _ELEMENT, "value": _of("int")},
    "ir.FloatImm": {"span": _NONE, "ty": _ELEMENT, "value": Number()},
    "ir.StringImm": {"span": _NONE, "ty": _of("ir.StringType"), "value": Text()},
    "ir.Var": {"span": _NONE, "ty": _of("ir.PrimType", "tirx.BufferType"), "name": Text()},
    "ir.TensorLoad": {"span": _NONE, "ty": _ELEMENT, "source": _of(TENSOR), "indices": _EXPRESSIONS},
    "ir.Call": {
        "span": _NONE,
        "ty": _ELEMENT,
        "op": _of("ir.Op"),
        "args": _EXPRESSIONS,
        "attrs": _NONE,
        "ty_args": _NOTHING,
    },
    "ir.PrimType": {"span": _NONE, "dtype": Element()},
    "ir.Range": {"span": _NONE, "min": _EXPRESSION, "extent": _EXPRESSION},
    "ir.TensorRegion": {
        "span": _NONE,
        "ty": _of("tirx.BufferRegionType"),
        "source": _of(TENSOR),
        "region": Nodes(frozenset(("ir.Range",))),
    },
    "ir.DictAttrs": {"__dict__": _FUNCTION_ATTRIBUTES},
    "ir.StringType": {"span": _NONE},
    "ir.TupleType": {"span": _NONE, "fields": _NOTHING},
    "relax.ShapeType": {"span": _NONE, "values": _SIZES, "ndim": Number()},
    "relax.expr.ShapeExpr": {"span": _NONE, "ty": _of("relax.ShapeType"), "values": _SIZES},
    "relax.TensorType": {
        "span": _NONE,
        "shape": _of("relax.expr.ShapeExpr"),
        "dtype": _ELEMENT,
        "vdevice": _NONE,
        "ndim": Number(),
    },
    "relax.FuncType": {
        "span": _NONE,
        "params": Nodes(frozenset(("relax.TensorType", "ir.PrimType"))),
        "ret": _of("ir.TupleType"),
        "derive_func": _NONE,
        "purity": Literal((True, False)),
    },
    "tirx.BufferRegionType": {"span": _NONE},
    "tirx.BufferType": {
        "span": _NONE,
        "dtype": _ELEMENT,
        "storage_scope": Text(frozenset(("global", "local"))),
        "shape": _SIZES,
        "strides": _NOTHING,
        "elem_offset": _of("ir.IntImm", "ir.Var"),
        "data_alignment": Literal((64,)),
        "offset_factor": Literal((0, 1)),
        "layout": _of("None", "tirx.TileLayout"),
        "allocated_addr": _NOTHING,
    },
    "tirx.TileLayout": {
        "shard": Nodes(frozenset(("tirx.Iter",))),
        "replica": _NOTHING,
        "offset": Named({}),
    },
    "tirx.Iter": {"extent": _of("ir.IntImm", "ir.Var"), "stride": _EXPRESSION, "axis": _of("tirx.Axis")},
    "tirx.IterVar": {
        "span": _NONE,
        "dom": _of("ir.Range"),
        "var": _of("ir.Var"),
        "iter_type": Literal((0, 2)),
        "thread_tag": Text(frozenset(("",))),
    },
    "tirx.For": {
        "span": _NONE,
        "loop_var": _of("ir.Var"),
        "min": _EXPRESSION,
        "extent": _EXPRESSION,
        "kind": Literal((0, 1, 2, 3)),
        "body": _STATEMENT,
        "thread_binding": _NONE,
        "annotations": Named({}),
        "step": _NONE,
    },
    "tirx.SeqStmt": {"span": _NONE, "seq": Nodes(STATEMENTS)},
    "tirx.BufferStore": {"span": _NONE, "buffer": _of(TENSOR), "value": _EXPRESSION, "indices": _EXPRESSIONS},
    "tirx.IfThenElse": {
        "span": _NONE,
        "condition": _EXPRESSION,
        "then_case": _STATEMENT,
        "else_case": Node(STATEMENTS | {"None"}),
    },
    "tirx.Bind": {"span": _NONE, "var": _of("ir.Var"), "value": _EXPRESSION},
    "tirx.AttrStmt": {
        "span": _NONE,
        "node": _of("int"),
        "attr_key": Text(frozenset(("pragma_scope",))),
        "value": _of("ir.StringImm"),
        "body": _STATEMENT,
    },
    "s_tir.SBlock": {
        "span": _NONE,
        "iter_vars": Nodes(frozenset(("tirx.IterVar",))),
        "reads": _REGIONS,
        "writes": _REGIONS,
        "name_hint": Text(),
        "alloc_buffers": Nodes(frozenset((TENSOR,))),
        "match_buffers": _NOTHING,
        "annotations": _ANNOTATIONS,
        "init": Node(STATEMENTS | {"None"}),
        "body": _STATEMENT,
    },
    "s_tir.SBlockRealize": {
        "span": _NONE,
        "iter_values": _EXPRESSIONS,
        "predicate": _EXPRESSION,
        "block": _of("s_tir.SBlock"),
    },
    "tirx.PrimFunc": {
        "span": _NONE,
        "ty": _of("relax.FuncType"),
        "attrs": _of("ir.DictAttrs"),
        "params": Nodes(frozenset((TENSOR, "ir.Var"))),
        "ret_type": _of("ir.TupleType"),
        "body": _of("s_tir.SBlockRealize"),
    },
}
"""The kinds of nodes that have fields; a program also has arrays, maps, strings, numbers and names of operators."""
