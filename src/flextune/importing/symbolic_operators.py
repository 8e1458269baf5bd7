"""Which operators are imported right where sizes are symbolic. Others are refused: a size that is taken for a number
somewhere would give wrong results at other sizes, and nobody would see it."""

from __future__ import annotations

import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.regions import region_name
from flextune.importing.simplify.constants import static_shapes
from flextune.importing.sized.nodes import is_sized


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ELEMENTWISE = _names(
    """Abs Acos Acosh Add And Asin Asinh Atan Atanh BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr
    BitwiseXor Cast Ceil Celu Clip Cos Cosh Div Elu Equal Erf Exp Floor Gelu Greater GreaterOrEqual HardSigmoid
    HardSwish Identity IsInf IsNaN LeakyRelu Less LessOrEqual Log Max Mean Min Mish Mod Mul Neg Not Or PRelu Pow
    Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh
    ThresholdedRelu Where Xor"""
)
MOVES = _names(
    """Concat DepthToSpace Dropout Expand Flatten Gather Pad Reshape Shape Size Slice SpaceToDepth Split Squeeze Tile
    Transpose Unsqueeze"""
)
REDUCTIONS = _names(
    """ArgMax ArgMin GlobalAveragePool GlobalMaxPool GroupNormalization InstanceNormalization LayerNormalization
    LogSoftmax ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
    ReduceProd ReduceSum ReduceSumSquare Softmax"""
)
PRODUCTS = _names("AveragePool Conv ConvTranspose Einsum Gemm LRN LpPool MatMul MaxPool")

SUPPORTED = ELEMENTWISE | MOVES | REDUCTIONS | PRODUCTS
"""Operators of each form were compared with ONNX Runtime at many sizes (tests/unit/apply/test_symbolic_models.py)."""


def check_symbolic(graph: OnnxGraph) -> None:
    """ModelError that names every node on tensors of symbolic size that is not supported."""
    static = static_shapes(graph)
    found = [
        f"  {node.op_type} {node.name or ', '.join(filter(None, node.output))}"
        for node in graph.nodes
        if not all(name in static for name in (*node.input, *node.output) if name) and not _is_supported(node)
    ]
    if found:
        listed = "\n".join(found[:20])
        raise ModelError(
            f"model {graph.name!r} cannot be compiled for ranges of sizes, because of\n{listed}\n"
            "give its sizes with --shape instead of --dim"
        )


def _is_supported(node: onnx.NodeProto) -> bool:
    return is_sized(node) or bool(region_name(node)) or (node.op_type in SUPPORTED and node.domain in ("", "ai.onnx"))
