"""Where Winograd applies, and the call that takes a convolution's place in a model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import relax

from flextune.plan.algorithms.winograd import (
    ConvolutionFacts,
    convolution_facts,
    winograd_call,
    winograd_sizes,
)

from .convolution import direct

PLAIN = ConvolutionFacts((1, 56, 56, 64), (3, 3, 64, 64), (1, 1, 1, 1))


def convolution(data: tuple[int, ...], weight: np.ndarray, **options: object) -> object:
    image = relax.Var("image", relax.TensorType(data, "float32"))
    options = {"padding": (1, 1, 1, 1), "data_layout": "NHWC", "kernel_layout": "HWIO", **options}
    return relax.BlockBuilder().normalize(relax.op.nn.conv2d(image, relax.const(weight), **options))


def test_sizes_for_a_plain_convolution() -> None:
    assert winograd_sizes(PLAIN) == (2, 4)


@pytest.mark.parametrize(
    "change",
    [
        {"strides": (2, 2)},
        {"dilations": (2, 2)},
        {"groups": 2},
        {"dtype": "bfloat16"},
        {"constant_weights": False},
        {"weight_shape": (1, 1, 64, 64)},
        {"weight_shape": (3, 3, 64, 10)},
        {"data_shape": (1, 56, 56, 3), "weight_shape": (3, 3, 3, 64)},
        {"data_shape": (1, 3, 3, 64), "pads": (0, 0, 0, 0)},
    ],
    ids=str,
)
def test_no_size_where_it_does_not_apply(change: dict[str, object]) -> None:
    assert winograd_sizes(replace(PLAIN, **change)) == ()


def test_large_weights_for_few_pixels_do_not_pay() -> None:
    assert winograd_sizes(ConvolutionFacts((1, 7, 7, 512), (3, 3, 512, 512), (1, 1, 1, 1))) == (2,)
    assert winograd_sizes(ConvolutionFacts((1, 4, 4, 512), (3, 3, 512, 512), (1, 1, 1, 1))) == ()
    assert winograd_sizes(ConvolutionFacts((1, 14, 14, 256), (3, 3, 256, 256), (1, 1, 1, 1))) == (2, 4)
    assert 4 not in winograd_sizes(ConvolutionFacts((1, 5, 5, 64), (3, 3, 64, 64), (1, 1, 1, 1)))


def test_facts_of_a_call() -> None:
    weight = np.zeros((3, 3, 8, 16), np.float32)
    facts = convolution_facts(convolution((1, 9, 7, 8), weight, padding=(1, 0, 2, 1), strides=(1, 2)))
    assert facts == ConvolutionFacts((1, 9, 7, 8), (3, 3, 8, 16), (1, 0, 2, 1), strides=(1, 2))
    other = convolution((1, 8, 9, 7), np.zeros((16, 8, 3, 3), np.float32), data_layout="NCHW", kernel_layout="OIHW")
    assert convolution_facts(other) is None
    assert convolution_facts(relax.const(weight)) is None


def test_the_call_computes_the_convolution() -> None:
    rng = np.random.default_rng(0)
    weight, data = (
        rng.standard_normal((3, 3, 8, 16), dtype=np.float32),
        rng.standard_normal((1, 9, 7, 8), dtype=np.float32),
    )
    call = convolution(data.shape, weight, padding=(1, 0, 0, 1))
    builder = relax.BlockBuilder()
    with builder.function("main", [call.args[0]]):
        with builder.dataflow():
            result = builder.emit_output(winograd_call(builder, call, 2))
        builder.emit_func_output(result)
    built = tvm.compile(builder.get(), target=tvm.target.Target({"kind": "llvm"}))
    found = relax.VirtualMachine(built, tvm.cpu())["main"](tvm.runtime.tensor(data)).numpy()
    np.testing.assert_allclose(found, direct(data, weight, (1, 0, 0, 1)), rtol=0, atol=1e-4)
