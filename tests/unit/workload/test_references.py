"""Every operator's program, compiled without a schedule, computes what its NumPy reference computes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.workload import Workload, from_prim_func, parse_workload

QUICK = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
DTYPES = st.sampled_from(["float32", "uint8", "bfloat16"])


def check(workload: Workload) -> None:
    inputs = workload.random_inputs(seed=1)
    wanted = workload.reference(inputs)
    found = from_prim_func(workload.prim_func(), "unscheduled").reference(inputs)
    tolerance = workload.tolerance()
    for spec, stored, reference in zip(workload.outputs, found, wanted, strict=True):
        assert (reference.shape, str(reference.dtype)) == (spec.shape, spec.dtype)
        got, want = spec.element.decode(stored), spec.element.decode(reference)
        assert tolerance.excess(got, want) <= 0.5, f"{workload}: {np.abs(got - want).max()}"
        spoilt = want.copy()
        spoilt.flat[want.size // 2] += 1 if spec.element.is_whole else max(0.01, 4 * spec.element.step)
        assert not tolerance.accepts(got, spoilt)


def parse_or_skip(text: str) -> Workload:
    try:
        return parse_workload(text)
    except UsageError:
        assume(False)
        raise


@st.composite
def epilogues(draw: st.DrawFn, dtype: str) -> str:
    known = ["bias", "relu"] if dtype == "uint8" else ["bias", "add", "relu", "relu6", "gelu", "gelu_tanh", "sigmoid"]
    return "+".join(draw(st.lists(st.sampled_from(known), max_size=3))) or "none"


@QUICK
@given(data=st.data(), m=st.integers(1, 9), n=st.integers(1, 9), k=st.integers(1, 40), dtype=DTYPES)
def test_gemm(data: st.DataObject, m: int, n: int, k: int, dtype: str) -> None:
    ta, tb = data.draw(st.sampled_from([(0, 0), (0, 1), (1, 0), (1, 1)]))
    epilogue = data.draw(epilogues(dtype))
    check(parse_workload(f"gemm:m={m},n={n},k={k},ta={ta},tb={tb},dtype={dtype},epilogue={epilogue}"))


@pytest.mark.parametrize("dtype", ["float32", "uint8", "bfloat16"])
def test_long_sums(dtype: str) -> None:
    """Longer than the pieces in which the reference multiplies bytes."""
    check(parse_workload(f"gemm:m=3,n=5,k=1531,dtype={dtype}"))
    check(parse_workload(f"gemv:m=5,k=1025,dtype={dtype}"))


@QUICK
@given(b=st.integers(1, 4), m=st.integers(1, 7), k=st.integers(1, 20), tb=st.integers(0, 1), dtype=DTYPES)
def test_bmm(b: int, m: int, k: int, tb: int, dtype: str) -> None:
    check(parse_workload(f"bmm:b={b},m={m},n=5,k={k},tb={tb},dtype={dtype},epilogue=bias+relu"))


@st.composite
def convolutions(draw: st.DrawFn, operator: str, names: str) -> str:
    dtype = draw(DTYPES)
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    dimensions = len(names)
    counts = {
        "n": draw(st.integers(1, 2)),
        "ci": groups * draw(st.integers(1, 3)),
        "co": groups * draw(st.integers(1, 2)),
    }
    for name in names:
        counts[name] = draw(st.integers(3, 7))
        counts[f"k{name}"] = draw(st.integers(1, 3))
    strides = draw(st.lists(st.integers(1, 3), min_size=dimensions, max_size=dimensions))
    pads = draw(st.lists(st.integers(0, 2), min_size=2 * dimensions, max_size=2 * dimensions))
    dilations = draw(st.lists(st.integers(1, 2), min_size=dimensions, max_size=dimensions))
    layout = draw(st.sampled_from([f"nc{names}", f"n{names}c"]))
    parts = [f"{name}={value}" for name, value in counts.items()]
    for name, numbers in (("stride", strides), ("pad", pads), ("dilation", dilations)):
        parts.append(f"{name}=" + "x".join(map(str, numbers)))
    parts += [f"groups={groups}", f"layout={layout}", f"dtype={dtype}", f"epilogue={draw(epilogues(dtype))}"]
    return f"{operator}:" + ",".join(parts)


@QUICK
@given(text=convolutions("conv1d", "w"))
def test_conv1d(text: str) -> None:
    check(parse_or_skip(text))


@settings(QUICK, max_examples=16)
@given(text=convolutions("conv2d", "hw"))
def test_conv2d(text: str) -> None:
    check(parse_or_skip(text))


@QUICK
@given(text=convolutions("conv3d", "dhw"))
def test_conv3d(text: str) -> None:
    check(parse_or_skip(text))


def test_conv2d_in_several_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference gives the same result when it gathers few rows of windows at a time."""
    workload = parse_workload("conv2d:n=2,h=11,w=9,ci=4,co=3,kh=3,kw=3,stride=2,pad=1x0x0x2")
    inputs = workload.random_inputs(seed=2)
    whole = workload.reference(inputs)[0]
    monkeypatch.setattr("flextune.workload.operators.conv._GATHERED_ELEMENTS", 1)
    assert workload.tolerance().accepts(workload.reference(inputs)[0], whole)


@settings(QUICK, max_examples=16)
@given(data=st.data(), dtype=DTYPES, names=st.sampled_from(["w", "hw", "hw", "dhw"]), last=st.booleans())
def test_transposed_convolutions(data: st.DataObject, dtype: str, names: str, last: bool) -> None:
    count, groups = len(names), data.draw(st.sampled_from([1, 1, 2, 3]), label="groups")
    sizes = {name: data.draw(st.integers(1, 4), label=name) for name in ("n", *names, *(f"k{n}" for n in names))}
    sizes |= {name: groups * data.draw(st.integers(1, 3), label=name) for name in ("ci", "co")}
    lists = {"stride": (1, 3, count), "pad": (0, 2, 2 * count), "dilation": (1, 2, count)}
    lists["output_padding"] = (0, 1, count)
    parts = [f"{name}={size}" for name, size in sizes.items()]
    for name, (low, high, length) in lists.items():
        numbers = data.draw(st.lists(st.integers(low, high), min_size=length, max_size=length), label=name)
        parts.append(f"{name}=" + "x".join(map(str, numbers)))
    layout = f"n{names}c" if last else f"nc{names}"
    parts += [f"groups={groups}", f"layout={layout}", f"dtype={dtype}"]
    check(parse_or_skip(f"conv{count}d_transpose:" + ",".join(parts)))


@QUICK
@given(text=convolutions("conv2d_im2col", "hw"))
def test_conv2d_im2col(text: str) -> None:
    check(parse_or_skip(text))


@QUICK
@given(data=st.data(), dtype=DTYPES, mask=st.sampled_from("AB"), layout=st.sampled_from(["nchw", "nhwc"]))
def test_pixel_cnn(data: st.DataObject, dtype: str, mask: str, layout: str) -> None:
    names = ("n", "ci", "co", "kh", "kw", "stride", "dilation")
    parts = [f"{name}={data.draw(st.integers(1, 3), label=name)}" for name in names]
    pad = "x".join(str(data.draw(st.integers(0, 2))) for _ in range(4))
    text = f"pixel_cnn:h=6,w=5,mask={mask},pad={pad},layout={layout},dtype={dtype},epilogue=bias+relu"
    check(parse_or_skip(",".join([text, *parts])))


@QUICK
@given(
    data=st.data(), dtype=st.sampled_from(["float32", "bfloat16", "uint8"]), layout=st.sampled_from(["nchw", "nhwc"])
)
def test_shift_conv2d(data: st.DataObject, dtype: str, layout: str) -> None:
    names = ("n", "c", "kh", "kw", "stride", "dilation")
    parts = [f"{name}={data.draw(st.integers(1, 3), label=name)}" for name in names]
    pad = "x".join(str(data.draw(st.integers(0, 2))) for _ in range(4))
    text = f"shift_conv2d:h=6,w=7,pad={pad},layout={layout},dtype={dtype}"
    check(parse_or_skip(",".join([text, *parts])))


@settings(QUICK, max_examples=16)
@given(data=st.data(), dtype=st.sampled_from(["float32", "bfloat16"]), names=st.sampled_from(["w", "hw"]))
def test_max_unpool(data: st.DataObject, dtype: str, names: str) -> None:
    """With windows that lie apart, side by side and over each other."""
    sizes = {name: data.draw(st.integers(1, 4), label=name) for name in ("n", "c", *names, *(f"k{n}" for n in names))}
    stride, pad = ("x".join(str(data.draw(st.integers(low, 3))) for _ in names) for low in (1, 0))
    parts = [f"{name}={size}" for name, size in sizes.items()]
    check(parse_or_skip(f"max_unpool{len(names)}d:" + ",".join([*parts, f"stride={stride},pad={pad},dtype={dtype}"])))


@QUICK
@given(data=st.data(), dtype=DTYPES, layout=st.sampled_from(["nchw", "nhwc"]))
def test_depthwise(data: st.DataObject, dtype: str, layout: str) -> None:
    sizes = {name: data.draw(st.integers(1, 3), label=name) for name in ("n", "c", "multiplier", "kh", "kw", "stride")}
    parts = [f"{name}={size}" for name, size in sizes.items()]
    pad = "x".join(str(data.draw(st.integers(0, 2))) for _ in range(4))
    check(parse_or_skip("depthwise:h=6,w=5," + ",".join([*parts, f"pad={pad}", f"layout={layout}", f"dtype={dtype}"])))


@QUICK
@given(data=st.data(), kind=st.sampled_from(["max", "avg"]), layout=st.sampled_from(["nchw", "nhwc"]))
def test_pool2d(data: st.DataObject, kind: str, layout: str) -> None:
    kh, kw, stride, include = (data.draw(st.integers(1, 3)) for _ in range(4))
    pad = "x".join(str(data.draw(st.integers(0, 2))) for _ in range(4))
    text = f"pool2d:kind={kind},n=2,h=6,w=5,c=3,kh={kh},kw={kw},stride={stride},pad={pad},layout={layout}"
    check(parse_or_skip(f"{text},include_pad={include % 2}"))


@pytest.mark.parametrize(
    "text",
    [
        "scan:m=3,n=9,k=5",
        "scan:m=3,n=4,k=7,dtype=uint8",
        "softmax:rows=3,cols=1",
        "softmax:rows=5,cols=1001",
        "layer_norm:rows=3,cols=999",
        "layer_norm:rows=3,cols=7,epsilon=0.1",
        "reduce:op=sum,m=33,n=17",
        "reduce:op=mean,m=33,n=1700",
        "reduce:op=variance,m=33,n=17",
        "reduce:op=sum,m=33,n=17,axis=0",
        "reduce:op=mean,m=33,n=17,axis=0",
        "reduce:op=variance,m=3300,n=17,axis=0",
        "bilinear:n=3,k1=5,k2=37,m=4",
        "bilinear:n=9,k1=41,k2=7,m=4,dtype=bfloat16",
        "bilinear:n=9,k1=5,k2=3,m=4,dtype=bfloat16",
        "mttkrp:n=3,k1=5,k2=37,m=4,dtype=bfloat16",
        "mttkrp:n=39,k1=5,k2=7,m=4",
        "block_circulant:rows=19,cols=21,block=4",
        "block_circulant:rows=8,cols=24",
        "conv2d_winograd:n=2,h=9,w=8,ci=5,co=4,pad=1x0,tile=2",
        "conv2d_winograd:h=11,w=7,ci=8,co=3,pad=1",
        "lstm_cell:n=3,input=5,hidden=7,bias=1",
        "lstm_cell:input=19,hidden=17,dtype=bfloat16",
        "batch_norm:n=33,c=5",
        "batch_norm:n=3,c=5,h=4,w=7,unbiased=1",
        "batch_norm:n=3,c=5,h=4,w=1,layout=nhwc,epsilon=0.1",
        "softmax:rows=5,cols=101,dtype=bfloat16",
        "layer_norm:rows=3,cols=99,dtype=bfloat16",
        "reduce:op=sum,m=33,n=170,dtype=bfloat16",
        "reduce:op=sum,m=5,n=7,batch=3,axis=0,dtype=uint8",
        "reduce:op=variance,m=5,n=7,batch=3,axis=0,unbiased=1",
        "reduce:op=max,m=5,n=37",
        "reduce:op=min,m=5,n=37,axis=0,batch=2,dtype=bfloat16",
        "reduce:op=max,m=5,n=37,dtype=uint8",
        "reduce:op=argmax,m=5,n=37",
        "reduce:op=argmin,m=5,n=37,axis=0,dtype=uint8",
        "reduce:op=argmax,m=5,n=37,batch=2,dtype=bfloat16",
        "elementwise:shape=3x4x5,ops=add+relu+sub+mul+add",
        "elementwise:shape=7x9,ops=gelu",
        "elementwise:shape=7x9,ops=gelu_tanh+exp",
        "elementwise:shape=61,ops=sigmoid+tanh+relu6",
    ],
)
def test_other_operators(text: str) -> None:
    check(parse_workload(text))


def test_transposed_convolution_is_the_adjoint_of_convolution() -> None:
    """<conv(x), y> == <x, conv_transpose(y)>, so the two references check each other."""
    shape = "kh=3,kw=2,stride=2x1,pad=1x0,dilation=1x2"
    forward = parse_workload(f"conv2d:n=2,h=9,w=8,ci=3,co=4,{shape}")
    height, width = forward.outputs[0].shape[2:]
    backward = parse_workload(f"conv2d_transpose:n=2,h={height},w={width},ci=4,co=3,{shape}")
    x, weight = forward.random_inputs(seed=0)
    y = backward.random_inputs(seed=1)[0]
    assert backward.outputs[0].shape == x.shape
    left = np.vdot(forward.reference([x, weight])[0], y)
    right = np.vdot(x, backward.reference([y, weight])[0])
    assert left == pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize("op", ["max", "min", "argmax", "argmin"])
def test_extremes_of_nan_infinities_and_equal_elements(op: str) -> None:
    """As NumPy has them: a NaN is the result, and the first of equal elements counts."""
    workload = parse_workload(f"reduce:op={op},m=6,n=5")
    data = np.zeros((6, 5), dtype=np.float32)
    data[1, 3] = data[2, 1] = data[2, 4] = np.nan
    data[3, 2], data[4, :] = np.inf, -np.inf
    data[5, :] = [3, -2, 3, -2, 1]
    got = from_prim_func(workload.prim_func(), "unscheduled").reference([data])[0]
    assert np.array_equal(got, getattr(np, op)(data, axis=1), equal_nan=op in ("max", "min"))


def test_positions_outside_of_their_window_are_dropped() -> None:
    workload = parse_workload("max_unpool2d:c=1,h=2,w=2,kh=2,kw=2,stride=2")
    data = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 2, 2)
    position = np.array([0, 5, 99, -3], dtype=np.int32).reshape(1, 1, 2, 2)
    want = np.zeros((1, 1, 4, 4), dtype=np.float32)
    want[0, 0, 0, 0] = 1
    inputs = [data, position]
    assert np.array_equal(workload.reference(inputs)[0], want)
    assert np.array_equal(from_prim_func(workload.prim_func(), "unscheduled").reference(inputs)[0], want)


def test_grouped_convolution_with_one_channel_each_is_depthwise() -> None:
    grouped = parse_workload("conv2d:h=7,w=7,ci=6,co=12,kh=3,kw=3,groups=6,pad=1")
    depthwise = parse_workload("depthwise:h=7,w=7,c=6,multiplier=2,kh=3,kw=3,pad=1")
    inputs = grouped.random_inputs(seed=0)
    assert [spec.shape for spec in grouped.inputs] == [spec.shape for spec in depthwise.inputs]
    assert grouped.tolerance().accepts(depthwise.reference(inputs)[0], grouped.reference(inputs)[0])


def test_random_inputs_depend_on_the_seed_only_and_fill_the_type() -> None:
    workload = parse_workload("gemm:m=64,n=64,k=64,dtype=uint8")
    data, weight = workload.random_inputs(seed=5)
    assert np.array_equal(data, workload.random_inputs(seed=5)[0])
    assert not np.array_equal(data, workload.random_inputs(seed=6)[0])
    assert (data.min(), data.max(), weight.min(), weight.max()) == (0, 255, -128, 127)


def test_reference_refuses_other_arrays() -> None:
    workload = parse_workload("gemm:m=2,n=3,k=4")
    a, b = workload.random_inputs(seed=0)
    with pytest.raises(UsageError, match="2 inputs, got 1"):
        workload.reference([a])
    with pytest.raises(UsageError, match=r"input B is float32\[4, 3\], got float32\[3, 4\]"):
        workload.reference([a, np.ascontiguousarray(b.T)])


def test_tolerance_is_far_below_one_missing_term() -> None:
    """A sum that lacks one of its 1024 products is found in nearly all elements, and no right one is refused."""
    workload = parse_workload("gemm:m=64,n=64,k=1024")
    a, b = workload.random_inputs(seed=3)
    want = workload.reference([a, b])[0]
    tolerance = workload.tolerance()
    right = np.zeros_like(want)
    for k in range(1024):
        right += np.outer(a[:, k], b[k])
    assert tolerance.accepts(right, want)
    wrong = right - np.outer(a[:, 7], b[7])
    allowed = tolerance.absolute + tolerance.relative * np.abs(want)
    assert np.mean(np.abs(wrong - want) > allowed) > 0.98
