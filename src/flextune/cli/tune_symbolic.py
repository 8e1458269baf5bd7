"""What `flextune tune` prints of groups and models with ranges of sizes."""

from __future__ import annotations

import json
import statistics

from flextune.cli.output import JsonValue, seconds, table
from flextune.cli.show_decisions import decision_lines
from flextune.optimization.symbolic import AtSizes, SymbolicResult
from flextune.trial.variants_decision import VariantsDecision


def symbolic_report(path: str, found: SymbolicResult, db: str) -> str:
    """For people: the groups, then both builds at several sizes."""
    lines = [path, *(f"  {line}" for each in found.decisions for line in decision_lines(each))]
    lines += [f"  {name}: by default, because {reason}" for name, reason in found.untuned.items()]
    if found.compared:
        rows = [
            (_sizes(each), seconds(each.default_secs), seconds(each.tuned_secs), f"{_gain(each):.2f}x")
            for each in found.compared
        ]
        lines.append(table(("model at", "default", "tuned", ""), rows, "  "))
        mean = statistics.geometric_mean(map(_gain, found.compared))
        kept = "ships tuned" if found.is_tuned else "ships by default: it is not faster at all of these sizes"
        lines.append(f"  {mean:.2f}x on average; it {kept}")
    lines += [f"  left out {failed}" for failed in found.failures]
    return "\n".join([*lines, f"  {found.elapsed_secs:.1f} s of tuning", f"  records  {db}"])


def symbolic_facts(path: str, found: SymbolicResult, db: str) -> dict[str, JsonValue]:
    """The same for programs."""
    compared: list[JsonValue] = [
        {"sizes": dict(each.sizes), "default_secs": each.default_secs, "tuned_secs": each.tuned_secs}
        for each in found.compared
    ]
    return {
        "workload": path,
        "groups": [decision_facts(each) for each in found.decisions],
        "untuned": dict(found.untuned),
        "compared": compared,
        "shipped": "tuned" if found.is_tuned else "default",
        "failures": [str(each) for each in found.failures],
        "elapsed_secs": found.elapsed_secs,
        "db": db,
    }


def decision_facts(each: VariantsDecision) -> dict[str, JsonValue]:
    """The decision as it is recorded, with the regret."""
    facts: dict[str, JsonValue] = {**json.loads(each.to_json()), "regret": each.regret}
    return facts


def _sizes(each: AtSizes) -> str:
    return " ".join(f"{name}={size}" for name, size in each.sizes)


def _gain(each: AtSizes) -> float:
    return each.default_secs / each.tuned_secs
