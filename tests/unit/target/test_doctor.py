from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from flextune.target import doctor
from flextune.target.doctor import (
    PINNED,
    REQUIRED,
    DoctorReport,
    Part,
    cache_part,
    compiler_part,
    doctor_report,
    package_parts,
    processor_parts,
)
from flextune.target.host import Host
from flextune.target.peaks import Peaks
from flextune.target.target import Target

ZEN4 = Target.parse("x86:znver4,cores=2")
HOST = Host("Test CPU", "Linux", 2, 4, "f" * 16)
HAVE_ALL = {name: PINNED.get(name, "1.0") for name in REQUIRED}


def report(*parts: Part) -> DoctorReport:
    return DoctorReport(ZEN4, HOST, Peaks(2e11, 4e11, 8e11, 3e10), (("python", "3.11.7"),), parts)


def test_pins_are_those_of_the_project() -> None:
    project = next(path for path in Path(__file__).parents if (path / "pyproject.toml").exists())
    dependencies = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {f"{name}=={version}" for name, version in PINNED.items()} <= set(dependencies)


def test_required_parts_come_first_and_decide() -> None:
    optional, required = Part("torch", "", "", "pip"), Part("numpy", "", "", "pip", required=True)
    assert report(optional, required).missing == (required, optional)
    assert not report(optional, required).ok
    assert report(optional).ok


def test_wrong_version_of_a_pinned_package_is_missing() -> None:
    missing = {part.name: part for part in package_parts(HAVE_ALL | {"apache-tvm-ffi": "0.1.15"}) if not part.found}
    assert missing["apache-tvm-ffi"].required
    assert missing["apache-tvm-ffi"].how == f"pip install apache-tvm-ffi=={PINNED['apache-tvm-ffi']}"
    assert "numpy" not in missing
    assert not missing["torch"].required


def test_linker_is_a_compiler_or_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/opt/cc" if name == "cc" else None)
    assert compiler_part().found == "/opt/cc"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    assert compiler_part().found == ""
    assert "ziglang" in compiler_part().how


def test_cache_below_a_file_is_missing(tmp_path: Path) -> None:
    assert cache_part(tmp_path / "new" / "folder").found
    (tmp_path / "file").write_text("")
    assert not cache_part(tmp_path / "file" / "cache").found


def test_processor_parts() -> None:
    found = {part.name: part.found for part in processor_parts(Target.parse("x86:alderlake"))}
    assert found == {"avx2": "avx2", "avx512": "", "vnni": "avxvnni", "bf16": ""}
    assert processor_parts(Target.parse("null:cpu=none,cores=1")) == ()


def test_facts_are_json() -> None:
    facts = json.loads(json.dumps(report(Part("torch", "", "", "pip")).facts()))
    assert Target.parse(facts["target"]) == ZEN4
    assert facts["peaks"]["int8_ops"] == 8e11
    assert facts["missing"] == ["torch"]


@pytest.mark.hardware("x86")
def test_report_of_this_machine() -> None:
    found = doctor_report(with_peaks=False)
    assert found.ok
    assert found.peaks is None
    assert dict(found.versions)["apache-tvm"] == PINNED["apache-tvm"]
