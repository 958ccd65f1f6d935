"""Which samples of the data a batch holds, told to augmentation layers in a model and in the data.

What such a layer does to a sample then depends on its seed, the epoch and the sample's number, and
neither on the size of the batch, nor on its order, nor on where training was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from kerasish.data.arrays import leaves
from kerasish.data.feed import Batch, Feed
from kerasish.data.told_rows import Telling
from kerasish.layers.augmentation.draws import Samples, layers_by_sample, reading, see

_STRIDE = 1 << 20  # between the first rows of batches whose size nobody knows


def draws_by_sample(model: nn.Module) -> bool:
    """Whether any layer of a model draws by sample."""
    return any(getattr(module, "draws_by_sample", False) for module in model.modules())


def telling() -> Telling | None:
    """How layers in a data set get to know which rows are read; `None` where there are none."""
    return reading if layers_by_sample.any else None


def told(feed: Feed, epoch: int, *, counts: bool = False) -> Iterator[Batch]:
    """One pass over a feed; before each batch, layers that draw by sample get to know its rows.

    Args:
        feed: The feed.
        epoch: The number of the pass.
        counts: Whether rows whose numbers the source does not tell are counted, in a pass that
            begins at its beginning; else they are numbered as if all batches were full.
    """
    first, seen = feed.taken, 0
    known = feed.numbers(epoch)
    for place, batch in enumerate(feed.batches(epoch), first):
        numbers = None if known is None else next(known, None)
        start = seen if counts else place * (feed.batch_size or _STRIDE)
        numbers = _fitting(numbers, batch, start)
        seen += len(numbers)
        see(Samples(numbers, feed.passes_before + epoch, Counter()))
        yield batch


def _fitting(numbers: Tensor | None, batch: Batch, first: int) -> Tensor:
    """The numbers of a batch's rows; where the source does not tell, their places in the pass."""
    rows = len(next(leaves(batch[0])))
    if numbers is not None and len(numbers) >= rows:
        return numbers[:rows]  # fewer, where files could not be read
    return torch.arange(first, first + rows)
