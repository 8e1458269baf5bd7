"""Operators of `ai.onnx.ml` on numbers, as scikit-learn's converters write them, by plain operators.

before: y = ai.onnx.ml.Scaler(x)   -->   after: y = Mul(Sub(x, offset), scale)

Numbers are ONNX Runtime's; labels, keys and categories that are strings are not supported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.trees import Forest, leaf_weights, numbers, of_leaves, of_lists
from flextune.importing.simplify.writer import FLOAT, INT64, Writer
from flextune.importing.tensors import tensor_array

ML = "ai.onnx.ml"


def _as_float(write: Writer) -> str:
    """The input in float32."""
    return write.input(0) if write.kind(write.input(0)) == FLOAT else write.cast(write.input(0), FLOAT)


def _scaler(write: Writer) -> None:
    offset, scale = (np.array(attribute(write.node, name, (0.0,) * 0), np.float32) for name in ("offset", "scale"))
    moved = write.emit("Sub", [_as_float(write), write.constant(offset)]) if offset.size else _as_float(write)
    write.emit("Mul", [moved, write.constant(scale if scale.size else 1.0)], write.output(0))


def _normalizer(write: Writer) -> None:
    """Each row divided by its norm; a row of zeros stays as it is."""
    kind = attribute(write.node, "norm", "MAX")
    if kind not in ("MAX", "L1", "L2"):
        write.refuse(f"the norm {kind} is not supported")
    value = _as_float(write)
    axis = len(write.shape(write.input(0))) - 1
    norm = write.reduced("ReduceMax" if kind == "MAX" else f"Reduce{kind}", value, [axis])
    zero = write.constant(0)
    safe = write.emit("Where", [write.emit("Equal", [norm, zero]), write.constant(1), norm])
    write.emit("Div", [value, safe], write.output(0))


def _linear(write: Writer, targets: int) -> str:
    """Products with the coefficients of each target, and its intercept: [rows, targets]."""
    features = write.shape(write.input(0))[-1]
    coefficients = np.array(attribute(write.node, "coefficients", (0.0,) * 0), np.float32)
    intercepts = np.array(attribute(write.node, "intercepts", (0.0,) * 0), np.float32)
    if coefficients.size != targets * features or intercepts.size not in (0, targets):
        write.refuse(f"{coefficients.size} coefficients do not fit {features} features and {targets} targets")
    total = write.emit("MatMul", [_as_float(write), write.constant(coefficients.reshape(targets, features).T)])
    return write.emit("Add", [total, write.constant(intercepts)]) if intercepts.size else total


def _linear_regressor(write: Writer) -> None:
    targets = attribute(write.node, "targets", 1)
    _transformed(write, _linear(write, targets), write.output(0), targets)


def _transformed(write: Writer, scores: str, result: str, targets: int) -> None:
    """Scores after what is asked for at the end; of a single one ONNX Runtime does not always do what is asked for."""
    how = attribute(write.node, "post_transform", "NONE")
    name = how if isinstance(how, str) else ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[how]
    operators = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
    if name not in operators or (name != "NONE" and targets == 1):
        write.refuse(f"the transformation {name} of {targets} scores is not supported")
    write.emit(operators[name], [scores], result, **({"axis": -1} if name == "SOFTMAX" else {}))


def _labelled(write: Writer, scores: str, labels: tuple[int, ...]) -> None:
    """The first result: the label of the largest score."""
    if write.output(0):
        best = write.emit("ArgMax", [scores], axis=1, keepdims=0)
        write.emit("Gather", [write.integers(labels), best], write.output(0), axis=0)


def _linear_classifier(write: Writer) -> None:
    labels = attribute(write.node, "classlabels_ints", (0,) * 0)
    intercepts = attribute(write.node, "intercepts", (0.0,) * 0)
    if len(labels) < 2 or len(intercepts) != len(labels):
        write.refuse("labels that are strings, or fewer scores than labels, are not supported")
    scores = _linear(write, len(labels))
    _labelled(write, scores, labels)
    _transformed(write, scores, write.output(1) or write.fresh(), len(labels))


def _tree_regressor(write: Writer) -> None:
    targets = attribute(write.node, "n_targets", 1)
    _aggregated(write, of_lists(write, "target", targets), attribute(write.node, "aggregate_function", "SUM"), FLOAT)


def _tree_ensemble(write: Writer) -> None:
    name = ("AVERAGE", "SUM", "MIN", "MAX")[attribute(write.node, "aggregate_function", 1)]
    _aggregated(write, of_leaves(write), name, write.kind(write.input(0)))


def _aggregated(write: Writer, forest: Forest, how: str, kind: int) -> None:
    """The node's result: what all trees give, joined, and the base values added."""
    operator = {"SUM": "ReduceSum", "AVERAGE": "ReduceSum", "MIN": "ReduceMin", "MAX": "ReduceMax"}.get(how)
    is_leaf = np.array([mode == "LEAF" for mode in forest.modes])
    if operator is None or (operator != "ReduceSum" and not forest.given[is_leaf].all()):
        write.refuse(f"{how} of trees that give some targets only is not supported")
    total = write.reduced(operator, leaf_weights(write, forest), [1], keepdims=0)
    if how == "AVERAGE":
        total = write.emit("Div", [total, write.constant(len(forest.roots), forest.weights.dtype)])
    base = numbers(write, "base_values")
    if base.size:
        total = write.emit("Add", [total, write.constant(base, forest.weights.dtype)])
    if np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) != forest.weights.dtype:
        total = write.cast(total, kind)
    _transformed(write, total, write.output(0), forest.weights.shape[1])


def _tree_classifier(write: Writer) -> None:
    labels = attribute(write.node, "classlabels_int64s", (0,) * 0)
    if len(labels) < 3:
        write.refuse("labels that are strings, or fewer than three, are not supported")
    forest = of_lists(write, "class", len(labels))
    total = write.reduced("ReduceSum", leaf_weights(write, forest), [1], keepdims=0)
    base = numbers(write, "base_values")
    if base.size:
        total = write.emit("Add", [total, write.constant(base, forest.weights.dtype)])
    if forest.weights.dtype != np.float32:
        total = write.cast(total, FLOAT)
    _labelled(write, total, labels)
    _transformed(write, total, write.output(1) or write.fresh(), len(labels))


def _label_encoder(write: Writer) -> None:
    """Numbers looked up among keys, by comparing with all of them; others get the default."""
    keys, values = (_mapped(write, kind) for kind in ("keys", "values"))
    default = _default(write, values.dtype)
    source = write.input(0)
    shape = write.shape(source)
    if write.kind(source) != onnx.helper.np_dtype_to_tensor_dtype(keys.dtype):
        write.refuse(f"keys of {keys.dtype} do not fit its input")
    if keys.dtype.kind == "f" and np.isnan(keys).any():
        write.refuse("keys that are NaN are not supported")
    spread = write.shaped(source, (*shape, 1))
    equal = write.emit("Equal", [spread, write.constant(keys, keys.dtype)])
    found = write.emit("ArgMax", [write.cast(equal, FLOAT)], axis=len(shape), keepdims=0)
    known = write.reduced("ReduceMax", write.cast(equal, FLOAT), [len(shape)], keepdims=0)
    chosen = write.emit("Gather", [write.constant(values, values.dtype), found], axis=0)
    is_known = write.cast(known, TensorProto.BOOL)
    write.emit("Where", [is_known, chosen, write.constant(default, values.dtype)], write.output(0))


def _mapped(write: Writer, role: str) -> np.ndarray:
    for entry in write.node.attribute:
        if entry.name == f"{role}_int64s":
            return np.array(entry.ints, np.int64)
        if entry.name == f"{role}_floats":
            return np.array(entry.floats, np.float32)
        if entry.name == f"{role}_tensor" and entry.t.data_type != TensorProto.STRING:
            return tensor_array(entry.t).reshape(-1)
    return write.refuse(f"{role} that are strings are not supported")


def _default(write: Writer, dtype: np.dtype) -> np.ndarray:
    for entry in write.node.attribute:
        if entry.name == "default_tensor":
            return tensor_array(entry.t).reshape(())
    if dtype.kind == "f":
        return np.asarray(attribute(write.node, "default_float", -0.0), dtype)
    return np.asarray(attribute(write.node, "default_int64", -1), dtype)


def _binarizer(write: Writer) -> None:
    limit = write.number(attribute(write.node, "threshold", 0.0))
    above = write.emit("Greater", [write.input(0), limit])
    write.emit("Cast", [above], write.output(0), to=write.kind(write.input(0)))


def _array_feature_extractor(write: Writer) -> None:
    """Chosen columns, of one row at least."""
    shape = write.shape(write.input(0))
    value = write.shaped(write.input(0), (1, *shape)) if len(shape) == 1 else write.input(0)
    columns = write.shaped(write.input(1), (-1,))
    write.emit("Gather", [value, columns], write.output(0), axis=max(len(shape), 2) - 1)


def _imputer(write: Writer) -> None:
    """One value replaced, in each column by another one."""
    source = write.input(0)
    is_float = write.dtype(source).kind == "f"
    name = "float" if is_float else "int64"
    old = attribute(write.node, f"replaced_value_{name}", 0.0 if is_float else 0)
    new = np.array(attribute(write.node, f"imputed_value_{name}s", ()))
    if not new.size:
        write.refuse("no values to put in")
    missing = write.emit("IsNaN", [source]) if old != old else write.emit("Equal", [source, write.number(old)])
    write.emit("Where", [missing, write.number(new), source], write.output(0))


def _feature_vectorizer(write: Writer) -> None:
    """Columns of all inputs side by side, in float32."""
    widths = attribute(write.node, "inputdimensions", (0,) * 0)
    parts = []
    for name, width in zip(write.node.input, widths, strict=True):
        shape = write.shape(name)
        flat = name if len(shape) == 2 else write.shaped(name, (1, -1))
        if write.shape(name)[-1] != width:
            write.refuse(f"{shape[-1]} columns where {width} are declared are not supported")
        parts.append(flat if write.kind(name) == FLOAT else write.cast(flat, FLOAT))
    write.emit("Concat", parts, write.output(0), axis=1)


def _one_hot_encoder(write: Writer) -> None:
    """1 where a number is a category, along a new last axis."""
    categories = np.array(attribute(write.node, "cats_int64s", (0,) * 0), np.int64)
    if not categories.size or not attribute(write.node, "zeros", 1):
        write.refuse("categories that are strings, or an error for what is none of them, are not supported")
    whole = write.cast(write.input(0), INT64)
    spread = write.shaped(whole, (*write.shape(write.input(0)), 1))
    equal = write.emit("Equal", [spread, write.integers(categories)])
    write.emit("Cast", [equal], write.output(0), to=FLOAT)


CLASSICAL: dict[tuple[str, str], Callable[[Writer], None]] = {
    (ML, name): form
    for name, form in {
        "ArrayFeatureExtractor": _array_feature_extractor,
        "Binarizer": _binarizer,
        "FeatureVectorizer": _feature_vectorizer,
        "Imputer": _imputer,
        "LabelEncoder": _label_encoder,
        "LinearClassifier": _linear_classifier,
        "LinearRegressor": _linear_regressor,
        "Normalizer": _normalizer,
        "OneHotEncoder": _one_hot_encoder,
        "Scaler": _scaler,
        "TreeEnsemble": _tree_ensemble,
        "TreeEnsembleClassifier": _tree_classifier,
        "TreeEnsembleRegressor": _tree_regressor,
    }.items()
}
"""Domain and operator -> what writes it by others."""
