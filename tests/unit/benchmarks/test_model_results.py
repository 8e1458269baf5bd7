"""Which peers a ratio counts, and the form of what is written."""

from __future__ import annotations

import json

import pytest

from benchmarks.model_results import ModelResult, PeerRuns, geometric_mean, notes, table, to_json

FLOAT32, BFLOAT16 = "float32", "bfloat16"


def runs(peer: str, ms: float, precision: str = FLOAT32, error: float = 0.0) -> PeerRuns:
    return PeerRuns(peer, (ms / 1e3, ms / 1e3, 99.0), precision=precision, max_error=error)


def result(*peers: PeerRuns, model: str = "light_squeezenet", precision: str = FLOAT32) -> ModelResult:
    return ModelResult(model, precision, peers, 12.5, 100)


def usual(ours_ms: float = 2.0, model: str = "light_squeezenet", precision: str = FLOAT32) -> ModelResult:
    return result(
        runs("flextune", ours_ms, precision, 3e-6),
        runs("flextune-default", 1.0, precision),
        runs("onnxruntime", 4.0),
        runs("openvino", 3.0, precision),
        runs("openvino-default", 1.5, BFLOAT16),
        model=model,
        precision=precision,
    )


def test_a_ratio_is_of_medians_and_of_the_best_peer() -> None:
    assert usual().ratio == pytest.approx(1.5)
    assert usual().best_peer == "openvino"


def test_only_peers_of_the_same_precision_count() -> None:
    assert usual(precision=BFLOAT16).best_peer == "openvino-default"
    assert usual(precision=BFLOAT16).ratio == pytest.approx(0.75)


def test_a_default_that_is_float32_counts_in_float32() -> None:
    both = result(runs("flextune", 2.0), runs("openvino", 3.0), runs("openvino-default", 2.5))
    assert both.best_peer == "openvino-default"


def test_our_own_default_is_no_peer() -> None:
    alone = result(runs("flextune", 2.0), runs("flextune-default", 3.0))
    assert alone.ratio is None
    assert alone.to_json()["peers_ms"] == {}


def test_the_file_has_exactly_its_fields() -> None:
    written = json.loads(json.dumps(to_json(FLOAT32, [usual()])))
    assert set(written) == {"precision", "models", "geomean_ratio"}
    assert written["precision"] == FLOAT32
    assert written["models"] == {
        "light_squeezenet": {
            "ours_ms": pytest.approx(2.0),
            "peers_ms": {
                "onnxruntime": pytest.approx(4.0),
                "openvino": pytest.approx(3.0),
                "openvino-default (bfloat16)": pytest.approx(1.5),
            },
            "ratio": pytest.approx(1.5),
            "tuning_secs": 12.5,
            "max_rel_error": 3e-6,
        }
    }
    assert written["geomean_ratio"] == pytest.approx(1.5)


def test_the_mean_is_geometric_and_leaves_no_model_out() -> None:
    assert geometric_mean([usual(2.0), usual(1.0)]) == pytest.approx((1.5 * 3.0) ** 0.5)
    failed = result(PeerRuns("flextune", absent="it failed"), runs("openvino", 3.0))
    assert failed.ratio is None
    assert failed.to_json()["ours_ms"] is None
    assert geometric_mean([usual(), failed]) is None
    assert geometric_mean([]) is None


def test_the_table_marks_the_best_peer_and_other_precisions() -> None:
    lines = table([usual()], ["flextune", "onnxruntime", "openvino", "openvino-default", "pytorch"]).splitlines()
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["light_squeezenet", "2.00", "4.00", "**3.00**", "1.50 (bfloat16)", "-", "1.50", "12 s", "3.0e-06"]
    assert len({len(line) for line in lines}) == 1


def test_notes_say_who_is_absent_and_why() -> None:
    absent = PeerRuns("pytorch-compile", absent="torch.compile needs a C++ compiler, none is installed")
    lines = notes([result(runs("flextune", 1.0), absent)], {"openvino": "pip install it"})
    assert any("no pytorch-compile in light_squeezenet: torch.compile needs a C++ compiler" in line for line in lines)
    assert any(line.startswith("missing: openvino") for line in lines)


def test_details_hold_every_peer() -> None:
    details = result(runs("flextune", 1.0), PeerRuns("pytorch", absent="no")).details()
    assert json.loads(json.dumps(details)) == details
    peers = details["peers"]
    assert isinstance(peers, dict)
    assert peers["pytorch"] == {"absent": "no"}
    assert set(peers) == {"flextune", "pytorch"}
