"""`flextune analyze`: facts about a workload's program, and the least time it can take here."""

from __future__ import annotations

from typing import Annotated

import typer

from flextune.cli.arguments import Json, TargetText, WorkloadText
from flextune.cli.output import print_json


def analyze(
    workload: WorkloadText,
    target: TargetText = None,
    peaks: Annotated[bool, typer.Option(help="Measure the machine's peaks where they are not cached.")] = True,
    as_json: Json = False,
) -> None:
    """Print loops, reuse and footprint per buffer, operations, bytes, intensity, and the roofline bound."""
    from flextune.analysis.report import analyze as analyze_program
    from flextune.analysis.roofline import roofline
    from flextune.analysis.table import render_table
    from flextune.cli.inputs import read_target
    from flextune.platforms.estimator import TargetEstimator
    from flextune.target.peaks import peaks_of
    from flextune.workload.parse import parse_workload
    from flextune.workload.work import Work

    problem, chosen = parse_workload(workload), read_target(target)
    analysis = analyze_program(problem.prim_func())
    known = peaks_of(chosen) if peaks else None
    work = Work(analysis.flops, analysis.bytes, analysis.dtype)
    bound = roofline(analysis, chosen, known, TargetEstimator(chosen, known).cost(work)) if known else None
    if as_json:
        facts = {"workload": str(problem), "target": str(chosen), **analysis.as_dict()}
        print_json({**facts, "roofline": bound.as_dict() if bound else None})
    else:
        print(f"{problem}\n{render_table(analysis, bound)}")
