"""Attention over all keys at once or over blocks of them: which is expected to be faster, and how programs say so."""

from __future__ import annotations

from dataclasses import dataclass

from tvm import relax, te

from flextune.analysis.attention_facts import ONLINE
from flextune.tvm_types import RelaxCall, RelaxExpr, Tensor

LEAST_ONLINE_KEYS = 512
"""With fewer keys a block of rows has all of its scores and all keys in a core's cache anyway."""

_ELEMENT_BYTES = 4
_CACHED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """Query rows, keys, and the lengths of a row of the keys and of the values."""

    queries: int
    keys: int
    depth: int
    columns: int

    @property
    def has_online(self) -> bool:
        """Whether an online softmax is worth a measurement."""
        return self.keys >= LEAST_ONLINE_KEYS and self.queries > 1

    @property
    def prefers_online(self) -> bool:
        """Whether every strip of rows would fetch keys and values from beyond a core's cache."""
        matrix = self.keys * (self.depth + self.columns) * _ELEMENT_BYTES
        return self.has_online and matrix > _CACHED_BYTES


def online_softmax_call(builder: relax.BlockBuilder, call: RelaxCall) -> RelaxExpr:
    """The `call_tir` that computes what `call`, a softmax of the last axis, does; marked as online (`ONLINE`)."""
    scores = call.args[0]
    shape = tuple(int(extent) for extent in scores.ty.shape)
    data = te.placeholder(shape, "float32", name="scores")
    result = _softmax(data, shape)
    function = te.create_prim_func([data, result], index_dtype_override="int64").without_attr("global_symbol")
    name = builder.add_func(function, "online_softmax")
    return relax.call_tir(name, [scores], relax.TensorType(shape, "float32"))


def _softmax(data: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The blocks of TVM's own softmax."""
    columns = [te.reduce_axis((0, shape[-1]), name) for name in ("k", "l")]
    largest = te.compute(
        shape[:-1], lambda *row: te.max(data(*row, columns[0]), axis=columns[0]), name="largest", attrs={ONLINE: 1}
    )
    weights = te.compute(shape, lambda *at: te.exp(data(*at) - largest(*at[:-1])), name="weights")
    total = te.compute(shape[:-1], lambda *row: te.sum(weights(*row, columns[1]), axis=columns[1]), name="total")
    return te.compute(shape, lambda *at: weights(*at) / total(*at[:-1]), name="softmax")
