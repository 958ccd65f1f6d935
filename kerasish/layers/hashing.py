"""Layers that put any number of categories into a fixed number of bins by hashing them."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.checks import one_of, positive_int
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.encoding import encode, refuse_sparse
from kerasish.layers.texts import Texts

_MASK_64 = (1 << 64) - 1


def hash_bins(values: Tensor | Texts, num_bins: int, salt: list[int] | None = None) -> Tensor:
    """Bins from 0 to `num_bins - 1`, the same on every machine and in every process."""
    return to_bins(hash_values(values, salt), num_bins)


def to_bins(hashes: Tensor, num_bins: int) -> Tensor:
    """Bins of 64-bit hashes, the sign bit left out."""
    return (hashes & ((1 << 63) - 1)) % num_bins


def hash_values(values: Tensor | Texts, salt: list[int] | None = None) -> Tensor:
    """A 64-bit hash of each value: of integers by SplitMix64, of strings by BLAKE2b."""
    first, second = salt or (0, 0)
    if isinstance(values, Texts):
        key = struct.pack("<QQ", first & _MASK_64, second & _MASK_64)
        # A text that occurs often is hashed once.
        known = {text: _hash_text(text, key) for text in set(values.flat)}
        hashes = np.array([known[text] for text in values.flat], dtype=np.int64)
        return torch.from_numpy(hashes.reshape(values.shape))
    mixed = mix(values.long() + _signed(first * 0x9E3779B97F4A7C15))
    return mix(mixed ^ _signed(second)) if salt else mixed


def _hash_text(text: str, key: bytes) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, salt=key)
    return struct.unpack("<q", digest.digest())[0]


def mix(x: Tensor) -> Tensor:
    """The mixing steps of SplitMix64 on int64, whose products wrap around."""
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """A right shift that fills with zeros, where torch's repeats the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= _MASK_64
    return value - (1 << 64) if value >> 63 else value


def as_salt(layer: Any, salt: Any) -> list[int] | None:
    """A salt as two integers.

    Raises:
        ValueError: If it is neither an integer nor two.
    """
    if salt is None:
        return None
    pair = [salt, salt] if isinstance(salt, int) else salt
    if not isinstance(pair, (list, tuple)) or [type(s) for s in pair] != [int, int]:
        raise ValueError(
            f"{type(layer).__name__}: `salt` must be an integer or two, got {describe(salt)}."
        )
    return list(pair)


class Hashing(DataLayer):
    """Integers or strings as bins: a hash of each, modulo the number of bins.

    Equal values share a bin always, unequal ones by chance. Keras hashes by TensorFlow's FarmHash
    and SipHash; here integers are hashed by SplitMix64 on the tensor's device, which works inside
    models too, and strings by BLAKE2b. Bins are stable, but not Keras's: a model trained there on
    hashed inputs must be trained anew.

    Shapes:
        input: any; integers or strings
        output: the same for `"int"`; see `CategoryEncoding` for the others

    Args:
        num_bins: How many bins, the mask's included.
        mask_value: A value that gets bin 0 to itself.
        salt: An integer or two: another salt, other bins.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"` or `"count"`.
        sparse: Must be false.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> Hashing(3, mask_value="")(["", "b", "b"])
        tensor([0, 1, 1])
    """

    takes_integers = True
    takes_strings = True

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_sparse(self, sparse)
        self.num_bins = positive_int(self, "num_bins", num_bins)
        self.mask_value = mask_value
        self.salt = as_salt(self, salt)
        modes = ("int", "one_hot", "multi_hot", "count")
        self.output_mode = one_of(self, "output_mode", output_mode, modes)

    def own_weights(self) -> list:
        """None."""
        return []

    def forward(self, inputs: Any) -> Tensor:
        """Hash, and encode."""
        masks = self.mask_value is not None and self.num_bins > 1
        bins = hash_bins(inputs, self.num_bins - masks, self.salt)
        if masks:
            bins = torch.where(self._masked(inputs), 0, bins + 1)
        return encode(bins, self.output_mode, self.num_bins, self.output_dtype(self.output_mode))

    def _masked(self, inputs: Tensor | Texts) -> Tensor:
        if isinstance(inputs, Tensor):
            return inputs == self.mask_value
        same = [text == self.mask_value for text in inputs.flat]
        return torch.tensor(same, dtype=torch.bool).reshape(inputs.shape)


class HashedCrossing(DataLayer):
    """Several features as one: a hash of each combination of their values, modulo `num_bins`.

    Hashes are those of `Hashing`, not TensorFlow's, so bins differ from Keras's.

    Shapes:
        input: a list of two or more, each `()`, `(batch,)` or `(batch, 1)`; integers or strings
        output: the same shape for `"int"`; `(batch, num_bins)` for `"one_hot"`

    Args:
        num_bins: How many bins.
        output_mode: `"int"` or `"one_hot"`.
        sparse: Must be false.
        name: The layer's name.
        dtype: The type of the output.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or the inputs do not fit.

    Example:
        >>> HashedCrossing(5)([["red", "blue", "red"], [1, 1, 1]])
        tensor([1, 4, 1])
    """

    takes_integers = True
    takes_strings = True

    def __init__(
        self,
        num_bins: int,
        output_mode: str = "int",
        sparse: bool = False,
        name: str | None = None,
        dtype: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, dtype=dtype, **kwargs)
        refuse_sparse(self, sparse)
        self.num_bins = positive_int(self, "num_bins", num_bins)
        self.output_mode = one_of(self, "output_mode", output_mode, ("int", "one_hot"))

    def own_weights(self) -> list:
        """None."""
        return []

    def _ready(self, value: Any) -> Any:
        if not isinstance(value, (list, tuple)) or len(value) < 2:
            raise ValueError(
                f'HashedCrossing "{self.name}" is called on a list of two or more features, got '
                f"{describe(value)}."
            )
        return [super(HashedCrossing, self)._ready(feature) for feature in value]

    def forward(self, inputs: Any) -> Tensor:
        """Hash each feature, then their combination."""
        shapes = [tuple(feature.shape) for feature in inputs]
        if len(set(shapes)) > 1 or len(shapes[0]) > 2 or shapes[0][1:] not in ((), (1,)):
            raise ValueError(
                f'HashedCrossing "{self.name}" expects features of one shape, (), (batch,) or '
                f"(batch, 1), got {shapes}."
            )
        for feature in inputs:
            if isinstance(feature, Tensor) and feature.is_floating_point():
                raise TypeError(
                    f'HashedCrossing "{self.name}" expects integers or strings, got '
                    f"{describe(feature)}. Use Discretization before it."
                )
        combined = hash_values(inputs[0])
        for feature in inputs[1:]:
            # The order of features counts: (a, b) is not (b, a).
            combined = mix(combined * 31 + hash_values(feature).to(combined.device))
        bins = to_bins(combined, self.num_bins)
        return encode(bins, self.output_mode, self.num_bins, self.output_dtype(self.output_mode))
