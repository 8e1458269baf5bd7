"""What is known of operators by their names."""

from __future__ import annotations

PRODUCTS = frozenset(
    {"Attention", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU", "Gemm", "LSTM", "MatMul"}
    | {"MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"}
)
"""Operators that compute more than they move."""
