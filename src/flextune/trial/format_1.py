"""Records and decisions of format 1, which said with strings what format 2 says with fields: old JSON to new JSON.

Nothing is lost on the way, and nothing is guessed: what does not read like anything that format 1 was written with is a
`UsageError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flextune.errors import UsageError

FORMAT_1 = 1

_LAYOUTS = re.compile(r"layouts of (\d+) groups, (\d+) of them with a choice")
_MODEL = re.compile(r"the whole model, (\d+) distinct kernels")


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
