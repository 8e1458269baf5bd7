"""Models with symbolic sizes: one library, beside our own build for each size and other runtimes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from io import BytesIO
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from benchmarks.dynamic.networks import NETWORKS, Network
from benchmarks.dynamic.turns import Call, in_turns, mean
from flextune.apply.build import compile_model
from flextune.apply.executable import Executable
from flextune.apply.model_check import max_relative_error, onnxruntime_session
from flextune.database.store import open_database
from flextune.importing.model import model_from_proto
from flextune.optimization.hybrid import Lowering
from flextune.optimization.symbolic import optimize_symbolic
from flextune.plan.partition import Partition
from flextune.target.detect import detect
from flextune.tuning.budget import Budget
from flextune.tuning.search_options import SearchOptions
from flextune.tuning.variants.points import random_points
from flextune.workload.dim import Dim, parse_dims

Row = dict[str, object]
Sizes = Mapping[str, int]


def measured(names: Sequence[str], sizes: int, minutes: float, secs: float) -> Iterator[Row]:
    """A row for each network and combination of sizes, `secs` seconds of turns each; tuned for `minutes` before."""
    for name in names:
        yield from _network(name, NETWORKS[name], sizes, minutes, secs)


def partition_of(proto: onnx.ModelProto, dims: Sequence[Dim]) -> Partition:
    """The model with these ranges, or sizes."""
    own = onnx.ModelProto()
    own.CopyFrom(proto)  # reading it changes it
    return Lowering(detect())(model_from_proto(own, "network", dims=dims))


def executable_of(proto: onnx.ModelProto, dims: Sequence[Dim], minutes: float) -> tuple[Executable, bool]:
    """One library for all sizes, tuned if `minutes` says so, and whether its schedules are other than the default."""
    partition = partition_of(proto, dims)
    if not minutes:
        return compile_model(partition, {}, detect()).executable, False
    with TemporaryDirectory() as folder, open_database(f"{folder}/records.db") as database:
        options = SearchOptions().tune_options(Budget(minutes=minutes))
        found = optimize_symbolic(partition, detect(), options, database)
        return found.build.executable, found.is_tuned


def _network(name: str, network: Network, sizes: int, minutes: float, secs: float) -> Iterator[Row]:
    proto, dims = network.build(), parse_dims(network.dims)
    executable, is_tuned = executable_of(proto, dims, minutes)
    others = [peer(proto, executable.threads) for package, peer in _PEERS.items() if find_spec(package)]
    for point in dict.fromkeys(random_points(dims, sizes, np.random.default_rng(7))):
        at = {dim.name: size for dim, size in zip(dims, point, strict=True)}
        given = executable.random_inputs(0, at)
        static = compile_model(partition_of(proto, [Dim(each, size, size) for each, size in at.items()]), {}, detect())
        calls: dict[str, Call] = {
            "flextune": lambda given=given: executable.run(given),
            "flextune, static": lambda given=given, static=static: static.executable.run(given),
        }
        for other in others:
            calls |= {label: (lambda run=run, given=given: run(given)) for label, run in other.items()}
        found = in_turns(calls, secs)
        error = max_relative_error(executable.run(given), static.executable.run(given))
        static.executable.unload()
        best = min((each for label, each in found.items() if not label.startswith("flextune")), default=None)
        yield {
            "model": name,
            "sizes": at,
            "tuned": is_tuned,
            "secs": found,
            "over_static": found["flextune"] / found["flextune, static"],
            "peer_over_ours": None if best is None else best / found["flextune"],
            "error": error,
        }


Runs = dict[str, Callable[[Mapping[str, np.ndarray]], object]]


def _onnx_runtime(proto: onnx.ModelProto, threads: int) -> Runs:
    session = onnxruntime_session(proto.SerializeToString(), threads)
    return {"ONNX Runtime": lambda given: session.run(None, dict(given))}


def _open_vino(proto: onnx.ModelProto, threads: int) -> Runs:
    import openvino

    core = openvino.Core()
    hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
    settings = {**hints, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(BytesIO(proto.SerializeToString())), "CPU", settings)
    request = compiled.create_infer_request()
    return {"OpenVINO": lambda given: request.infer(dict(given), share_inputs=True, share_outputs=True)}


_PEERS = {"onnxruntime": _onnx_runtime, "openvino": _open_vino}
"""By the packages that they need."""


def summary(rows: Sequence[Row]) -> Row:
    """What the rows of each model come to."""
    names = dict.fromkeys(str(row["model"]) for row in rows)
    found: Row = {}
    for name in names:
        own = [row for row in rows if row["model"] == name]
        over = [float(str(row["over_static"])) for row in own]
        peers = [float(str(row["peer_over_ours"])) for row in own if row["peer_over_ours"] is not None]
        found[name] = {"over_static": mean(over), "worst": max(over), "peer_over_ours": mean(peers)}
    return found
