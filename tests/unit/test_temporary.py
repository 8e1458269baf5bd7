"""Temporary folders go with their owners."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flextune.errors import EnvironmentFault
from flextune.temporary import PREFIX, PrivateFolder, partial_file


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
        "import os, sys, pathlib; from flextune.temporary import PrivateFolder; "
        "folder = PrivateFolder(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(f"{PREFIX}*"))) == 1
    other = tmp_path / "not-ours"
    other.mkdir()
    folder = PrivateFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([folder.path, other])
    folder.close()


_FILLED = "folder = PrivateFolder(base); (folder.path / 'data').write_text('x'); "


@pytest.mark.parametrize(
    "died",
    [
        "tempfile.mkdtemp(prefix=PREFIX, dir=base); die()",
        "temporary._try_lock = die; PrivateFolder(base)",
        _FILLED + "pathlib.Path.unlink = die; folder.close()",
        _FILLED + "shutil.rmtree = die; folder.close()",
        _FILLED + "os.rmdir = die; folder.close()",
    ],
    ids=["made", "not locked", "full", "emptied", "without its lock"],
)
def test_folders_of_owners_killed_while_they_make_or_remove_one_are_removed(tmp_path: Path, died: str) -> None:
    code = (
        "import os, pathlib, shutil, sys, tempfile; from flextune import temporary\n"
        "from flextune.temporary import PREFIX, PrivateFolder\n"
        "die = lambda *a, **k: os.kill(os.getpid(), 9); base = pathlib.Path(sys.argv[1])\n"
    )
    assert subprocess.run([sys.executable, "-c", code + died, str(tmp_path)], check=False).returncode == -9
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    with PrivateFolder(tmp_path):
        assert not left.exists()


def test_folders_of_somebody_with_such_a_name_stay(tmp_path: Path) -> None:
    full, empty = tmp_path / f"{PREFIX}results", tmp_path / f"{PREFIX}new"
    for folder in (full, empty):
        folder.mkdir()
    full.chmod(0o700)
    (full / "data").write_text("x")
    for folder in (full, empty):
        os.utime(folder, (0, 0))
    with PrivateFolder(tmp_path):
        assert (full / "data").read_text() == "x"
        assert empty.exists()


def test_no_room_is_said_clearly(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="TMPDIR"):
        PrivateFolder(tmp_path / "missing")


def test_partial_files_become_their_target_or_go(tmp_path: Path) -> None:
    target = tmp_path / "made[1].so"
    with pytest.raises(ValueError), partial_file(target, ".so") as partial:
        raise ValueError
    with partial_file(target, ".so") as partial, partial_file(target, ".so") as other:
        partial.write_text("x")
        partial.replace(target)
        assert other.exists()
    assert list(tmp_path.iterdir()) == [target]


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib; from flextune.temporary import partial_file\n"
        "with partial_file(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    target = tmp_path / "made"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (left,) = tmp_path.iterdir()
    os.utime(left, (0, 0))
    with partial_file(target):
        assert not left.exists()


def test_starting_at_the_same_time_takes_no_folder_from_another(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from flextune.temporary import PrivateFolder\n"
        "for _ in range(200):\n"
        "    with PrivateFolder(pathlib.Path(sys.argv[1])) as folder: (folder.path / 'data').write_text('x')\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_forked_copy_that_is_done_with_it_leaves_it_to_its_owner(tmp_path: Path) -> None:
    folder = PrivateFolder(tmp_path)
    path = folder.path
    child = os.fork()
    if not child:
        folder.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert path.exists()
    folder.close()
    assert not path.exists()


def test_folders_go_with_a_process_that_ends_at_once(tmp_path: Path) -> None:
    body = (
        "import gc, os; gc.disable(); from pathlib import Path\n"
        "from flextune.temporary import PrivateFolder, remove_own_folders\n"
        "class Kept: pass\n"
        f"folder = Kept(); folder.owned = PrivateFolder(Path({str(tmp_path)!r})); folder.me = folder; del folder\n"
        "remove_own_folders(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", body], check=True)
    assert list(tmp_path.iterdir()) == []
