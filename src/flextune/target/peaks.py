"""`Peaks`: what this host's cores and memory reach, measured once per host and target and kept in a file."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from flextune.errors import EnvironmentFault, UsageError
from flextune.settings import cache_folder
from flextune.target.detect import detect
from flextune.target.host import host, physical_cpus
from flextune.target.kept import keep, read_kept
from flextune.target.target import Target

_VERSION = 3
"""Of the cache file, which has it in its name; raise it when the loops that are measured change."""

_ATTEMPTS = 3
"""How often a disturbed measurement is taken again before it is believed."""

_RETRY_AFTER_SECS = 600.0
"""A disturbed measurement younger than that is not taken again: whoever disturbs is probably still there."""

_TIMEOUT_SECS = 240.0
"""For the process that measures, which takes a few seconds; half a minute beside other work on all cores."""

_LEAST_SECS = 0.01
"""A timeout must be positive."""

_GIVEN_UP = ".given-up"
"""Ending of the file that says how long a measurement had that did not end."""

_RATES = ("float32_flops", "bfloat16_flops", "int8_ops", "memory_bytes_per_sec")

_FIELD_OF_DTYPE = {
    "float32": "float32_flops",
    "bfloat16": "bfloat16_flops",
    "uint8": "int8_ops",
    "int8": "int8_ops",
}


@dataclass(frozen=True, slots=True)
class Peaks:
    """Rates of all physical cores together, per second; a multiply-accumulate counts as two operations.

    `quiet` is false when other processes took processor time from the best repeats: memory's true rate is then higher,
    and the others are estimates.
    """

    float32_flops: float
    """In float32."""
    bfloat16_flops: float
    """Products of bfloat16, summed in float32."""
    int8_ops: float
    """Products of bytes, summed in int32."""
    memory_bytes_per_sec: float
    """Read from memory."""
    cache_bytes_per_sec: tuple[tuple[str, float], ...] = ()
    """Read from each level of caches, by its name, the smallest first; levels that were not measured are missing."""
    quiet: bool = True

    def __post_init__(self) -> None:
        for name in _RATES:
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"expected a positive rate for {name}, got {getattr(self, name)}")
        for level, rate in self.cache_bytes_per_sec:
            if not 0 < rate < math.inf:
                raise UsageError(f"expected a positive rate for the cache {level}, got {rate}")

    def bytes_per_sec(self, level: str) -> float:
        """The rate at which a level of caches is read; memory's for one that was not measured, and never less."""
        return max(self.memory_bytes_per_sec, dict(self.cache_bytes_per_sec).get(level, 0.0))

    def knows(self, dtype: str) -> bool:
        """Whether a rate is measured for this dtype."""
        return dtype in _FIELD_OF_DTYPE

    def for_dtype(self, dtype: str) -> float:
        """Operations per second on operands of this dtype (`uint8` means u8 x s8 summed in s32)."""
        if dtype not in _FIELD_OF_DTYPE:
            raise UsageError(f"no peak is measured for dtype {dtype!r}; measured: {', '.join(_FIELD_OF_DTYPE)}")
        return float(getattr(self, _FIELD_OF_DTYPE[dtype]))

    def merge(self, other: Peaks) -> Peaks:
        """What to believe after `other` was measured on the same host too: a quiet one, else the best, rate by rate."""
        if self.quiet != other.quiet:
            return self if self.quiet else other
        rates = {name: max(getattr(self, name), getattr(other, name)) for name in _RATES}
        known = dict(other.cache_bytes_per_sec)
        caches = tuple((level, max(rate, known.get(level, 0.0))) for level, rate in self.cache_bytes_per_sec)
        return Peaks(**rates, cache_bytes_per_sec=caches, quiet=self.quiet)


def measured_peaks(
    target: Target,
    *,
    remeasure: bool = False,
    measure: Callable[[Target], Peaks] | None = None,
    secs: float = _TIMEOUT_SECS,
) -> Peaks:
    """Peaks of this host for the target's cores and features: from the cache, else measured (a few seconds).

    A disturbed measurement is taken again at calls some minutes later, a few times at most.
    Raises `UsageError` for a target that this host cannot run, `EnvironmentFault` if the measuring process fails or
    takes more than `secs`. A cache that cannot be written is a warning; a damaged one is measured anew.
    """
    path = _cache_path(target)
    with _locked(path, secs):
        known, attempts = (None, 0) if remeasure else _read(path, target)
        if known is not None and (known.quiet or attempts >= _ATTEMPTS or _age_secs(path) < _RETRY_AFTER_SECS):
            return known
        peaks = measure(target) if measure is not None else measure_in_subprocess(target, secs)
        best = known.merge(peaks) if known else peaks
        _write(path, target, best, attempts + 1)
        return best


def peaks_of(target: Target, *, measure_missing: bool = True) -> Peaks | None:
    """The measured peaks of this machine; None for a target that is another kind of machine.

    Without `measure_missing` also None where they are not cached.
    """
    here = detect()
    if target.kind != here.kind:
        return None
    if measure_missing or _read(_cache_path(target), target)[0] is not None:
        return measured_peaks(target)
    return None


def peaks_within(target: Target, secs: float) -> Peaks | None:
    """As `peaks_of`; those that are known where measuring them does not end in so many seconds, else None.

    Where it did not end in as many some minutes ago, it is not tried again.
    """
    if secs >= _TIMEOUT_SECS:
        return peaks_of(target)
    here = detect()
    if target.kind != here.kind:
        return None
    path = _cache_path(target)
    if _gave_up_after(path.with_suffix(_GIVEN_UP)) >= secs:
        return _read(path, target)[0]
    try:
        return measured_peaks(target, secs=max(_LEAST_SECS, secs))
    except EnvironmentFault:
        with contextlib.suppress(OSError):
            keep(path.with_suffix(_GIVEN_UP), {"secs": secs})
        return _read(path, target)[0]


def measure_in_subprocess(target: Target, secs: float = _TIMEOUT_SECS) -> Peaks:
    """Measures in a fresh process, since TVM reads its thread settings when it is loaded."""
    check_runs_here(target, detect())
    cpus = ",".join(map(str, physical_cpus()))
    package_folder = str(Path(__file__).parents[2])
    paths = [package_folder, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "TVM_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "flextune.target.peak_measurement", str(target), cpus]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=secs, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"the process that measures this host's peaks did not answer: {error}") from error
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFault(f"measuring this host's peaks failed with status {done.returncode}: {reason}")
    return _peaks_of(json.loads(done.stdout.strip().splitlines()[-1]))


def check_runs_here(target: Target, here: Target) -> None:
    """Raises `UsageError` unless a program made for `target` runs on the machine `here`."""
    missing = set(target.features) - set(here.features)
    if target.kind != here.kind:
        raise UsageError(f"peaks can be measured for this host's kind {here.kind}, got target {target}")
    if missing:
        raise UsageError(f"this host lacks {'+'.join(sorted(missing))}; its peaks cannot be measured for {target}")
    if target.cores > here.cores:
        raise UsageError(f"this host has {here.cores} cores; its peaks cannot be measured for {target}")


def _cache_path(target: Target) -> Path:
    digest = hashlib.sha256(target.key.encode()).hexdigest()[:12]
    return cache_folder() / f"peaks-{_VERSION}-{host().fingerprint}-{digest}.json"


def _read(path: Path, target: Target) -> tuple[Peaks | None, int]:
    """The peaks in a cache file and how often they were measured; nothing from a file that is damaged or another's."""
    content: Any = read_kept(path)
    try:
        if content["version"] != _VERSION or content["target"] != target.key:
            return None, 0
        return _peaks_of(content["peaks"]), int(content["attempts"])
    except (ValueError, KeyError, TypeError, UsageError):
        return None, 0


def _gave_up_after(path: Path) -> float:
    """Seconds after which a measurement was given up of late; 0 where none was."""
    secs = read_kept(path).get("secs")
    return secs if isinstance(secs, float) and _age_secs(path) < _RETRY_AFTER_SECS else 0.0


def _age_secs(path: Path) -> float:
    """Since the file was written; one that is gone, or from the future, is old."""
    try:
        age = time.time() - path.stat().st_mtime
    except OSError:
        return math.inf
    return age if age >= 0 else math.inf


def _peaks_of(content: Any) -> Peaks:
    """The inverse of `asdict`, from JSON."""
    rates = {name: float(content[name]) for name in _RATES}
    caches = tuple((str(level), float(rate)) for level, rate in content["cache_bytes_per_sec"])
    return Peaks(**rates, cache_bytes_per_sec=caches, quiet=bool(content["quiet"]))


def _write(path: Path, target: Target, peaks: Peaks, attempts: int) -> None:
    try:
        keep(path, {"version": _VERSION, "target": target.key, "attempts": attempts, "peaks": asdict(peaks)})
    except OSError as error:
        warnings.warn(
            f"measured peaks are not kept: {path.parent} cannot be written ({error}); "
            "set FLEXTUNE_CACHE to a folder that can",
            stacklevel=3,
        )


@contextlib.contextmanager
def _locked(path: Path, secs: float) -> Iterator[None]:
    """Holds off other processes that want to measure at the same time; does nothing where no file can be made."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(open(path.with_suffix(".lock"), "w"))
            _wait_for_lock(file, path, 2 * secs)
        yield


def _wait_for_lock(file: IO[str], path: Path, secs: float) -> None:
    """`EnvironmentFault` where another process has it for longer than measuring takes."""
    deadline = time.monotonic() + secs
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"another process has been measuring this host's peaks for {secs:g} s and holds "
                    f"{path.with_suffix('.lock')}: end it, and run again"
                ) from None
            time.sleep(0.1)
        else:
            return
