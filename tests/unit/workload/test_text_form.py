"""Workloads print and parse; bad text is refused with a message that helps."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.workload import Workload, operator_names, parse_workload
from flextune.workload.operator_registry import find_operator

EXAMPLES = {
    "gemm": "gemm:m=3,n=4,k=5,dtype=float32",
    "bmm": "bmm:b=2,m=3,n=4,k=5,tb=1,dtype=uint8",
    "gemv": "gemv:m=3,k=4,dtype=float32,epilogue=bias+relu",
    "conv1d": "conv1d:n=1,w=9,ci=3,co=4,kw=3,pad=1x2,dtype=float32",
    "conv2d": "conv2d:n=1,h=9,w=8,ci=4,co=6,kh=3,kw=2,stride=2x1,pad=1,groups=2,layout=nhwc,dtype=bfloat16",
    "conv3d": "conv3d:n=1,d=4,h=5,w=6,ci=2,co=3,kd=1,kh=2,kw=3,dtype=uint8,weights=constant",
    "depthwise": "depthwise:n=1,h=9,w=8,c=3,multiplier=2,kh=3,kw=3,dilation=2,dtype=float32",
    "conv2d_transpose": "conv2d_transpose:n=1,h=4,w=4,ci=2,co=3,kh=3,kw=3,stride=2,output_padding=1,dtype=float32",
    "conv2d_im2col": "conv2d_im2col:n=1,h=9,w=8,ci=4,co=6,kh=3,kw=2,stride=2x1,groups=2,dtype=float32",
    "conv2d_winograd": "conv2d_winograd:n=2,h=9,w=8,ci=3,co=4,pad=1x0,tile=2,dtype=float32",
    "conv1d_transpose": "conv1d_transpose:n=1,w=4,ci=2,co=4,kw=3,stride=2,groups=2,layout=nwc,dtype=bfloat16",
    "conv3d_transpose": "conv3d_transpose:n=1,d=2,h=3,w=4,ci=2,co=3,kd=1,kh=2,kw=3,stride=2x2x1,dtype=uint8",
    "pixel_cnn": "pixel_cnn:n=1,h=9,w=8,ci=3,co=4,kh=3,kw=3,mask=A,pad=1,dtype=float32,epilogue=relu",
    "shift_conv2d": "shift_conv2d:n=1,h=9,w=8,c=3,kh=3,kw=3,pad=1,layout=nchw,dtype=uint8",
    "bilinear": "bilinear:n=2,k1=3,k2=4,m=5,dtype=bfloat16",
    "mttkrp": "mttkrp:n=2,k1=3,k2=4,m=5,dtype=float32",
    "block_circulant": "block_circulant:rows=9,cols=12,block=4,dtype=float32",
    "lstm_cell": "lstm_cell:n=2,input=3,hidden=4,bias=1,dtype=bfloat16,weights=constant",
    "batch_norm": "batch_norm:n=2,c=3,h=4,w=5,unbiased=1,layout=nhwc,dtype=float32",
    "max_unpool1d": "max_unpool1d:n=1,c=2,w=5,kw=2,stride=2,dtype=float32",
    "max_unpool2d": "max_unpool2d:n=1,c=2,h=4,w=5,kh=3,kw=2,stride=3x2,pad=1x0,dtype=bfloat16",
    "scan": "scan:m=2,n=3,k=4,dtype=uint8",
    "softmax": "softmax:rows=3,cols=4,dtype=float32",
    "layer_norm": "layer_norm:rows=3,cols=4,epsilon=0.001,dtype=float32",
    "reduce": "reduce:op=variance,m=3,n=4,axis=0,dtype=float32",
    "pool2d": "pool2d:kind=avg,n=1,h=5,w=5,c=2,kh=3,kw=3,stride=2,pad=1,dtype=float32",
    "elementwise": "elementwise:shape=2x3,ops=add+relu+add,dtype=float32",
}


def test_every_operator_has_an_example() -> None:
    assert set(EXAMPLES) == set(operator_names())


@pytest.mark.parametrize("text", EXAMPLES.values(), ids=EXAMPLES)
def test_text_round_trips(text: str) -> None:
    workload = parse_workload(text)
    assert str(workload) == text
    assert parse_workload(str(workload)) == workload


@given(
    m=st.integers(1, 4096),
    ta=st.sampled_from([0, 1]),
    dtype=st.sampled_from(["float32", "uint8", "bfloat16"]),
    epilogue=st.lists(st.sampled_from(["bias", "relu"]), max_size=3),
    weights=st.sampled_from(["input", "constant"]),
)
def test_any_gemm_round_trips(m: int, ta: int, dtype: str, epilogue: list[str], weights: str) -> None:
    params = (("weights", weights), ("epilogue", "+".join(epilogue) or "none"), ("dtype", dtype), ("ta", ta))
    workload = Workload("gemm", (*params, ("k", 7), ("n", 3), ("m", m)))
    again = parse_workload(str(workload))
    assert again == workload
    assert again.key == workload.key
    assert hash(again) == hash(workload)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_pads_have_one_short_form(pads: list[int]) -> None:
    text = "conv2d:h=9,w=9,ci=1,co=1,kh=3,kw=3,pad=" + "x".join(map(str, pads))
    if len(pads) == 3:
        with pytest.raises(UsageError, match="1 or 2 or 4 numbers"):
            parse_workload(text)
        return
    full = {1: pads * 4, 2: pads * 2, 4: pads}[len(pads)]
    before, after = parse_workload(text).checked_params.pads(2)
    assert [*before, *after] == full
    same = parse_workload("conv2d:h=9,w=9,ci=1,co=1,kh=3,kw=3,pad=" + "x".join(map(str, full)))
    assert same == parse_workload(text)


def test_order_defaults_and_spaces_do_not_matter() -> None:
    one = parse_workload("conv2d:h=9,w=9,ci=4,co=4,kh=3,kw=3")
    other = parse_workload(" conv2d: kw=3, kh=3, co=4, ci=4, w=9, h=9, n=1, stride=1x1, pad=0, groups=1, layout=nchw ")
    assert one == other
    assert one.param("dilation") == 1


def test_keys_tell_everything_apart_that_matters() -> None:
    texts = [
        "gemm:m=4,n=4,k=4",
        "gemm:m=4,n=4,k=4,tb=1",
        "gemm:m=4,n=4,k=4,dtype=uint8",
        "gemm:m=4,n=4,k=4,epilogue=relu",
        "gemm:m=4,n=4,k=4,weights=constant",
        "bmm:b=1,m=4,n=4,k=4",
    ]
    assert len({parse_workload(text).key for text in texts}) == len(texts)


def test_key_stays_the_same() -> None:
    """Records are found by it: change it only together with a migration of databases."""
    assert parse_workload("gemm:m=512,n=512,k=512").key == "6cd3282564eaea7a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gem:m=1", "did you mean 'gem"),
        ("", "unknown operator ''"),
        ("bilinear:n=1", "bilinear needs k1, k2, m"),
        ("variance:m=1,n=3", "write it as reduce:op=variance,..."),
        ("conv3d_transpose:d=1,h=1,w=1,ci=3,co=2,kd=1,kh=1,kw=1,groups=2", "ci=3 is not divisible by groups=2"),
        ("conv2d_winograd:h=2,w=5,ci=1,co=1", "covers 3 elements along h"),
        ("conv2d_winograd:h=5,w=5,ci=1,co=1,tile=3", "tile expects one of 2, 4"),
        ("pixel_cnn:h=3,w=3,ci=1,co=1,kh=1,kw=1,mask=A", "leaves nothing of a kernel of 1 x 1"),
        ("block_circulant:rows=4,cols=9,block=5", "block=5 is larger than the matrix of 4 x 9"),
        ("max_unpool1d:c=1,w=4,kw=2", "max_unpool1d needs stride"),
        ("max_unpool1d:c=1,w=4,kw=2,stride=2,pad=2", "must be smaller than the kernel"),
        ("max_unpool2d:c=1,h=4,w=4,kh=9,kw=9,stride=1", "more than 49 windows overlap"),
        ("max_unpool2d:c=1,h=1,w=1,kh=2,kw=2,stride=1,pad=1", "leaves an output of [0, 0] elements"),
        ("batch_norm:n=1,c=4,unbiased=1", "at least two elements per channel"),
        ("reduce:op=mean,m=2,n=2,dtype=uint8", "op=mean needs floats"),
        ("reduce:op=max,m=2,n=2,unbiased=1", "unbiased=1 is for the variance"),
        ("gemm:m=65536,n=65536,k=1", "has more than 2147483647 elements"),
        ("gemm", "gemm needs m, n, k"),
        ("gemm:m=1,n=2", "gemm needs k"),
        ("gemm:m=0,n=1,k=1", "m expects an integer from 1"),
        ("gemm:m=-3,n=1,k=1", "m expects an integer from 1"),
        ("gemm:m=1.5,n=1,k=1", "got m=1.5"),
        ("gemm:m=99999999999999999999999999,n=1,k=1", "m expects an integer"),
        ("gemm:m=1,m=2,n=1,k=1", "given twice"),
        ("gemm:m=1,n=1,k=1,kk=3", "no parameter 'kk'"),
        ("gemm:m=1,n=1,k=1,dtype=float33", "did you mean 'float32'"),
        ("gemm:m=1,n=1,k=1,epilogue=biass", "did you mean 'bias'"),
        ("gemm:m=1,n=1,k=1,dtype=uint8,epilogue=bias+gelu", "gelu needs a float32 result"),
        ("gemm:m=1,n=1,k=1,ta=2", "ta expects 0 or 1"),
        ("gemm:m=,n=1,k=1", "expected NAME=VALUE between commas, got 'm='"),
        ("gemm:m=1 n=1 k=1", "between commas"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=5,kw=1", "covers 5 elements along h"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=2,kw=2,dilation=1x4", "covers 5 elements along w"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=3,kw=1,groups=2", "ci=3 is not divisible by groups=2"),
        ("conv2d:h=3,w=3,ci=4,co=3,kh=3,kw=1,groups=2", "co=3 is not divisible by groups=2"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=1,kw=1,stride=1x2x3", "stride expects 1 or 2 numbers"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=1,kw=1,stride=0", "stride expects an integer from 1"),
        ("conv2d:h=3,w=3,ci=3,co=4,kh=1,kw=1,layout=nwhc", "did you mean 'nhwc'"),
        ("conv2d_transpose:h=3,w=3,ci=1,co=1,kh=3,kw=3,output_padding=1", "output_padding=1 must be below"),
        ("conv2d_transpose:h=1,w=1,ci=1,co=1,kh=3,kw=3,pad=2", "leaves an output"),
        ("pool2d:kind=max,h=3,w=3,c=1,kh=2,kw=2,pad=2", "must be smaller than the kernel"),
        ("softmax:rows=1,cols=3,dtype=uint8", "one of float32, bfloat16"),
        ("layer_norm:rows=1,cols=2,epsilon=-1", "a positive number"),
        ("elementwise:shape=0x1,ops=relu", "shape expects"),
        ("elementwise:shape=2,ops=none", "not 'none'"),
        ("reduce:op=average,m=1,n=1", "op expects one of sum, mean, variance"),
        ("tir:name=x,sha=3", "does not hold the body"),
        ("tir:name=x", "tir expects name=...,sha=..."),
    ],
)
def test_bad_text_is_refused(text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_workload(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parsing_loads_no_tvm() -> None:
    program = (
        "import sys; from flextune.workload import parse_workload as p; w = p('conv2d:h=9,w=9,ci=1,co=1,kh=3,kw=3');"
        "w.reference(w.random_inputs(0)); w.flops, w.key, w.outputs; assert 'tvm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_package_import_loads_no_numpy() -> None:
    program = "import sys, flextune.workload; assert 'numpy' not in sys.modules and 'tvm' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_constant_weights_are_listed() -> None:
    workload = parse_workload("gemm:m=2,n=3,k=4,epilogue=bias+add,weights=constant")
    assert workload.constants == (1, 2)
    assert [spec.constant for spec in workload.inputs] == [False, True, True, False]
    assert find_operator("gemm").inputs(workload.checked_params) == workload.inputs
