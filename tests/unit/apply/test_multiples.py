"""Models whose maps fit together because heights and widths are multiples of a stride: as YOLO's and U-Nets' do."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from flextune.errors import UsageError
from flextune.target.target import Target
from tests.unit.apply.sized_cases import Case, compare_at_sizes, compiled, real, whole

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

node = helper.make_node
NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def pyramid() -> Case:
    """Maps of strides 2 and 4, the smaller one doubled and joined with the larger, and with the image itself; a head
    whose boxes and classes come from reshapes between transposes."""
    return Case(
        [
            node("Conv", ["x", "k1"], ["wide"], pads=[1] * 4, strides=[2, 2]),
            node("Conv", ["wide", "k2"], ["deep"], pads=[1] * 4, strides=[2, 2]),
            node("Resize", ["deep", "", "twice"], ["up"], **NEAREST),
            node("Concat", ["up", "wide"], ["joined"], axis=1),
            node("Conv", ["joined", "k3"], ["head"]),
            node("Resize", ["up", "", "twice"], ["large"], **NEAREST),
            node("Add", ["large", "x"], ["whole"]),
            node("Shape", ["head"], ["shape"]),
            node("Gather", ["shape", "places"], ["sides"]),
            node("Concat", ["before", "sides"], ["target"], axis=0),
            node("Reshape", ["head", "target"], ["split"]),
            node("Transpose", ["split"], ["last"], perm=[0, 1, 3, 4, 2]),
            node("Sigmoid", ["last"], ["likely"]),
            node("Reshape", ["likely", "rows"], ["boxes"]),
        ],
        {"x": ("b", 4, "h", "w")},
        ("b=1..2", "h=4..24:4", "w=4..40:4"),
        {"k1": real(6, 4, 3, 3), "k2": real(4, 6, 3, 3), "k3": real(15, 10, 1, 1),
         "twice": np.array([1, 1, 2, 2], np.float32), "places": whole(2, 3), "before": whole(0, 3, 5),
         "rows": whole(0, -1, 5)},
        ("whole", "boxes"),
    )  # fmt: skip


@pytest.mark.slow
def test_maps_of_different_strides_fit(target: Target) -> None:
    case = pyramid()
    executable = compiled(case, target)
    compare_at_sizes(case, executable, 6)
    with pytest.raises(UsageError, match="h"):
        executable.run({"x": real(1, 4, 6, 8)})
