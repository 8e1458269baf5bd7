"""Operators of PyTorch that its ONNX exporter writes with formulas that are wrong for some numbers, written rightly.

Each is a decomposition: the operator's arguments to the same result by other operators. Found by comparing exported
operators with eager PyTorch on 0, tiny, large and infinite numbers and NaN, and with rows that are masked completely.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from flextune.torch_types import ExportedProgram, GraphNode, Torch, TorchOperator, TorchTensor

Decomposition = Callable[..., TorchTensor]

NONE, MEAN = 0, 1
"""How PyTorch numbers the reductions of losses; 2 is the sum."""


def with_right_formulas(torch: Torch, program: ExportedProgram) -> ExportedProgram:
    """The exported program in functional form, with decompositions in place of what would be exported wrongly."""
    used = {node.target for node in program.graph.nodes if node.op == "call_function" and _is_wrong(torch, node)}
    table = {operator: formula for operator, formula in _formulas(torch).items() if operator in used}
    return program.run_decompositions(table)


def _is_wrong(torch: Torch, node: GraphNode) -> bool:
    """Attention is, where there is a mask; other operators always are."""
    if node.target is not torch.ops.aten.scaled_dot_product_attention.default:
        return True
    return len(node.args) > 3 or node.kwargs.get("attn_mask") is not None


def _formulas(torch: Torch) -> dict[TorchOperator, Decomposition]:
    aten = torch.ops.aten
    return {
        aten.sign.default: _sign,
        aten.sgn.default: _sign,
        aten.log1p.default: lambda x: _log1p(torch, x),
        aten.expm1.default: lambda x: _expm1(torch, x),
        aten.log_sigmoid.default: lambda x: _log_sigmoid(torch, x),
        aten.log_sigmoid_forward.default: lambda x: (_log_sigmoid(torch, x), torch.zeros_like(x)),
        aten.logaddexp.default: lambda x, y: _log_add_exp(torch, x, y),
        aten.logsumexp.default: lambda *given, **named: _log_sum_exp(torch, *given, **named),
        aten.binary_cross_entropy_with_logits.default: lambda *given, **named: _cross_entropy_of_logits(
            torch, *given, **named
        ),
        aten.scaled_dot_product_attention.default: lambda *given, **named: _attention(torch, *given, **named),
        aten.cross_entropy_loss.default: _cross_entropy,
        aten.scatter_reduce.two: lambda *given, **named: _scatter_mean(torch, *given, **named),
    }


def _sign(x: TorchTensor) -> TorchTensor:
    """0 for NaN."""
    return (x > 0).to(x.dtype) - (x < 0).to(x.dtype)


def _log1p(torch: Torch, x: TorchTensor) -> TorchTensor:
    """log(1 + x) keeps nothing of a small x. There it is 2 artanh(s), s = x / (2 + x), by its series."""
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    small = x.clamp(-0.25, 0.25)
    s = small / (2 + small)
    square = s * s
    series = 2 * s * (1 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9 + square / 11)))))
    return torch.where(x.abs() < 0.25, series, torch.log(1 + x))


def _expm1(torch: Torch, x: TorchTensor) -> TorchTensor:
    """exp(x) - 1 keeps nothing of a small x. There it is the Taylor series."""
    x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
    small = x.clamp(-0.5, 0.5)
    series = 1 / math.factorial(12)
    for degree in range(11, 0, -1):
        series = series * small + 1 / math.factorial(degree)
    return torch.where(x.abs() < 0.5, series * small, torch.exp(x) - 1)


def _log_sigmoid(torch: Torch, x: TorchTensor) -> TorchTensor:
    """log(sigmoid(x)) is log(0) for x = -100, where it should be -100."""
    return x.clamp(max=0) - _log1p(torch, torch.exp(-x.abs()))


def _log_add_exp(torch: Torch, x: TorchTensor, y: TorchTensor) -> TorchTensor:
    """log(exp(x) + exp(y)) overflows; the larger one is taken out. Equal ones, which may be infinite, differ by 0."""
    apart = torch.where(x == y, torch.zeros_like(x - y), (x - y).abs())
    return torch.maximum(x, y) + _log1p(torch, torch.exp(-apart))


def _log_sum_exp(torch: Torch, x: TorchTensor, axes: Sequence[int], keepdim: bool = False) -> TorchTensor:
    """Of a row of -inf it is -inf, not NaN."""
    largest = x.amax(axes, keepdim=True)
    taken_out = torch.where(largest.abs() == float("inf"), torch.zeros_like(largest), largest)
    result = torch.log(torch.exp(x - taken_out).sum(axes, keepdim=True)) + taken_out
    return result if keepdim else result.squeeze(axes)


def _cross_entropy_of_logits(
    torch: Torch,
    scores: TorchTensor,
    target: TorchTensor,
    weight: TorchTensor | None = None,
    pos_weight: TorchTensor | None = None,
    reduction: int = MEAN,
) -> TorchTensor:
    """By the logarithm of the sigmoid, which is finite where the sigmoid is 0 or 1."""
    positive = _log_sigmoid(torch, scores)
    losses = -(
        target * (positive if pos_weight is None else positive * pos_weight) + (1 - target) * (positive - scores)
    )
    losses = losses if weight is None else losses * weight
    return _reduced(losses, reduction, losses.numel())


def _attention(
    torch: Torch,
    query: TorchTensor,
    key: TorchTensor,
    value: TorchTensor,
    attn_mask: TorchTensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> TorchTensor:
    """Rows of a query that are masked completely give 0, not the NaN of a softmax without any finite score."""
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    if is_causal:
        attn_mask = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool).tril()
    scores = query @ key.transpose(-2, -1) * (query.size(-1) ** -0.5 if scale is None else scale)
    lowest = float("-inf")
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, lowest) if attn_mask.dtype is torch.bool else scores + attn_mask
    weights = scores.softmax(-1)
    result = (torch.dropout(weights, dropout_p, True) if dropout_p else weights) @ value
    if attn_mask is None or is_causal:
        return result
    masked = ~attn_mask if attn_mask.dtype is torch.bool else attn_mask == lowest
    return result.masked_fill(masked.all(-1, keepdim=True), 0)


def _cross_entropy(
    scores: TorchTensor,
    target: TorchTensor,
    weight: TorchTensor | None = None,
    reduction: int = MEAN,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> TorchTensor:
    """With all of its arguments: smoothed labels, weights of the classes, classes that are ignored."""
    axis = 1 if scores.dim() > 1 else 0
    classes = scores.size(axis)
    logarithms = scores.log_softmax(axis)
    shape = [classes if each == axis else 1 for each in range(scores.dim())]
    weighted = logarithms if weight is None else logarithms * weight.reshape(shape)
    if target.is_floating_point():
        smoothed = target * (1 - label_smoothing) + label_smoothing / classes
        losses = -(weighted * smoothed).sum(axis)
        return _reduced(losses, reduction, scores.numel() // classes)
    counts = target != ignore_index
    index = target.masked_fill(~counts, 0)
    own = weighted.gather(axis, index.unsqueeze(axis)).squeeze(axis)
    losses = -(own * (1 - label_smoothing) + weighted.sum(axis) * (label_smoothing / classes)).masked_fill(~counts, 0)
    shares = counts.to(scores.dtype)
    if weight is not None:
        shares = weight.index_select(0, index.reshape(-1)).reshape(index.shape) * shares
    return _reduced(losses, reduction, shares.sum())


def _reduced(losses: TorchTensor, reduction: int, count: int | TorchTensor) -> TorchTensor:
    if reduction == NONE:
        return losses
    return losses.sum() / count if reduction == MEAN else losses.sum()


def _scatter_mean(
    torch: Torch,
    x: TorchTensor,
    axis: int,
    index: TorchTensor,
    source: TorchTensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> TorchTensor:
    """The mean by sums and counts; other reductions stay as they are."""
    if reduce != "mean" or not x.is_floating_point():
        return NotImplemented
    begin, ones = (
        (x, torch.ones_like(x))
        if include_self
        else (x.scatter(axis, index, 0), torch.ones_like(x).scatter(axis, index, 0))
    )
    total = begin.scatter_add(axis, index, source)
    return total / ones.scatter_add(axis, index, torch.ones_like(source))
