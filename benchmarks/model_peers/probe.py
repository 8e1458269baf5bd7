"""How fast the machine is right now: `python -m benchmarks.model_peers.probe NAME FOLDER PARENT_PID`.

A virtual machine loses up to half of its speed for seconds: when a neighbour uses the other half of its cores or its
share of a cache, or when its cores are moved away from each other. Loops that measure one of these miss the others, so
the pulse is a small network in ONNX Runtime, always the same, which suffers from all of them as the peers do.
"""

from __future__ import annotations

import os
import statistics
import sys

import numpy as np

from benchmarks.model_peers.call import ModelJob, timed
from benchmarks.model_peers.onnx_runtime import open_session
from benchmarks.model_zoo.catalog import MODELS
from benchmarks.model_zoo.inputs import input_specs
from benchmarks.peers.catalog import Peer
from benchmarks.peers.server import serve
from benchmarks.peers.threads import place_threads
from flextune.lifetime import die_with_parent

PROBE = Peer("probe", "benchmarks.model_peers.probe")
PROBE_MODEL = MODELS["light_squeezenet"]
PROBE_FILE = "probe.onnx"
"""The model's file in the job's folder."""

_WARM_RUNS = 1
_RUNS = 3


class Probe:
    """The network with threads at the places that those of the peers have."""

    def __init__(self, file: str, cores: tuple[int, ...]) -> None:
        session = open_session(file, len(cores))
        inputs = {spec.name: spec.random_array(np.random.default_rng(0)) for spec in input_specs(file)}
        self._times = timed(lambda: session.run(None, inputs))
        place_threads(lambda: self._times(1), cores)

    def answer(self, request: str) -> dict[str, object]:
        """Median seconds of a few runs."""
        del request
        self._times(_WARM_RUNS)
        return {"secs": statistics.median(self._times(_RUNS))}


def main(arguments: list[str]) -> None:
    _name, folder, parent_pid = arguments
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    die_with_parent(int(parent_pid))
    job = ModelJob.read(folder)
    serve(Probe(str(job.path / PROBE_FILE), job.cores), replies)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
