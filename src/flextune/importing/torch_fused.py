"""Kernels that PyTorch's transformer modules choose for inference, in plain operations that can be written as ONNX."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flextune.torch_types import GraphModule, GraphNode, Torch, TorchOperator, TorchTensor

PlainFunction = Callable[..., TorchTensor | tuple[TorchTensor, TorchTensor | None]]
"""What stands in for a fused kernel: takes the same arguments, gives the same results."""


def spelled_out(torch: Torch, graph: GraphModule) -> GraphModule:
    """A copy of an `fx.GraphModule` in which fused kernels are plain operations; the same module where there are none.

    Calls with a mask stay as they are.
    """
    plain = _plain_functions(torch)
    if not any(node.op == "call_function" and node.target in plain for node in graph.graph.nodes):
        return graph
    copied = torch.fx.GraphModule(graph, copy.deepcopy(graph.graph))
    for node in copied.graph.nodes:
        if node.op == "call_function" and node.target in plain and not _has_mask(node):
            node.target = plain[node.target]
    copied.recompile()
    return copied


@contextmanager
def without_fast_path(torch: Torch) -> Iterator[None]:
    """Inside, PyTorch's transformer modules compute by plain operations."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _plain_functions(torch: Torch) -> dict[TorchOperator, PlainFunction]:
    functional = torch.nn.functional

    def attention(
        query: TorchTensor,
        key: TorchTensor,
        value: TorchTensor,
        embed_dim: int,
        heads: int,
        qkv_weight: TorchTensor,
        qkv_bias: TorchTensor,
        out_weight: TorchTensor,
        out_bias: TorchTensor,
        mask: TorchTensor | None = None,
        need_weights: bool = True,
        average_weights: bool = True,
        mask_type: int | None = None,
    ) -> tuple[TorchTensor, TorchTensor | None]:
        """`torch._native_multi_head_attention`, which is called for self-attention only."""
        del key, value, mask, mask_type
        batch, length, _ = query.shape
        packed = functional.linear(query, qkv_weight, qkv_bias).view(batch, length, 3, heads, embed_dim // heads)
        q, k, v = packed.permute(2, 0, 3, 1, 4).unbind(0)
        weights = torch.softmax(q @ k.transpose(-2, -1) * (embed_dim // heads) ** -0.5, -1)
        mixed = (weights @ v).transpose(1, 2).reshape(batch, length, embed_dim)
        shown = (weights.mean(1) if average_weights else weights) if need_weights else None
        return functional.linear(mixed, out_weight, out_bias), shown

    def encoder_layer(
        source: TorchTensor,
        embed_dim: int,
        heads: int,
        qkv_weight: TorchTensor,
        qkv_bias: TorchTensor,
        out_weight: TorchTensor,
        out_bias: TorchTensor,
        use_gelu: bool,
        norm_first: bool,
        epsilon: float,
        weight_1: TorchTensor,
        bias_1: TorchTensor,
        weight_2: TorchTensor,
        bias_2: TorchTensor,
        inner_weight: TorchTensor,
        inner_bias: TorchTensor,
        outer_weight: TorchTensor,
        outer_bias: TorchTensor,
        mask: TorchTensor | None = None,
        mask_type: int | None = None,
    ) -> TorchTensor:
        """`torch._transformer_encoder_layer_fwd`: attention, then two linear layers, each with residual and norm."""
        del mask, mask_type

        def first_norm(x: TorchTensor) -> TorchTensor:
            return functional.layer_norm(x, (embed_dim,), weight_1, bias_1, epsilon)

        def second_norm(x: TorchTensor) -> TorchTensor:
            return functional.layer_norm(x, (embed_dim,), weight_2, bias_2, epsilon)

        x = first_norm(source) if norm_first else source
        attended = attention(x, x, x, embed_dim, heads, qkv_weight, qkv_bias, out_weight, out_bias, need_weights=False)
        middle = attended[0] + source
        middle = middle if norm_first else first_norm(middle)
        inner = functional.linear(second_norm(middle) if norm_first else middle, inner_weight, inner_bias)
        inner = functional.gelu(inner) if use_gelu else functional.relu(inner)
        result = functional.linear(inner, outer_weight, outer_bias) + middle
        return result if norm_first else second_norm(result)

    return {torch._native_multi_head_attention: attention, torch._transformer_encoder_layer_fwd: encoder_layer}


_MASK_POSITION = {"_native_multi_head_attention": 9, "_transformer_encoder_layer_fwd": 18}


def _has_mask(node: GraphNode) -> bool:
    position = _MASK_POSITION[node.target.__name__]
    mask = node.args[position] if len(node.args) > position else node.kwargs.get("mask")
    return mask is not None
