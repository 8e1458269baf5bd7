"""Attention programs in odd sizes for the tests of both precisions, with inputs and what NumPy makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tvm import te, tirx

from flextune.analysis.attention_facts import ONLINE


@dataclass(frozen=True)
class Case:
    """q [batch, queries, heads, depth], k and v [batch, keys, heads, depth or columns]; what scores go through."""

    batch: int = 1
    queries: int = 19
    keys: int = 37
    heads: int = 2
    depth: int = 20
    columns: int = 24
    mask: str = ""
    guarded: bool = False
    online: bool = False
    keys_last: bool = False

    @property
    def mask_shape(self) -> tuple[int, ...]:
        return {
            "all": (self.batch, self.heads, self.queries, self.keys),
            "causal": (1, 1, self.queries, self.keys),
            "padding": (self.batch, 1, 1, self.keys),
            "where": (1, 1, self.queries, self.keys),
        }[self.mask]

    @property
    def scale(self) -> float:
        return float(np.float32(self.depth**-0.5))


def program(case: Case) -> Any:
    """The attention as plain blocks, as `FuseTIR` leaves it."""
    b, h, m, n = case.batch, case.heads, case.queries, case.keys
    q = te.placeholder((b, m, h, case.depth), "float32", name="q")
    k = te.placeholder((b, h, case.depth, n) if case.keys_last else (b, n, h, case.depth), "float32", name="k")
    v = te.placeholder((b, n, h, case.columns), "float32", name="v")
    inputs = [q, k, v]
    d, j, maximum, total = (
        te.reduce_axis((0, extent), name)
        for extent, name in ((case.depth, "d"), (n, "j"), (n, "maximum"), (n, "total"))
    )
    qt = te.compute((b, h, m, case.depth), lambda b, h, i, d: q[b, i, h, d], name="qt")
    kt = k if case.keys_last else te.compute((b, h, case.depth, n), lambda b, h, d, j: k[b, j, h, d], name="kt")
    vt = te.compute((b, h, n, case.columns), lambda b, h, j, c: v[b, j, h, c], name="vt")
    whole = (b, h, m, n)
    scores = te.compute(whole, lambda b, h, i, j: te.sum(qt[b, h, i, d] * kt[b, h, d, j], axis=d), name="scores")
    x = te.compute(whole, lambda *at: scores(*at) * tirx.const(case.scale, "float32"), name="scaled")
    if case.mask:
        dtype = "bool" if case.mask == "where" else "float32"
        mask = te.placeholder(case.mask_shape, dtype, name="mask")
        inputs.append(mask)

        def masked(*at: Any) -> Any:
            element = mask(*(0 if extent == 1 else place for place, extent in zip(at, case.mask_shape, strict=True)))
            if case.mask == "where":
                return tirx.Select(element, scaled(*at), tirx.const(-3.4028234663852886e38, "float32"))
            return scaled(*at) + element

        scaled = x
        x = te.compute(whole, masked, name="masked")
    last = x
    attributes = {ONLINE: 1} if case.online else {}
    largest = te.compute(
        whole[:-1], lambda *at: te.max(last(*at, maximum), axis=maximum), name="largest", attrs=attributes
    )
    weights = te.compute(whole, lambda *at: te.exp(last(*at) - largest(*at[:-1])), name="weights")
    sums = te.compute(whole[:-1], lambda *at: te.sum(weights(*at, total), axis=total), name="sums")
    p = te.compute(whole, lambda *at: weights(*at) / sums(*at[:-1]), name="softmax")
    if case.guarded:
        softmax = p
        bad = te.compute(whole, lambda *at: tirx.isnan(softmax(*at)), name="bad")
        p = te.compute(whole, lambda *at: tirx.Select(bad(*at), tirx.const(0, "float32"), softmax(*at)), name="guarded")
    o = te.compute(
        (b, h, m, case.columns), lambda b, h, i, c: te.sum(p[b, h, i, j] * vt[b, h, j, c], axis=j), name="result"
    )
    out = te.compute((b, m, h, case.columns), lambda b, i, h, c: o[b, h, i, c], name="out")
    return te.create_prim_func([*inputs, out])


def arrays(case: Case, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = [
        (case.batch, case.queries, case.heads, case.depth),
        (case.batch, case.keys, case.heads, case.depth),
        (case.batch, case.keys, case.heads, case.columns),
    ]
    found = [rng.standard_normal(shape).astype(np.float32) * 2 for shape in shapes]
    if case.keys_last:
        found[1] = np.ascontiguousarray(found[1].transpose(0, 2, 3, 1))
    if case.mask == "where":
        found.append(rng.random(case.mask_shape) < 0.7)
    elif case.mask:
        found.append(
            np.where(rng.random(case.mask_shape) < 0.7, rng.random(case.mask_shape), -np.inf).astype("float32")
        )
    return found


def expected(case: Case, given_arrays: list[np.ndarray]) -> np.ndarray:
    q, k, v = (array.astype(np.float64) for array in given_arrays[:3])
    scores = np.einsum("bmhd,bhdn->bhmn" if case.keys_last else "bmhd,bnhd->bhmn", q, k) * case.scale
    if case.mask == "where":
        scores = np.where(given_arrays[3], scores, -3.4028234663852886e38)
    elif case.mask:
        scores = scores + given_arrays[3].astype(np.float64)
    with np.errstate(invalid="ignore"):
        p = np.exp(scores - scores.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
    p = np.where(np.isnan(p), 0, p) if case.guarded else p
    result: np.ndarray = np.einsum("bhmn,bnhc->bmhc", p, v)
    return result
