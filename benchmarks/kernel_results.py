"""What came of a case, as values; as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.kernel_cases import Case
from benchmarks.rounds import spread

OURS = "flextune"

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class PeerResult:
    """One peer's times of one case: seconds per call, one value per round, and how it ran.

    `absent` says why there are no times; `variant` which of the peer's ways was taken, `threads` how many of its
    threads did work, `max_error` the largest difference from the reference.
    """

    peer: str
    secs: tuple[float, ...] = ()
    absent: str = ""
    variant: str = ""
    threads: int = 0
    max_error: float = 0.0

    @property
    def median_secs(self) -> float:
        return statistics.median(self.secs)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What one tuner spent on a case: `secs` of wall clock from the start of its process to its end, `loaded_secs` of
    them with its libraries loaded, and trials made.

    `progress` has the seconds since its start at which a trial was the best so far, and that trial's time.
    """

    secs: float
    loaded_secs: float
    trials: int
    progress: tuple[tuple[float, float], ...] = ()

    def secs_to(self, kernel_secs: float) -> float | None:
        """When the first trial was at least that fast, None where none was."""
        return next((secs for secs, best_secs in self.progress if best_secs <= kernel_secs), None)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """All peers' results of one case, after `trials` of each tuner.

    `peak_flops` is the machine's measured rate for the case's element type.
    """

    case: Case
    flops: int
    peak_flops: float
    trials: int
    peers: tuple[PeerResult, ...]
    tuning: Mapping[str, Tuning]

    @property
    def timed(self) -> dict[str, PeerResult]:
        return {result.peer: result for result in self.peers if result.secs}

    def gflops(self, peer: str) -> float:
        return self.flops / self.timed[peer].median_secs / 1e9

    def ratio(self, peer: str) -> float | None:
        """The peer's time over ours: above 1 where flextune is faster."""
        if OURS not in self.timed:
            return None
        return self.timed[peer].median_secs / self.timed[OURS].median_secs

    @property
    def fraction_of_peak(self) -> float | None:
        return self.gflops(OURS) * 1e9 / self.peak_flops if OURS in self.timed else None

    def secs_to_best_of(self, tuner: str) -> float | None:
        """Seconds of our tuning until a trial was as fast as the kernel that another tuner ended with."""
        own, other = self.tuning.get(OURS), self.timed.get(tuner)
        return None if own is None or other is None else own.secs_to(other.median_secs)

    def to_json(self) -> dict[str, Json]:
        """The case's entry; a peer without times stands under `absent` with the reason."""
        timed = self.timed
        return {
            "workload": self.case.workload,
            "gflops": {peer: self.gflops(peer) for peer in timed},
            "ms": {peer: result.median_secs * 1e3 for peer, result in timed.items()},
            "ratio": {peer: self.ratio(peer) for peer in timed},
            "spread": {peer: spread(result.secs) for peer, result in timed.items()},
            "round_ms": {peer: [secs * 1e3 for secs in result.secs] for peer, result in timed.items()},
            "max_error": {peer: result.max_error for peer, result in timed.items()},
            "threads": {peer: result.threads for peer, result in timed.items()},
            "variant": {peer: result.variant for peer, result in timed.items() if result.variant},
            "absent": {result.peer: result.absent for result in self.peers if result.absent},
            "tuning_secs": {tuner: tuning.secs for tuner, tuning in self.tuning.items()},
            "tuning_secs_loaded": {tuner: tuning.loaded_secs for tuner, tuning in self.tuning.items()},
            "secs_to_best_of": {tuner: self.secs_to_best_of(tuner) for tuner in self.tuning if tuner != OURS},
            "trials": self.trials,
            "trials_made": {tuner: tuning.trials for tuner, tuning in self.tuning.items()},
            "fraction_of_peak": self.fraction_of_peak,
        }


def table(results: Sequence[CaseResult], peers: Sequence[str]) -> str:
    """GFLOP/s of every peer, aligned; behind each the peer's time over flextune's."""
    tuners = [peer for peer in peers if any(peer in result.tuning for result in results)]
    head = ["case", "ms", "of peak", *peers, *(f"{tuner} tuning" for tuner in tuners)]
    lines = [head, *(_cells(result, peers, tuners) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(_aligned(cell, width, column) for column, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def notes(results: Sequence[CaseResult], missing: Mapping[str, str]) -> list[str]:
    """Lines below the table: its units, who is missing, and why a cell is empty."""
    lines = [
        "GFLOP/s (GOP/s for integers), median over rounds; in brackets the peer's time over flextune's (above 1: "
        "flextune is faster); ms and of peak are flextune's",
        *(f"missing: {peer}, not installed: {how}" for peer, how in missing.items()),
    ]
    lines += [line for result in results for line in _ways_there(result)]
    reasons: dict[tuple[str, str], list[str]] = {}
    for result in results:
        for peer in (peer for peer in result.peers if peer.absent):
            reason = peer.absent.strip().splitlines()[-1]
            reasons.setdefault((peer.peer, reason), []).append(result.case.name)
    return lines + [f"no {peer} in {', '.join(cases)}: {reason}" for (peer, reason), cases in reasons.items()]


def _ways_there(result: CaseResult) -> list[str]:
    """How long it took to be as good as the other tuners were in the end."""
    lines = []
    for tuner, tuning in result.tuning.items():
        secs = result.secs_to_best_of(tuner) if tuner != OURS else None
        if secs is not None:
            ratio = tuning.secs / secs
            lines.append(
                f"{result.case.name}: as fast as {tuner}'s best after {secs:.1f} s, {ratio:.0f} times sooner than it"
            )
    return lines


def _cells(result: CaseResult, peers: Sequence[str], tuners: Sequence[str]) -> list[str]:
    own = result.timed.get(OURS)
    return [
        result.case.name,
        f"{own.median_secs * 1e3:.3f}" if own else "-",
        "-" if result.fraction_of_peak is None else f"{result.fraction_of_peak:.0%}",
        *(_speed(result, peer) for peer in peers),
        *(f"{result.tuning[tuner].secs:.1f} s" if tuner in result.tuning else "-" for tuner in tuners),
    ]


def _speed(result: CaseResult, peer: str) -> str:
    if peer not in result.timed:
        return "-"
    ratio = result.ratio(peer)
    return f"{result.gflops(peer):.1f}" + ("" if ratio is None or peer == OURS else f" ({ratio:.2f})")


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
