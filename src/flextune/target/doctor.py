"""What `flextune doctor` shows, as a value: the machine, its peaks, versions, and the parts that it has or lacks."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from flextune.settings import cache_folder, powercap_folder
from flextune.target import kinds
from flextune.target.detect import detect
from flextune.target.energy import find_meter
from flextune.target.host import Host, host
from flextune.target.kind import Feature
from flextune.target.peaks import Peaks, measured_peaks
from flextune.target.target import Target

PINNED = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}
"""Exact versions that flextune works with; other pairs of them crash."""

REQUIRED = ("apache-tvm", "apache-tvm-ffi", "numpy", "onnx", "networkx", "pydantic", "sqlalchemy", "xgboost-cpu")

_OPTIONAL = {
    "onnxruntime": ("a peer to compare models with, and the check of their outputs in the tests", "bench"),
    "torch": ("a peer to compare operators with, and learned search strategies", "bench"),
    "cloudpickle": ("TVM's own tuner as a peer in the benchmarks", "bench"),
    "pytest": ("running the tests", "dev"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """Something flextune can use: what for, what was `found` (empty: missing), and how to get it.

    Nothing works without a part that is `required`.
    """

    name: str
    """Of a program or package."""
    purpose: str
    """What it is used for."""
    found: str
    how: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """Facts about this machine and installation. `peaks` is None where they were not asked for.

    `versions` pairs a package with its version, empty where it is not installed.
    """

    target: Target
    """This machine as a target."""
    host: Host
    """Its processor and memory."""
    peaks: Peaks | None
    versions: tuple[tuple[str, str], ...]
    parts: tuple[Part, ...]
    """What is there, and what is missing."""

    @property
    def missing(self) -> tuple[Part, ...]:
        """Parts that are not there, the required ones first."""
        return tuple(sorted((part for part in self.parts if not part.found), key=lambda part: not part.required))

    @property
    def ok(self) -> bool:
        """Whether everything required is there."""
        return not any(part.required for part in self.missing)

    def facts(self) -> dict[str, object]:
        """The report as values that JSON can hold."""
        return {
            "target": str(self.target),
            "target_facts": self._target_facts(),
            "host": asdict(self.host),
            "peaks": asdict(self.peaks) if self.peaks else None,
            "versions": dict(self.versions),
            "parts": [asdict(part) for part in self.parts],
            "missing": [part.name for part in self.missing],
            "ok": self.ok,
        }

    def _target_facts(self) -> dict[str, object]:
        kind = kinds.get(self.target.kind)
        titles = {attribute.key: attribute.title for attribute in kind.attributes}
        values = {titles[key]: value for key, value in self.target.attributes}
        return {"kind": kind.name, **values, "vector_bits": self.target.vector_bits}


def doctor_report(*, with_peaks: bool = True, remeasure: bool = False) -> DoctorReport:
    """Looks at this machine. With `with_peaks` measures them where they are not cached, or anew with `remeasure`."""
    target = detect()
    versions = installed_versions((*REQUIRED, *_OPTIONAL))
    parts = (
        *package_parts(dict(versions)),
        compiler_part(),
        cache_part(cache_folder()),
        energy_part(powercap_folder()),
        *processor_parts(target),
        *device_parts(target),
    )
    peaks = measured_peaks(target, remeasure=remeasure) if with_peaks else None
    return DoctorReport(target, host(), peaks, (("python", platform.python_version()), *versions), parts)


def installed_versions(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each distribution's version, empty where it is not installed; flextune's own first."""
    return tuple((name, _version(name)) for name in ("flextune", *names))


def package_parts(versions: dict[str, str]) -> tuple[Part, ...]:
    """Python packages: the required ones, at the right version where that matters, and the optional ones."""
    required = [
        Part(name, "needed by everything", _fitting(name, versions), f"pip install {_requirement(name)}", required=True)
        for name in REQUIRED
    ]
    optional = [
        Part(name, purpose, versions.get(name, ""), f"pip install 'flextune[{extra}]'")
        for name, (purpose, extra) in _OPTIONAL.items()
    ]
    return (*required, *optional)


def compiler_part() -> Part:
    """What links shared libraries: a C compiler, or the ziglang package."""
    found = next(filter(None, map(shutil.which, ("gcc", "cc"))), None)
    if found is None and importlib.util.find_spec("ziglang") is not None:
        found = f"ziglang {_version('ziglang')}"
    how = "install gcc with the system's package manager, or pip install ziglang"
    return Part("linker", "saving compiled operators and models as shared libraries", found or "", how)


def cache_part(folder: Path) -> Part:
    """The folder that keeps measured peaks."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    how = "set FLEXTUNE_CACHE to a folder that can be written"
    return Part("cache", "measuring this machine's peaks once, not in every run", str(folder) if writable else "", how)


def energy_part(folder: Path) -> Part:
    """Counters of energy in a powercap folder."""
    meter = find_meter(folder)
    found = "" if meter is None else ", ".join(zone.name for zone in meter.zones)
    how = f"a machine whose system shows it in {folder}/intel-rapl:0"
    if any(folder.glob("intel-rapl:*/energy_uj")):
        how = f"as root: chmod a+r {folder}/intel-rapl:*/energy_uj"
    return Part("energy", "joules per call of kernels and models in the records", found, how)


def processor_parts(target: Target) -> tuple[Part, ...]:
    """Features of its kind that make a difference."""
    return tuple(
        Part(feature.name, feature.purpose, _found_feature(feature, target), "a processor that has it")
        for feature in kinds.get(target.kind).features
        if feature.purpose
    )


def device_parts(target: Target) -> tuple[Part, ...]:
    """What the kinds of other devices than the host need, as they tell it."""
    others = [kind for kind in kinds.known() if kind.host and kind.name != target.kind]
    return tuple(
        Part(each.name, each.purpose, each.found, each.how)
        for kind in others
        for each in kinds.host_support(kind).needs()
    )


def _found_feature(feature: Feature, target: Target) -> str:
    return next((name for name in (feature.name, *feature.substitutes) if target.has(name)), "")


def _fitting(name: str, versions: dict[str, str]) -> str:
    version = versions.get(name, "")
    return version if PINNED.get(name, version) == version else ""


def _requirement(name: str) -> str:
    return f"{name}=={PINNED[name]}" if name in PINNED else name


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
