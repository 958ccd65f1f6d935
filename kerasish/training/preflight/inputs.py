"""Are the inputs fit to compute with: finite, of moderate scale, not constant, no raw pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves, map_leaves
from kerasish.layers.base import Layer
from kerasish.training.preflight.probe import ROWS, first_rows, run, unchanged, watched_calls
from kerasish.training.preflight.subject import Subject, is_constant, some_rows, span

_LARGE_SCALE = 1e3
# Numbers up to 255 in at least so many columns are taken for pixels.
_MANY_COLUMNS = 256


def check_inputs(subject: Subject) -> None:
    """Look at all inputs, or at those of the first batch.

    Raises:
        ValueError: If there are NaN or infinite values, and the model does not replace them.
    """
    constant = []
    for name, x, is_number in _named(subject):
        if not x.numel() or x.is_complex() or x.dtype == torch.bool:
            constant.append(False)
            continue
        low, high = span(x)
        if not (math.isfinite(low) and math.isfinite(high)):
            _check_finite(subject, name, x)
            constant.append(False)
            continue
        constant.append(is_constant(x))
        if not is_number:
            continue
        if _looks_like_pixels(x, low, high):
            _check_pixels(subject, name, high)
        elif high - low > _LARGE_SCALE and len(x) > 1:
            spread = float(some_rows(x).float().std())
            if spread > _LARGE_SCALE:
                _check_scale(subject, name, spread)
    if constant and all(constant):
        subject.report.advise(
            "K123",
            "all rows of x are the same: there is nothing to tell them apart by. Look at how x "
            "was made.",
        )


def check_validation_inputs(subject: Subject) -> None:
    """Look for what is not finite only.

    Raises:
        ValueError: If there is something, and the model does not replace it.
    """
    for name, x, _ in _named(subject):
        if x.numel() and x.is_floating_point() and not all(map(math.isfinite, span(x))):
            _check_finite(subject, name, x)


def _named(subject: Subject) -> Iterator[tuple[str, Tensor, bool]]:
    """Each input with a name, and whether it is computed with rather than looked up."""
    model = subject.plan.model
    tensors = list(leaves(subject.x))
    names = [f"x[{i}]" for i in range(len(tensors))] if len(tensors) > 1 else ["x"]
    if isinstance(subject.x, dict) and len(subject.x) == len(tensors):
        names = [f"x['{key}']" for key in subject.x]
    dtypes = getattr(model, "_input_dtypes", None)
    for i, tensor in enumerate(tensors):
        is_number = tensor.is_floating_point() or not getattr(model, "takes_integers", False)
        if dtypes is not None and len(dtypes) == len(tensors):
            is_number = is_number and dtypes[i].is_floating_point
        yield names[i], tensor, is_number


def _check_finite(subject: Subject, name: str, x: Tensor) -> None:
    rows = some_rows(x)
    bad = ~torch.isfinite(rows).flatten(1).all(1) if rows.dim() > 1 else ~torch.isfinite(rows)
    if _survives(subject, bad):
        return
    where = " of the first batch" if not subject.is_whole else ""
    raise ValueError(
        f"K121: fit: {int(bad.sum())} of {len(rows):,} rows{where} looked at in {name} hold NaN or "
        "infinite values. Remove those rows, or replace the values, for example with "
        "numpy.nan_to_num."
    )


def _survives(subject: Subject, bad: Tensor) -> bool:
    """Whether the model gives finite outputs even for such rows."""
    step = max(1, math.ceil(len(next(leaves(subject.x))) / len(bad)))
    index = (bad.nonzero().flatten()[:ROWS] * step).cpu()
    if not len(index) or getattr(subject.plan.model, "has_output_masks", False):
        return False
    device = subject.plan.device
    x = map_leaves(lambda t: t[index.to(t.device)].to(device), subject.x)
    with unchanged(subject.plan):
        subject.plan.model.eval()
        try:
            outputs = list(leaves(run(subject.plan, x)))
        except Exception:
            return False
    return all(bool(torch.isfinite(output).all()) for output in outputs)


def _looks_like_pixels(x: Tensor, low: float, high: float) -> bool:
    if low < 0 or not 100 < high <= 255:
        return False
    is_image = x.dim() in (4, 5) or (x.dim() == 3 and min(x.shape[1:]) >= 8)
    if not (is_image or (x.dim() == 2 and x.shape[1] >= _MANY_COLUMNS)):
        return False
    rows = x[: 4 * ROWS]
    return not x.is_floating_point() or bool((rows == rows.round()).all())


def _check_pixels(subject: Subject, name: str, high: float) -> None:
    contact = _first_contact(subject)
    if contact is None or contact.scale < 100:
        return
    if contact.is_frozen:
        subject.report.advise(
            "K125",
            f"{name} holds pixels from 0 to {high:.0f}, which reach the frozen layer "
            f"'{contact.name}' as they are; it was trained on others. Apply the preprocessing that "
            "belongs to the pretrained network first.",
        )
    elif not contact.is_normalised:
        subject.report.advise(
            "K124",
            f"{name} holds pixels from 0 to {high:.0f}, which reach the layer '{contact.name}' "
            "unscaled. Begin the model with layers.Rescaling(1 / 255), or divide x by 255.",
        )


def _check_scale(subject: Subject, name: str, spread: float) -> None:
    contact = _first_contact(subject)
    if contact is None or contact.is_normalised or contact.scale < _LARGE_SCALE:
        return
    subject.report.advise(
        "K122",
        f"{name} has a standard deviation of {spread:.4g} and reaches the layer '{contact.name}' "
        "unscaled. Standardise its columns: (x - x.mean(0)) / x.std(0).",
    )


class _Contact:
    """The first layer with weights that the data meet."""

    def __init__(self, name: str, first: nn.Module, second: nn.Module | None, x: Tensor) -> None:
        self.name = name
        self.scale = float(x.detach().abs().max()) if x.numel() else 0.0
        parameters = list(first.parameters())  # an adapted Normalization has none
        self.is_frozen = bool(parameters) and not any(p.requires_grad for p in parameters)
        is_norm = ["norm" in type(m).__name__.lower() for m in (first, second) if m is not None]
        self.is_normalised = any(is_norm)


def _first_contact(subject: Subject) -> _Contact | None:
    """Run the first rows again and see what the first layer with weights is given."""
    plan = subject.plan
    modules = [module for module in plan.model.modules() if _has_own_weights(module)]
    x, _, _ = first_rows(plan.model, subject.feed)
    with unchanged(plan), watched_calls(modules) as calls:
        plan.model.eval()
        run(plan, x)
    place = _innermost(calls)
    if place is None or calls[place][0] is plan.model:
        return None  # the model's own code stands before its own weights
    first, given = calls[place]
    second = next((module for module, _ in calls[place + 1 :] if module is not first), None)
    label = _label(plan.model, first)
    return _Contact(label, first, second, given) if given.is_floating_point() else None


def _innermost(calls: list[tuple[nn.Module, Tensor]]) -> int | None:
    """Which call met weights first: that of a module inside, where the first one calls another."""
    if not calls:
        return None
    place, inside = 0, set(calls[0][0].modules())
    for i, (module, _) in enumerate(calls):
        if i and module in inside and module is not calls[place][0]:
            place, inside = i, set(module.modules())
    return place


def _label(model: nn.Module, module: nn.Module) -> str:
    """The name of the layer that a module belongs to, or its path where it is in none."""
    path = next(name for name, found in model.named_modules() if found is module)
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        part = model.get_submodule(".".join(parts[:end]))
        if isinstance(part, Layer):
            return part.name
    return path.removeprefix("module.")


def _has_own_weights(module: Any) -> bool:
    return bool(module._parameters) or (isinstance(module, Layer) and bool(module.own_weights()))
