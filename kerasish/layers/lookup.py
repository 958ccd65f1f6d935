"""Layers that look tokens up in a vocabulary: strings or integers to indices, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.checks import one_of
from kerasish.layers.data_layer import has_data
from kerasish.layers.hashing import hash_bins
from kerasish.layers.streams import as_array
from kerasish.layers.texts import Texts, as_rows, as_texts, is_ragged
from kerasish.layers.vocabulary import DROPPED, MISSING, VocabularyLayer


class StringLookup(VocabularyLayer):
    """Strings as indices into a vocabulary, or, with `invert=True`, indices as strings.

    torch has no tensors of strings, so this layer stands in front of a model, never inside: call
    it on lists or arrays of strings, or let `layer.map(dataset)` do so as data is read.

    Several OOV indices are shared by a hash of the token; TensorFlow's, which Keras uses, puts
    tokens into others.

    Shapes:
        input: any, strings; integers with `invert=True`
        output: the same, int64, for `"int"` (an array of strings with `invert=True`); for the
            others see `CategoryEncoding`, with as many columns as the vocabulary has indices

    Args:
        max_tokens: The largest size of the vocabulary, special tokens included.
        num_oov_indices: How many indices unknown tokens share; with 0 they are errors.
        mask_token: The token that stands for padding: index 0, or nothing in encodings.
        oov_token: What unknown tokens are called.
        vocabulary: The tokens, or the path of a file with one in each line; else call `adapt`.
        idf_weights: For `"tf_idf"`: the weight of each token of `vocabulary`.
        invert: Whether it gives strings for indices.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"`, or `"tf_idf"`: counts times
            the tokens' weights.
        pad_to_max_tokens: Whether encodings have `max_tokens` columns, however many are in use.
        sparse: Must be false.
        encoding: What bytes and files are decoded by.
        name: The layer's name.
        salt: An integer or two: another salt, other OOV indices.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If it is called on symbolic tensors, or on anything but strings.
        ValueError: If an argument is out of range, or there is no vocabulary yet.

    Example:
        >>> layer = StringLookup(vocabulary=["a", "b"])
        >>> layer([["a", "c"], ["b", "a"]])
        tensor([[1, 0],
                [2, 1]])
        >>> layer.get_vocabulary()
        ['[UNK]', 'a', 'b']
    """

    is_for_strings = True

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        pad_to_max_tokens: bool = False,
        sparse: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        salt: Any = None,
        **kwargs: Any,
    ) -> None:
        self.__dict__["encoding"] = encoding  # before the vocabulary is read
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            vocabulary,
            idf_weights,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            salt,
            name=name,
            **kwargs,
        )
        self.built = True

    def _as_tokens(self, vocabulary: Any) -> list[str]:
        if isinstance(vocabulary, (str, Path)):
            return self._lines_of(vocabulary)
        return as_texts(vocabulary, type(self).__name__, self.encoding).flat

    def _index_tokens(self) -> None:
        start = self._token_start
        self._table = {token: start + place for place, token in enumerate(self._tokens)}
        if self.mask_token is not None:
            self._table[self.mask_token] = 0 if self.output_mode == "int" else DROPPED

    def update_state(self, data: Any) -> None:
        """Count the tokens of a batch; a single row of them counts as one document."""
        self.count_rows(as_rows(data, type(self).__name__, self.encoding))

    def adapt(self, data: Any, steps: int | None = None) -> None:  # noqa: D102  (inherited)
        if isinstance(data, (list, tuple, np.ndarray)) or hasattr(data, "to_numpy"):
            # Of one row of tokens in memory, each is a document.
            texts = [[token] for token in data] if np.ndim(data[:1]) == 1 else data
            super().adapt(texts, steps)
        else:
            super().adapt(data, steps)

    def _ready(self, value: Any) -> Any:
        if self.invert:
            return as_array(value, type(self).__name__)
        if self.output_mode not in ("int", "one_hot") and is_ragged(value):
            return as_rows(value, type(self).__name__, self.encoding)
        return as_texts(value, type(self).__name__, self.encoding)

    def forward(self, inputs: Any) -> Any:
        """Look up, and encode."""
        self._require_vocabulary()
        if self.invert:
            return self._strings(inputs)
        if isinstance(inputs, Texts):
            index = torch.from_numpy(self.indices(inputs.flat).reshape(inputs.shape))
            return self._encode(index)
        return self.encode_rows(inputs)

    def _strings(self, index: Tensor) -> np.ndarray:
        names = np.array([*self.get_vocabulary(), self.oov_token])
        places = index.cpu().numpy().astype(np.int64)
        return names[np.where((places < 0) | (places >= len(names) - 1), len(names) - 1, places)]

    def indices(self, tokens: list[str]) -> np.ndarray:
        """The index of each token, -1 where it counts as nothing."""
        find = self._table.get
        index = np.array([find(token, MISSING) for token in tokens], dtype=np.int64)
        missing = np.flatnonzero(index == MISSING)
        if missing.size and self.num_oov_indices == 0:
            raise self._unknown([tokens[place] for place in missing[:5]])
        if missing.size:
            index[missing] = self._oov_start
        if missing.size and self.num_oov_indices > 1:
            unknown = [tokens[place] for place in missing]
            hashed = hash_bins(Texts(unknown, (len(unknown),)), self.num_oov_indices, self.salt)
            index[missing] += hashed.numpy()
        return index

    def encode_rows(self, rows: list[list[str]]) -> Tensor:
        """Encode rows of any lengths; padding counts as nothing."""
        flat = self.indices([token for row in rows for token in row])
        return self._encode(torch.from_numpy(padded(flat, [len(row) for row in rows], DROPPED)))


def padded(flat: np.ndarray, lengths: list[int], fill: int, width: int | None = None) -> np.ndarray:
    """Rows laid out as an array, cut or filled to the same width: `(rows, width)`."""
    widths = np.array(lengths, dtype=np.int64)
    width = int(widths.max(initial=0)) if width is None else width
    column = np.arange(len(flat)) - np.repeat(np.cumsum(widths) - widths, widths)
    row = np.repeat(np.arange(len(widths)), widths)
    fits = column < width
    table = np.full((len(widths), width), fill, dtype=np.int64)
    table[row[fits], column[fits]] = flat[fits]
    return table


class IntegerLookup(VocabularyLayer):
    """Integers, such as identifiers with gaps, as indices into a vocabulary, or the way back.

    Works on tensors on any device, and inside models.

    Shapes:
        input: any, integers
        output: the same, int64, for `"int"`; for the others see `CategoryEncoding`, with as many
            columns as the vocabulary has indices

    Args:
        max_tokens: The largest size of the vocabulary, special tokens included.
        num_oov_indices: How many indices unknown integers share; with 0 they are errors, found at
            the price of waiting for the device, and not in compiled code.
        mask_token: The integer that stands for padding: index 0, or nothing in encodings.
        oov_token: What unknown integers are called.
        vocabulary: The integers, or the path of a file with one in each line; else call `adapt`.
        vocabulary_dtype: Must be `"int64"`.
        idf_weights: For `"tf_idf"`: the weight of each integer of `vocabulary`.
        invert: Whether it gives integers for indices.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        sparse: Must be false.
        pad_to_max_tokens: Whether encodings have `max_tokens` columns, however many are in use.
        oov_method: How unknown integers share several indices: `"floormod"`, their remainder; or
            `"farmhash"`, a hash of them (not that of TensorFlow, which Keras uses).
        salt: For the hash: another salt, other indices.
        name: The layer's name.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If an argument is out of range, or there is no vocabulary yet.

    Example:
        >>> IntegerLookup(vocabulary=[12, 36, 1138])([[12, 1138], [7, 36]])
        tensor([[1, 3],
                [0, 2]])
    """

    takes_integers = True
    _keys: Tensor
    _index_at: Tensor

    def __init__(
        self,
        max_tokens: int | None = None,
        num_oov_indices: int = 1,
        mask_token: int | None = None,
        oov_token: int | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: str = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: str = "int",
        sparse: bool = False,
        pad_to_max_tokens: bool = False,
        oov_method: str = "floormod",
        salt: Any = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if vocabulary_dtype not in ("int64", torch.int64):
            raise ValueError(
                f"IntegerLookup: `vocabulary_dtype` must be 'int64', got "
                f"{describe(vocabulary_dtype)}."
            )
        super().__init__(
            max_tokens,
            num_oov_indices,
            mask_token,
            oov_token,
            None,
            None,
            invert,
            output_mode,
            sparse,
            pad_to_max_tokens,
            salt,
            name=name,
            **kwargs,
        )
        self.oov_method = one_of(self, "oov_method", oov_method, ("floormod", "farmhash"))
        if salt is not None and self.oov_method != "farmhash":
            raise ValueError("IntegerLookup: `salt` needs oov_method='farmhash'.")
        # Sorted tokens and their indices; with `invert`, the tokens by index.
        self.register_buffer("_keys", torch.zeros(0, dtype=torch.int64), persistent=False)
        self.register_buffer("_index_at", torch.zeros(0, dtype=torch.int64), persistent=False)
        self._is_given = vocabulary is not None
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ValueError("IntegerLookup: `idf_weights` need a `vocabulary`.")

    def _as_tokens(self, vocabulary: Any) -> list[int]:
        if isinstance(vocabulary, (str, Path)):
            return [int(line) for line in self._lines_of(vocabulary)]
        values = as_array(vocabulary, "IntegerLookup")
        if values.is_floating_point() or values.dim() != 1:
            raise ValueError(
                f"IntegerLookup: `vocabulary` must be a list of integers, got "
                f"{describe(vocabulary)}."
            )
        return values.tolist()

    def _index_tokens(self) -> None:
        device = self._keys.device
        tokens = self.get_vocabulary() if self.invert else self._tokens
        keys = torch.tensor(tokens, dtype=torch.int64, device=device)
        if self.invert:
            self._keys = keys
            return
        self._keys, order = keys.sort()
        self._index_at = order + self._token_start

    def update_state(self, data: Any) -> None:
        """Count the integers of a batch; a single row of them counts as one document."""
        if is_ragged(data):
            self.count_rows([as_array(row, "IntegerLookup").long().tolist() for row in data])
            return
        values = as_array(data, "IntegerLookup").cpu().long()
        rows = values.reshape(-1, values.shape[-1]) if values.dim() else values.reshape(1, 1)
        if self.output_mode == "tf_idf":
            self.count_rows(rows.tolist())
            return
        tokens, counts = rows.unique(return_counts=True)
        self._counts.update(dict(zip(tokens.tolist(), counts.tolist(), strict=True)))

    def adapt(self, data: Any, steps: int | None = None) -> None:  # noqa: D102  (inherited)
        in_memory = isinstance(data, (list, tuple, np.ndarray, Tensor)) or hasattr(data, "to_numpy")
        if in_memory and np.ndim(data[:1]) == 1:
            data = as_array(data, "IntegerLookup")[:, None]  # each is a document
        super().adapt(data, steps)

    def forward(self, inputs: Tensor) -> Tensor:
        """Look up, and encode."""
        if has_data(inputs) or self.output_mode != "int":
            self._require_vocabulary()
        inputs = inputs.long()
        if self.invert:
            inside = (inputs >= 0) & (inputs < self._keys.numel())
            found = self._keys[inputs.clamp(0, max(self._keys.numel() - 1, 0))]
            return torch.where(inside, found, self.oov_token)
        return self._encode(self._index_of(inputs))

    def _index_of(self, x: Tensor) -> Tensor:
        if not self._tokens:
            return torch.zeros_like(x)  # shapes only: there is no vocabulary to look into
        place = torch.searchsorted(self._keys, x).clamp(max=self._keys.numel() - 1)
        known = self._keys[place] == x
        masked = None if self.mask_token is None else x == self.mask_token
        if self.num_oov_indices == 0:
            self._check_known(x, known if masked is None else known | masked)
        index = torch.where(known, self._index_at[place], self._oov_index(x))
        if masked is None:
            return index
        return torch.where(masked, 0 if self.output_mode == "int" else DROPPED, index)

    def _check_known(self, x: Tensor, known: Tensor) -> None:
        if has_data(x) and not bool(known.all()):
            raise self._unknown(x[~known][:5].tolist())

    def _oov_index(self, x: Tensor) -> Tensor | int:
        if self.num_oov_indices < 2:
            return self._oov_start
        if self.oov_method == "floormod":
            return torch.remainder(x, self.num_oov_indices) + self._oov_start
        return hash_bins(x, self.num_oov_indices, self.salt) + self._oov_start
