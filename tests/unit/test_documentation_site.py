"""The site: every page is in its navigation, and its page of the command line has every verb."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = (ROOT / "mkdocs.yml").read_text()


def test_every_page_is_in_the_navigation_and_is_there() -> None:
    named = set(re.findall(r"([\w/]+\.md)$", SITE.partition("\nnav:")[2], re.MULTILINE))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named == there | {"reference/command_line.md"}


def test_the_reference_is_of_all_that_flextune_exports() -> None:
    import flextune

    page = (ROOT / "docs" / "reference" / "python.md").read_text()
    documented = set(re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE))
    exported = {path.replace(":", ".") for path in flextune._EXPORTS.values()}
    assert exported - {"flextune.compat.flexdsa.FlexDSAOptimizer"} <= documented


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    config = pytest.importorskip("mkdocs.config", reason="needs mkdocs: pip install 'flextune[docs]'")
    pytest.importorskip("material", reason="needs mkdocs-material: pip install 'flextune[docs]'")
    pytest.importorskip("mkdocstrings", reason="needs mkdocstrings: pip install 'flextune[docs]'")
    from mkdocs.commands.build import build

    build(config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path / "site"), strict=True))
    page = (tmp_path / "site" / "reference" / "command_line.html").read_text()
    for verb in ("tune", "compile", "records sync", "completion"):
        assert f">flextune {verb}<" in page
    assert not list((tmp_path / "site").rglob("site_hooks*"))
