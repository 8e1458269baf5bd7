"""The page as a file: whole, closed to the outside, small, and safe whatever the records say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flextune.report.html import Html, element, json_for_script
from flextune.testing.databases import example_decision, example_layouts, example_record, example_verdict
from flextune.trial.decision import Decision, Shipped
from flextune.trial.record import Evidence, TuningRecord
from flextune.trial.runtime_decision import RuntimeDecision
from tests.unit.report.pages import Reader, page_of

MOST_BYTES = 5_242_880
EVIL = "</script><img src=//x onerror=alert(1)><!--\"'&amp;`\x1b[31m\x00\u202e\u2028]]>"
TAGS = {
    *("html", "head", "meta", "title", "style", "script", "body", "header", "nav", "main", "section", "h1", "h2"),
    *("p", "a", "ul", "li", "div", "span", "button", "details", "summary", "fieldset", "legend", "label", "input"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
}


def search_of_24() -> list[TuningRecord]:
    trials = [example_record(tile, 1e-3 / tile if tile % 5 else None) for tile in range(1, 25)]
    finals = [example_record(tile, secs, evidence=Evidence.FINALIST) for tile, secs in ((24, 4e-5), (1, 1e-3))]
    times = [(4e-5, 4.1e-5, 3.9e-5, 4e-5, 4e-5, 4e-5), (8e-5, 8.2e-5, 7.8e-5, 8e-5, 8e-5, 8.4e-5)]
    return [*trials, *(replace(each, run_secs=secs) for each, secs in zip(finals, times, strict=True))]


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(each)


def test_the_questions_are_answered_in_their_order() -> None:
    decisions = [example_decision("g", "parts"), example_layouts("l"), example_verdict("v")]
    reader = Reader(page_of(search_of_24(), decisions))
    headings = ("How much faster", "Where the time goes", "Why", "How the search went", "What to do next")
    places = [reader.visible.rindex(each) for each in headings]
    assert places == sorted(places)
    for text in ("gemm m=64 n=64 k=64", "2.00", "clear: in turns, 6 rounds", "1.33", "2 ms", "1.5 ms", "net"):
        assert text in reader.visible
    assert "run_error: killed by signal #" in reader.visible
    assert "flextune replay" in str(reader.attributes)


def test_nothing_is_asked_of_anybody() -> None:
    text = page_of(search_of_24(), [example_verdict("v")])
    reader = Reader(text)
    policy = next(value for _, name, value in reader.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'")
    assert not [(tag, name) for tag, name, _ in reader.attributes if name in ("src", "srcset", "action", "ping")]
    links = [value for _, name, value in reader.attributes if name == "href"]
    assert all(link.startswith("#") for link in links)
    assert {link[1:] for link in links} <= {value for _, name, value in reader.attributes if name == "id"}
    own = re.sub(r'<script type="text/plain" id="plotly">[^<]*</script>', "", text)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", own)


def test_markup_and_control_characters_in_every_string_are_only_shown() -> None:
    """Also in the keys of decisions, in names of variables, options and alternatives."""
    own = replace(
        example_record(1),
        **dict.fromkeys(("workload", "workload_key", "target", "target_key", "host", "protocol", "versions"), EVIL),
        **dict.fromkeys(("strategy", "cost_model"), EVIL),
        strategy_options=((EVIL, EVIL),),
        trace=EVIL,
        assignment=f"{EVIL.replace('=', '')}=1",
    )
    inside = replace(own, evidence=Evidence.IN_MODEL, model=EVIL)
    failed = replace(example_record(2, None, error=EVIL), workload=EVIL, workload_key=EVIL, target_key=EVIL)
    objective = replace(own, workload=f"objective:{EVIL}", workload_key="o", trace=EVIL)
    common = {"key": EVIL, "target_key": EVIL, "model": EVIL, "reason": EVIL}
    runtime = RuntimeDecision(**common, created=EVIL, rival=EVIL, chosen=EVIL, own_secs=1.0, rival_secs=0.5)
    group = replace(example_decision("g", "parts"), operators=EVIL, pattern=EVIL, **common)
    verdict = replace(example_verdict("v"), failures=(EVIL,), **common)
    decisions: list[Decision] = [runtime, group, verdict, replace(example_layouts("l"), **common)]
    reader = Reader(page_of([own, failed, inside, objective, *search_of_24()], decisions, about=f"{EVIL}\ud800"))
    assert reader.tags <= TAGS
    assert not [name for _, name, _ in reader.attributes if name.startswith("on")]
    assert reader.visible.count("onerror=alert(1)") > 10
    assert set(reader.scripts) == {"figures", "plotly", "own"}
    for text in strings(reader.figures):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e\ud800]", text)
    for trace in (trace for figure in reader.figures.values() for trace in figure["data"]):
        shown = [trace.get("name", ""), *trace.get("hovertext", ()), *filter(lambda y: isinstance(y, str), trace["y"])]
        assert not any("<" in re.sub(r"</?b>|<br>", "", text) for text in shown)


def test_a_large_database_makes_no_large_page() -> None:
    """Thousands of records with long texts, of as many tasks and of one: what is drawn and listed is bounded."""
    long = ",".join(f"a_long_name_of_variable_{number}={number}" for number in range(40))
    records = [replace(example_record(1, 1e-3 + 1e-7 * n, workload_key=f"k{n}"), assignment=long) for n in range(3_000)]
    failed = [
        replace(example_record(2, None, error=f"{'e' * 900} {number}"), workload_key=f"k{number}", assignment=long)
        for number in range(500)
    ]
    assert len(page_of([*records, *failed]).encode()) <= MOST_BYTES
    alone = [replace(example_record(n, 1e-3 + 1e-7 * n), assignment=f"{long},tile={n}") for n in range(3_000)]
    assert len(page_of(alone).encode()) <= MOST_BYTES


def test_figures_are_what_plotly_takes() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    records = [*search_of_24(), *(replace(each, workload_key="other") for each in search_of_24()[:9])]
    figures = Reader(page_of(records)).figures
    assert set(figures) == {"speedup", "time", "search"}
    for figure in figures.values():
        graph_objects.Figure(figure)


def test_the_search_is_drawn_as_it_was() -> None:
    figures = Reader(page_of(search_of_24())).figures
    line, dots = figures["search"]["data"]
    assert line["y"][0] == 1e-3
    assert line["y"][-1] == pytest.approx(1e-3 / 24)
    assert line["y"] == sorted(line["y"], reverse=True)
    assert dots["meta"]["trials"] == [tile for tile in range(1, 25) if tile % 5]
    assert dots["meta"]["secs"][0] == pytest.approx(0.1)
    assert dots["customdata"][0].startswith("flextune replay ")
    assert "tile=1" in dots["hovertext"][0]


def test_objectives_of_any_sign_are_drawn() -> None:
    records = [
        replace(example_record(tile, 1.0), run_secs=(3.0 - tile,), workload="objective:f", trace="{}")
        for tile in range(1, 9)
    ]
    reader = Reader(page_of(records))
    assert reader.figures["search"]["data"][0]["y"][-1] == -5.0
    assert "log" not in json.dumps(reader.figures["search"]["layout"])


def test_only_what_was_made_as_markup_is_markup() -> None:
    assert element("p", "<b>", Html("<i>x</i>"), title='"') == '<p title="&quot;">&lt;b&gt;<i>x</i></p>'
    assert json.loads(json_for_script({"a": "</script>&"})) == {"a": "</script>&"}
    assert "<" not in json_for_script({"a": "</script>&"})


def test_a_verdict_without_a_tuned_build() -> None:
    verdict = replace(example_verdict("v"), shipped=Shipped.DEFAULT, tuned_secs=None)
    assert "default" in Reader(page_of([], [verdict])).visible


def _browser() -> str | None:
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
    return os.environ.get("FLEXTUNE_TEST_BROWSER") or next(filter(None, map(shutil.which, names)), None)


@pytest.mark.slow
@pytest.mark.skipif(_browser() is None, reason="no chromium on this host")
def test_a_browser_draws_all_figures(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page_of(search_of_24(), [example_verdict("v")]), encoding="utf-8")
    command = [str(_browser()), "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    done = subprocess.run(
        [*command, "--enable-logging=stderr", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
        env={**os.environ, "HOME": str(tmp_path)},
    )  # fmt: skip
    assert 'data-drawn="3"' in done.stdout
    assert "data-failed" not in done.stdout
    assert "CONSOLE" not in done.stderr
