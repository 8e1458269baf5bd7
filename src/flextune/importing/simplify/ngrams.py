"""Counts of sequences of numbers in rows: `TfIdfVectorizer`, where what it counts are no strings.

before: y = TfIdfVectorizer(x[N, C], pool=[2, 3, 5, 4], counts=[0, 2], ...)
after:  y = Gather([ReduceSum(And(x[:, :-1] = [2, 5], x[:, 1:] = [3, 4])), 0], places)
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import FLOAT, Writer


def count_sequences(write: Writer) -> None:
    """How often each sequence of the pool is in a row, also with elements left out in between, weighted."""
    pool = np.array(attribute(write.node, "pool_int64s", (0,) * 0), np.int64)
    if not pool.size or write.kind(write.input(0)) not in (TensorProto.INT32, TensorProto.INT64):
        write.refuse("only sequences of numbers are counted")
    starts, places, least, most = _lists(write)
    shape = write.shape(write.input(0))
    rows = write.input(0) if len(shape) == 2 else write.shaped(write.input(0), (1, *shape))
    columns, width = shape[-1], max(places) + 1
    found, positions = [], []
    used = 0
    for length, (first, end) in enumerate(zip(starts, [*starts[1:], pool.size], strict=True), start=1):
        sequences = pool[first:end].reshape(-1, length)
        own = places[used : used + len(sequences)]
        used += len(sequences)
        if not len(sequences) or not least <= length <= most:
            continue
        if (counts := _counts(write, rows, columns, sequences)) is not None:
            found.append(counts)
            positions += own
    height = shape[0] if len(shape) == 2 else 1
    found.append(write.constant(np.zeros((height, 1))))
    source = np.full(width, len(positions))
    source[positions] = np.arange(len(positions))
    total = write.emit("Gather", [write.emit("Concat", found, axis=1), write.integers(source)], axis=1)
    total = _weighted(write, total, width, places)
    write.shaped(total, (width,) if len(shape) == 1 else (shape[0], width), write.output(0))


def _lists(write: Writer) -> tuple[list[int], list[int], int, int]:
    """Where the sequences of each length start in the pool, their columns, and the lengths that count."""
    starts = list(attribute(write.node, "ngram_counts", (0,) * 0))
    places = list(attribute(write.node, "ngram_indexes", (0,) * 0))
    least, most = attribute(write.node, "min_gram_length", 1), attribute(write.node, "max_gram_length", 1)
    return starts, places, least, most


def _counts(write: Writer, rows: str, columns: int, sequences: np.ndarray) -> str | None:
    """How often each sequence is in each row, as float32 [rows, sequences]; None where rows are too short."""
    length = sequences.shape[1]
    skips = attribute(write.node, "max_skip_count", 0) if length > 1 else 0
    totals = []
    for apart in range(1, skips + 2):
        windows = columns - (length - 1) * apart
        if windows < 1:
            break
        equal = []
        for place in range(length):
            part = write.sliced(rows, 1, place * apart, place * apart + windows)
            spread = write.emit("Unsqueeze", [part, write.integers([2])])
            wanted = write.constant(sequences[:, place], write.dtype(write.input(0)))
            equal.append(write.emit("Equal", [spread, wanted]))
        totals.append(write.reduced("ReduceSum", write.cast(write.chain("And", equal), FLOAT), [1], keepdims=0))
    return write.chain("Add", totals) if totals else None


def _weighted(write: Writer, total: str, width: int, places: list[int]) -> str:
    """Counts as they are, times weights, or the weights of what there is at all."""
    mode = attribute(write.node, "mode", "TF")
    given = np.array(attribute(write.node, "weights", (0.0,) * 0), np.float32)
    weights = np.ones(width, np.float32)
    if given.size:
        weights[places] = given
    if mode == "TF":
        return total
    if mode == "IDF":
        total = write.emit("Min", [total, write.constant(1.0)])
    return write.emit("Mul", [total, write.constant(weights)])
