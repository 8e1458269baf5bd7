"""What is given away is whole: the wheel's files, the container file, the changelog, the examples' table."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INSTRUCTIONS = {"FROM", "COPY", "RUN", "USER", "ENV", "VOLUME", "WORKDIR", "ENTRYPOINT", "CMD"}


def container_lines() -> list[tuple[str, str]]:
    """Instructions of the container file, with what follows each; lines that go on are joined."""
    text = (ROOT / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(first, rest) for first, _, rest in (line.partition(" ") for line in lines)]


def test_the_container_file_names_only_what_is_there() -> None:
    lines = container_lines()
    assert {first for first, _ in lines} <= INSTRUCTIONS
    stages = {rest.split(" AS ")[1] for first, rest in lines if first == "FROM" and " AS " in rest}
    mounted = {name for first, rest in lines if first == "RUN" for name in re.findall(r"from=(\w+)", rest)}
    assert mounted <= stages
    copied = [path for first, rest in lines if first == "COPY" for path in rest.split()[:-1]]
    assert copied
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for path in copied:
        assert (ROOT / path).exists()
        assert f"!{path}" in kept, f"{path} is not in the context of the build"
    assert lines[-2] == ("ENTRYPOINT", '["flextune"]')
    users = [number for number, (first, _) in enumerate(lines) if first == "USER"]
    assert users
    assert all(first != "RUN" for first, _ in lines[users[-1] :]), "what is installed later belongs to nobody"


def test_the_version_is_said_once_to_all() -> None:
    import flextune

    assert PROJECT["version"] == flextune.__version__
    assert re.search(r"^## (Unreleased|\[?\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert flextune.__version__ in (ROOT / "CHANGELOG.md").read_text()


def test_every_example_is_in_the_table_and_every_row_is_an_example() -> None:
    page = (ROOT / "examples" / "README.md").read_text()
    named = set(re.findall(r"^\| \[`([\w./]+)`\]\((?:[\w./]+)\)", page, re.MULTILINE))
    there = {path.name for path in (ROOT / "examples").iterdir() if path.name not in ("README.md", "__pycache__")}
    assert {name.split("/")[0] for name in named} == there
    assert all((ROOT / "examples" / name).exists() for name in named)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the repository")
def test_no_file_of_the_package_is_kept_out_of_the_wheel() -> None:
    """The wheel takes what git does not ignore: a data file that is ignored would be missing in it, and only there."""
    listed = ["git", "-C", str(ROOT), "ls-files", "--others", "--ignored", "--exclude-standard", "src/flextune"]
    ignored = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [path for path in ignored if "__pycache__" not in path and ".egg-info" not in path] == []
