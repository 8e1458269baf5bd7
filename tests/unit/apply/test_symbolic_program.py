"""Models with symbolic sizes in one library: results at many sizes, bad sizes, memory, threads, and the C interface."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tvm import relax, tirx

import flextune
from flextune.apply.executable import Executable
from flextune.apply.memory_plan import Lifetime, plan_memory
from flextune.apply.program import (
    Place,
    PlacedTensor,
    Port,
    Program,
    SizedBuffer,
    Step,
    Symbolic,
    TensorType,
    Variant,
)
from flextune.apply.program_text import program_text
from flextune.apply.signature import Runtime, Signature
from flextune.errors import FlextuneError, UsageError
from flextune.native.toolchain import SYMBOLIC_SOURCES, compile_c, include_folder, link, runtime_objects, write_header
from flextune.workload.dim_expr import DimExpr
from tests.unit.apply.symbolic_models import Emit, built, signature

RNG = np.random.default_rng(5)
KERNEL = (RNG.standard_normal((8, 3, 3, 3)) / 4).astype(np.float32)
WEIGHTS = (RNG.standard_normal((8 * 4, 12)) / 4).astype(np.float32)
RECOGNISER = ([("batch,3,8,width", "float32")], [("batch,width//2,12", "float32")])
DIMS = ("batch=0..4", "width=4..64")


def _recogniser(emit: Emit, inputs: list, sizes: dict) -> list:  # type: ignore[type-arg]
    """Convolution, activation, pooling, columns as rows of a matrix, softmax: as text recognisers begin."""
    image = emit(relax.op.nn.relu(emit(relax.op.nn.conv2d(inputs[0], relax.const(KERNEL), padding=1))))
    columns = emit(relax.op.permute_dims(emit(relax.op.nn.max_pool2d(image, (2, 2), (2, 2))), [0, 3, 1, 2]))
    shape = relax.ShapeExpr([sizes["batch"], (sizes["width"] - 2) // 2 + 1, 32])
    rows = emit(relax.op.matmul(emit(relax.op.reshape(columns, shape)), relax.const(WEIGHTS)))
    return [relax.op.nn.softmax(rows, -1)]


def _recognised(image: np.ndarray) -> np.ndarray:
    batch, _, height, width = image.shape
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    hidden = np.maximum(np.einsum("bchwij,ocij->bohw", windows, KERNEL), 0)[..., : width // 2 * 2]
    pooled = hidden.reshape(batch, 8, height // 2, 2, width // 2, 2).max((3, 5))
    rows = pooled.transpose(0, 3, 1, 2).reshape(batch, width // 2, 32) @ WEIGHTS
    powers = np.exp(rows - rows.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its library."""
    executable = built(*RECOGNISER, DIMS, _recogniser)
    assert executable.signature.runtime is Runtime.OWN
    return executable.save(tmp_path_factory.mktemp("symbolic") / "recogniser.so")


def _image(batch: int, width: int) -> np.ndarray:
    return np.random.default_rng(batch * 100 + width).standard_normal((batch, 3, 8, width)).astype(np.float32)


def _check(executable: Executable, batch: int, width: int) -> None:
    image = _image(batch, width)
    got = executable.run({"x0": image})["y0"]
    np.testing.assert_allclose(got, _recognised(image), rtol=1e-5, atol=1e-6, strict=True)


def test_one_library_runs_all_sizes(recogniser: Path) -> None:
    """More sizes than are kept, alternating and coming again, and batches without anything in them."""
    with flextune.load(recogniser) as executable:
        sizes = [(1, 4), (4, 64), (0, 10), *((batch, width) for batch in (1, 3) for width in range(4, 30)), (4, 64)]
        for first, second in pairwise(sizes):
            for batch, width in (first, second, first):
                _check(executable, batch, width)
        assert [str(spec) for spec in (*executable.inputs, *executable.outputs)] == [
            "x0: float32[batch, 3, 8, width]",
            "y0: float32[batch, width//2, 12]",
        ]
        assert [str(dim) for dim in executable.dims] == list(DIMS)


def test_several_threads_with_different_sizes(recogniser: Path) -> None:
    with flextune.load(recogniser) as executable, ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(_check, executable, 1 + n % 4, 4 + n * 7 % 50) for n in range(60)]
        for run in runs:
            run.result()


def test_memory_for_outputs_may_be_given_and_shared_with_an_input() -> None:
    executable = built([("n", "float32")], [("n", "float32")], ["n=1..9"], lambda emit, x, _: [relax.op.exp(x[0])])
    values = RNG.random(5).astype(np.float32)
    expected, room = np.exp(values), np.empty(5, np.float32)
    assert executable.run({"x0": values}, {"y0": room})["y0"] is room
    np.testing.assert_allclose(room, expected, rtol=1e-6)
    executable.run({"x0": values}, {"y0": values})
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    with pytest.raises(UsageError, match=r"y0: float32\[5\] expected"):
        executable.run({"x0": values}, {"y0": np.empty(6, np.float32)})
    assert executable.run(executable.random_inputs(0, {"n": 7}))["y0"].shape == (7,)
    assert executable.benchmark(min_runs=1, min_secs=0).median_secs > 0


def _mixed(emit: Emit, inputs: list, sizes: dict) -> list:  # type: ignore[type-arg]
    """Two inputs that share a size, products of sizes, a size plus a number, and what is read twice."""
    h, w = sizes["h"], sizes["w"]
    total = emit(relax.op.add(inputs[0], emit(relax.op.permute_dims(inputs[1], [1, 0]))))
    flat = emit(relax.op.reshape(total, relax.ShapeExpr([h * w])))
    joined = emit(relax.op.concat([flat, emit(relax.op.exp(flat))], 0))
    rows = emit(relax.op.sum(total, [1]))
    square = emit(relax.op.reshape(emit(relax.op.exp(joined)), relax.ShapeExpr([2, w, h])))
    return [emit(relax.op.nn.pad(rows, (1, 0))), square, emit(relax.op.matmul(total, inputs[1]))]


MIXED = (
    [("h,w", "float32"), ("w,h", "float32")],
    [("h + 1", "float32"), ("2,w,h", "float32"), ("h,h", "float32")],
    ["h=0..40", "w=0..24:4"],
    _mixed,
)


def test_products_of_sizes_and_sizes_of_0() -> None:
    executable = built(*MIXED)
    assert executable.signature.runtime is Runtime.OWN
    for h, w in ((3, 4), (40, 24), (1, 8), (0, 4), (5, 0), (3, 4), (0, 0)):
        a, b = RNG.random((h, w), np.float32), RNG.random((w, h), np.float32)
        got = list(executable.run({"x0": a, "x1": b}).values())
        total = a + b.T
        flat = total.reshape(-1)
        want = [np.pad(total.sum(1), (1, 0)), np.exp(np.concatenate([flat, np.exp(flat)])).reshape(2, w, h), total @ b]
        for one, other in zip(got, want, strict=True):
            np.testing.assert_allclose(one, other, rtol=2e-5, strict=True)


BAD = [
    ((7, 4), (4, 6), "input 'x1', axis 1: 6 is given for h, which is 7 by input 'x0', axis 0"),
    ((41, 4), (4, 41), "input 'x0', axis 0: 41 is out of the range h=0..40"),
    ((1, 6), (6, 1), "input 'x0', axis 1: 6 is no multiple of 4, as w=0..24 must be"),
    ((1, 28), (28, 1), "input 'x0', axis 1: 28 is out of the range w=0..24"),
]


@pytest.mark.parametrize(("first", "second", "message"), BAD)
def test_bad_sizes_are_named(first: tuple[int, int], second: tuple[int, int], message: str) -> None:
    executable = _mixed_once()
    with pytest.raises(UsageError) as caught:
        executable.run({"x0": np.zeros(first, np.float32), "x1": np.zeros(second, np.float32)})
    assert str(caught.value) == f"m: {message}"
    library = ctypes.CDLL(str(executable.code.library))  # type: ignore[attr-defined]
    library.flextune_last_error.restype = ctypes.c_char_p
    model = ctypes.c_void_p()
    assert library.flextune_open(None, ctypes.byref(model)) == 0
    shapes = [(ctypes.c_int64 * 2)(*shape) for shape in (first, second)]
    table = (ctypes.c_void_p * 2)(*map(ctypes.addressof, shapes))
    assert library.flextune_output_shapes(model, table, None) == -1
    assert library.flextune_last_error().decode() == message
    library.flextune_close(model)


_KEPT: list[Executable] = []


def _mixed_once() -> Executable:
    if not _KEPT:
        _KEPT.append(built(*MIXED))
    return _KEPT[0]


def test_ranks_and_static_axes_are_checked(recogniser: Path) -> None:
    with flextune.load(recogniser) as executable:
        for shape, message in (
            ((1, 3, 8), r"x0: float32\[batch, 3, 8, width\] expected, got one of 3 dimensions"),
            ((1, 4, 8, 8), "axis 1: 4 is given, expected 3"),
            ((1, 3, 8, 65), r"axis 3: 65 is out of the range width=4\.\.64"),
        ):
            with pytest.raises(UsageError, match=message):
                executable.run({"x0": np.zeros(shape, np.float32)})
        with pytest.raises(UsageError, match="float64"):
            executable.run({"x0": np.zeros((1, 3, 8, 8))})
        _check(executable, 2, 9)


def test_a_reshape_that_does_not_fit_is_refused_when_the_sizes_come() -> None:
    """The type says that [n] is [m, 4] with another m: true for some sizes only."""

    def body(emit: Emit, x: list, sizes: dict) -> list:  # type: ignore[type-arg]
        pairs = relax.op.reshape(emit(relax.op.exp(x[0])), relax.ShapeExpr([sizes["m"], 4]))
        return [relax.op.add(emit(pairs), x[1])]

    inputs = [("n", "float32"), ("m,4", "float32")]
    executable = built(inputs, [("m,4", "float32")], ["n=0..64", "m=0..64"], body)
    x = {"x0": np.zeros(12, np.float32), "x1": np.ones((3, 4), np.float32)}
    np.testing.assert_array_equal(executable.run(x)["y0"], np.full((3, 4), 2, np.float32))
    with pytest.raises(FlextuneError, match=r"n=12, m=4|m=4, n=12"):
        executable.run({**x, "x1": np.ones((4, 4), np.float32)})


def test_a_convolution_that_no_size_fits_is_refused() -> None:
    def body(emit: Emit, x: list, _: dict) -> list:  # type: ignore[type-arg]
        return [relax.op.nn.max_pool2d(emit(relax.op.exp(x[0])), (1, 9))]

    ports = [("1,1,1,n", "float32")], [("1,1,1,n - 8", "float32")]
    with pytest.raises(FlextuneError, match="no size in range suits the model"):
        built(*ports, ["n=1..4"], body)
    executable = built(*ports, ["n=1..99"], body)
    values = RNG.random((1, 1, 1, 12), np.float32)
    want = np.exp(np.lib.stride_tricks.sliding_window_view(values, 9, 3).max(-1))
    np.testing.assert_allclose(executable.run({"x0": values})["y0"], want, rtol=1e-6)
    with pytest.raises(FlextuneError, match=r"n=5: output .y0. would have a negative size"):
        executable.run({"x0": values[..., :5]})


def test_signatures_round_trip_and_old_ones_are_read() -> None:
    of = signature(*RECOGNISER, DIMS)
    assert Signature.from_json(of.to_json()) == of
    old = json.loads(signature([("2,3", "float32")], [("3", "float32")], ()).to_json())
    del old["dims"]
    assert Signature.from_json(json.dumps(old)).dims == ()
    with pytest.raises(UsageError, match="width that no range is given for"):
        Signature.from_json(json.dumps({**json.loads(of.to_json()), "dims": ["batch=1..2"]}))


# The C runtime alone, on programs made of nothing but copies.

SIZES = ("n", "64*m", "3*n*m", "n//7 + 1", "max(n, m)", "300")


def _copies(seed: int) -> Program:
    """Bytes copied from one activation to the next, with detours, until the last one is the output."""
    rng = np.random.default_rng(seed)
    sizes = [str(rng.choice(SIZES)) for _ in range(24)]
    kinds = [TensorType((DimExpr.parse(size).value or DimExpr.parse(size),), "uint8") for size in sizes]
    whole = TensorType((DimExpr.of("n"), DimExpr.of("m")), "uint8")
    spans = [(first, min(first + int(rng.integers(0, 9)), 23)) for first in range(24)]
    buffers = tuple(SizedBuffer(kind.byte_count, *span) for kind, span in zip(kinds, spans, strict=True))
    inside = tuple(PlacedTensor(kind, Place.ACTIVATION, 0) for kind in kinds)
    ports = (PlacedTensor(whole, Place.INPUT, 0), PlacedTensor(whole, Place.OUTPUT, 0))
    symbolic = Symbolic(signature([], [], ["n=0..999", "m=1..99"]).dims, buffers, (*range(24), -1, -1))
    return Program((*inside, *ports), (Step(None, (24, 25)),), (Port("x", 24),), (Port("y", 25),), 0, 0, (), symbolic)


def _library(program: Program, folder: Path, extra: str = "") -> ctypes.CDLL:
    of = signature([("n,m", "uint8")], [("n,m", "uint8")], ["n=0..999", "m=1..99"])
    tables = compile_c(program_text(program, of) + extra, folder / "program.o")
    library = ctypes.CDLL(str(link([tables, *runtime_objects(SYMBOLIC_SOURCES)], folder / "model.so")))
    library.ft_bytes_for.restype = ctypes.c_int64
    library.flextune_last_error.restype = ctypes.c_char_p
    return library


@pytest.mark.parametrize("seed", range(4))
def test_memory_is_planned_as_in_python(seed: int, tmp_path: Path) -> None:
    program = _copies(seed)
    library, model = _library(program, tmp_path), ctypes.c_void_p()
    assert library.flextune_open(None, ctypes.byref(model)) == 0, library.flextune_last_error()
    assert program.symbolic is not None
    for n, m in ((0, 1), (999, 99), (1, 64), (50, 3), (999, 1)):
        shape = (ctypes.c_int64 * 2)(n, m)
        table = (ctypes.c_void_p * 1)(ctypes.addressof(shape))
        lifetimes = [
            Lifetime(DimExpr.of(each.byte_count).bind({"n": n, "m": m}), each.first, each.last)
            for each in program.symbolic.buffers
        ]
        assert library.ft_bytes_for(model, table) == plan_memory(lifetimes, 64).nbytes
    library.flextune_close(model)


FILLS = """
static int fill(const ft_any *arguments, char byte) {
  ft_tensor *out = arguments[0].pointer;
  for (int64_t i = 0; i < out->shape[0]; ++i) ((char *)out->data)[i] = byte;
  return 0;
}
#define KERNEL(name, byte) \\
  int __tvm_ffi_##name(void *self, const ft_any *a, int32_t n, ft_any *r) { \\
    return (void)self, (void)n, (void)r, fill(a, byte); \\
  }
KERNEL(one, 1)
KERNEL(two, 2)
KERNEL(six, 6)
"""


def test_the_kernel_with_the_least_cost_is_called(tmp_path: Path) -> None:
    """Tiles of 2 rows cost 3 each, tiles of 6 rows 5 each, and one kernel is for 7 rows alone."""
    n = DimExpr.of("n")
    costs = {"one": 3 * ((n + 1) // 2), "two": 5 * ((n + 5) // 6), "six": 1000 * DimExpr.parse("max(n - 7, 7 - n)")}
    symbolic = Symbolic(
        signature([], [], ["n=1..100"]).dims, (), (-1, -1), (), tuple(Variant(0, *each) for each in costs.items())
    )
    kind = TensorType((n,), "uint8")
    tensors = (PlacedTensor(kind, Place.INPUT, 0), PlacedTensor(kind, Place.OUTPUT, 0))
    program = Program(tensors, (Step("one", (1,)),), (Port("x", 0),), (Port("y", 1),), 0, 0, (), symbolic)
    library, model = _library(program, tmp_path, FILLS), ctypes.c_void_p()
    assert library.flextune_open(None, ctypes.byref(model)) == 0
    for size in (1, 2, 3, 6, 7, 8, 100, 7, 1):
        given, written = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        pointers = [(ctypes.c_void_p * 1)(array.ctypes.data) for array in (given, written)]
        shape = (ctypes.c_int64 * 1)(size)
        table = (ctypes.c_void_p * 1)(ctypes.addressof(shape))
        assert library.flextune_run_shapes(model, pointers[0], table, pointers[1]) == 0
        paid = [cost.bind({"n": size}) for cost in costs.values()]
        assert set(written) == {(1, 2, 6)[paid.index(min(paid))]}
    library.flextune_close(model)


COUNTS = """
#include "pool.h"
static int mark(int index, ft_group *group, void *data) { return ((char *)data)[index] = (char)group->num_task, 0; }
int __tvm_ffi_count(void *self, const ft_any *arguments, int32_t n, ft_any *r) {
  return (void)self, (void)n, (void)r, ft_parallel_launch(mark, ((ft_tensor *)arguments[0].pointer)->data, 0);
}
"""


def test_short_steps_are_run_by_one_thread(tmp_path: Path) -> None:
    """Each task of a step's parallel loop writes how many there are."""
    n, alone = DimExpr.of("n"), DimExpr.parse("max(n - 10, 0)")
    symbolic = Symbolic(signature([], [], ["n=2..100"]).dims, (), (-1, -1), alone=((0, alone),))
    kind = TensorType((n,), "uint8")
    tensors = (PlacedTensor(kind, Place.INPUT, 0), PlacedTensor(kind, Place.OUTPUT, 0))
    program = Program(tensors, (Step("count", (1,)),), (Port("x", 0),), (Port("y", 1),), 0, 0, (), symbolic)
    library, model = _library(program, tmp_path, COUNTS), ctypes.c_void_p()
    assert library.flextune_open(None, ctypes.byref(model)) == 0
    assert library.flextune_set_threads(model, 2) == 0
    for size in (2, 10, 11, 100, 3, 50):
        written = np.zeros(size, np.uint8)
        pointer, shape = (ctypes.c_void_p * 1)(written.ctypes.data), (ctypes.c_int64 * 1)(size)
        table = (ctypes.c_void_p * 1)(ctypes.addressof(shape))
        assert library.flextune_run_shapes(model, pointer, table, pointer) == 0
        assert written[0] == (1 if size <= 10 else 2)
    library.flextune_close(model)


MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "flextune_model.h"
int main(void) {
  flextune_model *model;
  if (flextune_open(NULL, &model) != 0) return puts(flextune_last_error()), 1;
  for (int round = 0; round < 400; ++round) {
    int64_t n = round * 37 % 1100, m = 1 + round * 11 % 99, shape[2] = {n, m}, made[2];
    const int64_t *shapes[1] = {shape};
    int64_t *outputs[1] = {made};
    size_t bytes = (size_t)(n * m);
    char *given = malloc(bytes + 1) , *taken = calloc(bytes + 1, 1);
    memset(given, round, bytes);
    const void *in[1] = {given};
    void *out[1] = {taken};
    int status = flextune_run_shapes(model, in, shapes, out);
    if ((status == 0) != (n < 1000)) return printf("%d at %d: %s\\n", status, round, flextune_last_error()), 1;
    if (status == 0 && memcmp(given, taken, bytes) != 0) return puts("wrong bytes"), 1;
    if (status == 0 && (flextune_output_shapes(model, shapes, outputs) != 0 || made[0] != n || made[1] != m)) return 2;
    free(given);
    free(taken);
  }
  flextune_close(model);
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_c_runtime_under_sanitizers(tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(MAIN)
    of = signature([("n,m", "uint8")], [("n,m", "uint8")], ["n=0..999", "m=1..99"])
    (tmp_path / "program.c").write_text(program_text(_copies(0), of))
    sources = [str(include_folder() / name) for name in SYMBOLIC_SOURCES]
    options = ["-std=gnu11", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{include_folder()}"]
    command = ["gcc", *options, "main.c", "program.c", *sources, "-o", "main", "-lpthread", "-ldl"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "cannot find" in outcome.stderr:
        pytest.skip("gcc has no sanitizers")
    assert outcome.returncode == 0, outcome.stderr
    outcome = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=False, timeout=120)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


C_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include "flextune_model.h"
int main(void) {
  flextune_model *model;
  flextune_tensor tensor;
  flextune_dim dim;
  static _Alignas(64) float image[4 * 3 * 8 * 64];
  static float rows[4 * 32 * 12 + 1];
  if (flextune_open(0, &model) != 0 || flextune_output(model, 0, &tensor) != 0) return 1;
  printf("%d dims, %lld %lld\\n", flextune_dim_count(model), (long long)tensor.shape[1], (long long)tensor.shape[2]);
  if (flextune_dim_at(model, 1, &dim) != 0) return 1;
  printf("%s %lld %lld\\n", dim.name, (long long)dim.least, (long long)dim.most);
  for (int i = 0; i < 4 * 3 * 8 * 64; ++i) image[i] = (float)(i % 13) / 13;
  for (int width = 4; width < 90; width += 30) {
    int64_t shape[4] = {2, 3, 8, width}, made[3];
    const int64_t *shapes[1] = {shape};
    int64_t *outputs[1] = {made};
    const void *in[1] = {image};
    void *out[1] = {rows + 1}; /* at no multiple of 64 bytes */
    if (flextune_output_shapes(model, shapes, outputs) != 0 || flextune_run_shapes(model, in, shapes, out) != 0) {
      printf("%s\\n", flextune_last_error());
      continue;
    }
    printf("%lld %.6f\\n", (long long)made[1], rows[1 + 2 * made[1] * 12 - 1]);
  }
  const void *in[1] = {image};
  void *out[1] = {rows};
  printf("%d %s\\n", flextune_run(model, in, out), flextune_last_error());
  flextune_close(model);
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_a_c_program_gives_sizes_and_gets_them(recogniser: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(C_PROGRAM)
    write_header(tmp_path)
    flags = ["-Wall", "-Wextra", "-Werror", "-I.", f"-L{recogniser.parent}", f"-l:{recogniser.name}", "-lm"]
    command = ["gcc", "main.c", "-o", "main", *flags, f"-Wl,-rpath,{recogniser.parent}"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    said = subprocess.run([str(tmp_path / "main")], capture_output=True, text=True, check=True, timeout=60).stdout
    image = (np.arange(4 * 3 * 8 * 64) % 13 / 13).astype(np.float32)
    want = [_recognised(image[: 2 * 24 * width].reshape(2, 3, 8, width))[-1, -1, -1] for width in (4, 34, 64)]
    lines = said.splitlines()
    assert lines[:2] == ["2 dims, -1 12", "width 4 64"]
    assert [line.split()[0] for line in lines[2:5]] == ["2", "17", "32"]
    np.testing.assert_allclose([float(line.split()[1]) for line in lines[2:5]], want, atol=2e-6)
    assert lines[5].startswith("-1 the sizes of this model's inputs differ from run to run")


def test_what_has_no_symbols_is_linked_without_them() -> None:
    fixed = built([("2,3", "float32")], [("2,3", "float32")], (), lambda emit, x, _: [relax.op.exp(x[0])])
    assert b"is out of the range" not in fixed.code.library.read_bytes()  # type: ignore[attr-defined]
    assert b"is out of the range" in _mixed_once().code.library.read_bytes()  # type: ignore[attr-defined]


def test_a_file_whose_ranges_were_changed_is_refused(recogniser: Path, tmp_path: Path) -> None:
    changed = recogniser.read_bytes().replace(b'"width=4..64"', b'"width=4..99"')
    end = len(changed) - 28
    import zlib

    checksum = zlib.crc32(changed[:end]).to_bytes(4, "little")
    (tmp_path / "changed.so").write_bytes(changed[:end] + checksum + changed[end + 4 :])
    with pytest.raises(UsageError, match="was changed after it was compiled"):
        flextune.load(tmp_path / "changed.so")


def test_tvm_variables_become_sizes() -> None:
    from flextune.analysis.sizes_of_shapes import size_of

    n = tirx.Var("n", "int64")
    expression = tirx.max((n * 4 + 3) // 2 % 5, tirx.min(n, 7))
    found = size_of(expression, {n: DimExpr.of("w") + 1})
    assert isinstance(found, DimExpr)
    for w in range(9):
        assert found.bind({"w": w}) == max(((w + 1) * 4 + 3) // 2 % 5, min(w + 1, 7))
    assert size_of(n + 1, {}) is None
    assert size_of(tirx.bitwise_and(n, 1), {n: 3}) is None
