from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.platforms.x86.kind import llvm_attributes, vector_registers
from flextune.target import kinds
from flextune.target.kind import Attribute, Feature, TargetKind
from flextune.target.target import Target, known_devices

ZEN4 = Target.of("x86", cpu="znver4", cores=2, features=("vnni", "bf16"), l2=1 << 20, l3=32 << 20, memory=8 << 30)
X86_FEATURES = [feature.name for feature in kinds.get("x86").features]

sizes = st.integers(min_value=1, max_value=1 << 50)
targets = st.builds(
    Target.of,
    kind=st.just("x86"),
    cpu=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    cores=st.integers(min_value=1, max_value=4096),
    features=st.lists(st.sampled_from(X86_FEATURES)).map(tuple),
    l1=sizes,
    l2=sizes,
    l3=sizes,
    memory=st.integers(min_value=0, max_value=1 << 50),
)


@given(targets)
def test_text_round_trips(target: Target) -> None:
    assert Target.parse(str(target)) == target


@given(targets)
def test_key_is_a_target_without_memory(target: Target) -> None:
    parsed = Target.parse(target.key)
    assert parsed.number("memory") == 0
    assert parsed.key == target.key
    assert "memory" not in target.key


@given(targets)
def test_attributes_say_for_every_feature_whether_it_is_there(target: Target) -> None:
    signs = {attribute[1:]: attribute[0] for attribute in llvm_attributes(target)}
    assert signs["avx2"] == ("+" if target.has("avx2") else "-")
    assert signs["avx512bf16"] == ("+" if target.has("bf16") else "-")
    assert signs["avx512vnni"] == ("+" if target.has("vnni") else "-")


def test_text_form() -> None:
    assert str(ZEN4) == (
        "x86:cpu=znver4,cores=2,features=sse4+avx2+avx512+vnni+bf16,l1=32768,l2=1048576,l3=33554432,memory=8589934592"
    )


@pytest.mark.parametrize(
    ("features", "bits", "registers"), [(("sse4",), 128, 16), (("avx2",), 256, 16), (("vnni",), 512, 32)]
)
def test_vectors(features: tuple[str, ...], bits: int, registers: int) -> None:
    target = Target.of("x86", cpu="any", cores=1, features=features)
    assert (target.vector_bits, vector_registers(target)) == (bits, registers)
    assert target.vector_lanes(8) == bits // 8


def test_features_are_completed_and_ordered() -> None:
    assert Target.of("x86", cpu="any", cores=1, features=("bf16", "sse4")).features == (
        "sse4",
        "avx2",
        "avx512",
        "bf16",
    )


@pytest.mark.parametrize("name", known_devices())
def test_every_known_device_parses_and_round_trips(name: str) -> None:
    target = Target.parse(name)
    assert Target.parse(str(target)) == target
    sizes = [cache.size_bytes for cache in kinds.get(target.kind).caches(target)]
    assert sizes == sorted(sizes)  # the last two are equal where there is no third level


def test_device_with_changes() -> None:
    target = Target.parse("x86:avx2-generic, cores=2, memory=1024")
    assert (target.word("cpu"), target.cores, target.number("memory")) == ("x86-64-v3", 2, 1024)
    assert not target.has("avx512")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "for example x86:cpu="),
        ("znver4", "for example x86:cpu="),
        ("x68:cpu=a,cores=1", "did you mean x86"),
        ("x86:skylke", "did you mean skylake"),
        ("x86:cpu=a,cors=1", "did you mean cores"),
        ("x86:cpu=a,cores=1,features=avx521", "did you mean avx512"),
        ("x86:cpu=a", "lacks cores"),
        ("x86:cores=1", "lacks cpu"),
        ("x86:cpu=a,cores=two", "whole number for cores"),
        ("x86:cpu=a,cores=²", "whole number for cores"),
        ("x86:cpu=a,cores=-1", "whole number for cores"),
        ("x86:cpu=a,cores=0", "positive number for cores"),
        ("x86:cpu=a,cores=1,l1=0", "positive number for l1"),
        ("x86:cpu=a,cores=1,cores=2", "twice"),
        ("x86:cpu=a,,cores=2", "key=value"),
        ("x86:cpu=a b,cores=2", "LLVM processor name"),
    ],
)
def test_bad_text_is_a_usage_error_that_says_what_to_do(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        Target.parse(text)
    assert hint in str(raised.value)


def test_unknown_feature_is_refused_when_asked_for_and_when_made() -> None:
    with pytest.raises(UsageError, match="did you mean"):
        ZEN4.has("avx521")
    with pytest.raises(UsageError, match="did you mean"):
        Target.of("x86", cpu="any", cores=1, features=("avx521",))


def test_values_are_checked_when_a_target_is_made() -> None:
    for values, hint in (
        ({"cores": 1}, "lacks cpu"),
        ({"cpu": "any", "cores": "two"}, "positive number for cores"),
        ({"cpu": 5, "cores": 1}, "LLVM processor name for cpu"),
        ({"cpu": "any", "cores": 1, "l4": 1}, "did you mean"),
    ):
        with pytest.raises(UsageError, match=hint):
            Target.of("x86", **values)


def test_an_attribute_is_asked_for_by_its_key() -> None:
    assert (ZEN4.number("l2"), ZEN4.word("cpu")) == (1 << 20, "znver4")
    for ask, key in ((ZEN4.number, "l4"), (ZEN4.number, "cpu"), (ZEN4.word, "cores")):
        with pytest.raises(UsageError, match=key):
            ask(key)


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> TargetKind:
    """A kind that is nothing like a CPU."""
    kind = TargetKind(
        "npu",
        (
            Attribute("chip", "a chip", numeric=False),
            Attribute("features", "names", default=(), numeric=False),
            Attribute("sram", "a number", default=1024, unit="bytes"),
            Attribute("clock", "a number", default=0, least=0, in_key=False),
        ),
        (Feature("int4"), Feature("sparse", ("int4",))),
        {"one": "chip=one,sram=2048"},
    )
    monkeypatch.setattr(kinds, "_kinds", kinds._kinds.__wrapped__)
    registry = kinds._kinds()
    monkeypatch.setattr(kinds, "_kinds", lambda: registry)
    kinds.register("npu", kind)
    return kind


def test_a_kind_of_ones_own(accelerator: TargetKind) -> None:
    target = Target.parse("npu:one,features=sparse,clock=5")
    assert str(target) == "npu:chip=one,features=int4+sparse,sram=2048,clock=5"
    assert target.key == "npu:chip=one,features=int4+sparse,sram=2048"
    assert Target.parse(str(target)) == target
    assert target.cores == 1
    assert "npu:one" in known_devices()
    with pytest.raises(UsageError, match="unknown attribute of npu 'l1'"):
        target.number("l1")
    with pytest.raises(UsageError, match="registered already"):
        kinds.register("npu", accelerator)


def test_a_kind_of_an_installed_package_is_found(tmp_path: Path) -> None:
    """In every process: the package names itself by an entry point."""
    (tmp_path / "npus.py").write_text(
        "from flextune.target import kinds\n"
        "from flextune.target.kind import Attribute, TargetKind\n"
        "def register():\n"
        "    kinds.register('npu', TargetKind('npu', (Attribute('chip', 'a chip', numeric=False),)))\n"
    )
    (tmp_path / "npus-1.dist-info").mkdir()
    (tmp_path / "npus-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: npus\nVersion: 1\n")
    (tmp_path / "npus-1.dist-info" / "entry_points.txt").write_text("[flextune.platforms]\nnpu = npus:register\n")
    code = "from flextune.target.target import Target; print(Target.parse('npu:chip=a'))"
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "npu:chip=a", done.stderr


def test_reading_a_target_loads_neither_tvm_nor_numpy() -> None:
    code = (
        "import sys; from flextune.target.target import Target, known_devices\n"
        "[Target.parse(name).vector_bits for name in known_devices()]\n"
        "sys.exit(any(name in sys.modules for name in ('tvm', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_processor_of_arm_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown cpu 'foo'"):
        Target.parse("arm:cpu=foo,cores=2")
    with pytest.raises(UsageError, match=r"did you mean .*cortex-a76"):
        Target.parse("arm:rk3588,cpu=cortex-a67")
    assert Target.parse("arm:cpu=cortex-a55,cores=2").word("cpu") == "cortex-a55"
