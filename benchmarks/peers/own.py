"""flextune itself: the best schedule that tuning found, and the default one that needs no tuning."""

from __future__ import annotations

import json

from benchmarks.peers.call import Call, Job
from flextune.measure.data import KernelData
from flextune.measure.messages import read_candidate
from flextune.platforms import platform_registry
from flextune.trial.measurement import Candidate

BEST_FILE = "flextune.json"


def prepare(job: Job, data: KernelData) -> list[Call]:
    """The candidate that the tuner left in the case's folder."""
    return [_call(read_candidate(json.loads((job.path / BEST_FILE).read_text())), data)]


def prepare_default(job: Job, data: KernelData) -> list[Call]:
    """The space's default, as it is without any tuning."""
    space = platform_registry.get(job.target.kind).search_space(job.workload, job.target)
    return [_call(Candidate(job.workload, job.target, space.trace, space.default), data)]


def _call(candidate: Candidate, data: KernelData) -> Call:
    platform = platform_registry.get(candidate.target.kind)
    [artifact] = platform.build([candidate])
    kernel = platform.load(artifact)
    kernel.bind(data.inputs, data.outputs)
    return Call(kernel.run, lambda: data.outputs[0])
