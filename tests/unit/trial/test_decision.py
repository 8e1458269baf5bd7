"""Decisions as values and as text, also as format 1 wrote them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from flextune.errors import UsageError
from flextune.plan.alternative import FUSED, PARTS, Alternative
from flextune.plan.layouts.layout_assignment import ALL_NHWC, LayoutAssignment
from flextune.testing.databases import example_decision, example_layouts, example_verdict
from flextune.trial.decision import Decision, GroupDecision, LayoutDecision, Shipped, Verdict

GROUP, LAYOUTS, VERDICT = example_decision("k1", "parts"), example_layouts("k2"), example_verdict("k3")
EACH_KIND: list[Decision] = [GROUP, LAYOUTS, VERDICT, replace(VERDICT, shipped=Shipped.DEFAULT, tuned_secs=None)]


def old_text(pattern: str, operators: str, chosen: str, *options: tuple[str, float | None], **more: Any) -> str:
    """A decision as format 1 wrote it."""
    listed = [
        {"name": name, "predicted_secs": 3e-6, "measured_secs": secs, "workloads": [f"{name}-kernel"]}
        for name, secs in options
    ]
    about = {"group_key": "k", "target_key": "x86:a", "operators": operators, "pattern": pattern, "chosen": chosen}
    said = {"reason": "measured", "model": "net", "created": "2026-01-01T00:00:00+00:00"}
    return json.dumps({"decision": 1, **about, **said, **more, "options": listed})


OLD_LAYOUTS = "layouts of 12 groups, 6 of them with a choice"
OLD_MODEL = "the whole model, 7 distinct kernels"
BOTH = (("default", 2e-3), ("tuned", 1e-3))


@pytest.mark.parametrize("decision", EACH_KIND)
def test_the_text_form_round_trips_and_knows_its_kind(decision: Decision) -> None:
    assert Decision.from_json(decision.to_json()) == decision
    assert decision.to_json().startswith('{"decision":')


@pytest.mark.parametrize("decision", EACH_KIND)
def test_the_answer_is_one_of_the_options(decision: Decision) -> None:
    assert decision.answer in [option.name for option in decision.options]
    assert decision.subject


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"decision": 2}',
        '{"decision": "verdict", "format": 3}',
        GROUP.to_json().replace('"group"', '"groups"'),
        GROUP.to_json().replace("2e-06", '"x"'),
        GROUP.to_json()[:-20],
        LAYOUTS.to_json().replace("NCHW16c", "NCHQ16c"),
        VERDICT.to_json().replace('"tuned"', '"sold"'),
        VERDICT.to_json().replace("0.0015", "-1"),
    ],
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Decision.from_json(text)


def test_what_is_chosen_must_have_been_an_option() -> None:
    with pytest.raises(UsageError, match="none of its alternatives"):
        replace(GROUP, chosen=Alternative.parse("winograd4"))
    with pytest.raises(UsageError, match="none of those that were tried"):
        replace(LAYOUTS, chosen=LayoutAssignment.parse("NCHW:9"))
    with pytest.raises(UsageError, match="no tuned build was timed"):
        replace(VERDICT, tuned_secs=None)


def test_a_group_of_format_1_is_read() -> None:
    text = old_text("convolution", "conv2d + relu", "parts", ("fused", 2e-6), ("parts", None))
    decision = Decision.from_json(text)
    assert isinstance(decision, GroupDecision)
    assert (decision.key, decision.operators, decision.pattern) == ("k", "conv2d + relu", "convolution")
    assert decision.chosen == PARTS
    assert [(each.alternative, each.measured_secs) for each in decision.alternatives] == [(FUSED, 2e-6), (PARTS, None)]
    assert [each.workloads for each in decision.alternatives] == [("fused-kernel",), ("parts-kernel",)]
    assert (decision.model, decision.reason) == ("net", "measured")


def test_layouts_of_format_1_are_read() -> None:
    decision = Decision.from_json(old_text("layouts", OLD_LAYOUTS, "NHWC", ("NHWC", 1e-3), ("NCHW:3", 2e-3)))
    assert isinstance(decision, LayoutDecision)
    assert (decision.groups, decision.free_groups) == (12, 6)
    assert decision.chosen == ALL_NHWC
    assert [str(each.layouts) for each in decision.tried] == ["NHWC", "NCHW:3"]
    assert [each.measured_secs for each in decision.tried] == [1e-3, 2e-3]


@pytest.mark.parametrize(("chosen", "tuned_secs"), [("tuned", 1e-3), ("default", 3e-3), ("default", None)])
def test_verdicts_of_format_1_are_read(chosen: str, tuned_secs: float | None) -> None:
    decision = Decision.from_json(old_text("model", OLD_MODEL, chosen, ("default", 2e-3), ("tuned", tuned_secs)))
    assert isinstance(decision, Verdict)
    assert decision.shipped is Shipped(chosen)
    assert (decision.kernels, decision.default_secs, decision.tuned_secs) == (7, 2e-3, tuned_secs)


@pytest.mark.parametrize(
    "text",
    [
        old_text("layouts", "layouts of groups", "NHWC", ("NHWC", 1e-3)),
        old_text("layouts", OLD_LAYOUTS, "fused", ("fused", 1e-3)),
        old_text("model", "a model", "tuned", *BOTH),
        old_text("model", OLD_MODEL, "tuned", *BOTH, ("parts", 1e-3)),
        old_text("model", OLD_MODEL, "fused", *BOTH),
        old_text("convolution", "conv2d", "gone", ("fused", 2e-6)),
        json.dumps({"decision": 1}),
    ],
)
def test_what_cannot_be_converted_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Decision.from_json(text)
