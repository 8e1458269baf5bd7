"""Inputs and references on disk."""

from pathlib import Path

import numpy as np
import pytest

from flextune.aligned import ALIGNMENT_BYTES, aligned_copy
from flextune.measure.data import load_data, save_data
from flextune.workload.parse import parse_workload


@pytest.mark.parametrize(
    "text", ["gemm:m=3,n=5,k=7", "gemm:m=4,n=4,k=4,dtype=uint8", "gemm:m=4,n=4,k=4,dtype=bfloat16"]
)
def test_what_is_saved_is_what_is_loaded(text: str, tmp_path: Path) -> None:
    workload = parse_workload(text)
    save_data(workload, tmp_path)
    data = load_data(workload, tmp_path)
    for array, original in zip(data.inputs, data.originals, strict=True):
        assert np.array_equal(array, original)
    for reference, expected in zip(data.references, workload.reference(list(data.originals)), strict=True):
        assert np.array_equal(reference, expected)
    data.poison_outputs()
    assert not any(np.any(output == reference) for output, reference in zip(data.outputs, data.references, strict=True))


def test_a_spoilt_input_is_restored_and_originals_cannot_be_written(tmp_path: Path) -> None:
    workload = parse_workload("gemm:m=3,n=5,k=7")
    save_data(workload, tmp_path)
    data = load_data(workload, tmp_path)
    data.inputs[0][:] = 0
    data.restore_inputs()
    assert np.array_equal(data.inputs[0], data.originals[0])
    with pytest.raises(ValueError, match="read-only"):
        data.originals[0][0] = 1


@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (1000,)])
def test_alignment(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).random(shape).astype(np.float32)
    copy = aligned_copy(array)
    assert copy.ctypes.data % ALIGNMENT_BYTES == 0
    assert copy.flags.c_contiguous
    assert copy.shape == shape
    assert np.array_equal(copy, array)
