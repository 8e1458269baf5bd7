"""The shapes that Heron and FlexTensor evaluate, by name.

Names are `SET.GROUP.NAME` (or `SET.NAME`, as the data file nests them) for Heron's and `flextensor.OPERATOR.LIST.INDEX`
for FlexTensor's, as in `heron_dlboost_u8s8s32_fig8.c2d.C2D1` and `flextensor.conv2d.yolo_shapes_b1.0`.

How a list of numbers is read:
* The data file states the order of each list; `gemm` and `bmm` of Heron multiply by a transposed B.
* Heron's DL Boost set is uint8 and channels-last, as its packed weights say. The tensor-core sets are float32 (their
  fp16 is not a CPU type) and channels-first, except `c2d_nhwc`. FlexTensor's are float32 and channels-first.
* A FlexTensor gemm of four numbers is a batch of gemms: the first number is the batch.
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
}


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
    return heron_workload(str(node[0]), node[1], dlboost=source.startswith(_DLBOOST))


def list_workload_names() -> tuple[str, ...]:
    """All names that `named_workload` takes."""
    return tuple(_names())


def _names() -> Iterator[str]:
    for source, groups in _data().items():
        if source == "flextensor":
            for title in groups:
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


def heron_workload(title: str, numbers: Sequence[Value], dlboost: bool) -> Workload:
    """The workload of one of Heron's cases: its name of the operator, and its parameters in Heron's order.

    `dlboost` makes it uint8 and channels-last. Raises `UsageError` for an unknown operator or parameters that
    do not fit.

    >>> str(heron_workload("gemv", [8, 4], dlboost=False))
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
    last = extra or (_HERON_LAST.get(title, "") if dlboost else "")
    if last:
        given.update([_EXTRA[last]])
    given["dtype"] = "uint8" if dlboost else "float32"
    return Workload(operator, tuple(given.items()))


def _flextensor_workload(name: str, rest: str) -> Workload:
    title, _, index = rest.rpartition(".")
    if rest in _data()["flextensor"]:
        title, index = rest, ""
    order = _flextensor_order(title)
    if title not in _data()["flextensor"]:
        raise _unknown(name)
    if order is None:
        raise UsageError(f"{name}: the operator {title.split('.')[0]} is not supported yet")
    count = _flextensor_count(title)
    if not (index.isascii() and index.isdigit() and int(index) < count):
        raise UsageError(f"flextensor.{title} has {count} shapes: name one, as in flextensor.{title}.0")
    operator, names = order
    given = _read(names, _flextensor_numbers(title, int(index)))
    if "kh" in given:
        given.update((f"k{axis}", given["kh"]) for axis in "dw" if axis in given)
    if operator == "conv2d_transpose" and given.pop("groups") != 1:
        raise UsageError(f"{name}: a transposed convolution with groups is not supported yet")
    return Workload(operator, tuple(given.items()))


def _flextensor_order(title: str) -> tuple[str, str] | None:
    return _FLEXTENSOR.get(title) or _FLEXTENSOR.get(title.split(".")[0])


def _flextensor_count(title: str) -> int:
    shapes = _data()["flextensor"][title]
    return len(_POWERS) ** 3 if isinstance(shapes, str) else len(shapes)


def _flextensor_numbers(title: str, index: int) -> Sequence[Value]:
    """The numbers of one shape. A list given in words is every triple of powers of two, the last varying fastest."""
    shapes = _data()["flextensor"][title]
    if isinstance(shapes, str):
        return next(itertools.islice(itertools.product(_POWERS, repeat=3), index, None))
    numbers: Sequence[Value] = shapes[index]
    return numbers


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
