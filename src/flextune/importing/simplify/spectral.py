"""Fourier transforms as matrix products: of all terms at once where these are few, else in two steps (Cooley, Tukey).

before: y = DFT(x[B,N,1])   -->   after: y = Reshape(MatMul(Reshape(x, [B,N]), m[N,2*N]), [B,N,2])

Matrices are computed in float64. A transform of length a * b is one of length a for each of b columns, a multiplication
with powers of the root of unity, and one of length b for each of a rows ("An algorithm for the machine calculation of
complex Fourier series", 1965).
"""

from __future__ import annotations

import math

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.links import Shape
from flextune.importing.simplify.writer import Writer

DIRECT = 512
"""Transforms up to this length are one matrix product."""


def dft(write: Writer) -> None:
    """A transform along one axis, of real numbers or of pairs; forward or back; whole or half of the spectrum."""
    source, shape = write.input(0), write.shape(write.input(0))
    axis = int(write.known(2, "the axis").reshape(())) if write.input(2) else -2
    axis %= len(shape)
    if axis == len(shape) - 1 or shape[-1] not in (1, 2):
        write.refuse(f"an input {list(shape)} with the axis {axis} is none of numbers or of pairs")
    inverse, half = (bool(attribute(write.node, name, 0)) for name in ("inverse", "onesided"))
    given = shape[axis]
    usual = 2 * (given - 1) if inverse and half else given
    length = int(write.known(1, "the length").reshape(())) if write.input(1) else usual
    order = [*(place for place in range(len(shape) - 1) if place != axis), axis, len(shape) - 1]
    value = write.transposed(source, order)
    lead = tuple(shape[place] for place in order[:-2])
    value, size, pair = _transformed(write, value, (lead, given, shape[-1]), length, (inverse, half))
    write.transposed(write.shaped(value, (*lead, size, pair)), np.argsort(order).tolist(), write.output(0))


def stft(write: Writer) -> None:
    """Transforms of frames of a signal, each multiplied with a window first."""
    signal, shape = write.input(0), write.shape(write.input(0))
    if len(shape) == 2:
        shape = (*shape, 1)
        signal = write.shaped(signal, shape)
    step = int(write.known(1, "the step").reshape(()))
    window = write.input(2)
    if write.input(3):
        length = int(write.known(3, "the length").reshape(()))
    else:
        length = write.shape(window)[0] if window else shape[1]
    if window and write.shape(window) != (length,):
        write.refuse(f"a window {list(write.shape(window))} for frames of {length} is not supported")
    if step < 1 or length > shape[1]:
        write.refuse(f"frames of {length} in steps of {step} do not fit a signal of {shape[1]}")
    if shape[2] == 1 and length <= DIRECT and (not window or write.value(window) is not None):
        _by_convolution(write, signal, (shape[0], shape[1], length, step))
        return
    first = np.arange((shape[1] - length) // step + 1) * step
    frames = write.emit("Gather", [signal, write.integers(first[:, None] + np.arange(length))], axis=1)
    if window:
        frames = write.emit("Mul", [frames, write.shaped(window, (length, 1))])
    lead = (shape[0], len(first))
    half = bool(attribute(write.node, "onesided", 1))
    value, size, pair = _transformed(write, frames, (lead, length, shape[2]), length, (False, half))
    write.shaped(value, (*lead, size, pair), write.output(0))


def _by_convolution(write: Writer, signal: str, sizes: tuple[int, int, int, int]) -> None:
    """Transforms of real frames, each number of which is a filter that goes over the signal in steps."""
    batch, count, length, step = sizes
    half = bool(attribute(write.node, "onesided", 1))
    matrix = _matrix(length, 1, length, inverse=False, half=half)
    bins, window = matrix.shape[2], write.value(write.input(2))
    filters = matrix.reshape(length, 2 * bins).T * (1.0 if window is None else window.astype(np.float64))
    rows = write.shaped(signal, (batch, 1, count))
    found = write.emit("Conv", [rows, write.number(filters[:, None])], strides=[step])
    frames = (count - length) // step + 1
    write.shaped(write.transposed(found, [0, 2, 1]), (batch, frames, bins, 2), write.output(0))


def mel_weight_matrix(write: Writer) -> None:
    """Is computed when a model is read: it has constant inputs, or is none of ours."""
    write.refuse("its inputs must be constants")


def _transformed(
    write: Writer, value: str, given: tuple[Shape, int, int], length: int, how: tuple[bool, bool]
) -> tuple[str, int, int]:
    """The transform along the last axis but one of [lead, size, pair]; with the last two axes of the result."""
    lead, size, pair = given
    inverse, half = how
    if length < 1:
        write.refuse(f"a transform of length {length}")
    if length <= DIRECT:
        matrix = _matrix(min(size, length), pair, length, inverse, half)
        read = write.sliced(value, len(lead), 0, length) if size > length else value
        rows = write.shaped(read, (*lead, min(size, length) * pair))
        result = write.emit("MatMul", [rows, write.number(matrix.reshape(matrix.shape[0] * pair, -1))])
        return result, matrix.shape[2], matrix.shape[3]
    if inverse and half:
        value = _whole_spectrum(write, value, (lead, min(size, length // 2 + 1)), length)
        size, pair = length, 2
    value = _of_size(write, value, (lead, size, pair), length)
    result = _in_steps(write, value, (lead, length, pair), inverse)
    if inverse:
        result = write.emit("Mul", [result, write.number(1 / length)])
    if not half:
        return result, length, 2
    whole = write.shaped(result, (*lead, length, 2))
    if inverse:
        return write.sliced(whole, len(lead) + 1, 0, 1), length, 1
    return write.sliced(whole, len(lead), 0, length // 2 + 1), length // 2 + 1, 2


def _matrix(size: int, pair: int, length: int, inverse: bool, half: bool) -> np.ndarray:
    """What each number of the input adds to each of the output: [size, pair, results, pair of these]."""
    bins = length if inverse or not half else length // 2 + 1
    turns = np.outer(np.arange(size), np.arange(bins)) % length
    angle = turns * (2 * np.pi / length) * (1 if inverse else -1)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)[:, :pair]
    if not inverse:
        return matrix
    if half:  # the other half of the spectrum is its mirror image
        twice = np.where((np.arange(size) == 0) | (2 * np.arange(size) == length), 1.0, 2.0)
        twice[np.arange(size) > length // 2] = 0.0
        matrix = matrix[..., :1] * twice[:, None, None, None]
    return np.asarray(matrix / length)


def _of_size(write: Writer, value: str, given: tuple[Shape, int, int], length: int) -> str:
    """Cut off, or filled with zeros, along the last axis but one."""
    lead, size, pair = given
    if size >= length:
        return write.sliced(value, len(lead), 0, length) if size > length else value
    zeros = write.number(np.zeros((*lead, length - size, pair)))
    return write.emit("Concat", [value, zeros], axis=len(lead))


def _whole_spectrum(write: Writer, value: str, given: tuple[Shape, int], length: int) -> str:
    """The spectrum of real numbers from its first half: the other one is its mirror image, conjugated."""
    lead, size = given
    kept = _of_size(write, value, (lead, size, 2), length // 2 + 1)
    place = np.arange(length)
    is_mirrored = place > length // 2
    mirror = write.emit("Gather", [kept, write.integers(np.where(is_mirrored, length - place, place))], axis=len(lead))
    signs = np.stack([np.ones(length), np.where(is_mirrored, -1.0, 1.0)], -1)
    signs[(place == 0) | (2 * place == length), 1] = 0.0
    return write.emit("Mul", [mirror, write.number(signs)])


def _in_steps(write: Writer, value: str, given: tuple[Shape, int, int], inverse: bool) -> str:
    """The transform [lead, length, 2] of [lead, length, pair] without the factor of an inverse one."""
    lead, length, pair = given
    if length <= DIRECT:
        matrix = _matrix(length, pair, length, inverse, False) * (length if inverse else 1)
        rows = write.shaped(value, (*lead, length * pair))
        return write.emit("MatMul", [rows, write.number(matrix.reshape(length * pair, -1))])
    columns = next((each for each in range(math.isqrt(length), 1, -1) if length % each == 0), 1)
    if columns == 1:
        write.refuse(f"a transform of length {length}, a prime number, is not supported")
    height, rank = length // columns, len(lead)
    grid = write.shaped(value, (*lead, height, columns, pair))
    by_column = write.transposed(grid, (*range(rank), rank + 1, rank, rank + 2))
    inner = _in_steps(write, by_column, ((*lead, columns), height, pair), inverse)
    inner = write.shaped(inner, (*lead, columns, height, 2))
    turned = _turned(write, inner, (rank, columns, height), inverse)
    by_row = write.transposed(turned, (*range(rank), rank + 1, rank, rank + 2))
    outer = _in_steps(write, by_row, ((*lead, height), columns, 2), inverse)
    outer = write.shaped(outer, (*lead, height, columns, 2))
    ordered = write.transposed(outer, (*range(rank), rank + 1, rank, rank + 2))
    return write.shaped(ordered, (*lead, length * 2))


def _turned(write: Writer, value: str, sizes: tuple[int, int, int], inverse: bool) -> str:
    """Complex numbers [lead, columns, rows, 2] times the root of unity to the power of column times row."""
    rank, columns, rows = sizes
    turns = np.outer(np.arange(columns), np.arange(rows)) % (columns * rows)
    angle = turns * (2 * np.pi / (columns * rows)) * (1 if inverse else -1)
    cosine, sine = np.cos(angle), np.sin(angle)
    swapped = write.emit("Gather", [value, write.integers([1, 0])], axis=rank + 2)
    straight = write.emit("Mul", [value, write.number(np.stack([cosine, cosine], -1))])
    crossed = write.emit("Mul", [swapped, write.number(np.stack([-sine, sine], -1))])
    return write.emit("Add", [straight, crossed])
