"""The form of operators' programs that schedule rules rely on, and arbitrary programs as workloads."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tvm import relax, tirx

from flextune.analysis.loop_nests import collect_nests
from flextune.errors import UsageError
from flextune.workload import from_prim_func, parse_workload
from flextune.workload.counting import count_flops
from flextune.workload.workload import program_sha


def block_names(text: str) -> list[str]:
    return [nest.name for nest in collect_nests(parse_workload(text).prim_func())]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gemm:m=2,n=2,k=2", ["gemm"]),
        ("gemm:m=2,n=2,k=2,epilogue=bias+relu+bias", ["gemm", "bias", "relu", "bias_2"]),
        ("conv2d:h=5,w=5,ci=1,co=1,kh=3,kw=3", ["conv2d"]),
        ("conv2d:h=5,w=5,ci=1,co=1,kh=3,kw=3,pad=0x0x0x1,epilogue=add", ["pad", "conv2d", "add"]),
        ("conv2d_transpose:h=5,w=5,ci=1,co=1,kh=3,kw=3", ["dilate_pad", "conv2d_transpose"]),
        ("conv2d_transpose:h=5,w=5,ci=1,co=1,kh=1,kw=1", ["conv2d_transpose"]),
        ("pool2d:kind=max,h=5,w=5,c=1,kh=2,kw=2", ["pool2d"]),
        ("pool2d:kind=avg,h=5,w=5,c=1,kh=2,kw=2,pad=1", ["pad", "pool_sum", "pool2d"]),
        ("reduce:op=variance,m=2,n=2", ["sum", "squares", "variance"]),
        ("softmax:rows=2,cols=2", ["row_max", "exp", "row_sum", "softmax"]),
        ("elementwise:shape=4,ops=add+relu", ["add", "relu"]),
    ],
)
def test_blocks(text: str, names: list[str]) -> None:
    assert block_names(text) == names


def test_padding_guards_only_the_sides_it_adds() -> None:
    script = parse_workload("conv1d:w=5,ci=1,co=1,kw=3,pad=1x0").prim_func().script()
    assert "1 <= v_w" in script
    assert "v_w < " not in script


@pytest.mark.parametrize(
    ("text", "flops"),
    [
        ("gemm:m=3,n=4,k=5", 2 * 60),
        ("gemm:m=3,n=4,k=5,dtype=bfloat16,epilogue=bias+gelu", 2 * 60 + 12 * 6),
        ("gemm:m=3,n=4,k=5,dtype=uint8,epilogue=bias+relu", 2 * 60 + 24),
        ("conv2d:h=8,w=8,ci=4,co=6,kh=3,kw=3,pad=1,groups=2", 2 * 64 * 6 * 2 * 9),
        ("pool2d:kind=avg,h=5,w=5,c=1,kh=3,kw=3,pad=1", 25 * 10),
        ("softmax:rows=3,cols=5", 75),
    ],
)
def test_flops_of_an_operator_are_those_of_its_program(text: str, flops: int) -> None:
    workload = parse_workload(text)
    assert workload.flops == flops
    assert count_flops(workload.prim_func()) == flops


def test_flops_of_a_transposed_convolution_leave_the_zeros_out() -> None:
    assert parse_workload("conv2d_transpose:h=4,w=5,ci=2,co=3,kh=3,kw=3,stride=2").flops == 2 * 4 * 5 * 2 * 3 * 9


@pytest.fixture(scope="module")
def model() -> dict[str, tirx.PrimFunc]:
    """Functions as Relax makes them out of a small model, by name."""
    builder = relax.BlockBuilder()
    data = relax.Var("x", relax.TensorType((1, 3, 8, 8), "float32"))
    weight = relax.Var("w", relax.TensorType((4, 3, 3, 3), "float32"))
    picks = relax.Var("i", relax.TensorType((5,), "int64"))
    with builder.function("main", [data, weight, picks]):
        with builder.dataflow():
            value = builder.emit(relax.op.nn.relu(builder.emit(relax.op.nn.conv2d(data, weight, padding=1))))
            value = builder.emit(relax.op.take(builder.emit(relax.op.nn.softmax(value)), picks, axis=3))
            value = builder.emit(relax.op.concat([value, value], 1))
            value = builder.emit(relax.op.sqrt(builder.emit(relax.op.nn.avg_pool2d(value, (2, 2), padding=(1, 1)))))
            value = builder.emit(relax.op.split(builder.emit(relax.op.mean(value, [2, 3])), 2, 1)[0])
            result = builder.emit_output(value)
        builder.emit_func_output(result)
    module = relax.transform.LegalizeOps()(builder.get())
    module = relax.transform.AnnotateTIROpPattern()(module)
    return {name.name_hint: func for name, func in module.functions.items() if isinstance(func, tirx.PrimFunc)}


def test_functions_of_a_model_run_and_round_trip(model: dict[str, tirx.PrimFunc]) -> None:
    assert {"conv2d", "take", "split", "tir_sqrt"} <= set(model)
    for name, func in model.items():
        workload = from_prim_func(func, name)
        assert parse_workload(str(workload), workload.body) == workload
        inputs = workload.random_inputs(seed=0)
        outputs = workload.reference(inputs)
        assert [output.shape for output in outputs] == [spec.shape for spec in workload.outputs]
        assert all(np.isfinite(output).all() and np.ptp(output) > 0 for output in outputs), name


def test_outputs_are_the_written_parameters(model: dict[str, tirx.PrimFunc]) -> None:
    split = from_prim_func(model["split"], "split")
    assert [spec.shape for spec in split.inputs] == [(1, 8)]
    assert [spec.shape for spec in split.outputs] == [(1, 4), (1, 4)]


def test_model_convolution_agrees_with_the_operator(model: dict[str, tirx.PrimFunc]) -> None:
    ours = parse_workload("conv2d:h=8,w=8,ci=3,co=4,kh=3,kw=3,pad=1")
    theirs = from_prim_func(model["conv2d"], "conv2d", constants=(1,))
    assert theirs.flops == ours.flops
    assert theirs.constants == (1,)
    assert str(theirs).endswith("constants=1")
    inputs = ours.random_inputs(seed=0)
    assert ours.tolerance().accepts(theirs.reference(inputs)[0], ours.reference(inputs)[0])


def test_names_of_parameters_and_attributes_do_not_matter(model: dict[str, tirx.PrimFunc]) -> None:
    func = model["conv2d"]
    renamed = json.loads(from_prim_func(func, "a").body or "")
    assert "op_pattern" in func.attrs
    assert "op_pattern" not in json.dumps(renamed)
    one = from_prim_func(func, "a")
    other = from_prim_func(one.prim_func().with_attr("op_pattern", 4).with_attr("global_symbol", "z"), "b")
    assert one.body == other.body
    assert one.key == other.key
    assert one.key != from_prim_func(func, "a", constants=(1,)).key


def test_another_process_reads_the_same_program(model: dict[str, tirx.PrimFunc]) -> None:
    workload = from_prim_func(model["softmax"], "softmax")
    program = (
        "import sys, os; from flextune.workload import parse_workload; text = sys.stdin.readline().strip();"
        "w = parse_workload(text, sys.stdin.read()); out = w.reference(w.random_inputs(0))[0];"
        "print(w.key, w.flops, repr(float(out.sum()))); sys.stdout.flush(); os._exit(0)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        input=f"{workload}\n{workload.body}",
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    total = float(workload.reference(workload.random_inputs(0))[0].sum())
    assert answer == [workload.key, str(workload.flops), repr(total)]


def test_damaged_bodies_are_refused(model: dict[str, tirx.PrimFunc]) -> None:
    workload = from_prim_func(model["softmax"], "softmax")
    assert workload.body is not None
    with pytest.raises(UsageError, match="does not match sha"):
        parse_workload(str(workload), workload.body[:-10])
    with pytest.raises(UsageError, match="positions joined by"):
        parse_workload(f"{workload},constants=1+x", workload.body)


@pytest.mark.parametrize("body", ["", "{}", "[1, 2", '{"root_index": 0, "nodes": [{"type": "int", "data": 4}]}'])
def test_bodies_that_are_no_programs_are_refused(body: str) -> None:
    workload = parse_workload(f"tir:name=x,sha={program_sha(body)}", body)
    with pytest.raises(UsageError, match="the body of a tir workload"):
        workload.prim_func()


def test_functions_that_cannot_be_workloads_are_refused() -> None:
    func = parse_workload("gemm:m=2,n=2,k=2").prim_func()
    with pytest.raises(UsageError, match="positions below 2"):
        from_prim_func(func, "gemm", constants=(2,))
    with pytest.raises(UsageError, match="without ','"):
        from_prim_func(func, "a,b")
    length = tirx.Var("n", "int64")
    symbolic = relax.BlockBuilder()
    data = relax.Var("x", relax.TensorType((length,), "float32"))
    with symbolic.function("main", [data]):
        symbolic.emit_func_output(symbolic.emit(relax.op.nn.relu(data)))
    module = relax.transform.LegalizeOps()(symbolic.get())
    relu = next(f for f in module.functions.values() if isinstance(f, tirx.PrimFunc))
    with pytest.raises(UsageError, match="bind its symbols"):
        from_prim_func(relu, "relu")
