"""From words to values."""

from __future__ import annotations

from pathlib import Path

import pytest

from flextune.cli.inputs import check_output, database_path, is_model, read_shapes, read_target, require_known
from flextune.errors import UsageError


@pytest.mark.parametrize("text", ["m.onnx", "folder/M.ONNX", "folder/model"])
def test_models(text: str) -> None:
    assert is_model(text)


@pytest.mark.parametrize("text", ["gemm:m=1,n=1,k=1", "gemm", "heron_dlboost_u8s8s32_fig8.c2d.C2D1"])
def test_workloads(text: str) -> None:
    assert not is_model(text)


def test_shapes() -> None:
    assert read_shapes(["x=1x3x8x8", "a=b=2"]) == {"x": (1, 3, 8, 8), "a=b": (2,)}
    assert read_shapes(None) == {}


@pytest.mark.parametrize("text", ["x", "x=", "=1x2", "x=1xa", "x=1,2", "x=-1x2"])
def test_bad_shapes(text: str) -> None:
    with pytest.raises(UsageError, match="expected --shape"):
        read_shapes([text])


def test_a_target_may_be_named() -> None:
    assert read_target("x86:avx2-generic,cores=3").cores == 3
    with pytest.raises(UsageError, match="x86"):
        read_target("x68:avx2-generic")


def test_unknown_names_come_with_the_nearest() -> None:
    require_known("strategy", "cga", ("random", "cga"))
    with pytest.raises(UsageError, match=r"unknown strategy 'cag'.*did you mean 'cga'"):
        require_known("strategy", "cag", ("random", "cga"))


def test_an_output_never_replaces_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "link.so").symlink_to(tmp_path / "m.onnx")
    check_output(tmp_path / "m.so", tmp_path / "m.onnx", "none.db")
    for lost in ("m.onnx", "link.so"):
        with pytest.raises(UsageError, match=f"cannot write .*{lost}: it is what is read"):
            check_output(tmp_path / lost, tmp_path / "other.db", tmp_path / "m.onnx")
    for nowhere in (tmp_path, tmp_path / "none" / "m.so"):
        with pytest.raises(UsageError, match="expected a file in an existing folder"):
            check_output(nowhere)


def test_an_empty_name_of_the_records_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEXTUNE_DB", "")
    assert database_path(None) == "flextune.db"
