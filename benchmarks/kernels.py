"""Operators side by side: flextune, its default schedules, PyTorch, ONNX Runtime, NumPy and TVM MetaSchedule.

    python -m benchmarks.kernels [--suite quick|full|odd] [--json FILE] [--trials N] [--only NAMES] [--peers NAMES]

For each case flextune and MetaSchedule tune first, one after the other, with the same number of trials. Then every peer
gets a process of its own, the same inputs, the same number of threads (one per physical core) at the same places, and a
check of all its outputs. They are timed in turns; a turn begins only when no thread of any other peer runs, so each
library may spin between its own calls as it likes. No weights are packed beforehand: what an operator needs to
rearrange is part of its time. docs/benchmarks.md has the details.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.files import write_json
from benchmarks.kernel_cases import SUITES, Case, choose_cases, custom_case
from benchmarks.kernel_results import OURS, CaseResult, Json, PeerResult, Tuning, notes, table
from benchmarks.peers.call import Job
from benchmarks.peers.catalog import PEERS, Peer, choose_peers, missing_peers
from benchmarks.peers.process import PeerError, PeerProcess, tune
from benchmarks.peers.threads import wait_at_rest
from benchmarks.rounds import Protocol, turns
from flextune.errors import EnvironmentFault, FlextuneError, UsageError
from flextune.measure.data import save_data
from flextune.target.detect import detect
from flextune.target.doctor import installed_versions
from flextune.target.host import host, physical_cpus
from flextune.target.peaks import Peaks, measured_peaks
from flextune.target.target import Target
from flextune.workload.parse import parse_workload

_REST_TIMEOUT_SECS = 5.0
_TUNING_SECS_PER_TRIAL = 60.0
_TUNING_SECS_AT_LEAST = 600.0
_VERSIONS = ("apache-tvm", "torch", "onnxruntime", "numpy", "xgboost-cpu", "onnx")


@dataclass(frozen=True, slots=True)
class Machine:
    """What everything runs on. `cores` are logical processors, one per physical core."""

    target: Target
    cores: tuple[int, ...]
    peaks: Peaks

    def to_json(self) -> dict[str, object]:
        versions = {"python": platform.python_version(), **dict(installed_versions(_VERSIONS))}
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        return {
            "target": str(self.target),
            "cpu": host().cpu_name,
            "os": host().os,
            "cores": list(self.cores),
            "load": load,
            "peaks": asdict(self.peaks),
            "versions": versions,
        }


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One run: its peers (those installed), its protocol, its trials. `say` is told what goes on."""

    machine: Machine
    peers: tuple[Peer, ...]
    protocol: Protocol
    trials: int
    seed: int
    say: Callable[[str], None]

    def run_case(self, case: Case) -> CaseResult:
        """Tunes, then times all peers in turns. A peer that fails is absent with the reason."""
        with tempfile.TemporaryDirectory(prefix="flextune-bench-") as folder:
            job = self._job(case, folder)
            workload = parse_workload(case.workload)
            save_data(workload, Path(folder))
            job.write()
            absent: dict[str, str] = {}
            tuning = self._tune(job, absent)
            results = self._timed(job, absent)
        peak = self.machine.peaks.for_dtype(workload.dtype)
        return CaseResult(case, workload.flops, peak, self.trials, results, tuning)

    def _job(self, case: Case, folder: str) -> Job:
        protocol, machine = self.protocol, self.machine
        return Job(
            folder,
            case.workload,
            str(machine.target),
            machine.cores,
            self.trials,
            self.seed,
            protocol.batch_secs,
            protocol.warm_secs,
        )

    def _tune(self, job: Job, absent: dict[str, str]) -> dict[str, Tuning]:
        spent: dict[str, Tuning] = {}
        limit_secs = max(_TUNING_SECS_AT_LEAST, self.trials * _TUNING_SECS_PER_TRIAL)
        for peer in (peer for peer in self.peers if peer.tuner):
            self.say(f"  {peer.name}: tuning, {job.trials} trials")
            try:
                reply = tune(peer, job, limit_secs)
            except PeerError as error:
                absent[peer.name] = str(error)
                self.say(f"  {peer.name}: {error}")
                continue
            spent[peer.name] = Tuning(
                float(reply["process_secs"]), float(reply["secs"]), int(reply["trials"]), tuple(reply["progress"])
            )
            self.say(f"  {peer.name}: tuned in {spent[peer.name].secs:.1f} s")
        return spent

    def _timed(self, job: Job, absent: dict[str, str]) -> tuple[PeerResult, ...]:
        with ExitStack() as stack:
            processes: dict[str, PeerProcess] = {}
            prepared: dict[str, dict[str, object]] = {}
            for peer in (peer for peer in self.peers if peer.name not in absent):
                self.say(f"  {peer.name}: getting ready")
                process = PeerProcess(peer, job)
                stack.callback(process.close)
                self._ask(process, "prepare", prepared, absent)
                if peer.name in prepared:
                    processes[peer.name] = process
            self.say(f"  timing {', '.join(processes)}")
            times = self._rounds(processes, absent)
            checks = self._last_checks(processes, absent)
        return tuple(
            PeerResult(peer.name, absent=absent[peer.name])
            if peer.name in absent
            else _result(peer.name, times[peer.name], prepared[peer.name], checks[peer.name])
            for peer in self.peers
        )

    def _ask(
        self, process: PeerProcess, request: str, replies: dict[str, dict[str, object]], absent: dict[str, str]
    ) -> None:
        """Adds the reply, or the reason why there is none."""
        name = process.peer.name
        try:
            reply = process.ask(request)
        except PeerError as error:
            reply = {"absent": str(error)}
        reason = reply.get("absent") or reply.get("error")
        if reason:
            absent[name] = str(reason)
            self.say(f"  {name}: {reason}")
        else:
            replies[name] = reply

    def _rounds(self, processes: Mapping[str, PeerProcess], absent: dict[str, str]) -> dict[str, tuple[float, ...]]:
        times: dict[str, tuple[float, ...]] = dict.fromkeys(processes, ())
        for order in turns(list(processes), self.protocol.rounds):
            for name in (name for name in order if name not in absent):
                pids = [process.pid for other, process in processes.items() if other not in absent]
                if not wait_at_rest(pids, _REST_TIMEOUT_SECS):
                    raise EnvironmentFault(f"a peer does not come to rest within {_REST_TIMEOUT_SECS:g} s")
                replies: dict[str, dict[str, object]] = {}
                self._ask(processes[name], "time", replies, absent)
                if name in replies:
                    times[name] += (float(str(replies[name]["secs"])),)
        return times

    def _last_checks(
        self, processes: Mapping[str, PeerProcess], absent: dict[str, str]
    ) -> dict[str, dict[str, object]]:
        """The output once more, after all the timed calls."""
        checks: dict[str, dict[str, object]] = {}
        for name, process in processes.items():
            if name not in absent:
                self._ask(process, "check", checks, absent)
        return checks


def _result(
    peer: str, secs: tuple[float, ...], prepared: Mapping[str, object], check: Mapping[str, object]
) -> PeerResult:
    return PeerResult(
        peer,
        secs,
        variant=str(prepared["variant"]),
        threads=int(str(prepared["threads"])),
        max_error=float(str(check["max_error"])),
    )


def report(
    machine: Machine, protocol: Mapping[str, object], results: Sequence[CaseResult], missing: Mapping[str, str]
) -> dict[str, object]:
    """Everything that was measured, with all that is needed to judge it."""
    cases: dict[str, Json] = {result.case.name: result.to_json() for result in results}
    return {"machine": machine.to_json(), "protocol": dict(protocol), "missing": dict(missing), "cases": cases}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kernels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", choices=tuple(SUITES), default="quick")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything measured as JSON")
    parser.add_argument("--trials", type=int, default=64, help="of each tuner (default: 64)")
    parser.add_argument("--rounds", type=int, default=15, help="of timing (default: 15)")
    parser.add_argument("--seed", type=int, default=0, help="of the tuners (default: 0)")
    parser.add_argument("--only", type=_names, default=(), metavar="NAMES", help="cases of any suite, by name: a,b")
    parser.add_argument("--workload", action="append", default=[], metavar="TEXT", help="another case, as its text")
    parser.add_argument(
        "--peers", type=_names, default=(), metavar="NAMES", help=f"only these, of {', '.join(PEERS)}; {OURS} always"
    )
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _cases(options: argparse.Namespace) -> tuple[Case, ...]:
    added = tuple(custom_case(text) for text in options.workload)
    if added and not options.only:
        return added
    return (*choose_cases(options.suite, options.only), *added)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _warn_if_busy() -> None:
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5:
        _say(f"the machine is not idle (load {os.getloadavg()[0]:.1f}): absolute numbers will be low, see the spread")


def run(options: argparse.Namespace) -> bool:
    """Measure and print; whether flextune itself has a time in every case."""
    if options.trials < 1:
        raise UsageError(f"--trials must be at least 1, got {options.trials}")
    cases, chosen = _cases(options), choose_peers(options.peers)
    target = detect()
    cores = physical_cpus()[: target.cores]
    protocol = Protocol(len(cores), options.rounds)
    missing = missing_peers(chosen)
    _warn_if_busy()
    machine = Machine(target, cores, measured_peaks(target))
    peers = tuple(peer for peer in chosen if peer.name not in missing)
    benchmark = Benchmark(machine, peers, protocol, options.trials, options.seed, _say)
    described = {**asdict(protocol), "trials": options.trials, "seed": options.seed}
    results: list[CaseResult] = []
    for case in cases:
        _say(f"{case.name}  ({case.workload})")
        results.append(benchmark.run_case(case))
        if options.json:
            write_json(options.json, report(machine, described, results, missing))
    print(table(results, [peer.name for peer in peers]))
    print("\n".join(notes(results, missing)))
    return all(OURS in result.timed for result in results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, 1 where something failed, 2 for bad usage."""
    try:
        return 0 if run(_arguments(arguments)) else 1
    except UsageError as error:
        _say(f"error: {error}")
        return 2
    except FlextuneError as error:
        _say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the cases before are in the JSON file, if one was asked for")
        return 1


if __name__ == "__main__":
    sys.exit(main())
