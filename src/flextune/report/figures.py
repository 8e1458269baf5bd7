"""The pictures of a report as what plotly draws them from: pure functions from values to JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from flextune.quantities import Scale, amount, figure, rate
from flextune.report.bounds import TaskBound
from flextune.report.choices import choices
from flextune.report.html import escape
from flextune.report.limits import clipped
from flextune.report.task_history import TaskHistory, TrialPoint
from flextune.trial.record import TuningRecord

Figure = Mapping[str, Any]
"""`data` (traces) and `layout`, as plotly takes them."""

Commands = Callable[[TuningRecord], str]
"""What to copy for a record: the command that builds it again."""

BEFORE, AFTER = "#8d99ae", "#1b9e77"
PALETTE: Final = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a", "#66a61e", "#e6ab02", "#a6761d", "#4c78a8")
DRAWN_BARS: Final = 24
DRAWN_SEARCHES: Final = 12
DRAWN_KERNELS: Final = 400
DRAWN_POINTS: Final = 1800
"""Of all searches together; the trials that were the best so far are always drawn."""


def speedup_figure(tasks: Sequence[TaskHistory], command: Commands) -> Figure | None:
    """How many times faster each task that was searched became, with its interval where it was compared in turns."""
    searched = (task for task in tasks if task.comparison.speedup and task.candidates > 1)
    known = sorted(searched, key=lambda task: task.comparison.speedup or 0)
    shown = known[-DRAWN_BARS:]
    if not shown:
        return None
    points = [(task, task.comparison, task.comparison.speedup or 1.0) for task in shown]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [speedup for _, _, speedup in points],
        "y": _labels(task.name for task in shown),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [it.interval.high - speedup if it.interval else 0 for _, it, speedup in points],
            "arrayminus": [speedup - it.interval.low if it.interval else 0 for _, it, speedup in points],
        },
        "marker": {"color": AFTER, "size": 9},
        **_hover([task.comparison.best for task in shown], command),
    }
    layout = _layout("times faster than the default schedule", "", rows=len(shown))
    layout["xaxis"] |= {"type": "log"}
    layout["shapes"] = [_line(x0=1, x1=1, y0=0, y1=1, yref="paper")]
    return {"data": [trace], "layout": layout}


def time_figure(tasks: Sequence[TaskHistory], command: Commands) -> Figure | None:
    """Where the time goes: the slowest kernels, before and after."""
    kernels = [task for task in tasks if not task.of_objective and math.isfinite(task.best_secs)]
    shown = sorted(kernels, key=lambda task: task.best_secs)[-DRAWN_BARS:]
    if not shown:
        return None
    names = _labels(task.name for task in shown)

    def bars(
        title: str, colour: str, times: Sequence[float | None], records: Sequence[TuningRecord | None]
    ) -> dict[str, Any]:
        common = {"type": "bar", "orientation": "h", "name": title, "marker": {"color": colour}}
        return {**common, "x": times, "y": names, **_hover(records, command)}

    traces = [
        bars("after", AFTER, [task.best_secs for task in shown], [task.comparison.best for task in shown]),
        bars("before", BEFORE, [task.before_secs for task in shown], [task.comparison.before for task in shown]),
    ]
    layout = _layout("seconds of one call", "", rows=2 * len(shown))
    layout |= {"barmode": "group", "legend": {"orientation": "h", "traceorder": "reversed"}}
    return {"data": traces, "layout": layout}


def search_figure(tasks: Sequence[TaskHistory], command: Commands) -> Figure | None:
    """The best so far over trials; `meta` of each trace holds the seconds that may stand there instead.

    Several tasks are drawn relative to the best of each; a single one in its own unit.
    """
    shown = [task for task in _most_searched(tasks) if math.isfinite(task.best_secs)]
    alone = len(shown) == 1
    if not alone:
        shown = [task for task in shown if all(point.record.secs > 0 for point in task.points)]
    if not shown:
        return None
    traces: list[dict[str, Any]] = []
    for number, task in enumerate(shown):
        scale = 1.0 if alone else min(point.record.secs for point in task.points)
        colour, group = PALETTE[number % len(PALETTE)], f"task{number}"
        traces += _search_traces(task, scale, colour, group, DRAWN_POINTS // len(shown), command)
    value = "value" if shown[0].of_objective else _title(shown[0].first.scale)
    layout = _layout("trials", value if alone else "times of the best trial", rows=20)
    if all(point.record.secs > 0 for task in shown for point in task.points):
        layout["yaxis"] |= {"type": "log"}
    layout["legend"] = {"orientation": "h", "y": -0.25}
    return {"data": traces, "layout": layout}


def _title(scale: Scale) -> str:
    return str(scale.unit) if scale.is_time else str(scale)


def _search_traces(
    task: TaskHistory, scale: float, colour: str, group: str, most: int, command: Commands
) -> Iterable[dict[str, Any]]:
    best = [point for point in task.points if point.improves]
    ends = [*best, task.points[-1]]
    steps = [point.record.secs / scale for point in best]
    name = _label(task.name)
    yield {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "legendgroup": group,
        "line": {"shape": "hv", "color": colour, "width": 2},
        "y": [*steps, steps[-1]],
        "hoverinfo": "skip",
        **_places(ends),
    }
    drawn = _thinned([point for point in task.points if math.isfinite(point.record.secs)], most)
    yield {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": group,
        "showlegend": False,
        "marker": {"color": colour, "size": [9 if point.improves else 4 for point in drawn], "opacity": 0.7},
        "y": [point.record.secs / scale for point in drawn],
        **_places(drawn),
        **_hover([point.record for point in drawn], command),
    }


def roofline_figure(bounds: Sequence[TaskBound], command: Commands) -> Figure | None:
    """Operations a second over operations per byte, below what the machine reaches (Williams and others 2009)."""
    if not bounds:
        return None
    traces = [*_roofs(bounds), _kernels_below(bounds, command)]
    layout = _layout("operations per byte", "operations a second", rows=14)
    layout["xaxis"] |= {"type": "log"}
    layout["yaxis"] |= {"type": "log"}
    layout["legend"] = {"orientation": "h", "y": -0.25}
    return {"data": traces, "layout": layout}


def _kernels_below(bounds: Sequence[TaskBound], command: Commands) -> dict[str, Any]:
    hover = _hover([each.task.comparison.best for each in bounds], command)
    texts = [
        f"<b>{_label(each.task.name)}</b><br>{each.share:.0%} of the bound, {rate(each.rate)}<br>{text}"
        for each, text in zip(bounds, hover["hovertext"], strict=True)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "kernels",
        "x": [each.intensity for each in bounds],
        "y": [each.rate for each in bounds],
        "marker": {"color": AFTER, "size": 9, "line": {"width": 1, "color": "#ffffff"}},
        **hover,
        "hovertext": texts,
    }


def _roofs(bounds: Sequence[TaskBound]) -> Iterable[dict[str, Any]]:
    """One line for each level of memory that holds a kernel's data, and type of element."""
    low = min(each.intensity for each in bounds) / 2
    high = max(max(each.intensity, each.bound.ridge_intensity) for each in bounds) * 2
    roofs = {(each.bound.fits, each.work.dtype): each.bound for each in bounds}
    for number, ((level, dtype), bound) in enumerate(sorted(roofs.items())):
        ridge = bound.ridge_intensity
        ends = sorted({min(low, ridge), ridge, max(high, ridge)})
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": _label(f"{dtype}, data in {level}"),
            "x": ends,
            "y": [bound.peak_flops * min(1.0, x / ridge) for x in ends],
            "line": {"color": PALETTE[(number + 1) % len(PALETTE)], "width": 1.5, "dash": "dash"},
            "hoverinfo": "name",
        }


def _most_searched(tasks: Sequence[TaskHistory]) -> list[TaskHistory]:
    several = [task for task in tasks if len(task.points) > 1]
    return sorted(several, key=lambda task: -len(task.points))[:DRAWN_SEARCHES]


def _thinned(points: Sequence[TrialPoint], most: int) -> list[TrialPoint]:
    """Those that were the best so far, and others at even distances."""
    step = max(1, math.ceil(len(points) / max(1, most)))
    return [point for place, point in enumerate(points) if point.improves or place % step == 0]


def _places(points: Sequence[TrialPoint]) -> dict[str, Any]:
    return {
        "x": [point.number for point in points],
        "meta": {"trials": [point.number for point in points], "secs": [round(it.spent_secs, 4) for it in points]},
    }


def _hover(records: Sequence[TuningRecord | None], command: Commands) -> dict[str, Any]:
    """The schedule to read, and the command to copy."""
    return {
        "hoverinfo": "text",
        "hovertext": ["" if record is None else _schedule(record) for record in records],
        "customdata": ["" if record is None else command(record) for record in records],
    }


def _schedule(record: TuningRecord) -> str:
    value = f"{record.secs:.6g}" if record.of_objective else amount(record.secs, record.scale)
    pairs = clipped(choices(record).replace(" ", ",")).split(",")
    lines = [", ".join(pairs[begin : begin + 3]) for begin in range(0, len(pairs), 3)]
    lines += [figure(name, number) for name, number in record.metrics if not record.of_objective]
    return "<br>".join(map(escape, [value, *lines, "click to copy the command that replays it"]))


def _label(text: str) -> str:
    """Plotly reads a part of HTML in texts."""
    return escape(clipped(text, 44))


def _labels(texts: Iterable[str]) -> list[str]:
    """Different ones: what has the same name on an axis is drawn at one place."""
    counts: dict[str, int] = {}
    labels = []
    for text in map(_label, texts):
        counts[text] = counts.get(text, 0) + 1
        labels.append(text if counts[text] == 1 else f"{text} ({counts[text]})")
    return labels


def _line(**ends: Any) -> dict[str, Any]:
    return {"type": "line", "line": {"color": BEFORE, "dash": "dot", "width": 1}, **ends}


def _layout(x: str, y: str, rows: int) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "height": 140 + 22 * rows,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hoverlabel": {"align": "left"},
        "modebar": {"bgcolor": "rgba(0,0,0,0)"},
    }
