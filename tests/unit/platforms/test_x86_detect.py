from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from flextune.errors import EnvironmentFault
from flextune.platforms.x86.detect import features_of, generic_cpu, read_target
from flextune.target.detect import detect
from flextune.target.target import Target, known_devices

CACHES = {
    "1d": ("Data", "48K", "0"),
    "1i": ("Instruction", "32K", "0"),
    "2": ("Unified", "2M", "0"),
    "3": ("Unified", "107520K", "0-1"),
}


@pytest.mark.parametrize(
    ("name", "features", "cpu"),
    [
        ("sse4", ("sse4",), "x86-64-v2"),
        ("avx2", ("sse4", "avx2"), "x86-64-v3"),
        ("avx512", ("sse4", "avx2", "avx512"), "x86-64-v4"),
        ("zen4", ("sse4", "avx2", "avx512", "vnni", "bf16"), "x86-64-v4"),
        ("alderlake", ("sse4", "avx2", "avxvnni"), "x86-64-v3"),
        ("sapphirerapids", ("sse4", "avx2", "avx512", "vnni", "bf16", "avxvnni", "amx"), "x86-64-v4"),
        ("avx512-incomplete", ("sse4", "avx2"), "x86-64-v3"),
        ("avx2-without-fma", ("sse4",), "x86-64-v2"),
    ],
)
def test_features_and_generic_cpu(flags: Mapping[str, str], name: str, features: tuple[str, ...], cpu: str) -> None:
    given = frozenset(flags[name].split())
    assert features_of(given) == features
    assert generic_cpu(given) == cpu


def test_cpu_without_any_level() -> None:
    assert generic_cpu(frozenset({"fpu"})) == "x86-64"
    assert features_of(frozenset({"fpu"})) == ()


def test_whole_target(make_machine: Callable[..., Path], flags: Mapping[str, str]) -> None:
    root = make_machine(flags=flags["zen4"], siblings=((0, 2), (1, 3)), caches=CACHES)
    assert read_target(root, frozenset({0, 1, 2, 3}), lambda: "znver4") == Target.of(
        "x86", cpu="znver4", cores=2, features=("bf16", "vnni"), l1=48 << 10, l2=2 << 20, l3=105 << 20, memory=16 << 30
    )


def test_unsure_llvm_name_gives_the_generic_level(make_machine: Callable[..., Path], flags: Mapping[str, str]) -> None:
    assert read_target(make_machine(flags=flags["avx2"]), frozenset({0}), lambda: None).word("cpu") == "x86-64-v3"


def test_memory_limit_of_the_control_group(make_machine: Callable[..., Path]) -> None:
    files = {"proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/memory.max": "1073741824\n"}
    assert read_target(make_machine(files=files), frozenset({0}), lambda: None).number("memory") == 1 << 30


def test_a_machine_without_cpuinfo_is_none_of_x86(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_target(tmp_path, frozenset({0}), lambda: None) is None
    monkeypatch.setattr("flextune.platforms.x86.host.ROOT", tmp_path)
    with pytest.raises(EnvironmentFault, match="--target x86:avx2-generic"):
        detect.__wrapped__()


@pytest.mark.hardware("x86")
def test_this_host_is_a_target_llvm_can_compile_for() -> None:
    target = detect()
    assert _llvm_knows(target.word("cpu"))
    assert Target.parse(str(target)) == target


def test_llvm_is_asked_once_per_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path))
    monkeypatch.setattr("flextune.platforms.x86.detect._asked_llvm_cpu", lambda: asked.append(1) or "znver4")
    assert [detect.__wrapped__().word("cpu") for _ in range(3)] == ["znver4"] * 3
    assert len(asked) == 1
    for text in ("{", "[]", '{"tvm": "0.1", "cpu": "znver4"}'):
        next(tmp_path.glob("llvm-cpu-*.json")).write_text(text)
        assert detect.__wrapped__().word("cpu") == "znver4"
    assert len(asked) == 4


def test_a_cache_that_cannot_be_written_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLEXTUNE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("flextune.platforms.x86.detect._asked_llvm_cpu", lambda: None)
    assert detect.__wrapped__().word("cpu").startswith("x86-64")


@pytest.mark.parametrize("name", [name for name in known_devices() if name.startswith("x86:")])
def test_llvm_knows_every_device(name: str) -> None:
    assert _llvm_knows(Target.parse(name).word("cpu"))


def test_llvm_refuses_a_name_it_does_not_know() -> None:
    assert not _llvm_knows("znver44")


def _llvm_knows(cpu: str) -> bool:
    import tvm  # noqa: F401  (loads the functions looked up below)
    from tvm_ffi import get_global_func

    return bool(get_global_func("target.llvm_is_valid_cpu")(cpu, "x86_64-unknown-linux-gnu"))
