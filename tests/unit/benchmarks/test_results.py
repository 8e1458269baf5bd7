from __future__ import annotations

import json

import pytest

from benchmarks.kernel_cases import Case
from benchmarks.kernel_results import CaseResult, PeerResult, Tuning, notes, table

PEERS = ("flextune", "pytorch", "numpy")


def result(*peers: PeerResult, flops: int = 2_000_000) -> CaseResult:
    return CaseResult(Case("small", "gemm:..."), flops, 4e9, 64, peers, {"flextune": Tuning(1.5, 1.0, 64)})


def both() -> CaseResult:
    return result(
        PeerResult("flextune", (1e-3, 9e-3, 1e-3), threads=2),
        PeerResult("pytorch", (2e-3, 2e-3, 5e-3), variant="torch.mm"),
        PeerResult("numpy", absent="NumPy has matrix products only"),
    )


def test_rates_and_ratios_are_of_medians() -> None:
    case = both()
    assert case.gflops("flextune") == pytest.approx(2.0)
    assert case.ratio("pytorch") == pytest.approx(2.0)
    assert case.fraction_of_peak == pytest.approx(0.5)


def test_json_names_every_peer_and_survives_a_round_trip() -> None:
    entry = both().to_json()
    assert json.loads(json.dumps(entry)) == entry
    assert entry["ms"] == {"flextune": pytest.approx(1.0), "pytorch": pytest.approx(2.0)}
    assert entry["ratio"] == {"flextune": 1.0, "pytorch": pytest.approx(2.0)}
    assert entry["absent"] == {"numpy": "NumPy has matrix products only"}
    assert entry["tuning_secs"] == {"flextune": 1.5}
    assert entry["trials"] == 64
    assert entry["trials_made"] == {"flextune": 64}
    assert entry["variant"] == {"pytorch": "torch.mm"}


def test_without_a_time_of_ours_there_is_nothing_to_compare_with() -> None:
    case = result(PeerResult("flextune", absent="it failed"), PeerResult("pytorch", (1e-3,)))
    assert case.ratio("pytorch") is None
    assert case.fraction_of_peak is None
    assert case.to_json()["ratio"] == {"pytorch": None}
    assert table([case], PEERS).splitlines()[1].split() == ["small", "-", "-", "-", "2.0", "-", "1.5", "s"]


def test_table_has_a_line_per_case_and_aligned_columns() -> None:
    head, row = table([both()], PEERS).splitlines()
    assert head.split() == ["case", "ms", "of", "peak", "flextune", "pytorch", "numpy", "flextune", "tuning"]
    assert row.split() == ["small", "1.000", "50%", "2.0", "1.0", "(2.00)", "-", "1.5", "s"]
    assert len(head) == len(row)


def test_notes_name_missing_peers_and_group_reasons() -> None:
    other = CaseResult(Case("other", "conv2d:..."), 1, 1.0, 64, both().peers, {})
    lines = notes([both(), other], {"metaschedule": "pip install it"})
    assert "missing: metaschedule, not installed: pip install it" in lines
    assert "no numpy in small, other: NumPy has matrix products only" in lines


def test_the_way_to_the_other_tuners_best() -> None:
    peers = (PeerResult("flextune", (1e-3,)), PeerResult("metaschedule", (2e-3,)))
    way = ((3.0, 5e-3), (4.0, 2e-3), (5.0, 1e-3))
    tuning = {"flextune": Tuning(6.0, 5.0, 64, way), "metaschedule": Tuning(60.0, 59.0, 64)}
    case = CaseResult(Case("small", "gemm:..."), 1, 1.0, 64, peers, tuning)
    assert case.secs_to_best_of("metaschedule") == 4.0
    assert case.to_json()["secs_to_best_of"] == {"metaschedule": 4.0}
    assert "small: as fast as metaschedule's best after 4.0 s, 15 times sooner than it" in notes([case], {})
    assert tuning["flextune"].secs_to(0.5e-3) is None
