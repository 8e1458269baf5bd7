"""Kernels made beforehand, as files: what a machine with a GPU needs to check and time them. Needs no TVM."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.errors import UsageError
from flextune.platforms.gpu.launch_plan import LaunchPlan

INDEX = "index.json"
NUMBERS, TIMES = "numbers", "times"
"""What members are for: small ones are checked, large ones timed."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a space with its machine code."""

    purpose: str
    workload: str
    kind: str
    """Of its target."""
    assignment: Mapping[str, int]
    plan: LaunchPlan
    files: Mapping[str, str]
    """Of machine code, by the names of kernels; one named "" has all that are not named."""

    def codes(self, folder: Path) -> dict[str, bytes]:
        return {kernel: (folder / name).read_bytes() for kernel, name in self.files.items()}


def write_members(folder: Path, arch: str, members: Sequence[Member]) -> None:
    rows = [
        {
            "purpose": each.purpose, "workload": each.workload, "kind": each.kind, "assignment": dict(each.assignment),
            "plan": each.plan.to_json(), "files": dict(each.files),
        }
        for each in members
    ]  # fmt: skip
    (folder / INDEX).write_text(json.dumps({"arch": arch, "members": rows}), encoding="utf-8")


def read_members(folder: Path) -> tuple[str, list[Member]]:
    """The architecture, and all members. Raises `UsageError` for a folder that `prepare` did not write."""
    try:
        raw = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        members = [
            Member(
                each["purpose"], each["workload"], each["kind"], each["assignment"], LaunchPlan.parse(each["plan"]),
                each["files"],
            )
            for each in raw["members"]
        ]  # fmt: skip
        return str(raw["arch"]), members
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{folder} has no kernels of `python -m benchmarks.gpu prepare`: {error}") from error
