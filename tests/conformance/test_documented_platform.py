"""The platform in docs/add_a_platform.md passes the suite, as it stands there, and is tuned by the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.platforms import platform_registry
from flextune.target import kinds
from flextune.target.target import Target
from flextune.testing.platforms import PlatformSuite
from flextune.trial.measurement import Status

_PAGE = Path(__file__).parents[2] / "docs" / "add_a_platform.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the package as it is installed: its files, and its entry point."""
    folder = tmp_path_factory.mktemp("site")
    page = _PAGE.read_text()
    for name, text in re.findall(r"```python\n# (\S+)\n(.*?)```", page, re.DOTALL):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (entry,) = re.findall(r'```toml\n\[project\.entry-points\."(.*?)"\]\n(\S+) = "(.*?)"\n```', page)
    described = folder / "plain_c-1.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: plain_c\nVersion: 1\n")
    (described / "entry_points.txt").write_text(f"[{entry[0]}]\n{entry[1]} = {entry[2]}\n")
    return folder


@pytest.fixture(autouse=True)
def _installed(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For this process, where it is forgotten afterwards, and for those that it starts."""
    monkeypatch.syspath_prepend(package)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setattr(platform_registry._platforms, "_factories", dict(platform_registry._platforms._factories))
    monkeypatch.setattr(platform_registry._platforms, "_made", dict(platform_registry._platforms._made))
    monkeypatch.setattr(kinds._kinds(), "_entries", dict(kinds._kinds()._entries))


class TestPlainC(PlatformSuite):
    name = "plain_c"
    target: Target

    @pytest.fixture(autouse=True)
    def parsed(self, _installed: None) -> None:
        self.target = Target.parse("plain_c:small")


def test_the_page_names_the_same_platform_to_the_suite(package: Path) -> None:
    names: dict[str, object] = {"__name__": "test_plain_c"}
    exec(compile((package / "test_plain_c.py").read_text(), "test_plain_c.py", "exec", dont_inherit=True), names)
    suite = names["TestPlainC"]
    assert (suite.name, str(suite.target)) == ("plain_c", "plain_c:cores=1,l1=16384")


def test_the_command_line_tunes_on_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flextune", "tune", "gemm:m=64,n=48,k=32", "--target", "plain_c:small"]
    command += ["--trials", "6", "--json", "--db", str(tmp_path / "records.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == 0
    with open_database(str(tmp_path / "records.db"), must_exist=True) as database:
        records = list(database.records())
    assert {record.target for record in records} == {"plain_c:cores=1,l1=16384"}
    assert {record.status for record in records} == {Status.OK}
    assert len({record.assignment for record in records}) == 6
