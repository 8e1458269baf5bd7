"""From a `Model` to Relax operators, simplified and channels last.

What is grouped with what is decided next, by `flextune.plan.fusion`, and `flextune.lowering.kernels` lowers the groups.
Later stages see a Relax `main` made of `call_tir` bindings whose weights are Relax constants, and one PrimFunc per
distinct kernel.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Collection, Iterator, Mapping

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter

from flextune.errors import ModelError
from flextune.importing.inference import contradiction
from flextune.importing.model import Model
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.passes import Observer, Pass, replacing, run_passes
from flextune.importing.plain_sizes import with_plain_sizes
from flextune.importing.simplify import simplify
from flextune.importing.sized.nodes import is_sized
from flextune.importing.symbolic_operators import check_symbolic
from flextune.lowering.bounds import bounds_as_extremes
from flextune.lowering.folding import fold_constant_results, fold_moved_constants
from flextune.lowering.gather_scatter import with_checked_indices
from flextune.lowering.image_transposes import sink_image_transposes
from flextune.lowering.kernels import last_line, tvm_errors
from flextune.lowering.mutation import complete_blocks
from flextune.lowering.precision.bounded_casts import bounded_casts
from flextune.lowering.precision.byte_products import byte_products
from flextune.lowering.precision.casts import store_bfloat16
from flextune.lowering.precision.lines import along_lines
from flextune.lowering.precision.precision import FLOAT32, Precision
from flextune.lowering.precision.quantized import integer_products
from flextune.lowering.precision.stored_weights import keep_half_weights, keep_quantized_weights
from flextune.lowering.regions import with_body
from flextune.lowering.sized_import import NO_MULTIPLES, sized_importer
from flextune.lowering.stitching import bodies, import_graph
from flextune.lowering.symbolic_shapes import check_known_sizes
from flextune.tvm_types import IRModule, RelaxExpr

CHANNELS_LAST = {"relax.nn.conv2d": ["NHWC", "HWIO"], "relax.nn.conv2d_transpose": ["NCHW", "IOHW"]}
"""Vectors run along channels, which are contiguous in NHWC; pooling, element-wise and concat follow.

TVM has no loops for transposed convolutions in NHWC; what is left of them keeps its order.
"""


def relax_operators(
    model: Model,
    without: Collection[str] = (),
    precision: Precision = FLOAT32,
    observe: Observer[OnnxGraph | IRModule] | None = None,
) -> tvm.IRModule:
    """The model as one Relax `main` of operators, nothing fused yet. ModelError if import fails.

    `without` names passes of the import (`PASSES` of `flextune.importing.simplify` and of this file) to do without;
    `observe` is told what every pass of either kind left. `precision` is what the model is going to be computed in.
    """
    with invalid_models(model):
        graph = graph_of(model)
        simplify(graph, without, observe)
    passes = PASSES if precision.is_float32 else (*PASSES, *BFLOAT16_PASSES)
    if not model.dims:
        return _operators(graph, model.name, passes, without, observe)
    check_symbolic(graph)
    multiples = {dim.name: dim.multiple for dim in model.dims if dim.multiple > 1}
    module = _operators(graph, model.name, passes, without, observe, multiples=multiples)
    check_known_sizes(module, model.name)
    return module


def graph_of(model: Model) -> OnnxGraph:
    """The model as passes change it; of ranges of sizes, without shape arithmetic."""
    if not model.dims:
        return OnnxGraph.of(model.proto)
    proto = with_plain_sizes(model)
    graph = OnnxGraph.of(proto)
    graph.known = {value.name: value for value in proto.graph.value_info}
    return graph


def _operators(
    graph: OnnxGraph,
    name: str,
    passes: Collection[Pass[IRModule]],
    without: Collection[str],
    observe: Observer[IRModule] | None = None,
    prefix: str = "",
    multiples: Mapping[str, int] = NO_MULTIPLES,
) -> IRModule:
    """A simplified graph as Relax `main`, and the bodies of its loops and branches as other functions.

    The names of regions begin with `prefix`, which differs between graphs of a model. Bodies compute in float32.
    `multiples` says of dimensions of inputs what divides them.
    """
    module = import_graph(graph, lambda part: import_onnx(part, name, multiples), prefix)
    with tvm_errors():
        module = run_passes(passes, module, without, observe)
    for region, function, body in bodies(graph, prefix):
        inner = _operators(body, name, PASSES, without, prefix=f"{function}_", multiples=multiples)
        module = with_body(module, function, inner, "" if region.form is None else str(region.form))
    return module


@contextlib.contextmanager
def invalid_models(model: Model) -> Iterator[None]:
    """Whatever fails on a model that contradicts itself becomes a ModelError that says in what."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # rules take for granted what ONNX demands of a model, each in its own way
        reason = contradiction(OnnxGraph.of(model.proto).skeleton()) or f"{type(error).__name__}: {last_line(error)}"
        raise ModelError(f"model {model.name!r} cannot be read: {reason}") from error


def import_onnx(graph: OnnxGraph, name: str, multiples: Mapping[str, int] = NO_MULTIPLES) -> tvm.IRModule:
    """Relax `main` with the graph's constants as Relax constants.

    Large constants are imported as parameters and bound afterwards: the importer would copy them several times.
    """
    proto = graph.skeleton()
    module = _from_onnx(proto, name, multiples)
    parameters = dict(zip((value.name for value in proto.graph.input), module["main"].params, strict=True))
    bound = {parameters[key]: tvm.runtime.tensor(graph.constants[key]) for key in parameters if key in graph.constants}
    return relax.transform.BindParams("main", bound)(module)


def _from_onnx(proto: onnx.ModelProto, name: str, multiples: Mapping[str, int]) -> tvm.IRModule:
    """TVM's ONNX importer; what it prints is caught, and any failure becomes one ModelError."""
    said = io.StringIO()
    importer = sized_importer(proto, multiples) if _is_symbolic(proto) else ONNXGraphImporter(None, "float32")
    opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings(), complete_blocks(importer.bb):
            warnings.simplefilter("ignore")
            return importer.from_onnx(proto.graph, opset)
    except Exception as error:  # any converter may fail in its own way; all mean "cannot import"
        operator = re.search(r"Error converting operator (\w+)", said.getvalue())
        raise ModelError(_import_failure(proto, name, operator.group(1) if operator else None, error)) from error


def _is_symbolic(proto: onnx.ModelProto) -> bool:
    """Whether sizes of inputs are no numbers, or nodes say sizes."""
    dims = (dim for value in proto.graph.input for dim in value.type.tensor_type.shape.dim)
    return any(dim.dim_param for dim in dims) or any(map(is_sized, proto.graph.node))


def convert_layout(module: tvm.IRModule) -> tvm.IRModule:
    """Convolutions and what is between them in NHWC, their weights transposed at compile time.

    A model without any, or one that the pass fails on, keeps its layout."""
    if not _calls(module, "relax.nn.conv2d"):
        return module
    try:
        return sink_image_transposes(relax.transform.ConvertLayout(CHANNELS_LAST)(module))
    except RuntimeError:
        return module


def _calls(module: tvm.IRModule, operator: str) -> bool:
    found = []

    def visit(expression: RelaxExpr) -> None:
        if isinstance(expression, tvm.ir.Call) and getattr(expression.op, "name", "") == operator:
            found.append(expression)

    relax.analysis.post_order_visit(module["main"].body, visit)
    return bool(found)


def _import_failure(proto: onnx.ModelProto, name: str, operator: str | None, error: Exception) -> str:
    reason = _readable(last_line(error))
    if "ir.Op(" in reason or "Check failed" in reason:  # pages about the compiler's own operators
        reason = contradiction(proto) or reason
    if operator is None:
        return f"model {name!r} cannot be imported: {reason}"
    nodes = [node.name or ", ".join(node.output) for node in proto.graph.node if node.op_type == operator]
    return f"model {name!r}: operator {operator} cannot be imported as it is used in {', '.join(nodes[:8])}: {reason}"


def _readable(reason: str) -> str:
    """TVM's words for shapes and constants as people write them."""
    named = re.sub(r"# Metadata omitted\. .*? to show it\.", "a constant", reason)
    return re.sub(r"R\.shape\((.*?)\)", r"\1", re.sub(r"T\.int64\((-?\d+)\)", r"\1", named))


_CHECKED = "generated code would read outside of its tensors"

PASSES: tuple[Pass[tvm.IRModule], ...] = (
    replacing(store_bfloat16, "TVM does not round to bfloat16"),
    replacing(keep_quantized_weights),
    replacing(integer_products),
    replacing(byte_products),
    replacing(with_checked_indices, _CHECKED),
    replacing(fold_moved_constants),
    replacing(bounds_as_extremes),
    replacing(bounded_casts),
    replacing(convert_layout, "plans, schedules and other layouts start from NHWC"),
    Pass(
        "common-subexpressions",
        "Compute what is computed several times once",
        relax.transform.EliminateCommonSubexpr(),
    ),
    replacing(fold_moved_constants),
    replacing(fold_constant_results),
    replacing(keep_half_weights),
)
"""On Relax operators, in the order they run."""

BFLOAT16_PASSES: tuple[Pass[tvm.IRModule], ...] = (replacing(along_lines),)
"""After them, for models in bfloat16."""
