"""Ensembles of decision trees: all trees at once, one step down in each round, by gathers and comparisons.

before: y = TreeEnsembleRegressor(x[N,F])
after:  n = roots; for each level of the deepest tree: n = Where(x[feature[n]] <= value[n], true[n], false[n])
        y = ReduceSum(Gather(weights, n))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import FLOAT, Writer
from flextune.importing.tensors import tensor_array

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""In the order of the numbers that `TreeEnsemble` has for them."""

COMPARISONS = {
    "BRANCH_EQ": "Equal",
    "BRANCH_GT": "Greater",
    "BRANCH_GTE": "GreaterOrEqual",
    "BRANCH_LEQ": "LessOrEqual",
    "BRANCH_LT": "Less",
}
MOST_WEIGHTS = 2**26
MOST_LEVELS = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Nodes of all trees, leaves among them; a leaf leads to itself."""

    roots: np.ndarray
    feature: np.ndarray
    value: np.ndarray
    modes: tuple[str, ...]
    yes: np.ndarray
    """Where to go on if the comparison holds."""
    no: np.ndarray
    missing: np.ndarray
    """Whether NaN goes where the comparison holds."""
    weights: np.ndarray
    """What each leaf gives [nodes, targets]."""
    given: np.ndarray
    """Which of these it does give."""


def of_lists(write: Writer, prefix: str, targets: int) -> Forest:
    """The forest in the attributes that name each node by its tree and its number there."""
    node = write.node
    names = list(zip(attribute(node, "nodes_treeids", ()), attribute(node, "nodes_nodeids", ()), strict=True))
    place = {name: number for number, name in enumerate(names)}
    modes = tuple(each.decode() for each in attribute(node, "nodes_modes", ()))  # type: ignore[attr-defined]
    count = len(names)
    own = np.arange(count)
    sides: list[np.ndarray] = []
    for key in ("nodes_truenodeids", "nodes_falsenodeids"):
        ids = attribute(node, key, ())
        aims = [
            place.get((tree, aim), -1) if mode != "LEAF" else number
            for number, ((tree, _), aim, mode) in enumerate(zip(names, ids, modes, strict=True))
        ]
        sides.append(np.array(aims))
    if any((side < 0).any() for side in sides):
        write.refuse("a node leads to one that there is not")
    reached = set(sides[0][[mode != "LEAF" for mode in modes]]) | set(sides[1][[mode != "LEAF" for mode in modes]])
    roots = np.array([number for number in own if number not in reached])
    given = np.zeros((count, targets), bool)
    weights: np.ndarray = np.zeros((count, targets), _dtype(write))
    parts = (attribute(node, f"{prefix}_{name}", ()) for name in ("treeids", "nodeids", "ids"))
    for tree, number, target, weight in zip(*parts, numbers(write, f"{prefix}_weights"), strict=True):
        if (tree, number) not in place or not 0 <= target < targets:
            write.refuse("a weight belongs to no node or target")
        weights[place[tree, number], target] += weight
        given[place[tree, number], target] = True
    missing = np.array(attribute(node, "nodes_missing_value_tracks_true", ()) or (0,) * count, bool)
    value = numbers(write, "nodes_values")
    feature = np.array(attribute(node, "nodes_featureids", ()))
    return Forest(
        roots,
        feature,
        value,
        modes,
        sides[0],
        sides[1],
        missing,
        weights,
        given,
    )


def of_leaves(write: Writer) -> Forest:
    """The forest in the attributes of `TreeEnsemble`, which keeps leaves apart from nodes."""
    node = write.node
    modes = [MODES[int(each)] for each in numbers(write, "nodes_modes", np.uint8)]
    count, targets = len(modes), attribute(node, "n_targets", 1)
    leaf_targets = attribute(node, "leaf_targetids", ())
    leaves = len(leaf_targets)
    sides: list[np.ndarray] = []
    for side in ("true", "false"):
        aims, is_leaf = (np.array(attribute(node, f"nodes_{side}{name}", ())) for name in ("nodeids", "leafs"))
        sides.append(np.concatenate([np.where(is_leaf, count + aims, aims), count + np.arange(leaves)]))
    if any(((side < 0) | (side >= count + leaves)).any() for side in sides):
        write.refuse("a node leads to one that there is not")
    weights: np.ndarray = np.zeros((count + leaves, targets), _dtype(write))
    weights[count + np.arange(leaves), list(leaf_targets)] = numbers(write, "leaf_weights")
    given = np.zeros(weights.shape, bool)
    given[count + np.arange(leaves), list(leaf_targets)] = True
    missing = np.array(attribute(node, "nodes_missing_value_tracks_true", ()) or (0,) * count, bool)
    return Forest(
        np.array(attribute(node, "tree_roots", ())),
        np.concatenate([np.array(attribute(node, "nodes_featureids", ())), np.zeros(leaves, np.int64)]),
        np.concatenate([numbers(write, "nodes_splits"), np.zeros(leaves)]).astype(_dtype(write)),
        (*modes, *["LEAF"] * leaves),
        sides[0],
        sides[1],
        np.concatenate([missing, np.zeros(leaves, bool)]),
        weights,
        given,
    )


def leaf_weights(write: Writer, forest: Forest) -> str:
    """What the leaf that each row reaches in each tree gives: [rows, trees, targets]."""
    source = write.input(0)
    if write.kind(source) not in (FLOAT, TensorProto.DOUBLE):
        source = write.cast(source, FLOAT)
    rows, features = write.shape(write.input(0))
    if forest.weights.size > MOST_WEIGHTS or (len(forest.feature) and forest.feature.max() >= features):
        write.refuse("it has too many weights, or asks for features that there are not")
    tables = {
        name: write.constant(array, array.dtype)
        for name, array in (
            ("feature", forest.feature.astype(np.int64)),
            ("value", forest.value.astype(_dtype(write))),
            ("yes", forest.yes.astype(np.int64)),
            ("no", forest.no.astype(np.int64)),
        )
    }
    place = write.integers(np.broadcast_to(forest.roots, (rows, len(forest.roots))))
    for _ in range(_levels(write, forest)):
        asked = write.emit("Gather", [tables["feature"], place])
        number = write.emit("GatherElements", [source, asked], axis=1)
        holds = _compared(write, forest, (number, write.emit("Gather", [tables["value"], place]), place))
        aims = [write.emit("Gather", [tables[side], place]) for side in ("yes", "no")]
        place = write.emit("Where", [holds, *aims])
    return write.emit("Gather", [write.constant(forest.weights, forest.weights.dtype), place], axis=0)


def _compared(write: Writer, forest: Forest, operands: tuple[str, str, str]) -> str:
    number, value, place = operands
    present = sorted({mode for mode in forest.modes if mode != "LEAF"})
    holds = ""
    for mode in present:
        if mode == "BRANCH_NEQ":
            found = write.emit("Not", [write.emit("Equal", [number, value])])
        elif mode in COMPARISONS:
            found = write.emit(COMPARISONS[mode], [number, value])
        else:
            write.refuse(f"the mode {mode} is not supported")
        if not holds:
            holds = found
            continue
        is_mode = write.constant(np.array([each == mode for each in forest.modes]), np.bool_)
        holds = write.emit("Where", [write.emit("Gather", [is_mode, place]), found, holds])
    if forest.missing.any():
        tracks = write.emit("Gather", [write.constant(forest.missing, np.bool_), place])
        holds = write.emit("Or", [holds, write.emit("And", [write.emit("IsNaN", [number]), tracks])])
    return holds


def _levels(write: Writer, forest: Forest) -> int:
    """Steps from the roots to the deepest leaf."""
    reached, levels = np.unique(forest.roots), 0
    is_leaf = np.array([mode == "LEAF" for mode in forest.modes])
    while not is_leaf[reached].all():
        reached = np.unique(np.concatenate([forest.yes[reached], forest.no[reached]]))
        levels += 1
        if levels > MOST_LEVELS:
            write.refuse(f"a tree is deeper than {MOST_LEVELS} levels, or leads in a circle")
    return levels


def numbers(write: Writer, name: str, dtype: type | None = None) -> np.ndarray:
    """An attribute that is a list of numbers, or a tensor (also by the name with `_as_tensor`)."""
    for entry in write.node.attribute:
        if entry.name in (name, f"{name}_as_tensor"):
            if entry.type == onnx.AttributeProto.TENSOR:
                return tensor_array(entry.t).astype(dtype or _dtype(write))
            return np.array(entry.floats or entry.ints, dtype or _dtype(write))
    return np.zeros(0, dtype or _dtype(write))


def _dtype(write: Writer) -> type:
    return np.float64 if write.kind(write.input(0)) == TensorProto.DOUBLE else np.float32
