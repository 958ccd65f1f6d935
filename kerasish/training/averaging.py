"""A `train_step` of the user's own in several processes: gradients, logs and weights agree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed

from kerasish.data.feed import Batch, Feed
from kerasish.training.parallel import gather, num_processes
from kerasish.training.resume import metrics_of
from kerasish.training.tracker import to_number


class Averaging:
    """Averages each gradient over all processes as soon as a backward pass has added to it.

    What was there before is the same in all processes, and the mean of it itself; so several
    backward passes may add up. Each process must make the same ones, as in any such training.

    Args:
        model: The model, whose weights are alike in all processes.
        feed: Its data, which tells how many rows of each batch are this process's.
    """

    def __init__(self, model: Any, feed: Feed) -> None:
        self.model, self.feed = model, feed
        self._is_weighted = True

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Average while the block lasts."""
        learning = [p for p in self.model.parameters() if p.requires_grad]
        hooks = [p.register_post_accumulate_grad_hook(self._average) for p in learning]
        self.model.__dict__["_averaging"] = self
        try:
            yield
        finally:
            del self.model.__dict__["_averaging"]
            for hook in hooks:
                hook.remove()

    @torch.no_grad()
    def _average(self, parameter: Tensor) -> None:
        assert parameter.grad is not None
        parameter.grad.mul_(self._share() / num_processes())
        distributed.all_reduce(parameter.grad)

    def _share(self) -> float:
        """This process's rows by the mean of all: its loss is the mean over its own rows only."""
        if self.feed.rows is None or not self._is_weighted:
            return 1.0
        own, mean = self.feed.rows
        return own / mean

    @contextmanager
    def unweighted(self) -> Iterator[None]:
        """Within the block losses are weighted by rows already."""
        self._is_weighted = False
        try:
            yield
        finally:
            self._is_weighted = True

    def checked(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches; after the first and the last, weights are compared.

        Raises:
            RuntimeError: If they are no longer alike in all processes.
        """
        for number, batch in enumerate(batches):
            if number == 1:
                self._compare_weights()
            yield batch
        self._compare_weights()

    def _compare_weights(self) -> None:
        named = list(self.model.named_parameters())
        with torch.no_grad():
            sums = [float(p.double().sum()) for _, p in named]
        first, *others = gather(list(map(repr, sums)))
        for found in others:
            if found == first:
                continue
            places = [i for i, (a, b) in enumerate(zip(first, found, strict=False)) if a != b]
            name = named[places[0]][0] if places else "some that only one process has"
            raise RuntimeError(
                f"fit: the weights of the processes are no longer alike: {name}. Gradients that "
                "`backward()` adds to a weight are averaged; those of torch.autograd.grad, and of "
                "weights that are made or thawed within train_step, are not. Average them with "
                "torch.distributed.all_reduce, and build the model before fit."
            )

    def merged(self, logs: dict[str, Any]) -> dict[str, Any]:
        """An epoch's logs over all processes: metrics added up, of other numbers the mean."""
        parts = gather((logs, self._results()))
        for metric in metrics_of(self.model):
            metric.merge_processes()
        results = self._results()
        merged = {}
        for name, own in logs.items():
            values = [part[name] for part, _ in parts]
            if values == [found.get(name) for _, found in parts]:
                merged[name] = results[name]
            else:
                merged[name] = sum(values) / len(values) if isinstance(own, float) else values[0]
        return merged

    def _results(self) -> dict[str, Any]:
        return {name: to_number(v) for name, v in self.model.get_metrics_result().items()}
