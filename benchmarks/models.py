"""Whole models side by side: flextune, ONNX Runtime, OpenVINO and PyTorch, eager and compiled.

    python -m benchmarks.models [--models NAMES] [--precision float32|bfloat16] [--minutes M] [--peers NAMES]
                                [--json FILE] [--details FILE] [--db FILE] [--inputs N]

The models: the nine of the onnx wheel and MobileNetV2, ViT-B/16, BERT-base (sequence 128) and GPT-2 small reading a
prompt of 128 tokens, all with batch 1 and random weights; nothing is downloaded. They are made once and kept as ONNX
files in the user's cache folder. PyTorch runs the last four as the modules they are exported from, and the first nine
as modules with the graph and weights of the ONNX file.

For each model flextune tunes for M minutes, alone on the machine. Then every peer gets a process of its own, the same
inputs and the same number of threads (one per physical core) at the same places. Outputs are compared with ONNX
Runtime's in float32 on 20 inputs. The peers run in turns; a turn begins only when no thread of any other
peer runs, and with runs that do not count, so libraries may spin between their own runs and none disturbs the next. A
probe before and after every turn tells whether the machine has its full speed (a virtual one loses it for seconds);
turns are repeated until each peer has enough at full speed, and its calmest count.

The ratio of a model is the fastest peer's median over flextune's. Only peers of the precision measured count, by their
own word on what they compute in: OpenVINO's default is bfloat16 on CPUs with instructions for it, and is then shown in
float32's table without being counted there. docs/benchmark_models.md has the details.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.files import write_json
from benchmarks.kernels import Machine
from benchmarks.model_peers.call import BFLOAT16, FLOAT32, ModelJob
from benchmarks.model_peers.catalog import OURS, OWN_DEFAULT, PEERS, choose_peers
from benchmarks.model_peers.own import DEFAULT_FILE, TUNED_FILE
from benchmarks.model_peers.probe import PROBE, PROBE_FILE, PROBE_MODEL
from benchmarks.model_results import ModelResult, PeerRuns, notes, table, to_json
from benchmarks.model_tuning import Tuning, attempted, compile_default, tune_and_compile
from benchmarks.model_turns import ModelProtocol, calm_counts, counted, take_turns
from benchmarks.model_zoo.catalog import MODELS, ZooModel, choose_models
from benchmarks.model_zoo.files import model_file
from benchmarks.peers.catalog import Peer, missing_peers
from benchmarks.peers.process import PeerError, PeerProcess, environment, run_program
from benchmarks.peers.threads import wait_at_rest
from flextune.errors import EnvironmentFault, FlextuneError, UsageError
from flextune.target.detect import detect
from flextune.target.host import physical_cpus
from flextune.target.peaks import measured_peaks

_SERVER = "benchmarks.model_peers.server"
_REST_TIMEOUT_SECS = 10.0
_PREPARE_TIMEOUT_SECS = 1200.0
"""torch.compile's tuning of a large model takes minutes."""
_REFERENCE_TIMEOUT_SECS = 600.0


@dataclass(frozen=True, slots=True)
class ModelBenchmark:
    """One run: its peers (those installed), cores and protocol. `database` keeps the records; without one each model
    begins with an empty one. `say` is told what goes on.
    """

    peers: tuple[Peer, ...]
    cores: tuple[int, ...]
    precision: str
    minutes: float
    protocol: ModelProtocol
    database: Path | None
    say: Callable[[str], None]

    def run_model(self, model: ZooModel) -> ModelResult:
        """Tunes, then times all peers in turns. A peer that fails is absent with the reason.

        Where the whole cannot go on, all of them are, so that the models after this one are still measured.
        """
        try:
            return self._measured(model)
        except (PeerError, EnvironmentFault) as error:
            self.say(f"  {error}")
            return ModelResult(
                model.name, self.precision, tuple(PeerRuns(peer.name, absent=str(error)) for peer in self.peers)
            )

    def _measured(self, model: ZooModel) -> ModelResult:
        file = model_file(model)
        with _scratch_folder() as folder:
            job = self._job(model, file, folder)
            job.write()
            (folder / PROBE_FILE).symlink_to(model_file(PROBE_MODEL))
            tuning = self._libraries(job)
            self._reference(job)
            return ModelResult(model.name, self.precision, self._timed(job), tuning.secs, tuning.trials)

    def _job(self, model: ZooModel, file: Path, folder: Path) -> ModelJob:
        protocol = self.protocol
        return ModelJob(
            str(folder),
            model.name,
            str(file),
            self.precision,
            self.cores,
            protocol.turn_secs,
            protocol.turn_runs,
            protocol.warm_secs,
            protocol.warm_runs,
            protocol.seeds,
        )

    def _libraries(self, job: ModelJob) -> Tuning:
        """What flextune makes of the model, as far as its peers of that name run."""
        names = {peer.name for peer in self.peers}
        if OWN_DEFAULT in names:
            self.say("  flextune: compiling without tuning")
            attempted(lambda: compile_default(job), job, DEFAULT_FILE)
        if OURS not in names:
            return Tuning(0.0, 0)
        self.say(f"  flextune: tuning, {self.minutes:g} minutes")
        database = self.database or job.path / "flextune.db"
        tuning = attempted(lambda: tune_and_compile(job, self.minutes, database), job, TUNED_FILE)
        return tuning or Tuning(0.0, 0)

    def _reference(self, job: ModelJob) -> None:
        command = [sys.executable, "-m", "benchmarks.model_peers.reference", job.folder]
        run_program(command, job.path / "reference", environment(job.threads, True), _REFERENCE_TIMEOUT_SECS)

    def _timed(self, job: ModelJob) -> tuple[PeerRuns, ...]:
        runs = {peer.name: PeerRuns(peer.name) for peer in self.peers}
        with ExitStack() as stack:
            processes: dict[str, PeerProcess] = {}
            for peer in self.peers:
                self.say(f"  {peer.name}: getting ready")
                process = PeerProcess(peer, job, _SERVER)
                stack.callback(process.close)
                reply = self._ask(process, "prepare", runs)
                if reply is None:
                    process.close()
                else:
                    processes[peer.name] = process
                    runs[peer.name] = _prepared(peer.name, reply)
            self.say(f"  timing {', '.join(processes)}")
            self._turns(processes, runs, job)
            for name, process in processes.items():
                if not runs[name].absent and (reply := self._ask(process, "check", runs)):
                    runs[name] = replace(runs[name], max_error=float(str(reply["max_error"])))
        return tuple(runs.values())

    def _turns(self, processes: Mapping[str, PeerProcess], runs: dict[str, PeerRuns], job: ModelJob) -> None:
        """Times the peers; their `runs` get the times that count, or a reason to be absent."""

        def time_peer(name: str) -> list[float] | None:
            reply = self._ask(processes[name], "time", runs)
            return None if reply is None else _numbers(reply["run_secs"])

        with closing(PeerProcess(PROBE, job, PROBE.module)) as probing:
            everyone = {**processes, PROBE.name: probing}

            def probe() -> float:
                pids = [process.pid for name, process in everyone.items() if name not in runs or not runs[name].absent]
                if not wait_at_rest(pids, _REST_TIMEOUT_SECS):
                    raise EnvironmentFault(f"a peer does not come to rest within {_REST_TIMEOUT_SECS:g} s")
                return float(probing.ask("probe")["secs"])

            taken = take_turns(list(processes), time_peer, probe, self.protocol)
        counts = calm_counts(taken, self.protocol)
        self.say(f"  calm turns: {', '.join(f'{name} {count}' for name, count in counts.items())}")
        for name in (name for name in processes if not runs[name].absent):
            secs = tuple(secs for turn in counted(taken, name, self.protocol) for secs in turn.run_secs)
            medians = tuple(statistics.median(turn.run_secs) for turn in taken if turn.peer == name)
            runs[name] = replace(runs[name], run_secs=secs, turn_secs=medians, calm_turns=counts[name])

    def _ask(self, process: PeerProcess, request: str, runs: dict[str, PeerRuns]) -> dict[str, object] | None:
        """The reply; without one the peer is absent from now on, for the reason that is said."""
        name = process.peer.name
        try:
            reply: dict[str, object] = process.ask(request, _PREPARE_TIMEOUT_SECS)
        except PeerError as error:
            reply = {"absent": str(error)}
        if reason := reply.get("absent"):
            runs[name] = PeerRuns(name, absent=str(reason))
            self.say(f"  {name}: {reason}")
            return None
        return reply


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="flextune-models-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _prepared(peer: str, reply: Mapping[str, object]) -> PeerRuns:
    return PeerRuns(
        peer,
        precision=str(reply["precision"]),
        variant=str(reply["variant"]),
        threads=int(str(reply["threads"])),
        prepare_secs=float(str(reply["prepare_secs"])),
    )


def _numbers(value: object) -> list[float]:
    assert isinstance(value, list)
    return value


def details(
    machine: Machine,
    protocol: ModelProtocol,
    minutes: float,
    results: Sequence[ModelResult],
    missing: Mapping[str, str],
) -> dict[str, object]:
    """Everything that was measured, with all that is needed to judge it."""
    return {
        "machine": machine.to_json(),
        "protocol": asdict(protocol),
        "minutes": minutes,
        "missing": dict(missing),
        "models": {result.model: result.details() for result in results},
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=_names, default=(), metavar="NAMES", help=f"of {', '.join(MODELS)}: a,b")
    parser.add_argument("--precision", choices=(FLOAT32, BFLOAT16), default=FLOAT32)
    parser.add_argument("--minutes", type=float, default=3.0, help="of tuning per model (default: 3); 0 tunes nothing")
    parser.add_argument("--peers", type=_names, default=(), metavar="NAMES", help=f"only these, of {', '.join(PEERS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write times and ratios as JSON, after every model")
    parser.add_argument("--details", type=Path, metavar="FILE", help="write everything measured as JSON")
    parser.add_argument("--db", type=Path, metavar="FILE", help="keep tuning records here, and use those it holds")
    parser.add_argument("--turns", type=int, default=15, help="that count of each peer (default: 15)")
    parser.add_argument("--inputs", type=int, default=20, help="that outputs are compared on (default: 20)")
    parser.add_argument("--peers-only", action="store_true", help="without flextune: what is there to beat")
    return parser.parse_args(arguments)


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in text.split(","))))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def run(options: argparse.Namespace) -> bool:
    """Measure and print; whether flextune has a time for every model."""
    if not 0 <= options.minutes < float("inf"):
        raise UsageError(f"--minutes must be 0 or more, got {options.minutes:g}")
    models, chosen = choose_models(options.models), choose_peers(options.peers)
    if options.peers_only:
        chosen = tuple(peer for peer in chosen if peer.name not in (OURS, OWN_DEFAULT))
    missing = missing_peers(chosen)
    peers = tuple(peer for peer in chosen if peer.name not in missing)
    protocol, target = ModelProtocol(options.turns, seeds=options.inputs), detect()
    machine = Machine(target, physical_cpus()[: target.cores], measured_peaks(target))
    benchmark = ModelBenchmark(peers, machine.cores, options.precision, options.minutes, protocol, options.db, _say)
    results: list[ModelResult] = []
    for model in models:
        _say(model.name)
        results.append(benchmark.run_model(model))
        _say(f"  ratio {results[-1].ratio or float('nan'):.3f}")
        if options.json:
            write_json(options.json, to_json(options.precision, results))
        if options.details:
            write_json(options.details, details(machine, protocol, options.minutes, results, missing))
    print(table(results, [peer.name for peer in peers]))
    print("\n".join(notes(results, missing)))
    return options.peers_only or all(OURS in result.timed for result in results)


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
        _say("interrupted; the models before are in the JSON file, if one was asked for")
        return 1


if __name__ == "__main__":
    sys.exit(main())
