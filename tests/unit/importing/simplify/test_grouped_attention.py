"""`GroupQueryAttention` against ONNX Runtime: first steps and later ones, of different lengths, with rotations."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.differential.comparison import difference, of_onnxruntime, ours

BATCH, HEADS, GROUPS, WIDTH, LONGEST = 2, 4, 2, 16, 12


def _case(
    steps: int, past: int, lasts: list[int], packed: bool, attributes: dict[str, float]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    channels = [HEADS * WIDTH, GROUPS * WIDTH, GROUPS * WIDTH]
    widths = [sum(channels)] if packed else channels
    inputs = {f"x{place}": rng.standard_normal((BATCH, steps, width)) for place, width in enumerate(widths)}
    names = [*inputs, *[""] * (3 - len(inputs))]
    if past:
        inputs |= {name: rng.standard_normal((BATCH, GROUPS, past, WIDTH)) for name in ("past_k", "past_v")}
    names += ["past_k", "past_v"] if past else ["", ""]
    inputs = {name: array.astype(np.float32) for name, array in inputs.items()}
    inputs["lasts"] = np.array(lasts, np.int32)
    constants = {"total": np.array(max(lasts) + 1, np.int32)}
    names += ["lasts", "total"]
    if attributes.get("do_rotary"):
        angles = rng.uniform(0, 6, (LONGEST, WIDTH // 2)).astype(np.float32)
        constants |= {"cosine": np.cos(angles), "sine": np.sin(angles)}
        names += ["cosine", "sine"]
    node = helper.make_node(
        *("GroupQueryAttention", names, ["y", "k", "v"]),
        domain="com.microsoft",
        num_heads=HEADS,
        kv_num_heads=GROUPS,
        **attributes,
    )
    values = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    outputs = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in "ykv"]
    initializers = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph([node], "attention", values, outputs, initializers)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10), inputs


@pytest.mark.parametrize(
    ("steps", "past", "lasts", "packed", "attributes"),
    [
        (5, 0, [4, 4], False, {}),
        (5, 0, [4, 2], False, {"do_rotary": 1}),
        (1, 5, [5, 5], False, {"softcap": 2.0}),
        (1, 6, [5, 3], True, {"do_rotary": 1, "rotary_interleaved": 1}),
        (1, 4, [4, 2], True, {"do_rotary": 1, "scale": 0.4}),
    ],
)
def test_what_is_kept_and_attended_to_is_what_onnxruntime_gives(
    steps: int, past: int, lasts: list[int], packed: bool, attributes: dict[str, float]
) -> None:
    model, inputs = _case(steps, past, lasts, packed, attributes)
    wanted = of_onnxruntime(model, inputs)
    if wanted is None:
        pytest.skip("needs onnxruntime")
    for got, expected in zip(ours(model, inputs, "none", only_own=True), wanted, strict=True):
        assert not difference(got, expected, 1e-5)
