"""The shapes that Heron and FlexTensor evaluate, by name.

Names are `SET.GROUP.NAME` (or `SET.NAME`, as the data file nests them) for Heron's and `flextensor.OPERATOR.LIST.INDEX`
for FlexTensor's, as in `heron_dlboost_u8s8s32_fig8.c2d.C2D1` and `flextensor.conv2d.yolo_shapes_b1.0`.

How a list of numbers is read:
* The data file states the order of each list; `gemm` and `bmm` of Heron multiply by a transposed B.
* Heron's DL Boost set is uint8 and channels-last, as its packed weights say. The tensor-core sets are float32 (their
  fp16 is not a CPU type) and channels-first, except `c2d_nhwc`. FlexTensor's are float32 and channels-first.
* A FlexTensor gemm of four numbers is a batch of gemms: the first number is the batch.
* FlexTensor evaluates transposed convolutions in one and three dimensions and convolutions by im2col on the shapes of
  its convolutions: `flextensor.conv_transpose1d.conv1d_shapes.0`, `flextensor.gemm_conv2d.yolo_shapes_b1.0`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from flextune.errors import UsageError
from flextune.workload.operator_parameters import Value, nearest
from flextune.workload.workload import Workload

_EXTRA: dict[str, tuple[str, Value]] = {
    "nwc": ("layout", "nwc"),
    "nhwc": ("layout", "nhwc"),
    "ndhwc": ("layout", "ndhwc"),
    "tb": ("tb", 1),
}
_POWERS = tuple(2**exponent for exponent in range(5, 13))
_DLBOOST = "heron_dlboost"

# list name -> operator, order of its numbers ("_": ignored), what else holds
_HERON = {
    "gemm": ("gemm", "m k n", "tb"),
    "bmm": ("bmm", "b m k n", "tb"),
    "gemv": ("gemv", "m k", ""),
    "scan": ("scan", "m n k", ""),
    "c1d": ("conv1d", "n w ci co kw stride pad dilation", ""),
    "c2d": ("conv2d", "n h w ci co kh kw stride pad dilation", ""),
    "c2d_nhwc": ("conv2d", "n h w ci co kh kw stride pad dilation", "nhwc"),
    "dil": ("conv2d", "n h w ci co kh kw stride pad dilation", ""),
    "t2d": ("conv2d_transpose", "n h w ci co kh kw stride pad dilation output_padding", ""),
    "c3d": ("conv3d", "n d h w ci co kd kh kw stride pad dilation", ""),
}
_HERON_LAST = {"c1d": "nwc", "c2d": "nhwc", "dil": "nhwc", "t2d": "nhwc", "c3d": "ndhwc"}
_FLEXTENSOR = {
    "conv1d": ("conv1d", "n ci w co _ kw _ stride pad dilation groups"),
    "conv2d": ("conv2d", "n ci h w co _ kh _ _ stride pad dilation groups"),
    "conv3d": ("conv3d", "n ci d h w co _ kh _ stride pad dilation groups"),
    "conv3d.paper_v100_log": ("conv3d", "n ci d h w co kh stride pad dilation groups"),
    "depthwise": ("depthwise", "n c h w multiplier kh _ stride pad dilation"),
    "grouped": ("conv2d", "n ci h w co kh _ stride pad dilation groups"),
    "dilation": ("conv2d", "n ci h w co kh _ stride pad dilation groups"),
    "gemm": ("gemm", "m k n"),
    "gemm.test_gemm_shapes": ("bmm", "b m k n"),
    "gemv": ("gemv", "m k _"),
    "conv_transpose2d": ("conv2d_transpose", "n ci h w co kh stride pad output_padding dilation groups"),
    "bilinear": ("bilinear", "n k1 k2 m"),
    "mttkrp": ("mttkrp", "n k1 k2 m"),
    "block_circulant_matrix": ("block_circulant", "rows cols block"),
    "maxunpooling1d": ("max_unpool1d", "n c w kw stride pad"),
    "maxunpooling2d": ("max_unpool2d", "n c h w kh stride pad"),
    "shift_conv2d": ("shift_conv2d", "n h w c kh dilation"),
    "PixelCNN": ("pixel_cnn", "n h w ci co kh kw mask _ dilation stride pad"),
}
_DERIVED = {
    "conv_transpose1d": ("conv1d", "conv1d_transpose"),
    "conv_transpose3d": ("conv3d", "conv3d_transpose"),
    "gemm_conv2d": ("conv2d", "conv2d_im2col"),
}
"""Operators that FlexTensor evaluates on the shapes of another one: the former's name -> the latter's, and ours.

A transposed convolution takes the result of the convolution, and gives what has its data's channels.
"""
_GATED = "gated_pixelcnn"


def named_workload(name: str) -> Workload:
    """The shipped shape called `name`; `UsageError` for an unknown one, or one whose operator is not supported."""
    source, _, rest = name.partition(".")
    if source == "flextensor":
        return _flextensor_workload(name, rest)
    node: object = _data().get(source) if source.startswith("heron") else None
    for part in rest.split(".") if rest else []:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, list):
        raise _unknown(name)
    is_dlboost = source.startswith(_DLBOOST)
    return heron_workload(str(node[0]), node[1], "uint8" if is_dlboost else "float32", is_dlboost)


def list_workload_names() -> tuple[str, ...]:
    """All names that `named_workload` takes."""
    return tuple(_names())


def _names() -> Iterator[str]:
    for source, groups in _data().items():
        if source == "flextensor":
            for title in (*groups, *_derived_titles(tuple(groups))):
                if _flextensor_order(title) is not None:
                    yield from (f"flextensor.{title}.{index}" for index in range(_flextensor_count(title)))
        else:
            yield from _nested_names(source, groups)


def _nested_names(prefix: str, node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _nested_names(f"{prefix}.{name}", child)
    elif isinstance(node, list):
        yield prefix


def heron_workload(title: str, numbers: Sequence[Value], dtype: str, channels_last: bool = False) -> Workload:
    """The workload of one of Heron's cases: its name of the operator, and its parameters in Heron's order.

    Raises `UsageError` for an unknown operator or parameters that do not fit.

    >>> str(heron_workload("gemv", [8, 4], "float32"))
    'gemv:m=8,k=4,dtype=float32'
    """
    if title not in _HERON:
        raise UsageError(f"unknown operator {title!r}{nearest(title, tuple(_HERON))}; Heron's are {', '.join(_HERON)}")
    operator, order, extra = _HERON[title]
    sizes = numbers[:-1] if numbers and isinstance(numbers[-1], str) else numbers
    # a last word, Heron's packed layout of the weight, is a matter of schedules here
    if len(sizes) != len(order.split()) or not all(isinstance(size, int) for size in sizes):
        raise UsageError(f"expected the whole numbers [{order}] for {title}, got {list(numbers)}")
    given = _read(order, sizes)
    last = extra or (_HERON_LAST.get(title, "") if channels_last else "")
    if last:
        given.update([_EXTRA[last]])
    given["dtype"] = dtype
    return Workload(operator, tuple(given.items()))


def _flextensor_workload(name: str, rest: str) -> Workload:
    title, _, index = rest.rpartition(".")
    if _shapes_of(rest) is not None:
        title, index = rest, ""
    if _shapes_of(title) is None:
        raise _unknown(name)
    order = _flextensor_order(title)
    if order is None:
        raise UsageError(f"{name}: {_why_unsupported(title)}")
    count = _flextensor_count(title)
    if not (index.isascii() and index.isdigit() and int(index) < count):
        raise UsageError(f"flextensor.{title} has {count} shapes: name one, as in flextensor.{title}.0")
    given = _completed(*order, _flextensor_numbers(title, int(index)))
    derived = _DERIVED.get(title.split(".")[0])
    if derived is None:
        return Workload(order[0], tuple(given.items()))
    return Workload(derived[1], tuple((_transposed(order[0], given) if "transpose" in derived[1] else given).items()))


def _completed(operator: str, names: str, numbers: Sequence[Value]) -> dict[str, Value]:
    """The parameters of one shape, with what FlexTensor leaves out: kernels are square, and shifts keep the size."""
    given = _read(names, numbers)
    if "kh" in given:
        given.update((f"k{axis}", given["kh"]) for axis in "dw" if axis in given and f"k{axis}" not in given)
    if operator == "shift_conv2d":
        given["pad"] = int(given["dilation"]) * (int(given["kh"]) - 1) // 2
    return given


def _transposed(operator: str, given: dict[str, Value]) -> dict[str, Value]:
    """The transposed convolution that takes the result of a convolution."""
    forward = Workload(operator, tuple(given.items()))
    spatial = [name for name in "dhw" if name in given]
    sizes = dict(zip(spatial, forward.outputs[0].shape[2:], strict=True))
    return {**given, **sizes, "ci": given["co"], "co": given["ci"]}


def _why_unsupported(title: str) -> str:
    operator = title.split(".")[0]
    if operator == _GATED:
        return "FlexTensor's gated PixelCNN adds 3 channels to 256 and images of two sizes, so it computes nothing"
    return f"the operator {operator} is not supported yet"


def _derived_titles(groups: tuple[str, ...]) -> Iterator[str]:
    """The lists of convolutions under the names of the operators that are evaluated on them too."""
    for name, (source, _) in _DERIVED.items():
        yield from (
            f"{name}.{rest}" for first, _, rest in (title.partition(".") for title in groups) if first == source
        )


def _source_title(title: str) -> str:
    first, _, rest = title.partition(".")
    return f"{_DERIVED[first][0]}.{rest}" if first in _DERIVED else title


def _shapes_of(title: str) -> str | Sequence[Sequence[Value]] | None:
    shapes: str | Sequence[Sequence[Value]] | None = _data()["flextensor"].get(_source_title(title))
    return shapes


def _flextensor_order(title: str) -> tuple[str, str] | None:
    source = _source_title(title)
    return _FLEXTENSOR.get(source) or _FLEXTENSOR.get(source.split(".")[0])


def _flextensor_count(title: str) -> int:
    shapes = _shapes_of(title)
    return len(_POWERS) ** 3 if isinstance(shapes, str) else len(shapes or ())


def _flextensor_numbers(title: str, index: int) -> Sequence[Value]:
    """The numbers of one shape. A list given in words is every triple of powers of two, the last varying fastest."""
    shapes = _shapes_of(title)
    if isinstance(shapes, str):
        return next(itertools.islice(itertools.product(_POWERS, repeat=3), index, None))
    assert shapes is not None
    return shapes[index]


def _read(order: str, numbers: Sequence[Value]) -> dict[str, Value]:
    pairs = zip(order.split(), numbers, strict=False)
    return {name: value for name, value in pairs if name != "_"}


def _unknown(name: str) -> UsageError:
    names = list_workload_names()
    return UsageError(f"no shipped workload is called {name!r}{nearest(name, names)}")


@cache
def _data() -> dict[str, Any]:
    """The sets of the data file as it nests them: dictionaries down to lists of numbers."""
    text = files("flextune.workload").joinpath("data/workloads.json").read_text(encoding="utf-8")
    return {name: content for name, content in json.loads(text).items() if not name.endswith(("source", "_order"))}
