"""Pictures of a model: its layers as boxes, its connections as arrows."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from kerasish.config import dtype_name
from kerasish.graph.symbolic import SymbolicTensor, symbolic_leaves
from kerasish.models.rows import Row, has_graph, is_model, rows_of, weights_of

DIRECTIONS = ("TB", "BT", "LR", "RL")


@dataclass
class Diagram:
    """What a picture shows.

    Attributes:
        boxes: The lines of text in each box, by its number.
        edges: Pairs of numbers.
        groups: The boxes of each nested model, by its name.
    """

    boxes: list[list[str]] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    groups: list[tuple[str, list[int]]] = field(default_factory=list)


def plot_model(
    model: Any,
    to_file: str | Path = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> Any:
    """Draw a model into a file.

    Graphviz draws it if it is installed, else matplotlib. A `.dot` file needs neither.

    Args:
        model: Any model; one with a graph shows its connections.
        to_file: Where to write; the ending decides the format: png, svg, pdf or dot.
        show_shapes: Whether to show the shapes of the outputs.
        show_dtype: Whether to show the types of the outputs.
        show_layer_names: Whether to show names beside classes.
        rankdir: Which way the arrows go: `"TB"` down, `"BT"` up, `"LR"` right, `"RL"` left.
        expand_nested: Whether to show the layers of models used as layers, in a frame.
        dpi: Dots per inch, for png.
        show_layer_activations: Whether to name the activations of layers that have one.
        show_trainable: Whether to say which layers are trained.

    Returns:
        In a notebook the picture, to be shown; else `None`.

    Raises:
        ImportError: If neither graphviz nor matplotlib is installed.
        ValueError: If the format or direction is unknown.
    """
    path = Path(to_file)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in ("dot", "pdf", "png", "svg"):
        raise ValueError(f"plot_model: to_file must end in .png, .svg, .pdf or .dot, got '{path}'.")
    diagram = make_diagram(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        expand_nested=expand_nested,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
    )
    text = to_dot(diagram, rankdir, dpi)
    if kind == "dot":
        path.write_text(text, encoding="utf-8")
    elif not _by_graphviz(text, path, kind):
        _by_matplotlib(diagram, path, rankdir, dpi)
    return _shown(path, kind)


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> str:
    """The picture as text in the DOT language; the arguments are those of `plot_model`.

    Args:
        model: Any model.
        show_shapes: Whether to show the shapes of the outputs.
        show_dtype: Whether to show the types of the outputs.
        show_layer_names: Whether to show names beside classes.
        rankdir: Which way the arrows go.
        expand_nested: Whether to show the layers of models used as layers.
        dpi: Dots per inch.
        subgraph: Whether to write a frame to be put into another graph.
        show_layer_activations: Whether to name activations.
        show_trainable: Whether to say which layers are trained.
    """
    diagram = make_diagram(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        expand_nested=expand_nested,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
    )
    return to_dot(diagram, rankdir, dpi, frame=model.name if subgraph else None)


# The content


def make_diagram(model: Any, *, expand_nested: bool = False, **options: bool) -> Diagram:
    """Collect the boxes and arrows of a model; see `plot_model` for the options."""
    diagram = Diagram()
    _collect(diagram, model, expand_nested, options)
    return diagram


def _collect(
    diagram: Diagram, model: Any, expand: bool, options: dict[str, bool]
) -> tuple[list[int], list[int]]:
    """Add a model's rows; return where it is entered and where it is left."""
    entries: dict[int, list[int]] = {}
    exits: dict[int, list[int]] = {}
    rows = rows_of(model)
    for row in rows:
        if expand and is_model(row.module):
            first = len(diagram.boxes)
            place = len(diagram.groups)
            ways = _collect(diagram, row.module, expand, options)
            diagram.groups.insert(place, (row.name, list(range(first, len(diagram.boxes)))))
        else:
            ways = [len(diagram.boxes)], [len(diagram.boxes)]
            diagram.boxes.append(_lines(row, options))
        entries[id(row)], exits[id(row)] = ways
    stack = hasattr(model, "pop") and not has_graph(model)
    for before, row in zip([None, *rows], rows, strict=False):
        sources = [before] if stack and before is not None else row.sources
        ends = {end for source in sources for end in exits[id(source)]}
        diagram.edges += [(end, entry) for end in sorted(ends) for entry in entries[id(row)]]
    starts = [row for row in rows if not row.sources or row.kind == "InputLayer"]
    stops = [row for row in rows if row.is_output] or rows[-1:]
    return (
        [entry for row in starts[: None if has_graph(model) else 1] for entry in entries[id(row)]],
        [end for row in stops for end in exits[id(row)]],
    )


def _lines(row: Row, options: dict[str, bool]) -> list[str]:
    named = options.get("show_layer_names") or row.module is None
    lines = [f"{row.name} ({row.kind})" if named else row.kind]
    function = getattr(getattr(row.module, "activation", None), "__name__", None)
    if options.get("show_layer_activations") and function:
        lines.append(f"activation: {function}")
    if options.get("show_shapes"):
        lines.append("output: " + (", ".join(str(shape) for shape in row.shapes) or "?"))
    if options.get("show_dtype"):
        lines.append("dtype: " + (", ".join(_dtypes(row)) or "?"))
    if options.get("show_trainable") and row.module is not None:
        weights = weights_of(row.module)
        if weights is None or weights:
            lines.append("trainable" if getattr(row.module, "trainable", True) else "frozen")
    return lines


def _dtypes(row: Row) -> list[str]:
    leaves = [leaf for node in row.nodes for leaf in symbolic_leaves(node.outputs)]
    types: list[torch.dtype] = [leaf.dtype for leaf in leaves if isinstance(leaf, SymbolicTensor)]
    return list(dict.fromkeys(dtype_name(dtype) for dtype in types))


# Writing


def to_dot(diagram: Diagram, rankdir: str = "TB", dpi: int = 200, frame: str | None = None) -> str:
    """Write a diagram in the DOT language.

    Raises:
        ValueError: If the direction is unknown.
    """
    if rankdir not in DIRECTIONS:
        raise ValueError(f"rankdir must be one of {', '.join(DIRECTIONS)}, got '{rankdir}'.")
    lines = [
        "digraph model {" if frame is None else f"subgraph {_quoted(f'cluster_{frame}')} {{",
        f"  graph [rankdir={rankdir}, dpi={dpi}];",
        '  node [shape=box, style="rounded,filled", fillcolor=white, fontname=Helvetica];',
    ]
    for number, box in enumerate(diagram.boxes):
        lines.append(f"  n{number} [label={_quoted(chr(10).join(box))}];")
    for number, (name, members) in enumerate(diagram.groups):
        inside = " ".join(f"n{member};" for member in members)
        lines.append(f"  subgraph cluster_{number} {{ label={_quoted(name)}; {inside} }}")
    lines += [f"  n{start} -> n{end};" for start, end in diagram.edges]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _by_graphviz(text: str, path: Path, kind: str) -> bool:
    """Draw with graphviz; whether it could be done."""
    try:
        import graphviz  # type: ignore[import-not-found]
    except ImportError:
        return False
    try:
        path.write_bytes(graphviz.Source(text).pipe(format=kind))
    except graphviz.ExecutableNotFound:
        return False
    return True


def _by_matplotlib(diagram: Diagram, path: Path, rankdir: str, dpi: int) -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "plot_model draws with graphviz or matplotlib, and neither is installed: "
            'pip install "kerasish[plot]". A file that ends in .dot needs neither.'
        ) from error
    from kerasish.models.drawing import draw_diagram

    draw_diagram(diagram, path, rankdir, dpi)


def _shown(path: Path, kind: str) -> Any:
    """The picture as an object that a notebook shows, in a notebook."""
    if "IPython" not in sys.modules or kind not in ("png", "svg"):
        return None
    import IPython
    from IPython.display import SVG, Image

    shell = IPython.get_ipython()  # type: ignore[attr-defined]
    if shell is None or not hasattr(shell, "kernel"):
        return None
    return Image(filename=str(path)) if kind == "png" else SVG(filename=str(path))
