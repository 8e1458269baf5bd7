from __future__ import annotations

import pytest

from benchmarks.recurrent import GATES, Layer, table_row
from benchmarks.rounds import Protocol


@pytest.mark.parametrize("operator", sorted(GATES))
def test_peers_compute_the_same_and_are_timed(operator: str) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("torch")
    row = table_row(Layer(operator, 8, 3, 2), Protocol(1, 1, 1e-3, 0.0), ["onnxruntime", "torch"])
    cells = row.strip("| ").split(" | ")
    assert cells[:4] == [operator, "8", "3", "2"]
    assert all(float(cell) > 0 for cell in cells[4:])
