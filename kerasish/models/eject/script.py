"""The text of the script: constants, network, data, measures and the training loop."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from kerasish.graph.build import identifier
from kerasish.models.eject.data import Data, distinct
from kerasish.models.eject.expressions import quoted
from kerasish.models.eject.formulas import loss_text, metric_text
from kerasish.models.eject.network import Network
from kerasish.models.eject.refusal import refusal
from kerasish.models.eject.updates import Update
from kerasish.regularizers import L1, L1L2, L2

_WIDTH = 100
_FEW = 3  # columns of data that the loop names one by one
_LOSS = 'values["loss"]'
_HALVES = {"bfloat16-mixed": "bfloat16", "float16-mixed": "float16"}


@dataclass
class Run:
    """What a run is made of.

    Attributes:
        model: The compiled model.
        objective: Its losses and metrics, resolved.
        network: Its network, written.
        update: Its optimizer, written.
        data: The rows and how they are loaded.
        stem: The name of the script without its ending.
        epochs, batch_size, shuffle, seed: As for `eject`.
    """

    model: Any
    objective: Any
    network: Network
    update: Update
    data: Data
    stem: str
    epochs: int
    batch_size: int
    shuffle: bool
    seed: int


def script(run: Run) -> str:
    """The whole text."""
    parts = [
        _constants(run),
        *(["\n".join(run.update.classes)] if run.update.classes else []),
        run.network.source.rstrip(),
        "\n".join(run.data.loader(run.stem)),
        *("\n".join(function) for function in run.update.functions),
        "\n".join(_measure(run)),
        "\n".join(_add()),
        *(["\n".join(_order(run))] if run.shuffle else []),
        *(["\n".join(_evaluate(run))] if run.data.validation else []),
        "\n".join(_train(run)),
        'if __name__ == "__main__":\n    train()',
    ]
    body = "\n\n\n".join(parts)
    return f"{_head(run, body)}\n\n{body}\n"


def _head(run: Run, body: str) -> str:
    files = [f"{run.stem}_weights.pt", *([f"{run.stem}_data.pt"] if run.data.tensors else [])]
    told = textwrap.fill(
        f"kerasish wrote this with model.eject. It needs torch, and {' and '.join(files)} beside "
        f"it; `python {run.stem}.py` repeats what model.fit would do, number by number.",
        _WIDTH - 4,
    )
    imports = [
        *(["import math"] if "math." in body else []),
        "from pathlib import Path",
        "",
        "import torch",
        *(["import torch.nn.functional as F"] if "F." in body else []),
        "from torch import nn",
    ]
    return "\n".join(
        [
            f'"""Trains {quoted(identifier(run.model.name))} in plain PyTorch.',
            "",
            told,
            '"""',
            "",
            *imports,
        ]
    )


def _constants(run: Run) -> str:
    device = str(run.model._recipe.device)
    device = {"gpu": "cuda"}.get(device, device)
    auto = '"cuda" if torch.cuda.is_available() else "cpu"'
    accumulate = run.model._recipe.accumulate_steps
    return "\n".join(
        [
            f"SEED = {run.seed}",
            f"EPOCHS = {run.epochs}",
            f"BATCH_SIZE = {run.batch_size}",
            *([f"ACCUMULATE = {accumulate}  # batches for each update"] if accumulate > 1 else []),
            f"DEVICE = {auto if device == 'auto' else quoted(device)}",
            "HERE = Path(__file__).parent",
        ]
    )


def _device_kind(run: Run) -> str:
    """The device without its number, as source."""
    kind, _, number = str(run.model._recipe.device).partition(":")
    return quoted(kind) if number else "DEVICE"


def _measure(run: Run) -> list[str]:
    """The function that computes a batch's loss and metrics."""
    arguments, inputs = ", ".join(run.data.columns), ", ".join(run.network.inputs)
    outputs = run.objective.outputs
    words = distinct([identifier(o.name) for o in outputs], [])
    names = ["y_pred"] if len(outputs) == 1 else [f"{word}_pred" for word in words]
    lines = [
        f"def measure(model, {arguments}):",
        '    """The loss of a batch, and what is logged beside it: means over its rows."""',
    ]
    half = _HALVES.get(run.model._recipe.precision)
    call = f"{', '.join(names)} = model({inputs})"
    if half:
        lines += [
            f"    with torch.autocast({_device_kind(run)}, dtype=torch.{half}):",
            f"        {call}",
        ]
        lines += [f"    {name} = {name}.float()" for name in names]
    else:
        lines.append(f"    {call}")
    ranks = [len(tensor.shape) for tensor in run.model.outputs]
    parts: dict[str, str] = {}
    terms = []
    for output, p, y, rank, scores in zip(
        outputs, names, run.data.targets_by_output, ranks, run.network.scores, strict=True
    ):
        if output.loss is None:
            continue
        text = loss_text(output.loss, p, y, rank, scores)
        if len([o for o in outputs if o.loss is not None]) > 1:
            name = f"{p.removesuffix('_pred')}_loss"
            lines.append(f"    {name} = {text}")
            parts[output.loss_mean.name] = name
            text = name
        terms.append(text if output.weight == 1 else f"{output.weight:.12g} * {text}")
    if not terms:
        raise refusal("A model without a loss", "Compile with one.")
    lines.append(f"    loss = {' + '.join(terms)}")
    lines += [f"    loss = loss + {term}" for term in _penalties(run)]
    logged = {"loss": "loss", **parts, **_metrics(run, names, ranks)}
    if len(logged) == 1:
        return [*lines, '    return {"loss": loss}']
    lines.append("    return {")
    lines += [line for key, value in logged.items() for line in _entry(key, value)]
    return [*lines, "    }"]


def _entry(key: str, value: str) -> list[str]:
    key = quoted(key)
    line = f"        {key}: {value},"
    if len(line) <= _WIDTH:
        return [line]
    return [f"        {key}: (", f"            {value}", "        ),"]


def _metrics(run: Run, names: list[str], ranks: list[int]) -> dict[str, str]:
    outputs = run.objective.outputs
    places = {id(m): i for i, o in enumerate(outputs) for m in (*o.metrics, *o.weighted_metrics)}
    found = {}
    for key, metric in run.objective.logged:
        if id(metric) in places:
            i = places[id(metric)]
            y = run.data.targets_by_output[i]
            found[key] = metric_text(metric, names[i], y, ranks[i], run.network.scores[i])
    return found


def _penalties(run: Run) -> list[str]:
    """The terms that regularizers add to the loss."""
    terms = []
    for weight in run.model.keras_weights():
        penalty = weight.regularizer
        if penalty is None or not weight.trainable:
            continue
        name = run.network.names.get(id(weight.tensor))
        if type(penalty) not in (L1, L2, L1L2) or len(weight.tensors) > 1 or name is None:
            raise refusal(f"The penalty {type(penalty).__name__}", "Use L1, L2 or L1L2.")
        l1, l2 = getattr(penalty, "l1", 0.0), getattr(penalty, "l2", 0.0)
        terms += [f"{l1} * model.{name}.abs().sum()"] if l1 else []
        terms += [f"{l2} * model.{name}.square().sum()"] if l2 else []
    return terms


def _add() -> list[str]:
    return [
        "def add(totals, values, num_rows):",
        '    """Add a batch\'s means to the sums; a short last batch counts for its rows only."""',
        "    for name, value in values.items():",
        "        totals[name] = totals.get(name, 0.0) + value.detach() * num_rows",
    ]


def _order(run: Run) -> list[str]:
    return [
        "def shuffled(num_rows, seed, epoch):",
        '    """The order of rows in an epoch, a function of the seed and the epoch alone."""',
        "    # SplitMix64 stirs the two into one seed: near epochs get unrelated orders.",
        "    mixed = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9) % 2**64",
        "    mixed = ((mixed ^ (mixed >> 30)) * 0x94D049BB133111EB) % 2**64",
        "    mixed = (mixed ^ (mixed >> 31)) % 2**63",
        "    return torch.randperm(num_rows, generator=torch.Generator().manual_seed(mixed))",
    ]


def _columns(run: Run) -> list[str]:
    """The names of the columns in the loop; one name for all where there are many."""
    names = run.data.columns
    return names if len(names) <= _FEW else ["*data"]


def _batch(run: Run) -> str:
    """The columns' rows of a batch, as arguments."""
    names = _columns(run)
    if names == ["*data"]:
        return "*(column[rows] for column in data)"
    return ", ".join(f"{name}[rows]" for name in names)


def _count(run: Run) -> str:
    """How many rows there are, as source."""
    name = _columns(run)[0]
    return "len(data[0])" if name == "*data" else f"len({name})"


def _evaluate(run: Run) -> list[str]:
    return [
        "@torch.no_grad()",
        f"def evaluate(model, {', '.join(_columns(run))}):",
        '    """The same measures on other rows: nothing is dropped, and nothing learned."""',
        "    model.eval()",
        "    totals = {}",
        f"    for rows in torch.arange({_count(run)}).split(BATCH_SIZE):",
        f"        add(totals, measure(model, {_batch(run)}), len(rows))",
        '    return {f"val_{name}": float(total) / '
        f"{_count(run)} for name, total in totals.items()}}",
    ]


def _train(run: Run) -> list[str]:
    count = _count(run)
    lines = ["def train():"]
    lines += ['    """Repeat the run. Returns the model, and the logs of each epoch."""']
    if _columns(run) == ["*data"]:
        lines += ["    data = [column.to(DEVICE) for column in load_data()]"]
    else:
        names = ", ".join(_columns(run))
        lines += [f"    {names} = (column.to(DEVICE) for column in load_data())"]
    if run.data.validation:
        lines.append("    validation = [column.to(DEVICE) for column in load_validation_data()]")
    lines += [
        "    model = Network().to(DEVICE)",
        f'    model.load_state_dict(torch.load(HERE / "{run.stem}_weights.pt", weights_only=True))',
        *(f"    {line}" for line in run.update.constructor),
    ]
    if run.model._recipe.precision == "float16-mixed":
        lines.append(f"    scaler = torch.amp.GradScaler({_device_kind(run)})")
    lines += ["", "    torch.manual_seed(SEED)"]
    if run.shuffle:
        lines.append("    order_seed = int(torch.randint(2**31, ()))  # as fit draws it")
        order = f"shuffled({count}, order_seed, epoch)"
    else:
        lines.append("    torch.randint(2**31, ())  # which fit draws for an order of rows")
        order = f"torch.arange({count})"
    lines += ["    step = 0"] if run.update.counts else []
    lines += ["    history = []", "    for epoch in range(EPOCHS):", "        model.train()"]
    lines += ["        totals = {}", *(f"        {line}" for line in _epoch(run, order))]
    lines += [
        f"        logs = {{name: float(total) / {count} for name, total in totals.items()}}",
        *(["        logs |= evaluate(model, *validation)"] if run.data.validation else []),
        "        history.append(logs)",
        '        told = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())',
        '        print(f"epoch {epoch + 1}/{EPOCHS}  {told}")',
    ]
    return [*lines, "    model.eval()", "    return model, history"]


def _epoch(run: Run, order: str) -> list[str]:
    """The loop over batches, unindented."""
    measure = f"    values = measure(model, {_batch(run)})"
    if run.model._recipe.accumulate_steps > 1:
        return _gathering_epoch(run, order, measure)
    return [
        f"for rows in {order}.split(BATCH_SIZE):",
        measure,
        "    optimizer.zero_grad()  # or gradients would add up from batch to batch",
        f"    {_scaled(run, _LOSS)}.backward()",
        *(f"    {line}" for line in _update_lines(run)),
        "    add(totals, values, len(rows))",
    ]


def _gathering_epoch(run: Run, order: str, measure: str) -> list[str]:
    return [
        f"batches = {order}.split(BATCH_SIZE)",
        "waiting = 0  # rows whose gradients wait for the update",
        "for number, rows in enumerate(batches, 1):",
        measure,
        "    # A sum over rows, divided below: batches count as they would in one big batch.",
        f"    {_scaled(run, f'({_LOSS} * len(rows))')}.backward()",
        "    waiting += len(rows)",
        "    if number % ACCUMULATE == 0 or number == len(batches):",
        *(f"        {line}" for line in _update_lines(run)),
        "        optimizer.zero_grad()",
        "        waiting = 0",
        "    add(totals, values, len(rows))",
    ]


def _scaled(run: Run, loss: str) -> str:
    return f"scaler.scale({loss})" if run.model._recipe.precision == "float16-mixed" else loss


def _update_lines(run: Run) -> list[str]:
    recipe = run.model._recipe
    divide = [
        "for p in model.parameters():",
        "    if p.grad is not None:",
        "        p.grad.mul_(1.0 / waiting)",
    ]
    has_scaler = recipe.precision == "float16-mixed"
    lines = ["scaler.unscale_(optimizer)"] if has_scaler else []
    lines += divide if recipe.accumulate_steps > 1 else []
    lines += run.update.lines
    lines += ["scaler.step(optimizer)", "scaler.update()"] if has_scaler else ["optimizer.step()"]
    return [*lines, *(["step += 1"] if run.update.counts else [])]
