"""The fused graph of a model as one self-contained SVG: a box per call, coloured by its share of the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from flextune.report.html import escape
from flextune.report.layers import Places, place
from flextune.report.view import CallView, GraphView, GroupView

BOX_WIDTH, BOX_HEIGHT = 220.0, 42.0
ROW_HEIGHT = 78.0
GAP, BEND_WIDTH, MARGIN, HEADER = 24.0, 26.0, 24.0, 78.0
TEXT_CHARACTERS = 33
"""What fits into a box at 11 px."""

LIGHT, STRONG = (255, 250, 240), (232, 89, 12)
"""Colours of a group without arithmetic and of the one with most of it."""

STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;fill:#212529}.n{font-size:11px}.d{font-size:10px;fill:#495057}"
    ".e{font-size:9.5px;fill:#868e96;paint-order:stroke;stroke:#fff;stroke-width:3px}.t{font-size:15px;font-weight:bold}"
    ".s{font-size:11px;fill:#495057}path{fill:none;stroke:#adb5bd;stroke-width:1.2}"
)


def draw(view: GraphView) -> str:
    """The picture as SVG text. Boxes with a dashed border fall back to a generic schedule; every box has a tooltip."""
    places = place(len(view.calls), [(edge.source, edge.target) for edge in view.edges], BOX_WIDTH, GAP, BEND_WIDTH)
    width = max(places.right - places.left, 420.0) + 2 * MARGIN
    height = HEADER + max(places.layers, 1) * ROW_HEIGHT + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(view.name)}</title><style>{STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" orient="auto">'
        '<path d="M0 0L8 4L0 8z" style="fill:#adb5bd;stroke:none"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#fff"/>',
        *_header(view),
        *_edges(view, places, MARGIN - places.left),
        *_boxes(view, places, MARGIN - places.left),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def quantity(value: float, unit: str) -> str:
    """`1.85 GFLOP`, `96.4 kB`: three digits and a decimal prefix.

    >>> quantity(1.853e9, "FLOP")
    '1.85 GFLOP'
    """
    for prefix, scale in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= scale:
            return f"{value / scale:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def _header(view: GraphView) -> Iterator[str]:
    distinct, calls = len(view.groups), sum(group.count for group in view.groups)
    yield f'<text class="t" x="{MARGIN:.0f}" y="30">{escape(view.name)}</text>'
    yield (
        f'<text class="s" x="{MARGIN:.0f}" y="48">{calls} calls of {distinct} groups, {quantity(view.flops, "FLOP")}, '
        f"at least {quantity(view.bytes, 'B')} moved</text>"
    )
    steps = 6
    for step in range(steps):
        colour = _mix(step / (steps - 1))
        yield f'<rect x="{MARGIN + 26 * step:.0f}" y="56" width="26" height="9" fill="{colour}"/>'
    top = max((view.share(group) / max(group.count, 1) for group in view.groups), default=0.0)
    yield (
        f'<text class="d" x="{MARGIN + 26 * steps + 8:.0f}" y="64">share of the arithmetic per call, up to '
        f"{top:.1%}; dashed: generic schedule</text>"
    )


def _edges(view: GraphView, places: Places, shift: float) -> Iterator[str]:
    labelled: set[tuple[int, str]] = set()
    for edge in view.edges:
        ends = (edge.source, edge.target)
        bends = [(x + shift, _top(row) + BOX_HEIGHT / 2) for x, row in places.bends[ends]]
        start = (places.x[edge.source] + shift, _top(places.layer[edge.source]) + BOX_HEIGHT)
        end = (places.x[edge.target] + shift, _top(places.layer[edge.target]) - 1)
        title = f"<title>{escape(edge.tensor)}</title>"
        yield f'<path d="{_curve([start, *bends, end])}" marker-end="url(#a)">{title}</path>'
        if (edge.source, edge.tensor) not in labelled:
            labelled.add((edge.source, edge.tensor))
            x, y = _label_point([start, *bends, end])
            yield f'<text class="e" x="{x:.1f}" y="{y:.1f}">{escape(_short_tensor(edge.tensor))}</text>'


def _boxes(view: GraphView, places: Places, shift: float) -> Iterator[str]:
    groups = {group.name: group for group in view.groups}
    most = max((group.flops for group in view.groups), default=0)
    for index, call in enumerate(view.calls):
        x, y = places.x[index] + shift - BOX_WIDTH / 2, _top(places.layer[index])
        group = groups.get(call.group or "")
        yield from _value_box(call, x, y) if group is None else _group_box(view, group, most, x, y)


def _value_box(call: CallView, x: float, y: float) -> Iterator[str]:
    """An input or output of the model."""
    yield (
        f'<g><title>{escape(call.label)}</title><rect x="{x:.1f}" y="{y + 8:.1f}" width="{BOX_WIDTH:.0f}" '
        f'height="{BOX_HEIGHT - 16:.0f}" rx="13" fill="#e7f5ff" stroke="#74c0fc"/>'
        f'<text class="n" x="{x + BOX_WIDTH / 2:.1f}" y="{y + BOX_HEIGHT / 2 + 4:.1f}" text-anchor="middle">'
        f"{escape(_clipped(call.label))}</text></g>"
    )


def _group_box(view: GraphView, group: GroupView, most: int, x: float, y: float) -> Iterator[str]:
    weight = math.sqrt(group.flops / most) if most else 0.0
    dashes = "" if group.workload is not None else ' stroke-dasharray="5 3"'
    share = view.share(group) / max(group.count, 1)
    facts = f"{quantity(group.flops, 'FLOP')} · {share:.1%} · {group.intensity:.3g} FLOP/B"
    yield (
        f'<g><title>{escape(_tooltip(view, group))}</title><rect x="{x:.1f}" y="{y:.1f}" width="{BOX_WIDTH:.0f}" '
        f'height="{BOX_HEIGHT:.0f}" rx="5" fill="{_mix(weight)}" stroke="#868e96"{dashes}/>'
        f'<text class="n" x="{x + 9:.1f}" y="{y + 17:.1f}">{escape(_clipped(" ".join(group.operator_names)))}</text>'
        f'<text class="d" x="{x + 9:.1f}" y="{y + 33:.1f}">{escape(facts)}</text></g>'
    )


def _tooltip(view: GraphView, group: GroupView) -> str:
    return (
        f"{group.name}\n{group.operators}\ncalled {group.count} times, {view.share(group):.1%} of the arithmetic\n"
        f"per call: {group.flops} FLOP, {group.bytes} bytes ({group.weight_bytes} of weights)\n"
        f"gives {', '.join(group.outputs)}\n{'tuned' if group.workload is not None else 'generic schedule'}"
    )


def _top(layer: int) -> float:
    return HEADER + layer * ROW_HEIGHT


def _curve(points: list[tuple[float, float]]) -> str:
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        text += f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}"
    return text


def _label_point(points: list[tuple[float, float]]) -> tuple[float, float]:
    (x0, y0), (x1, y1) = points[0], points[1]
    return x0 + (x1 - x0) * 0.35 + 5, y0 + min(y1 - y0, ROW_HEIGHT - BOX_HEIGHT) * 0.5 + 3


def _short_tensor(tensor: str) -> str:
    """`1x64x56x56`, with the element type where it is not float32."""
    dtype, _, sizes = tensor.partition("[")
    shape = sizes.rstrip("]").replace(", ", "×") or "scalar"
    return shape if dtype == "float32" else f"{dtype} {shape}"


def _clipped(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"


def _mix(weight: float) -> str:
    red, green, blue = (round(low + (high - low) * weight) for low, high in zip(LIGHT, STRONG, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"
