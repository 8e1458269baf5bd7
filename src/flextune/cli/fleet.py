"""`flextune fleet`: the hosts of a fleet, what they are, and what they would do in a run."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import Json, TargetText
from flextune.cli.output import JsonValue, print_json, seconds, table
from flextune.errors import EnvironmentFault

if TYPE_CHECKING:
    from flextune.measure.fleet.roll_call import HostRole


def fleet(
    runner: Annotated[
        str, typer.Argument(metavar="ray[:HOST:PORT]", help="The fleet, as `tune --runner` takes it.")
    ] = "ray",
    target: TargetText = None,
    as_json: Json = False,
) -> None:
    """List the hosts of a fleet, their targets, and whether they time, build, or are left out, and why."""
    from flextune.cli.inputs import read_target
    from flextune.cli.working import working
    from flextune.measure.fleet.names import fleet_address
    from flextune.measure.measure_options import MeasureOptions

    address, wanted = fleet_address(runner), read_target(target)
    from flextune.measure.fleet.ray_fleet import RayFleet
    from flextune.measure.fleet.roll_call import roll_call

    with working(f"asking the hosts of {runner}"):
        hosts = RayFleet(address, str(wanted), str(MeasureOptions()))
        with closing(hosts):
            found = roll_call(hosts, hosts.names)
    if as_json:
        shown: list[JsonValue] = [_facts(each) for each in found]
        print_json({"fleet": runner, "target": str(wanted), "hosts": shown})
    else:
        rows = [[each.name, each.does, _reference(each), each.target, each.why] for each in found]
        print(table(("host", "does", "reference", "target", "why"), rows))
    if not any(each.does == "times" for each in found):
        raise EnvironmentFault(f"no host of the fleet measures for {wanted}: give the target of its hosts as --target")


def _facts(role: HostRole) -> dict[str, JsonValue]:
    return {
        "host": role.name,
        "does": role.does,
        "why": role.why,
        "target": role.target,
        "cores": role.cores,
        "reference_secs": role.reference_secs,
    }


def _reference(role: HostRole) -> str:
    return "" if role.reference_secs is None else seconds(role.reference_secs)
