"""One graph of what a network calls in training and in evaluation mode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import fx

_PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class ByMode:
    """A setting that is one thing in training and another in evaluation mode."""

    training: Any
    evaluation: Any


def merged(evaluation: fx.Graph, training: fx.Graph) -> fx.Graph | None:
    """The graph of both modes, with a `ByMode` where an argument differs.

    Returns:
        The first graph, changed; `None` if the two make different calls.
    """
    nodes = list(zip(evaluation.nodes, training.nodes, strict=False))
    if len(evaluation.nodes) != len(training.nodes):
        return None
    twins = {b: a for a, b in nodes}
    found = []
    for a, b in nodes:
        if a.op != b.op or a.target != b.target:
            return None
        try:
            found.append(_merged((a.args, a.kwargs), (b.args, b.kwargs), twins))
        except ValueError:
            return None
    for (a, _), (args, kwargs) in zip(nodes, found, strict=True):
        a.args, a.kwargs = args, kwargs
    return evaluation


def _merged(a: Any, b: Any, twins: dict[fx.Node, fx.Node]) -> Any:
    if isinstance(b, fx.Node):
        if twins[b] is not a:
            raise ValueError
        return a
    if isinstance(a, dict) and isinstance(b, dict) and list(a) == list(b):
        return {key: _merged(a[key], b[key], twins) for key in a}
    if isinstance(a, (list, tuple)) and isinstance(b, type(a)) and len(a) == len(b):
        items = [_merged(x, y, twins) for x, y in zip(a, b, strict=True)]
        return tuple(items) if isinstance(a, tuple) else items
    if a == b and type(a) is type(b):
        return a
    if isinstance(a, _PLAIN) and isinstance(b, _PLAIN):
        return ByMode(training=b, evaluation=a)
    raise ValueError
