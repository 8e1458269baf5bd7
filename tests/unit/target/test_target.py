from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flextune.errors import UsageError
from flextune.target.target import FEATURES, Target, known_devices

ZEN4 = Target("x86", "znver4", 2, ("sse4", "avx2", "avx512", "vnni", "bf16"), 32768, 1 << 20, 32 << 20, 8 << 30)

sizes = st.integers(min_value=1, max_value=1 << 50)
targets = st.builds(
    Target,
    kind=st.just("x86"),
    cpu=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    cores=st.integers(min_value=1, max_value=4096),
    features=st.lists(st.sampled_from(FEATURES["x86"])).map(tuple),
    l1_bytes=sizes,
    l2_bytes=sizes,
    l3_bytes=sizes,
    memory_bytes=st.integers(min_value=0, max_value=1 << 50),
)


@given(targets)
def test_text_round_trips(target: Target) -> None:
    assert Target.parse(str(target)) == target


@given(targets)
def test_key_is_a_target_without_memory(target: Target) -> None:
    parsed = Target.parse(target.key)
    assert parsed.memory_bytes == 0
    assert parsed.key == target.key
    assert "memory" not in target.key


@given(targets)
def test_attributes_say_for_every_feature_whether_it_is_there(target: Target) -> None:
    signs = {attribute[1:]: attribute[0] for attribute in target.llvm_attributes}
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
    target = Target("x86", "any", 1, features)
    assert (target.vector_bits, target.vector_registers) == (bits, registers)
    assert target.vector_lanes(8) == bits // 8


def test_features_are_completed_and_ordered() -> None:
    assert Target("x86", "any", 1, ("bf16", "sse4")).features == ("sse4", "avx2", "avx512", "bf16")


@pytest.mark.parametrize("name", known_devices())
def test_every_known_device_parses_and_round_trips(name: str) -> None:
    target = Target.parse(name)
    assert Target.parse(str(target)) == target
    assert target.l1_bytes < target.l2_bytes < target.l3_bytes


def test_device_with_changes() -> None:
    target = Target.parse("x86:avx2-generic, cores=2, memory=1024")
    assert (target.cpu, target.cores, target.memory_bytes) == ("x86-64-v3", 2, 1024)
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
        Target("x86", "any", 1, ("avx521",))
