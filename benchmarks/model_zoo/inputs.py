"""Random inputs of a model, the same in every process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from benchmarks.model_zoo.catalog import ZooModel
from flextune.importing.values import ValueSpec

Arrays = dict[str, np.ndarray]


def input_specs(path: str) -> tuple[ValueSpec, ...]:
    """Names, shapes and types of a model file's inputs. Raises ValueError for a dynamic shape."""
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    return tuple(_spec(value) for value in graph.input if value.name not in weights)


def random_inputs(model: ZooModel, specs: Sequence[ValueSpec], seed: int) -> Arrays:
    """One array per input: normal for floats; for integers at least 0 and below the model's limit."""
    rng = np.random.default_rng(seed)
    return {spec.name: _array(model, spec, rng) for spec in specs}


def _array(model: ZooModel, spec: ValueSpec, rng: np.random.Generator) -> np.ndarray:
    if np.dtype(spec.dtype).kind in "iu":
        return rng.integers(0, model.integer_limit, spec.shape).astype(spec.dtype)
    return spec.random_array(rng)


def _spec(value: onnx.ValueInfoProto) -> ValueSpec:
    tensor = value.type.tensor_type
    if not all(dim.dim_value > 0 for dim in tensor.shape.dim):
        raise ValueError(f"input {value.name!r} has a dynamic shape")
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
    return ValueSpec(value.name, tuple(dim.dim_value for dim in tensor.shape.dim), dtype)
