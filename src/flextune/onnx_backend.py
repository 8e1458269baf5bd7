"""flextune as a backend of the ONNX project: the interface of `onnx.backend.base.Backend`.

>>> import flextune.onnx_backend as backend
>>> outputs = backend.prepare(model).run([array])     # doctest: +SKIP

A built model has static shapes. Inputs whose values decide shapes (see `flextune.importing.binding`) and dynamic
dimensions take what `run` brings: the model is built once for each set of them, and built in `prepare` where there are
none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from flextune.apply.build import Build, compile_model, compile_unscheduled
from flextune.apply.executable import Executable
from flextune.apply.hybrid_build import HybridOptions, build_split, split_model
from flextune.compilers import registry as subgraph_compilers
from flextune.errors import UsageError
from flextune.importing.binding import bind_inputs, shape_inputs
from flextune.importing.expansion import expand_functions
from flextune.importing.model import Model, model_from_proto
from flextune.importing.operators import all_nodes, check_operators, foreign_operators
from flextune.plan.partition import Partition, partition_model
from flextune.registry import nearest
from flextune.target.detect import detect
from flextune.target.target import Target

SCHEDULES = ("default", "none")

KEPT_BUILDS = 8
"""How many builds (for different shapes, or values that decide shapes) one prepared model keeps."""


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """`schedules`: "default" builds as `flextune compile` does without records, "none" leaves loops as they come.

    `threads` of 0 means one per physical core. What is not ours runs in ONNX Runtime, unless `only_own`.
    """

    schedules: str = "default"
    threads: int = 0
    only_own: bool = False

    def __post_init__(self) -> None:
        if self.schedules not in SCHEDULES:
            raise UsageError(f"schedules: got {self.schedules!r}, {nearest(self.schedules, SCHEDULES)}")
        if self.threads < 0:
            raise UsageError(f"threads: expected at least 0, got {self.threads}")

    def build(self, model: Model) -> Executable:
        target, threads = detect(), self.threads or None
        split = split_model(model, partition_model, None if self.only_own else HybridOptions())
        return build_split(split, lambda partition: self._built(partition, target), target, threads)[1].executable

    def _built(self, partition: Partition, target: Target) -> Build:
        if self.schedules == "none":
            return Build(compile_unscheduled(partition, target, self.threads or None), ())
        return compile_model(partition, {}, target, self.threads or None)


class PreparedModel(BackendRep):  # type: ignore[misc]
    """A model ready to run, built at once where its shapes are known, else when `run` brings them."""

    def __init__(self, proto: onnx.ModelProto, options: BackendOptions) -> None:
        self._proto = proto
        self._options = options
        constants = {tensor.name for tensor in proto.graph.initializer}
        self._inputs = [value for value in proto.graph.input if value.name not in constants]
        self._shape_inputs = shape_inputs(proto.graph)
        self._outputs = [value.name for value in proto.graph.output]
        self._builds: dict[object, Executable] = {}
        if not self._shape_inputs and all(_is_static(value) for value in self._inputs):
            self._build({}, {})

    @property
    def is_own(self) -> bool:
        """Whether all that was built so far runs here, and nothing in another runtime."""
        return all(build.signature.is_own for build in self._builds.values())

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Outputs in the model's order, by position or name. `inputs`: arrays in the model's order, or by name."""
        del kwargs
        arrays = self._by_name(inputs)
        tensors = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
        bound = {name: array for name, array in tensors.items() if name in self._shape_inputs or not array.size}
        shapes = {name: array.shape for name, array in tensors.items() if name not in bound}
        results = self._build(shapes, bound).run({name: each for name, each in arrays.items() if name not in bound})
        outputs: tuple[Any, ...] = namedtupledict("Outputs", self._outputs)(*(results[name] for name in self._outputs))
        return outputs

    def _build(self, shapes: Mapping[str, tuple[int, ...]], bound: Mapping[str, np.ndarray]) -> Executable:
        values = tuple((name, array.shape, _bytes_of(array)) for name, array in sorted(bound.items()))
        key = (tuple(sorted(shapes.items())), values)
        if key not in self._builds:
            while len(self._builds) >= KEPT_BUILDS:
                del self._builds[next(iter(self._builds))]
            proto, name = bind_inputs(self._proto, bound), self._proto.graph.name or "model"
            model = model_from_proto(proto, name, shapes, only_own=self._options.only_own)
            self._builds[key] = self._options.build(model)
        return self._builds[key]

    def _by_name(self, inputs: Any) -> dict[str, np.ndarray]:
        names = [value.name for value in self._inputs]
        if isinstance(inputs, Mapping):
            if unknown := [name for name in inputs if name not in names]:
                raise UsageError(f"no input {unknown[0]!r}: {nearest(unknown[0], tuple(names))}")
            given = dict(inputs)
        else:
            listed = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
            if len(listed) > len(names):
                raise UsageError(f"{len(listed)} inputs given; the model takes {len(names)}: {', '.join(names)}")
            given = dict(zip(names, listed, strict=False))
        if missing := [name for name in names if name not in given]:
            raise UsageError(f"input {missing[0]!r} is missing; the model takes {', '.join(names)}")
        return {value.name: _checked_array(value, given[value.name]) for value in self._inputs}


class FlextuneBackend(Backend):  # type: ignore[misc]
    """Builds models for the CPU of this machine. Everything that cannot be run raises a `flextune.errors` exception."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        """Whether every operator of the model is known; `prepare` may still refuse how one is used."""
        unknown = _unknown_operators(expand_functions(model), bool(kwargs.get("only_own")))
        return cls.supports_device(device) and not unknown

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        schedules: str = "default",
        threads: int = 0,
        only_own: bool = False,
        **kwargs: Any,
    ) -> PreparedModel:
        """The model ready to run; see `BackendOptions`. The interface lets callers add arguments."""
        del kwargs
        if not cls.supports_device(device):
            raise UsageError(f"device {device!r} is not supported: expected CPU")
        expanded = expand_functions(model)
        if only_own:
            check_operators(expanded, "the model")
        return PreparedModel(expanded, BackendOptions(schedules, threads, only_own))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Any,
        device: str = "CPU",
        outputs_info: Sequence[tuple[Any, tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Run one node of the default operator set (the newest, or `opset_version`) on arrays."""
        del outputs_info
        opset = int(kwargs.pop("opset_version", onnx.defs.onnx_opset_version()))
        names = [name for name in dict.fromkeys(node.input) if name]
        arrays = dict(inputs) if isinstance(inputs, Mapping) else dict(zip(names, map(np.asarray, inputs), strict=True))
        return cls.run_model(_node_model(node, arrays, opset), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


def _node_model(node: onnx.NodeProto, arrays: Mapping[str, np.ndarray], opset: int) -> onnx.ModelProto:
    types = {
        name: onnx.helper.make_tensor_type_proto(onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in arrays.items()
    }
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    data = {name: onnx.numpy_helper.from_array(array) for name, array in arrays.items()}
    opsets = [onnx.helper.make_opsetid(node.domain, opset)]
    results = onnx.shape_inference.infer_node_outputs(schema, node, types, data, opset_imports=opsets)
    graph = onnx.helper.make_graph(
        [node],
        node.op_type,
        [onnx.helper.make_value_info(name, proto) for name, proto in types.items()],
        [onnx.helper.make_value_info(name, results[name]) for name in node.output if name],
    )
    return onnx.helper.make_model(graph, opset_imports=opsets)


def _unknown_operators(model: onnx.ModelProto, only_own: bool) -> list[str]:
    """Operators that nothing here runs, or that are not ours."""
    unknown = foreign_operators(model)
    if not unknown or only_own or find_spec("onnxruntime") is None:
        return sorted(unknown)
    compiler = subgraph_compilers.get(HybridOptions().compiler)
    nodes = {node.op_type: node for node in all_nodes(model.graph)}
    return sorted(name for name in unknown if compiler.supports(nodes[name.rpartition("::")[2]]))


def _bytes_of(array: np.ndarray) -> bytes:
    return array.tobytes() if array.dtype != object else repr(array.tolist()).encode()


def _is_static(value: onnx.ValueInfoProto) -> bool:
    if not value.type.HasField("tensor_type"):
        return True
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(dim.dim_value > 0 for dim in tensor.shape.dim)


def _checked_array(value: onnx.ValueInfoProto, given: Any) -> Any:
    """The array of one input; what is no tensor stays as it is. UsageError for another dtype."""
    if not value.type.HasField("tensor_type"):
        return given
    if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
        return np.asarray(given, object)
    array = np.asarray(given)
    wanted = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    if array.dtype != wanted:
        raise UsageError(f"input {value.name!r}: expected {wanted}, got {array.dtype}")
    return array


is_compatible = FlextuneBackend.is_compatible
prepare = FlextuneBackend.prepare
run_model = FlextuneBackend.run_model
run_node = FlextuneBackend.run_node
supports_device = FlextuneBackend.supports_device
