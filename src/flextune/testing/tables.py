"""Small Kernel Tuner caches and T4 files to test with: every kind of value, times and failures."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path
from typing import Any

CACHE: dict[str, Any] = {
    "device_name": "a device",
    "kernel_name": "a kernel",
    "problem_size": [64, 64],
    "tune_params_keys": ["tile", "level", "pad", "scale"],
    "tune_params": {"tile": [8, 16], "level": ["-O2", "-O3"], "pad": [False, True], "scale": [0.5, 2]},
    "objective": "time",
    "cache": {
        "8,-O2,False,0.5": {
            "tile": 8,
            "level": "-O2",
            "pad": False,
            "scale": 0.5,
            "time": 2.0,
            "times": [1.0, 3.0],
            "compile_time": 500.0,
            "verification_time": 7,
            "benchmark_time": 250.0,
            "GFLOP/s": 3.0,
            "timestamp": "2024-01-01",
        },
        "16,-O2,False,0.5": {"time": 4.0, "compile_time": 100},
        "16,-O3,True,2": {"time": "CompilationFailedConfig", "compile_time": 900.0, "benchmark_time": None},
        "8,-O3,True,2": {"time": "RuntimeFailedConfig", "compile_time": 900.0, "benchmark_time": 30},
        "8,-O3,False,2": {"__error__": "InvalidConfig", "time": "InvalidConfig"},
    },
}

T4: dict[str, Any] = {
    "schema_version": "1.0.0",
    "metadata": {"timeunit": "miliseconds"},
    "results": [
        {
            "timestamp": "2024-01-01",
            "configuration": {"tile": 16, "level": "-O2"},
            "times": {"compilation": 500.0, "framework": 9, "search_algorithm": 0, "runtimes": [1.0, 3.0]},
            "invalidity": "correct",
            "correctness": 1,
            "measurements": [{"name": "time", "value": 2.0, "unit": ""}],
            "objectives": ["time"],
        },
        {
            "configuration": {"tile": 8, "level": "-O2"},
            "times": {"compilation_time": 100.0, "benchmark": 40.0},
            "invalidity": "correct",
            "correctness": 1,
            "measurements": [{"name": "time", "value": 5.0, "unit": ""}],
        },
        {
            "configuration": {"tile": 8, "level": "-O3"},
            "times": {"compilation": 10},
            "invalidity": "runtime",
            "correctness": 0,
            "measurements": [{"name": "time", "value": "RuntimeFailedConfig", "unit": ""}],
        },
        {"configuration": {"tile": 16, "level": "-O3"}, "times": {}, "invalidity": "timeout", "correctness": 0},
    ],
}


def example_cache() -> dict[str, Any]:
    """The JSON of a cache file, free to be changed."""
    return copy.deepcopy(CACHE)


def example_t4() -> dict[str, Any]:
    """The JSON of a T4 file, free to be changed."""
    return copy.deepcopy(T4)


def write_table(folder: Path, data: object, name: str = "space.json") -> Path:
    """The file with this JSON (or these bytes)."""
    path = folder / name
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path
