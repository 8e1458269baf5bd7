"""What came of a model, as values; as JSON and as a table.

A ratio compares equal precision: only peers that compute in the precision measured count. OpenVINO chooses bfloat16 by
itself on CPUs that have it; then its default is shown beside the float32 ratios and counted in those of bfloat16.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.model_peers.catalog import OURS, OWN_DEFAULT
from benchmarks.rounds import spread

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class PeerRuns:
    """One peer's seconds of every run of a model that counts, and how it ran.

    `turn_secs` are the medians of all its turns, those that do not count too. `absent` says why there are no times.
    `precision` is the type it computes in by its own word, `max_error` the largest relative difference from the
    reference, `prepare_secs` the time it took to load or compile, `calm_turns` how many turns nothing disturbed.
    """

    peer: str
    run_secs: tuple[float, ...] = ()
    absent: str = ""
    precision: str = ""
    variant: str = ""
    threads: int = 0
    max_error: float = 0.0
    prepare_secs: float = 0.0
    turn_secs: tuple[float, ...] = ()
    calm_turns: int = 0

    @property
    def median_ms(self) -> float:
        return statistics.median(self.run_secs) * 1e3


@dataclass(frozen=True, slots=True)
class ModelResult:
    """All peers' runs of one model. `tuning_secs` is what flextune's tuning took, 0 where there was none."""

    model: str
    precision: str
    peers: tuple[PeerRuns, ...]
    tuning_secs: float = 0.0
    trials: int = 0

    @property
    def timed(self) -> dict[str, PeerRuns]:
        return {runs.peer: runs for runs in self.peers if runs.run_secs}

    @property
    def others(self) -> dict[str, PeerRuns]:
        """The peers that are not flextune."""
        return {name: runs for name, runs in self.timed.items() if name not in (OURS, OWN_DEFAULT)}

    @property
    def best_peer(self) -> str | None:
        """The fastest peer that computes in the precision measured."""
        equal = [runs for runs in self.others.values() if runs.precision == self.precision]
        return min(equal, key=lambda runs: runs.median_ms).peer if equal else None

    @property
    def ratio(self) -> float | None:
        """The best peer's median over flextune's: above 1 where flextune is faster."""
        own, best = self.timed.get(OURS), self.best_peer
        return self.timed[best].median_ms / own.median_ms if own and best else None

    def shown_name(self, runs: PeerRuns) -> str:
        """The peer's name, with its precision where that is not the one measured."""
        return runs.peer if runs.precision == self.precision else f"{runs.peer} ({runs.precision})"

    def to_json(self) -> dict[str, Json]:
        """The model's entry; null where flextune has no time."""
        own = self.timed.get(OURS)
        return {
            "ours_ms": own.median_ms if own else None,
            "peers_ms": {self.shown_name(runs): runs.median_ms for runs in self.others.values()},
            "ratio": self.ratio,
            "tuning_secs": self.tuning_secs,
            "max_rel_error": own.max_error if own and math.isfinite(own.max_error) else None,
        }

    def details(self) -> dict[str, Json]:
        """Everything measured, for judging it."""
        peers: dict[str, Json] = {}
        for runs in self.peers:
            if not runs.run_secs:
                peers[runs.peer] = {"absent": runs.absent}
                continue
            peers[runs.peer] = {
                "median_ms": runs.median_ms,
                "spread": spread(runs.run_secs),
                "runs": len(runs.run_secs),
                "min_ms": min(runs.run_secs) * 1e3,
                "precision": runs.precision,
                "variant": runs.variant,
                "threads": runs.threads,
                "max_rel_error": runs.max_error,
                "prepare_secs": runs.prepare_secs,
                "calm_turns": runs.calm_turns,
                "turn_ms": [secs * 1e3 for secs in runs.turn_secs],
            }
        return {"peers": peers, "tuning_secs": self.tuning_secs, "trials": self.trials, "best_peer": self.best_peer}


def geometric_mean(results: Sequence[ModelResult]) -> float | None:
    """Of all ratios; none where a model has no ratio, since the mean of the others would say less than it seems to."""
    ratios = [result.ratio for result in results]
    known = [ratio for ratio in ratios if ratio is not None]
    return statistics.geometric_mean(known) if known and len(known) == len(ratios) else None


def to_json(precision: str, results: Sequence[ModelResult]) -> dict[str, Json]:
    return {
        "precision": precision,
        "models": {result.model: result.to_json() for result in results},
        "geomean_ratio": geometric_mean(results),
    }


def table(results: Sequence[ModelResult], peers: Sequence[str]) -> str:
    """Milliseconds of every peer as a Markdown table; the best peer that counts is bold, precisions in brackets."""
    head = ["model", *peers, "ratio", "tuning", "error"]
    lines = [head, ["---", *("---:" for _ in head[1:])], *(_cells(result, peers) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def notes(results: Sequence[ModelResult], missing: Mapping[str, str]) -> list[str]:
    """Lines below the table: units, the mean, who is missing, and why a cell is empty."""
    mean = geometric_mean(results)
    lines = [
        "Median milliseconds of one run; ratio: the fastest peer of equal precision (bold) over flextune; error: "
        "flextune's largest difference from ONNX Runtime in float32, relative to the largest output",
        f"geometric mean of the ratios: {mean:.3f}" if mean else "no geometric mean: a model has no ratio",
        *(f"missing: {peer}: {how}" for peer, how in missing.items()),
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for runs in (runs for runs in result.peers if runs.absent):
            reasons.setdefault((runs.peer, runs.absent.strip().splitlines()[-1]), []).append(result.model)
    return lines + [f"no {peer} in {', '.join(models)}: {reason}" for (peer, reason), models in reasons.items()]


def _cells(result: ModelResult, peers: Sequence[str]) -> list[str]:
    own = result.timed.get(OURS)
    return [
        result.model,
        *(_milliseconds(result, peer) for peer in peers),
        f"{result.ratio:.2f}" if result.ratio else "-",
        f"{result.tuning_secs:.0f} s" if result.tuning_secs else "-",
        f"{own.max_error:.1e}" if own else "-",
    ]


def _milliseconds(result: ModelResult, peer: str) -> str:
    runs = result.timed.get(peer)
    if runs is None:
        return "-"
    text = f"{runs.median_ms:.2f}"
    if peer == result.best_peer:
        return f"**{text}**"
    return text if runs.precision == result.precision else f"{text} ({runs.precision})"
