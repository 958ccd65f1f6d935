"""Do masks that layers make reach anybody, where code of one's own calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from kerasish.hooks import removed_after
from kerasish.layers import Embedding, Layer, Masking
from kerasish.training.preflight.probe import evaluated, first_rows
from kerasish.training.preflight.subject import Subject


def check_masks(subject: Subject) -> None:
    """Look for padding that counts although a layer marks it.

    In a graph masks are handed on with the values. Code of one's own, run on tensors, has to ask
    for them: nothing rides on a tensor.
    """
    makers = _makers(subject.plan.model)
    if not makers:
        return
    rows = first_rows(subject.plan.model, subject.feed)[0]
    called: set[nn.Module] = set()
    asked: set[nn.Module] = set()
    handles = [maker.register_forward_pre_hook(lambda m, _: called.add(m)) for maker in makers]
    with removed_after(handles), _noting(makers, asked):
        evaluated(subject.plan, rows)
    for maker, path in makers.items():
        if maker in called - asked:
            subject.report.advise(
                "K148",
                f"the {type(maker).__name__} '{path}' marks padding, but the code that calls it "
                "does not ask for the mask, so padding counts as data. Call its compute_mask(x) "
                "there, and give mask=… to the layers that follow; or mark nothing.",
            )


def _makers(model: nn.Module) -> dict[Any, str]:
    """The layers that mark padding, and their paths, but those whose masks a graph hands on."""
    found = {module: path for path, module in model.named_modules() if _marks(module)}
    if not found:
        return found
    graphs = [getattr(module, "nodes", None) for module in model.modules()]
    targets = {id(node.target) for nodes in graphs if isinstance(nodes, list) for node in nodes}
    for layer in model.modules():
        if isinstance(layer, Layer) and layer.makes_mask and id(layer) in targets:
            for module in layer.modules():
                found.pop(module, None)
    return found


def _marks(module: nn.Module) -> bool:
    return isinstance(module, Masking) or (isinstance(module, Embedding) and module.mask_zero)


@contextmanager
def _noting(makers: Iterable[Any], asked: set[nn.Module]) -> Iterator[None]:
    """Note which of these are asked for their masks."""

    def noting(maker: Any) -> Any:
        compute = maker.compute_mask

        def compute_mask(*args: Any, **kwargs: Any) -> Any:
            asked.add(maker)
            return compute(*args, **kwargs)

        return compute_mask

    for maker in makers:
        maker.__dict__["compute_mask"] = noting(maker)
    try:
        yield
    finally:
        for maker in makers:
            del maker.__dict__["compute_mask"]
