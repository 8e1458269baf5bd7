"""Temporary folders go with their owners."""

import subprocess
import sys
from pathlib import Path

import pytest

from flextune.errors import EnvironmentFault
from flextune.measure.folder import PREFIX, PrivateFolder


def test_is_private_and_removed(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    assert folder.path.stat().st_mode & 0o077 == 0
    (folder.path / "data").write_text("x")
    folder.close()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_living_owners_stay(tmp_path: Path) -> None:
    first, second = PrivateFolder(tmp_path), PrivateFolder(tmp_path)
    assert first.path.exists()
    first.close()
    second.close()


def test_folders_of_killed_owners_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from flextune.measure.folder import PrivateFolder; "
        "folder = PrivateFolder(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
    other = tmp_path / "not-ours"
    other.mkdir()
    folder = PrivateFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([folder.path, other])
    folder.close()


def test_no_room_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="TMPDIR"):
        PrivateFolder(tmp_path / "missing")
