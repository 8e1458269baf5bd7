"""Names for people, of operators and of the programs that models are made of."""

from __future__ import annotations

import pytest

from flextune.workload.parse import parse_workload
from flextune.workload.readable import readable_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gemm:m=96,n=64,k=32,dtype=float32", "gemm m=96 n=64 k=32"),
        ("gemm:m=96,n=64,k=32,dtype=bfloat16", "gemm m=96 n=64 k=32 bfloat16"),
        (
            "conv2d:n=1,h=56,w=56,ci=64,co=64,kh=3,kw=3,pad=1,epilogue=bias+relu",
            "conv2d 3x3 64->64 56x56 pad=1 + bias + relu",
        ),
        ("conv1d:n=2,w=56,ci=4,co=8,kw=3", "conv1d 3 4->8 56 n=2"),
    ],
)
def test_operators(text: str, name: str) -> None:
    assert readable_name(str(parse_workload(text))) == name


@pytest.mark.parametrize("text", ["", "gemm", "objective:f", "gemm:", "gemm:m", "no such thing", "tir:"])
def test_what_is_no_workload_stays_as_it_is(text: str) -> None:
    assert readable_name(text) == text


@pytest.mark.parametrize("body", ["", "{}", "[]", "null", '{"nodes":[1],"root_index":0}', "[" * 100_000])
def test_a_program_that_cannot_be_read_has_the_name_of_its_operators(body: str) -> None:
    assert readable_name("tir:name=conv2d_add_relu,sha=h1", body) == "conv2d + add + relu"
    assert readable_name("tir:name=max_pool2d,sha=h1", None) == "max_pool2d"


def test_programs_of_a_model_in_every_layout() -> None:
    tvm = pytest.importorskip("tvm")
    from tvm import te, topi

    def name(data: tuple[int, ...], weight: tuple[int, ...], layouts: tuple[str, str]) -> str:
        tensors = [te.placeholder(shape, name=f"p{place}") for place, shape in enumerate((data, weight))]
        result = topi.nn.conv2d(*tensors, 1, 1, 1, data_layout=layouts[0], kernel_layout=layouts[1])
        body = tvm.ir.save_json(te.create_prim_func([*tensors, result]))
        return readable_name("tir:name=conv2d_relu,sha=h1", body)

    assert name((1, 56, 57, 16), (3, 3, 16, 32), ("NHWC", "HWIO")) == "conv2d 3x3 16->32 56x57 + relu"
    assert name((1, 16, 56, 57), (32, 16, 3, 5), ("NCHW", "OIHW")) == "conv2d 3x5 16->32 56x57 + relu"
