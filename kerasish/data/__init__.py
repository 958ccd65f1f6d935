"""From whatever data the user has to batches on the device."""

from kerasish.data.arrays import to_tensor
from kerasish.data.feed import ArrayFeed, Feed
from kerasish.data.make import make_feed
from kerasish.data.pack import pack
from kerasish.data.packed import PackedImages, open_packed
from kerasish.data.split import split_tail
from kerasish.data.stream import StreamFeed

__all__ = [
    "ArrayFeed",
    "Feed",
    "PackedImages",
    "StreamFeed",
    "make_feed",
    "open_packed",
    "pack",
    "split_tail",
    "to_tensor",
]
