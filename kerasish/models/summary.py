"""The table of a model's layers: drawn in a terminal, plain text in a pipe, HTML in a notebook."""

from __future__ import annotations

import html
import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from kerasish.layers.holder import nearest_layers, tensors_of
from kerasish.models.rows import Row, has_graph, is_linear, rows_of, select, weights_of

# A cell is a list of pieces; a narrow column puts them on lines of their own.
Cell = list[str]


@dataclass
class Table:
    """A model's summary before it is drawn.

    Attributes:
        title: The line above.
        columns: The headings, and whether each column is aligned to the right.
        lines: The cells of each row.
        totals: The lines below.
    """

    title: str
    columns: list[tuple[str, bool]]
    lines: list[list[Cell]]
    totals: list[str]


def print_summary(
    model: Any,
    line_length: int | None = None,
    print_fn: Callable[[str], Any] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: tuple[str, str] | None = None,
    *,
    show_macs: bool = False,
    show_receptive_field: bool = False,
) -> None:
    """Print the table: drawn with lines in a terminal, else as plain text.

    Args:
        model: Any model, built or not.
        line_length: The width to keep to, in characters; the terminal's by default.
        print_fn: Called with the plain text, once, instead of printing it.
        expand_nested: Whether to list the layers of models used as layers.
        show_trainable: Whether to say which layers are trained.
        layer_range: Names of the first and last layer to show.
        show_macs: Whether to count multiply-adds per sample.
        show_receptive_field: Whether to show how many input positions an output depends on.
    """
    table = make_table(
        model,
        expand_nested=expand_nested,
        show_trainable=show_trainable,
        layer_range=layer_range,
        show_macs=show_macs,
        show_receptive_field=show_receptive_field,
    )
    width = line_length or shutil.get_terminal_size((80, 24)).columns
    if print_fn is not None:
        print_fn(plain_text(table, width))
    elif sys.stdout.isatty():
        draw(table, width)
    else:
        sys.stdout.write(plain_text(table, width) + "\n")


def model_html(model: Any) -> str:
    """The table as HTML without scripts, for notebooks and pages made from them."""
    table = make_table(model, show_trainable=False)
    head = "".join(_html_cell("th", [name], right) for name, right in table.columns)
    body = "\n".join(
        "<tr>"
        + "".join(
            _html_cell("td", cell, right)
            for cell, (_, right) in zip(line, table.columns, strict=True)
        )
        + "</tr>"
        for line in table.lines
    )
    totals = "<br>\n".join(html.escape(line) for line in table.totals)
    return (
        f"<div>\n<p><b>{html.escape(table.title)}</b></p>\n<table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n<p>{totals}</p>\n</div>"
    )


def _html_cell(tag: str, cell: Cell, right: bool) -> str:
    text = " ".join(cell)
    indent = len(text) - len(text.lstrip())
    padding = f"; padding-left: {indent}em" if indent else ""
    align = "right" if right else "left"
    return f'<{tag} style="text-align: {align}{padding}">{html.escape(text.strip())}</{tag}>'


# The content


def make_table(
    model: Any,
    *,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: tuple[str, str] | None = None,
    show_macs: bool = False,
    show_receptive_field: bool = False,
) -> Table:
    """Collect what the summary says about a model; see `print_summary`."""
    rows = rows_of(model, expand_nested=expand_nested)
    costs = None
    if show_macs or show_receptive_field or not has_graph(model):
        # Imported here: it takes a tenth of a second, and not every summary counts.
        from kerasish.models.costs import Costs

        costs = Costs(model)
    columns: list[tuple[str, bool, Callable[[Row], Cell]]] = [
        ("Layer (type)", False, _name_cell),
        ("Output Shape", False, lambda row: _shape_cell(row, costs)),
        ("Param #", True, _parameter_cell),
    ]
    if show_macs:
        columns.append(("Multiply-adds", True, lambda row: _macs_cell(row, costs)))
    if show_receptive_field:
        columns.append(("Receptive Field", False, lambda row: _field_cell(row, costs)))
    if has_graph(model) and not is_linear(rows):
        columns.append(("Connected to", False, lambda row: _listed(row.connected_to) or ["-"]))
    if show_trainable:
        columns.append(("Trainable", False, _trainable_cell))
    shown = rows if layer_range is None else select(rows, layer_range)
    return Table(
        title=f'Model: "{model.name}"',
        columns=[(name, right) for name, right, _ in columns],
        lines=[[cell(row) for _, _, cell in columns] for row in shown],
        totals=[*_totals(model), *(_cost_totals(costs) if show_macs else [])],
    )


def _name_cell(row: Row) -> Cell:
    indent = "  " * row.depth
    return [f"{indent}{row.name}", f"{indent}({row.kind})" if row.depth else f"({row.kind})"]


def _shape_cell(row: Row, costs: Any) -> Cell:
    shapes = row.shapes or ([] if costs is None else costs.shapes(row))
    return _listed([str(shape) for shape in shapes]) or ["?"]


def _macs_cell(row: Row, costs: Any) -> Cell:
    macs = costs.macs(row)
    return ["?"] if macs is None else [f"{macs:,}"]


def _field_cell(row: Row, costs: Any) -> Cell:
    sizes = costs.receptive_field(row)
    if sizes is None:
        return ["?"]
    if not sizes:
        return ["-"]
    if all(size == math.inf for size in sizes):
        return ["all"]
    return ["x".join("all" if size == math.inf else str(size) for size in sizes)]


def _cost_totals(costs: Any) -> list[str]:
    if costs.total_macs is not None:
        return [f"Multiply-adds per sample: {costs.total_macs:,}"]
    reason = costs.problem or "some sizes are unknown (None)"
    return [f"Multiply-adds per sample: unknown; {reason}"]


def _parameter_cell(row: Row) -> Cell:
    weights = row.weights
    return ["0 (unbuilt)"] if weights is None else [f"{_count(weights):,}"]


def _trainable_cell(row: Row) -> Cell:
    weights = row.weights
    if weights is None:
        return ["Y" if getattr(row.module, "trainable", True) else "N"]
    parameters = [weight for weight in weights if isinstance(weight, nn.Parameter)]
    trained = [weight.requires_grad for weight in parameters]
    if not weights:
        return ["-"]
    return ["Y" if trained and all(trained) else "partly" if any(trained) else "N"]


def _listed(items: list[str]) -> Cell:
    return [f"{item}," for item in items[:-1]] + items[-1:]


def _totals(model: Any) -> list[str]:
    weights = weights_of(model)
    if weights is None:
        made = [m for m in nearest_layers(model) if weights_of(m) is not None]
        weights = [t for layer in made for t in tensors_of(layer.keras_weights())]
        weights = list({id(weight): weight for weight in weights}.values())
    is_trained = [isinstance(weight, nn.Parameter) and weight.requires_grad for weight in weights]
    trained = [weight for weight, yes in zip(weights, is_trained, strict=True) if yes]
    frozen = [weight for weight, yes in zip(weights, is_trained, strict=True) if not yes]
    lines = [
        f"Total params: {_amount(weights)}",
        f"Trainable params: {_amount(trained)}",
        f"Non-trainable params: {_amount(frozen)}",
    ]
    if state := _optimizer_state(model):
        lines.append(f"Optimizer params: {_amount(state)}")
    if weights_of(model) is None:
        lines.append(_how_to_build(model))
    return lines


def _optimizer_state(model: Any) -> list[Tensor]:
    """The tensors that the optimizer keeps; none before its first step."""
    engine = getattr(getattr(model, "optimizer", None), "torch", None)
    states = () if engine is None else engine.state.values()
    return [value for state in states for value in state.values() if isinstance(value, Tensor)]


def _how_to_build(model: Any) -> str:
    begin = "start it with Input(shape), " if hasattr(model, "add") else ""
    return (
        "The weights are made when the input shape is known: "
        f"{begin}call the model on data, or call build(input_shape)."
    )


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def _amount(tensors: list[Tensor]) -> str:
    size: float = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    unit = "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{_count(tensors):,} ({size:.2f} {unit})"


# Drawing


def plain_text(table: Table, width: int = 80) -> str:
    """Columns aligned with spaces, ASCII only.

    A table wider than `width` puts the parts of its cells on lines of their own; nothing is cut.
    """
    heads = [name.split() for name, _ in table.columns]
    cells = fit([heads, *table.lines], width, gap=2)
    sizes = [max(len(line) for row in cells for line in row[i]) for i in range(len(heads))]
    rule = "-" * (sum(sizes) + 2 * (len(sizes) - 1))
    lines = [table.title, rule.replace("-", "=")]
    for number, row in enumerate(cells):
        for pieces in zip(*_padded(row), strict=True):
            texts = [
                piece.rjust(size) if right else piece.ljust(size)
                for piece, size, (_, right) in zip(pieces, sizes, table.columns, strict=True)
            ]
            lines.append("  ".join(texts).rstrip())
        if number == 0:
            lines.append(rule)
    totals = [part for line in table.totals for part in textwrap.wrap(line, max(width, 40))]
    return "\n".join([*lines, rule.replace("-", "="), *totals])


def draw(table: Table, width: int) -> None:
    """Draw the table in the terminal."""
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    heads = [name.split() for name, _ in table.columns]
    breakable = [i for i, (_, right) in enumerate(table.columns) if not right]
    cells = fit([heads, *table.lines], width, gap=3, border=4, breakable=breakable)
    drawing = Drawing(show_lines=True)
    for lines, (_, right) in zip(cells[0], table.columns, strict=True):
        name = "\n".join(lines)
        drawing.add_column(Text(name), justify="right" if right else "left", overflow="fold")
    for row in cells[1:]:
        drawing.add_row(*(Text("\n".join(lines)) for lines in row))
    console = Console(width=width)
    console.print(Text(table.title, style="bold"))
    console.print(drawing)
    for line in table.totals:
        console.print(Text(f" {line}"))


def fit(
    rows: list[list[Cell]],
    width: int,
    gap: int,
    border: int = 0,
    breakable: Sequence[int] = (),
) -> list[list[list[str]]]:
    """Join the parts of the cells into lines, breaking the widest columns until the rows fit.

    Args:
        rows: Cells of parts.
        width: What the columns, gaps and borders may take together.
        gap: The space between two columns.
        border: The space that the outer edges take.
        breakable: The columns whose words may be broken where nothing else helps.

    Returns:
        For each row and column, its lines.
    """
    count = len(rows[0])
    limits = [max(len(" ".join(row[i])) for row in rows) for i in range(count)]
    least = [max(len(part) for row in rows for part in row[i]) for i in range(count)]
    room = width - gap * (count - 1) - border
    while sum(limits) > room:
        slack = [limit - low for limit, low in zip(limits, least, strict=True)]
        if not any(slack):
            break
        limits[slack.index(max(slack))] -= 1
    while sum(limits) > room and any(limits[i] > 8 for i in breakable):
        widest = max(breakable, key=limits.__getitem__)
        limits[widest] -= 1
    return [
        [
            [piece for line in _lines(cell, limit) for piece in _broken(line, limit)]
            for cell, limit in zip(row, limits, strict=True)
        ]
        for row in rows
    ]


def _lines(cell: Cell, limit: int) -> list[str]:
    lines = [cell[0]]
    for part in cell[1:]:
        joined = f"{lines[-1]} {part.strip()}"
        if len(joined) <= limit:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def _broken(line: str, limit: int) -> list[str]:
    """A line in pieces, broken after underscores and commas and between the words of a class."""
    if len(line) <= limit:
        return [line]
    indent = " " * min(len(line) - len(line.lstrip()), limit // 2)
    pieces = [indent]
    for word in re.split(r"(?<=[_(])|(?<=, )|(?<=[a-z])(?=[A-Z])", line.strip()):
        if len((pieces[-1] + word).rstrip()) > limit and pieces[-1].strip():
            pieces.append(indent)
        pieces[-1] += word
    return [piece.rstrip() for piece in pieces]


def _padded(row: list[list[str]]) -> list[list[str]]:
    height = max(len(lines) for lines in row)
    return [lines + [""] * (height - len(lines)) for lines in row]
