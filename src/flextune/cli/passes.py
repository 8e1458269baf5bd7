"""`flextune passes`: what a model goes through before it is tuned."""

from __future__ import annotations

from flextune.cli.arguments import Json
from flextune.cli.output import print_json, table


def passes(as_json: Json = False) -> None:
    """List the passes over models in the order they run; `--without NAME` of other verbs switches one off."""
    from flextune.plan.pass_list import listed_passes

    listed = listed_passes()
    if as_json:
        print_json(
            {"passes": [{"stage": p.stage, "name": p.name, "about": p.about, "needed": p.needed} for p in listed]}
        )
        return
    rows = [(each.stage, each.name, "always" if each.needed else "", each.about) for each in listed]
    print(table(("stage", "pass", "", "what it does"), rows))
