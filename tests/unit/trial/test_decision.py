"""Fusion decisions as text."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flextune.errors import UsageError
from flextune.trial.decision import FusionDecision, OptionTime

DECISION = FusionDecision(
    group_key="k1",
    target_key="x86:a",
    operators="conv2d + add + relu",
    pattern="convolution",
    chosen="winograd4",
    reason="in the model: 1.0 us against 2.0 us of fused",
    options=(OptionTime("fused", 3e-6, 2e-6, ("k1",)), OptionTime("winograd4", 1e-6, None, ("k2", "k3"))),
    model="resnet",
    created="2026-01-01T00:00:00+00:00",
)


def test_the_text_form_round_trips() -> None:
    assert FusionDecision.from_json(DECISION.to_json()) == DECISION


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"decision": 2}', DECISION.to_json().replace("3e-06", '"x"'), DECISION.to_json()[:-20]]
)
def test_damaged_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        FusionDecision.from_json(text)


def test_what_is_chosen_must_be_an_option() -> None:
    with pytest.raises(UsageError, match="none of its options"):
        replace(DECISION, chosen="parts")
