"""Running a few rows through a model and leaving everything as it was."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves, map_leaves
from kerasish.data.feed import Feed, has_own_rows
from kerasish.hooks import removed_after
from kerasish.layers.recurrent.states import StatefulMixin
from kerasish.modes import kept_modes
from kerasish.random import SeedGenerator
from kerasish.training.placement import autocast
from kerasish.training.plan import StepPlan

# Enough rows to see shapes, types and the range of values.
ROWS = 4


def probe(plan: StepPlan, feed: Feed, *, graph: bool = False) -> tuple[Any, Any]:
    """Run a few rows through the model in evaluation mode.

    Args:
        plan: The model, and how it computes.
        feed: Where the rows come from.
        graph: Whether the outputs keep their history, which the checks before training read.

    Returns:
        Their outputs, and their targets as the feed gives them.

    Raises:
        Exception: What the model raises on such rows.
    """
    x, y, _ = first_rows(plan.model, feed)
    return evaluated(plan, x, graph=graph), y


def first_rows(model: Any, feed: Feed, rows: int = ROWS) -> tuple[Any, Any, Any]:
    """A few rows, or the whole first batch where the model or the inputs fix its size."""
    batch = feed.peek()
    fixed = getattr(model, "_input_list", None)
    if (fixed and fixed[0].shape[0] is not None) or has_own_rows(batch[0]):
        return batch
    return map_leaves(lambda t: t[:rows], batch)  # type: ignore[return-value]


def run(plan: StepPlan, x: Any, *, graph: bool = False) -> Any:
    """The outputs for some rows; never through `torch.compile`, which would compile for them."""
    x = plan.cast(x) if plan.views is None else plan.views.first(plan.cast(x))
    with torch.set_grad_enabled(graph), autocast(plan.recipe, plan.device):
        return plan.model.forward_with_masks(x)[0] if plan.has_masks else plan.model(x)


def evaluated(plan: StepPlan, x: Any, *, graph: bool = False) -> Any:
    """The outputs in evaluation mode; the model is left as it was."""
    with unchanged(plan):
        plan.model.eval()
        return run(plan, x, graph=graph)


@contextmanager
def unchanged(plan: StepPlan) -> Iterator[None]:
    """Restore modes, buffers, carried states, added losses and all random states afterwards."""
    model = plan.model
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    seeds = _seed_states(model)
    carried = [(m, m.states) for m in model.modules() if isinstance(m, StatefulMixin)]
    carried = [(layer, states) for layer, states in carried if layer.stateful]
    for layer, _ in carried:
        layer.reset_state()  # they belong to a batch of another size
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = [plan.device] if plan.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), kept_modes(model):
        try:
            yield
        finally:
            for module, name, buffer, copy in buffers:
                module._buffers[name] = buffer
                if not torch.equal(buffer, copy):
                    with torch.no_grad():
                        buffer.copy_(copy)
            for layer, states in carried:
                layer.reset_state()
                if states is not None:
                    layer.carry(states)
            for generator, state in seeds:
                generator.state = state
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
            model.clear_losses()


def _seed_states(model: nn.Module) -> list[tuple[SeedGenerator, tuple[int, int]]]:
    return [
        (value, value.state)
        for module in model.modules()
        for value in vars(module).values()
        if isinstance(value, SeedGenerator)
    ]


def reached_in_training(plan: StepPlan, feed: Feed, count: Callable[[int], bool]) -> Any:
    """Run the rows in training mode, as some models do other things then.

    Args:
        plan: The model, and how it computes.
        feed: Where the rows come from.
        count: Whether the output of an index counts.

    Returns:
        The parameters that these outputs and the added losses depend on, by id, and which outputs
        can be trained through; `None` where such a run fails.
    """
    x, _, _ = first_rows(plan.model, feed)
    with unchanged(plan):
        plan.model.train()
        try:
            outputs = list(leaves(run(plan, x, graph=True)))
        except Exception:
            return None
        roots = [p for i, p in enumerate(outputs) if count(i)]
        added = [loss for m in plan.model.modules() for loss in getattr(m, "_losses", ())]
        return reached([*roots, *added]), [p.requires_grad for p in outputs], bool(added)


def reached(outputs: list[Tensor]) -> set[int]:
    """The ids of the parameters that outputs depend on, read off their history."""
    seen: set[Any] = set()
    found: set[int] = set()
    waiting = [output.grad_fn for output in outputs]
    found |= {id(output) for output in outputs if output.is_leaf}
    while waiting:
        node: Any = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        waiting += [parent for parent, _ in node.next_functions]
    return found


def first_nan(plan: StepPlan, feed: Feed) -> str | None:
    """Which module was the first to give NaN for the first rows: its name and kind."""
    found: list[str] = []

    def look(path: str, module: nn.Module, output: Any) -> None:
        tensors = [t for t in leaves(output) if isinstance(t, Tensor)]
        if any(t.is_floating_point() and bool(torch.isnan(t).any()) for t in tensors):
            found.append(f"'{path}' ({type(module).__name__})")

    handles = [
        module.register_forward_hook(lambda m, args, out, path=path: look(path, m, out))
        for path, module in plan.model.named_modules()
        if path
    ]
    with removed_after(handles):
        evaluated(plan, first_rows(plan.model, feed)[0])
    return found[0] if found else None


@contextmanager
def watched_calls(modules: list[nn.Module]) -> Iterator[list[tuple[nn.Module, Tensor]]]:
    """A list that fills with `(module, its input)` while modules are called."""
    calls: list[tuple[nn.Module, Tensor]] = []

    def note(module: nn.Module, args: tuple) -> None:
        calls.extend((module, t) for t in list(leaves(args))[:1] if isinstance(t, Tensor))

    with removed_after([module.register_forward_pre_hook(note) for module in modules]):
        yield calls
