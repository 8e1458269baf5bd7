"""Records and decisions of format 1, which said with strings what format 2 says with fields: old JSON to new JSON.

Nothing is lost on the way, and nothing is guessed: what does not read like anything that format 1 was written with is a
`UsageError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from flextune.errors import UsageError

FORMAT_1 = 1
NAMES_1 = dict.fromkeys(
    (
        "workload",
        "body",
        "constants",
        "workload_key",
        "target",
        "target_key",
        "trace",
        "assignment",
        "status",
        "run_secs",
        "error",
        "build_secs",
        "elapsed_secs",
        "max_error",
        "protocol",
        "versions",
        "seed",
        "strategy",
        "host",
        "created",
    )
).keys()
"""The fields of a record, in their order."""

_FINAL, _INSIDE, _PRETRAINED = "final ", "inside ", " (pretrained)"

_LAYOUTS = re.compile(r"layouts of (\d+) groups, (\d+) of them with a choice")
_MODEL = re.compile(r"the whole model, (\d+) distinct kernels")


def migrated_record(values: Mapping[str, Any]) -> dict[str, Any]:
    """A record of format 1 as one of format 2. It did not say the options of its strategy and cost model.

    before: strategy "auto+gp (pretrained)", protocol "final inside net, repeats=3"
    after: strategy "auto", cost_model "gp", pretrained, evidence "in_model", model "net", protocol "repeats=3"
    """
    if not isinstance(values["strategy"], str) or not isinstance(values["protocol"], str):
        return dict(values)  # to be refused with the name of the field
    return {**values, **_searched(values["strategy"]), **_timed(values["protocol"])}


def values_of_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `migrated_record`, with the format; what is missing in `values` has its default."""
    evidence, cost_model = values.get("evidence", "trial"), values.get("cost_model", "none")
    inside = f"{_INSIDE}{values.get('model', '')}, " if evidence == "in_model" else ""
    final = "" if evidence == "trial" else _FINAL
    searched = values["strategy"] + (f"+{cost_model}" if cost_model else "")
    strings = {
        "strategy": searched + (_PRETRAINED if values.get("pretrained") else ""),
        "protocol": f"{final}{inside}{values['protocol']}",
    }
    return {"format": FORMAT_1, **{name: strings.get(name, values[name]) for name in NAMES_1}}


@lru_cache
def _searched(text: str) -> dict[str, Any]:
    names = text.removesuffix(_PRETRAINED)
    strategy, _, cost_model = names.partition("+")
    return {
        "strategy": strategy if cost_model else names,
        "strategy_options": None,
        "cost_model": cost_model,
        "cost_model_options": None,
        "pretrained": names != text,
    }


@lru_cache
def _timed(text: str) -> dict[str, Any]:
    protocol = text.removeprefix(_FINAL)
    if protocol == text:
        return {"evidence": "trial", "model": "", "protocol": text}
    model, comma, inside = protocol.rpartition(", ")
    if not comma or not model.startswith(_INSIDE):
        return {"evidence": "finalist", "model": "", "protocol": protocol}
    return {"evidence": "in_model", "model": model.removeprefix(_INSIDE), "protocol": inside}


def migrated_decision(values: Mapping[str, Any]) -> dict[str, Any]:
    """A decision of format 1 as one of format 2: its pattern told which of three questions it answered."""
    common = {name: values[name] for name in ("target_key", "model", "reason", "created")}
    about = {"format": 2, "key": values["group_key"], **common}
    pattern = values["pattern"]
    if pattern == "layouts":
        return {"decision": "layouts", **about, **_layouts(values)}
    if pattern == "model":
        return {"decision": "verdict", **about, **_verdict(values)}
    own = {name: values[name] for name in ("operators", "pattern", "chosen")}
    return {"decision": "group", **about, **own, "alternatives": values["options"]}


def _layouts(values: Mapping[str, Any]) -> dict[str, Any]:
    groups, free_groups = _numbers(_LAYOUTS, values)
    tried = [
        {"layouts": each["name"], "predicted_secs": each["predicted_secs"], "measured_secs": each["measured_secs"]}
        for each in values["options"]
    ]
    return {"groups": groups, "free_groups": free_groups, "chosen": values["chosen"], "tried": tried}


def _verdict(values: Mapping[str, Any]) -> dict[str, Any]:
    (kernels,) = _numbers(_MODEL, values)
    options = {each["name"]: each for each in values["options"]}
    if set(options) != {"default", "tuned"}:
        raise UsageError(f"a verdict of format 1 is between 'default' and 'tuned', this one between {sorted(options)}")
    default, tuned = options["default"], options["tuned"]
    return {
        "shipped": values["chosen"],
        "kernels": kernels,
        "predicted_secs": default["predicted_secs"],
        "default_secs": default["measured_secs"],
        "tuned_secs": tuned["measured_secs"],
    }


def _numbers(form: re.Pattern[str], values: Mapping[str, Any]) -> list[int]:
    found = form.fullmatch(values["operators"])
    if found is None:
        raise UsageError(
            f"the 'operators' of a decision of format 1 on {values['pattern']}: {values['operators']!r:.80}"
        )
    return [int(number) for number in found.groups()]
