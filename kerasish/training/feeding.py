"""What fit and evaluate read from: feeds made of data as the user gave them."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from kerasish.data import Feed, make_feed
from kerasish.data.arrays import is_array
from kerasish.training import parallel, preflight
from kerasish.training.placement import target_device
from kerasish.training.plan import StepPlan
from kerasish.training.planned import Planned, preparer_of
from kerasish.training.samples import telling
from kerasish.training.session import check_shuffle, noted_on_error, unpack_validation


class Feeding(Planned):
    """How a model makes the feeds of a run."""

    _passes = 0  # over training data, in all fits

    def _train_feed(
        self,
        data: tuple[Any, Any, Any],
        batch_size: int | None,
        shuffle: bool | str,
        seed: int,
        initial_epoch: int,
    ) -> Feed:
        """The feed that `fit` trains on, from `(x, y, sample_weight)`."""
        recipe = self._require_compiled("fit")
        check_shuffle(data[0], shuffle)
        feed = make_feed(
            *data,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            device=target_device(self, recipe),  # type: ignore[arg-type]
            shard=parallel.shard_of(recipe.data_parallel, training=True),
            floats=recipe.floats,
        )
        feed.takes_any_rows = self._trains_itself
        feed.telling = telling()
        feed.first_epoch = initial_epoch
        feed.passes_before = 0 if initial_epoch else self._passes
        return feed

    def _validation_feed(self, data: Any, batch_size: int | None, own_size: int | None) -> Feed:
        """The feed that `fit` validates on, in batches of a size of its own or as in training."""
        x, y, weight = unpack_validation(data)
        takes_size = is_array(x) or isinstance(x, Dataset)
        return self._test_feed(x, y, weight, own_size or (batch_size if takes_size else None))

    def _test_feed(self, x: Any, y: Any, weight: Any, batch_size: int | None) -> Feed:
        """The feed that `evaluate` reads."""
        recipe = self._require_compiled("evaluate")
        shard = parallel.shard_of(recipe.data_parallel, training=False)
        if self._tests_itself:
            shard = None  # what such a step makes of its batches, nobody else can add up
        feed = make_feed(
            self._open_inputs(x),
            y,
            weight,
            batch_size=batch_size,
            device=target_device(self, recipe),  # type: ignore[arg-type]
            shard=shard,
            floats=recipe.floats,
        )
        feed.takes_any_rows = self._tests_itself
        feed.telling = telling()
        return feed

    def _plan_validation(
        self, plan: StepPlan, feed: Feed, validation: Feed, *, is_tail: bool
    ) -> None:
        """Prepare the targets of a validation as those of training, and look for mistakes."""
        with noted_on_error("fit: in the validation data"):
            validation.prepare(preparer_of(plan, validation))
            preflight.check_validation(plan, feed, validation, is_tail=is_tail)
