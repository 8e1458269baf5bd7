"""`flextune doctor`: what this machine is and has, what is missing, and how to get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from flextune.cli.arguments import Json
from flextune.cli.output import JsonValue, print_json, rate
from flextune.errors import EnvironmentFault
from flextune.target import kinds

if TYPE_CHECKING:
    from flextune.target.doctor import DoctorReport


def doctor(
    peaks: Annotated[bool, typer.Option(help="Measure the machine's peaks where they are not cached.")] = True,
    remeasure: Annotated[bool, typer.Option("--remeasure", help="Measure the peaks anew.")] = False,
    as_json: Json = False,
) -> None:
    """Show the processor, its measured peaks, versions, and what is missing and how to get it."""
    from flextune.target.doctor import doctor_report

    report = doctor_report(with_peaks=peaks, remeasure=remeasure)
    if as_json:
        print_json(cast(JsonValue, report.facts()))
    else:
        print(doctor_text(report))
    if not report.ok:
        needed = ", ".join(f"{part.name} ({part.how})" for part in report.missing if part.required)
        raise EnvironmentFault(f"missing: {needed}")


def doctor_text(report: DoctorReport) -> str:
    """The report for people."""
    target, host = report.target, report.host
    lines = [
        *(f"{label:<11}{text}" for label, text in kinds.get(target.kind).describe(target, host)),
        f"system     {host.os}",
    ]
    if peaks := report.peaks:
        lines.append(
            f"peaks      float32 {rate(peaks.float32_flops)}, bfloat16 {rate(peaks.bfloat16_flops)}, "
            f"int8 {rate(peaks.int8_ops, 'OP/s')}, memory {rate(peaks.memory_bytes_per_sec, 'B/s')}"
        )
        if not peaks.quiet:
            lines.append("           measured beside other busy processes: the true peaks are higher")
    installed = ", ".join(f"{name} {version}" for name, version in report.versions if version)
    lines += [f"versions   {installed}", f"target     {target}"]
    lines += [
        f"missing    {part.name} ({'required' if part.required else 'optional'}): {part.purpose}; {part.how}"
        for part in report.missing
    ]
    return "\n".join(lines if report.missing else [*lines, "missing    nothing"])
