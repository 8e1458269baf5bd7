"""Models with symbolic sizes: each kernel is scheduled once and right at every size, NumPy being the judge."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import tvm
from tvm import relax, tirx
from tvm.relax import op

from flextune.apply.build import Origin, scheduled_module
from flextune.errors import ModelError
from flextune.importing.model import Model
from flextune.importing.passes import run_passes
from flextune.lowering.lower import PASSES
from flextune.lowering.symbolic_shapes import generic_sizes
from flextune.plan.partition import Partition, partition_operators
from flextune.target.target import Target
from flextune.testing.symbolic_program import SymbolicProgram

Arrays = Sequence[np.ndarray]


@dataclass(frozen=True)
class Case:
    """A module, the sizes to run it at, the shapes of its inputs at these, and what it must give."""

    module: tvm.IRModule
    sizes: dict[str, tuple[int, ...]]
    shapes: Callable[..., Sequence[tuple[int, ...]]]
    reference: Callable[..., Arrays]


ODD = (0, 1, 2, 15, 16, 17, 31, 64, 97)


def symbol(name: str) -> tirx.Var:
    return tirx.Var(name, "int64")


def tensor(name: str, *shape: tirx.Expr | int) -> relax.Var:
    return relax.Var(name, relax.TensorType(shape, "float32"))


def weight(*shape: int) -> relax.Constant:
    array = np.random.default_rng(len(shape)).standard_normal(shape) / np.sqrt(np.prod(shape[:-1]))
    return relax.const(array.astype("float32"))


def function(parameters: Sequence[relax.Var], body: Callable[[relax.BlockBuilder], relax.Expr]) -> tvm.IRModule:
    builder = relax.BlockBuilder()
    with builder.function("main", list(parameters)):
        with builder.dataflow():
            result = builder.emit_output(body(builder))
        builder.emit_func_output(result)
    return builder.get()


def softmax(scores: np.ndarray) -> np.ndarray:
    shifted = np.exp(scores - scores.max(-1, keepdims=True, initial=-np.inf))
    return shifted / shifted.sum(-1, keepdims=True)


def perceptron() -> Case:
    batch, seq = symbol("batch"), symbol("seq")
    x, matrix, bias = tensor("x", batch, seq, 20), weight(20, 48), weight(1, 48)
    product = function([x], lambda b: b.emit(op.nn.relu(b.emit(op.add(b.emit(op.matmul(x, matrix)), bias)))))
    w, c = matrix.value.numpy(), bias.value.numpy()
    return Case(
        product,
        {"batch": (0, 1, 3), "seq": ODD},
        lambda batch, seq: [(batch, seq, 20)],
        lambda x: [np.maximum(x @ w + c, 0)],
    )


def flattened_rows() -> Case:
    batch, seq = symbol("batch"), symbol("seq")
    x, matrix = tensor("x", batch, seq, 20), weight(20, 24)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        rows = b.emit(op.nn.relu(b.emit(op.matmul(b.emit(op.reshape(x, (batch * seq, 20))), matrix))))
        return b.emit(op.reshape(rows, (batch, seq, 24)))

    w = matrix.value.numpy()
    return Case(
        function([x], body),
        {"batch": (0, 1, 3), "seq": ODD},
        lambda batch, seq: [(batch, seq, 20)],
        lambda x: [np.maximum(x @ w, 0)],
    )


def rows_of_any_length() -> Case:
    rows, length = symbol("rows"), symbol("length")
    x = tensor("x", rows, length)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        sums = [op.sum(x, axis=1), op.sum(x, axis=0), op.sum(x), op.max(x, axis=1), op.min(x, axis=1)]
        return relax.Tuple([b.emit(each) for each in (op.nn.softmax(x, -1), *sums)])

    def reference(x: np.ndarray) -> Arrays:
        return [
            softmax(x), x.sum(1), x.sum(0), x.sum(), x.max(1, initial=-np.inf), x.min(1, initial=np.inf)
        ]  # fmt: skip

    sizes = {"rows": (0, 1, 3, 17), "length": ODD}
    return Case(function([x], body), sizes, lambda rows, length: [(rows, length)], reference)


def normalised_rows() -> Case:
    rows = symbol("rows")
    x, scale, shift = tensor("x", rows, 50), weight(50), weight(50)
    g, h = scale.value.numpy(), shift.value.numpy()

    def reference(x: np.ndarray) -> Arrays:
        return [(x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * g + h]

    body = function([x], lambda b: b.emit(op.nn.layer_norm(x, scale, shift, axes=[-1], epsilon=1e-5)))
    return Case(body, {"rows": ODD}, lambda rows: [(rows, 50)], reference)


def attention() -> Case:
    query, key = symbol("query"), symbol("key")
    q, k, v = tensor("q", 2, query, 16), tensor("k", 2, key, 16), tensor("v", 2, key, 16)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        scores = b.emit(op.matmul(q, b.emit(op.permute_dims(k, [0, 2, 1]))))
        weights = b.emit(op.nn.softmax(b.emit(op.multiply(scores, relax.const(np.float32(0.25)))), -1))
        return b.emit(op.matmul(weights, v))

    return Case(
        function([q, k, v], body),
        {"query": (0, 1, 8, 17), "key": (1, 2, 16, 31, 64)},
        lambda query, key: [(2, query, 16), (2, key, 16), (2, key, 16)],
        lambda q, k, v: [softmax(q @ k.transpose(0, 2, 1) * 0.25) @ v],
    )


def images() -> Case:
    batch, height, width = symbol("batch"), symbol("height"), symbol("width")
    x, taps = tensor("x", batch, 4, height, width), weight(8, 4, 3, 3)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        y = b.emit(op.nn.relu(b.emit(op.nn.conv2d(x, taps, padding=1))))
        return b.emit(op.nn.max_pool2d(y, pool_size=[2, 2], strides=[2, 2]))

    def reference(x: np.ndarray) -> Arrays:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        y = np.maximum(np.einsum("nchwyx,ocyx->nohw", windows, taps.value.numpy()), 0)
        n, c, h, w = y.shape
        return [y[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))]

    sizes = {"batch": (0, 1, 3), "height": (2, 5, 16), "width": (2, 7, 17, 33)}
    return Case(function([x], body), sizes, lambda batch, height, width: [(batch, 4, height, width)], reference)


def moves() -> Case:
    first, second = symbol("first"), symbol("second")
    x, y = tensor("x", first, second, 12), tensor("y", second)

    def body(b: relax.BlockBuilder) -> relax.Expr:
        turned = b.emit(op.permute_dims(x, [1, 0, 2]))
        return relax.Tuple([b.emit(op.nn.relu(turned)), b.emit(op.exp(y)), b.emit(op.concat([turned, turned], 1))])

    def reference(x: np.ndarray, y: np.ndarray) -> Arrays:
        turned = x.transpose(1, 0, 2)
        return [np.maximum(turned, 0), np.exp(y), np.concatenate([turned, turned], 1)]

    sizes = {"first": (0, 1, 17), "second": ODD}
    return Case(function([x, y], body), sizes, lambda first, second: [(first, second, 12), (second,)], reference)


CASES = (perceptron, flattened_rows, rows_of_any_length, normalised_rows, attention, images, moves)


def planned(case: Case) -> Partition:
    ranges = {name: (min(sizes), max(sizes)) for name, sizes in case.sizes.items()}
    model = Model("symbolic", None, (), ())  # type: ignore[arg-type]  # nothing of it is read
    operators = run_passes(PASSES, case.module, (), None)
    return partition_operators(model, operators, sizes=generic_sizes(ranges))


@pytest.mark.parametrize("make", CASES)
def test_one_program_is_right_at_all_sizes(make: Callable[[], Case], target: Target) -> None:
    case, rng = make(), np.random.default_rng(0)
    module, tasks = scheduled_module(planned(case), {}, target)
    assert any(task.origin is Origin.DEFAULT for task in tasks)
    run = SymbolicProgram(module, target)
    for sizes in itertools.product(*case.sizes.values()):
        inputs = [rng.standard_normal(shape).astype("float32") for shape in case.shapes(*sizes)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of what it makes of tensors without elements
            expected = case.reference(*inputs)
        for result, wanted in zip(run(*inputs), expected, strict=True):
            assert result.shape == np.shape(wanted)
            np.testing.assert_allclose(result, wanted, rtol=1e-4, atol=1e-5, err_msg=str(sizes))


def test_the_workload_of_a_kernel_is_that_at_representative_sizes() -> None:
    (task,) = planned(flattened_rows()).tasks
    (rows,) = dict(task.sizes).values()  # batch * seq is one size to the kernel
    assert [spec.shape for spec in task.workload.inputs] == [(rows, 20), (20, 24)]


def test_a_symbol_without_a_size_is_named() -> None:
    case = perceptron()
    model = Model("symbolic", None, (), ())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="seq"):
        partition_operators(model, case.module, sizes={"batch": 17})
