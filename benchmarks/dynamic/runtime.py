"""What sizes cost beside the kernels: a new combination, a repeated one over the static library, others every call."""

from __future__ import annotations

import statistics
import time
from itertools import cycle

import numpy as np

from benchmarks.dynamic.models import Row, executable_of, partition_of
from benchmarks.dynamic.networks import encoder
from benchmarks.dynamic.turns import in_turns
from flextune.apply.build import compile_model
from flextune.target.detect import detect
from flextune.workload.dim import Dim, parse_dims

_SHORT = {"batch": 1, "seq": 1}


def measured(layers: int, secs: float) -> Row:
    """Of an encoder of so many layers as BERT has them, narrow enough for kernels to take little of the time."""
    proto = encoder(layers, hidden=64, heads=4)
    executable, _ = executable_of(proto, parse_dims(("batch=1..8", "seq=1..512")), 0.0)
    fixed = [Dim(name, size, size) for name, size in _SHORT.items()]
    static = compile_model(partition_of(proto, fixed), {}, detect()).executable
    given = executable.random_inputs(0, _SHORT)
    outputs = executable.run(given)
    repeated = in_turns(
        {"symbolic": lambda: executable.run(given, outputs), "static": lambda: static.run(given, outputs)}, secs
    )
    new = []
    for seq in range(2, 60):
        inputs = executable.random_inputs(0, {"batch": 1, "seq": seq})
        first, again = (_timed(lambda: executable.run(inputs)) for _ in range(2))  # noqa: B023
        new.append(first - again)
    several = [executable.random_inputs(0, {"batch": 1, "seq": seq}) for seq in (16, 24, 40)]
    turns = cycle(several)
    alternating = in_turns({"alternating": lambda: executable.run(next(turns))}, secs)["alternating"]
    steady = [in_turns({"one": lambda each=each: executable.run(each)}, secs / 3)["one"] for each in several]
    return {
        "layers": layers,
        "new_size_secs": statistics.median(new),
        "repeated_secs": repeated["symbolic"],
        "static_secs": repeated["static"],
        "repeated_over_static_secs": repeated["symbolic"] - repeated["static"],
        "alternating_over_repeated": alternating / float(np.mean(steady)),
    }


def _timed(call: object) -> float:
    start = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - start
