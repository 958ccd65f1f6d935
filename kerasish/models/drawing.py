"""Boxes and arrows in layers, drawn with matplotlib where graphviz is not installed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

FONT_SIZE = 9
CHARACTER = 0.075  # inches, wide enough for the widest usual text of this size
LINE = 0.17
PADDING = 0.12
GAP = 0.35  # between boxes and between layers, in inches

Point = tuple[float, float]


def draw_diagram(diagram: Any, path: Path, rankdir: str = "TB", dpi: int = 200) -> None:
    """Draw boxes and arrows into a file; its ending decides the format.

    Args:
        diagram: `boxes` (lines of text), `edges` (pairs of their numbers), `groups` (name, boxes).
        path: Where to write.
        rankdir: Which way the arrows go: TB, BT, LR or RL.
        dpi: Dots per inch.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    sizes = [_box_size(lines) for lines in diagram.boxes]
    places, paths = _layout(sizes, diagram.edges, sideways=rankdir in ("LR", "RL"))
    bends = [bend for chain in paths.values() for bend in chain]
    width, height = _extent(places + bends, sizes + [(0.0, 0.0)] * len(bends))
    # Large models become pictures of at most 32 000 dots a side.
    dpi = int(min(dpi, 32_000 / max(width, height, 1)))
    figure = Figure(figsize=(max(width, 1), max(height, 1)), dpi=dpi)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, max(width, 1))
    axes.set_ylim(max(height, 1), 0)

    def turned(point: Point) -> Point:
        x, y = point
        return (width - x if rankdir == "RL" else x), (height - y if rankdir == "BT" else y)

    for name, members in diagram.groups:
        _frame(axes, name, [(turned(places[m]), sizes[m]) for m in members])
    for start, end in diagram.edges:
        points = [places[start], *paths.get((start, end), []), places[end]]
        _arrow(axes, [turned(p) for p in points], sizes[start], sizes[end], loops=start == end)
    for lines, place, (wide, high) in zip(diagram.boxes, places, sizes, strict=True):
        x, y = turned(place)
        box = FancyBboxPatch(
            (x - wide / 2, y - high / 2),
            wide,
            high,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor="white",
            edgecolor="#404040",
            linewidth=0.8,
            zorder=3,
        )
        axes.add_patch(box)
        text = "\n".join(lines)
        axes.text(x, y, text, ha="center", va="center", size=FONT_SIZE, zorder=4, parse_math=False)
    figure.savefig(path, dpi=dpi)


def _box_size(lines: list[str]) -> tuple[float, float]:
    longest = max(len(line) for line in lines)
    return max(longest * CHARACTER, 0.5) + 2 * PADDING, len(lines) * LINE + 2 * PADDING


# Layout


def _layout(
    sizes: list[tuple[float, float]], edges: list[tuple[int, int]], sideways: bool
) -> tuple[list[Point], dict[tuple[int, int], list[Point]]]:
    """Put boxes into layers along the arrows; long arrows get a place in every layer they pass."""
    # Only arrows to later boxes order the layers: shared layers may feed themselves.
    forward = [(a, b) for a, b in dict.fromkeys(edges) if a < b]
    layer_of = [0] * len(sizes)
    for a, b in sorted(forward, key=lambda edge: edge[1]):
        layer_of[b] = max(layer_of[b], layer_of[a] + 1)
    layers: list[list[int]] = [[] for _ in range(max(layer_of, default=0) + 1)]
    for box, layer in enumerate(layer_of):
        layers[layer].append(box)
    chains, neighbours, breadths = _bends(forward, layer_of, layers, len(sizes))
    _untangle(layers, neighbours)
    along = [size[0] if sideways else size[1] for size in sizes]
    across = [size[1] if sideways else size[0] for size in sizes] + breadths
    positions = _positions(layers, neighbours, across)
    depths, start = [], GAP
    for layer in layers:
        thick = max((along[box] for box in layer if box < len(sizes)), default=0)
        depths.append(start + thick / 2)
        start += thick + GAP
    points: dict[int, Point] = {}
    for depth, layer in zip(depths, layers, strict=True):
        for box in layer:
            points[box] = (depth, positions[box]) if sideways else (positions[box], depth)
    paths = {edge: [points[bend] for bend in chain] for edge, chain in chains.items()}
    return [points[box] for box in range(len(sizes))], paths


def _bends(
    edges: list[tuple[int, int]], layer_of: list[int], layers: list[list[int]], count: int
) -> tuple[dict[tuple[int, int], list[int]], dict[int, list[int]], list[float]]:
    """Add a small box to each layer that an arrow passes."""
    chains: dict[tuple[int, int], list[int]] = {}
    neighbours: dict[int, list[int]] = {}
    breadths: list[float] = []
    for a, b in edges:
        chain = []
        for layer in range(layer_of[a] + 1, layer_of[b]):
            bend = count + len(breadths)
            breadths.append(0.1)
            layers[layer].append(bend)
            chain.append(bend)
        chains[a, b] = chain
        way = [a, *chain, b]
        for upper, lower in itertools.pairwise(way):
            neighbours.setdefault(lower, []).append(upper)
            neighbours.setdefault(upper, []).append(lower)
    return chains, neighbours, breadths


def _untangle(layers: list[list[int]], neighbours: dict[int, list[int]]) -> None:
    """Order each layer by where its neighbours lie, down and up a few times."""
    for sweep in range(6):
        order = range(1, len(layers)) if sweep % 2 == 0 else range(len(layers) - 2, -1, -1)
        for index in order:
            beside = layers[index - 1 if sweep % 2 == 0 else index + 1]
            rank = {box: place for place, box in enumerate(beside)}
            own = {box: float(place) for place, box in enumerate(layers[index])}
            for box in layers[index]:
                near = [rank[other] for other in neighbours.get(box, ()) if other in rank]
                own[box] = sum(near) / len(near) if near else own[box]
            layers[index].sort(key=own.__getitem__)


def _positions(
    layers: list[list[int]], neighbours: dict[int, list[int]], across: list[float]
) -> dict[int, float]:
    """Where each box lies within its layer: near its neighbours, apart from the others."""
    spans = [sum(across[box] + GAP for box in layer) for layer in layers]
    middle = max(spans, default=0) / 2 + GAP
    positions: dict[int, float] = {}
    for layer, span in zip(layers, spans, strict=True):
        start = middle - span / 2
        for box in layer:
            positions[box] = start + (across[box] + GAP) / 2
            start += across[box] + GAP
    for sweep in range(12):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            _settle(layer, neighbours, across, positions)
    least = min((positions[box] - across[box] / 2 for box in positions), default=0)
    return {box: place - least + GAP for box, place in positions.items()}


def _settle(
    layer: list[int],
    neighbours: dict[int, list[int]],
    across: list[float],
    positions: dict[int, float],
) -> None:
    wanted = []
    for box in layer:
        near = [positions[other] for other in neighbours.get(box, ())]
        wanted.append(sum(near) / len(near) if near else positions[box])
    # Pushed apart from the left and from the right; the mean of both keeps the layer centred.
    left, right = list(wanted), list(wanted)
    for i in range(1, len(layer)):
        apart = (across[layer[i - 1]] + across[layer[i]]) / 2 + GAP
        left[i] = max(left[i], left[i - 1] + apart)
    for i in range(len(layer) - 2, -1, -1):
        apart = (across[layer[i]] + across[layer[i + 1]]) / 2 + GAP
        right[i] = min(right[i], right[i + 1] - apart)
    for box, a, b in zip(layer, left, right, strict=True):
        positions[box] = (a + b) / 2


def _extent(places: list[Point], sizes: list[tuple[float, float]]) -> Point:
    right = max((x + w / 2 for (x, _), (w, _) in zip(places, sizes, strict=True)), default=0)
    bottom = max((y + h / 2 for (_, y), (_, h) in zip(places, sizes, strict=True)), default=0)
    return right + GAP, bottom + GAP


# Strokes


def _arrow(axes: Any, points: list[Point], start: Any, end: Any, *, loops: bool) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Outline

    style = {"arrowstyle": "-|>", "mutation_scale": 8, "color": "#404040", "linewidth": 0.8}
    if loops:
        x, y = points[0][0] + start[0] / 2, points[0][1]
        arc = "arc3,rad=-1.2"
        axes.add_patch(
            FancyArrowPatch((x, y - 0.08), (x, y + 0.08), connectionstyle=arc, zorder=2, **style)
        )
        return
    points = [
        _edge_of_box(points[0], points[1], start),
        *points[1:-1],
        _edge_of_box(points[-1], points[-2], end),
    ]
    axes.add_patch(FancyArrowPatch(path=Outline(points), zorder=2, **style))


def _edge_of_box(centre: Point, other: Point, size: tuple[float, float]) -> Point:
    """Where the line from the centre of a box to another point leaves the box."""
    dx, dy = other[0] - centre[0], other[1] - centre[1]
    if dx == dy == 0:
        return centre
    scale = min(
        size[0] / 2 / abs(dx) if dx else float("inf"), size[1] / 2 / abs(dy) if dy else float("inf")
    )
    return centre[0] + dx * min(scale, 1), centre[1] + dy * min(scale, 1)


def _frame(axes: Any, name: str, members: list[tuple[Point, tuple[float, float]]]) -> None:
    from matplotlib.patches import Rectangle

    if not members:
        return
    left = min(x - w / 2 for (x, _), (w, _) in members) - 0.1
    right = max(x + w / 2 for (x, _), (w, _) in members) + 0.1
    top = min(y - h / 2 for (_, y), (_, h) in members) - 0.14
    bottom = max(y + h / 2 for (_, y), (_, h) in members) + 0.1
    frame = Rectangle(
        (left, top), right - left, bottom - top, facecolor="#f0f0f0", edgecolor="#a0a0a0"
    )
    frame.set_zorder(1)
    axes.add_patch(frame)
    axes.text(left + 0.03, top + 0.02, name, size=6, va="top", color="#606060", zorder=1)
