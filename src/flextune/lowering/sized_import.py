"""TVM's ONNX importer, for models whose nodes may say sizes (`flextune.importing.sized.nodes`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import onnx
from tvm import relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from flextune.errors import ModelError
from flextune.importing.onnx_graph import attribute
from flextune.importing.shapes.names import input_shapes
from flextune.importing.sized.nodes import is_sized, sizes_of
from flextune.lowering.size_expressions import EqualSizes, SizeVariables
from flextune.lowering.sized_kernels import iota, pad_to, slice_to, tile_to
from flextune.tvm_types import PrimFunc, RelaxExpr

NO_MULTIPLES: Mapping[str, int] = MappingProxyType({})


def sized_importer(proto: onnx.ModelProto, multiples: Mapping[str, int] = NO_MULTIPLES) -> ONNXGraphImporter:
    """TVM's importer, for a model whose inputs have sizes that are expressions, or whose nodes say sizes.

    `multiples` says of dimensions what divides them.
    """
    variables = SizeVariables()
    shapes = {name: shape for name, shape in input_shapes(proto.graph.input).items() if shape is not None}
    given = {name: variables.shape(shape) for name, shape in shapes.items()}
    return _SizedImporter(given, variables, EqualSizes(variables, multiples) if multiples else None)


class _SizedImporter(ONNXGraphImporter):  # type: ignore[misc]
    def __init__(
        self, shapes: Mapping[str, list[RelaxExpr]], variables: SizeVariables, equal: EqualSizes | None
    ) -> None:
        super().__init__(shapes, "float32")
        self._variables = variables
        self._equal = equal

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        super()._check_for_unsupported_ops(onnx.GraphProto(node=[node for node in graph.node if not is_sized(node)]))

    def _construct_nodes(self, graph: onnx.GraphProto) -> None:
        for node in graph.node:
            if is_sized(node):
                self._nodes[node.output[0]] = self.bb.emit(self._value(node))
            else:
                super()._construct_nodes(onnx.GraphProto(node=[node]))
            if self._equal is not None:
                for name in node.output:
                    self._nodes[name] = self._written_alike(self._nodes.get(name), self._equal)

    def _written_alike(self, value: RelaxExpr | None, equal: EqualSizes) -> RelaxExpr | None:
        """A value with sizes as they are written elsewhere: the importer compares them, and knows no multiples."""
        shape = getattr(getattr(value, "ty", None), "shape", None)
        if not isinstance(shape, relax.ShapeExpr):
            return value
        sizes = list(shape.values)
        written = [equal.first(size) for size in sizes]
        if all(mine is size for mine, size in zip(written, sizes, strict=True)):
            return value
        return self.bb.emit(relax.op.reshape(value, relax.ShapeExpr(written)))

    def _value(self, node: onnx.NodeProto) -> RelaxExpr:
        convert = _CONVERSIONS.get(node.op_type)
        if convert is None:
            raise ModelError(f"there is no operator {node.op_type} of sizes")
        return convert(self, node)

    def shape(self, node: onnx.NodeProto) -> relax.ShapeExpr:
        sizes = self._variables.shape(sizes_of(node))
        return relax.ShapeExpr(sizes if self._equal is None else [self._equal.first(size) for size in sizes])

    def input(self, node: onnx.NodeProto, position: int = 0) -> RelaxExpr:
        return self._nodes[node.input[position]]

    def kernel(self, node: onnx.NodeProto, function: PrimFunc, dtype: str) -> RelaxExpr:
        """A call of a kernel with all inputs of a node."""
        name = self.bb.add_func(function, str(function.attrs["global_symbol"]))
        kind = relax.TensorType(self.shape(node).values, dtype)
        return relax.call_tir(name, [self._nodes[each] for each in node.input if each], out_ty=kind)


Conversion = Callable[[_SizedImporter, onnx.NodeProto], RelaxExpr]


def _sizes(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.shape_to_tensor(importer.shape(node))


def _iota(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return importer.kernel(node, iota(), "int64")


def _reshape_to(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.reshape(importer.input(node), importer.shape(node))


def _expand_to(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.broadcast_to(importer.input(node), importer.shape(node))


def _slice_to(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    dtype, steps = _dtype(importer, node), attribute(node, "steps", ())
    return importer.kernel(node, slice_to(len(steps), dtype, steps), dtype)


def _take_at(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.take(importer.input(node), importer.input(node, 1), axis=attribute(node, "axis", 0))


def _take_elements_at(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.gather_elements(importer.input(node), importer.input(node, 1), axis=attribute(node, "axis", 0))


def _take_slices_at(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    return relax.op.gather_nd(importer.input(node), importer.input(node, 1), batch_dims=attribute(node, "batch", 0))


def _pad_to(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    dtype, rank = _dtype(importer, node), len(sizes_of(node))
    mode, value = attribute(node, "mode", "constant"), attribute(node, "value", "0")
    return importer.kernel(node, pad_to(rank, dtype, mode, value), dtype)


def _tile_to(importer: _SizedImporter, node: onnx.NodeProto) -> RelaxExpr:
    dtype = _dtype(importer, node)
    return importer.kernel(node, tile_to(len(sizes_of(node)), dtype), dtype)


def _dtype(importer: _SizedImporter, node: onnx.NodeProto) -> str:
    return str(importer.input(node).ty.dtype)


_CONVERSIONS: Mapping[str, Conversion] = {
    "ExpandTo": _expand_to,
    "Iota": _iota,
    "PadTo": _pad_to,
    "ReshapeTo": _reshape_to,
    "Sizes": _sizes,
    "SliceTo": _slice_to,
    "TakeAt": _take_at,
    "TakeElementsAt": _take_elements_at,
    "TakeSlicesAt": _take_slices_at,
    "TileTo": _tile_to,
}
