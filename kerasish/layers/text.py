"""TextVectorization: from raw texts to indices or counts of words."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kerasish.describe import describe
from kerasish.layers.checks import one_of
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.encoding import refuse_sparse
from kerasish.layers.lookup import StringLookup, padded
from kerasish.layers.texts import as_rows, as_texts
from kerasish.registry import deserialize

_LOWER = dict(zip(map(ord, string.ascii_uppercase), string.ascii_lowercase, strict=True))
_NO_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))
_STANDARDS = {
    "lower_and_strip_punctuation": {**_LOWER, **_NO_PUNCTUATION},
    "lower": _LOWER,
    "strip_punctuation": _NO_PUNCTUATION,
}


class TextVectorization(DataLayer):
    """Texts as indices or counts of words: standardise, split, form n-grams, look up, lay out.

    torch has no tensors of strings, so this layer stands in front of a model, never inside: call
    it on lists or arrays of texts, or let `layer.map(dataset)` do so as data is read.

    As in Keras, index 0 is padding and index 1 unknown words for `"int"`; the other modes have no
    padding, and index 0 is unknown words.

    Shapes:
        input: `(batch,)` or `(batch, 1)` texts, or a single one; `(batch, words)` if `split=None`
        output: `(batch, words)` int64 for `"int"`, filled up with 0; else `(batch, vocabulary)`

    Args:
        max_tokens: The largest size of the vocabulary, padding and unknown words included.
        standardize: `"lower_and_strip_punctuation"`, `"lower"`, `"strip_punctuation"`, `None`, or
            a function from an array of texts to another. The names change ASCII letters and
            punctuation alone, as TensorFlow does; for other scripts give a function.
        split: `"whitespace"`, `"character"`, `None`, or a function from an array of texts to a
            list of lists of words.
        ngrams: 2 adds pairs of neighbouring words to the words, 3 pairs and triples, and so on; a
            tuple says which lengths.
        output_mode: `"int"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        output_sequence_length: For `"int"`: the number of words to cut or fill up to; by default
            the longest text of a call decides.
        pad_to_max_tokens: Whether encodings have `max_tokens` columns, however many are in use.
        vocabulary: The words, or the path of a file with one in each line; else call `adapt`.
        idf_weights: For `"tf_idf"`: the weight of each word of `vocabulary`.
        sparse: Must be false.
        ragged: Must be false.
        encoding: What bytes and files are decoded by.
        name: The layer's name.
        **kwargs: Those of `Layer`.

    Raises:
        TypeError: If it is called on symbolic tensors, or on anything but strings.
        ValueError: If an argument is out of range, or there is no vocabulary yet.

    Example:
        >>> layer = TextVectorization(output_sequence_length=4)
        >>> layer.adapt(["foo bar", "bar baz", "baz bada boom"])
        >>> layer(["Foo, qux: bar!", "qux baz"])
        tensor([[4, 1, 3, 0],
                [1, 2, 0, 0]])
    """

    is_for_strings = True
    lookup: StringLookup

    def __init__(
        self,
        max_tokens: int | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: int | tuple[int, ...] | None = None,
        output_mode: str = "int",
        output_sequence_length: int | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: bool = False,
        ragged: bool = False,
        encoding: str = "utf-8",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        refuse_sparse(self, sparse)
        if ragged:
            raise ValueError(
                "TextVectorization: ragged=True is not offered; rows are filled up with 0."
            )
        self.standardize, self.split, self.encoding = standardize, split, encoding
        if standardize is not None and not callable(standardize):
            self.standardize = one_of(self, "standardize", standardize, tuple(_STANDARDS))
        if split is not None and not callable(split):
            self.split = one_of(self, "split", split, ("whitespace", "character"))
        self.ngrams = self._lengths(ngrams)
        self.lookup = StringLookup(  # type: ignore[assignment]
            max_tokens,
            vocabulary=vocabulary,
            idf_weights=idf_weights,
            mask_token="",
            output_mode=output_mode,
            pad_to_max_tokens=pad_to_max_tokens,
            encoding=encoding,
            dtype=kwargs.get("dtype"),
        )
        self.output_mode = self.lookup.output_mode
        self.output_sequence_length = self._length(output_sequence_length)
        self.built = True

    def _lengths(self, ngrams: Any) -> tuple[int, ...] | None:
        lengths = tuple(range(1, ngrams + 1)) if isinstance(ngrams, int) else ngrams
        if lengths is None:
            return None
        good = isinstance(lengths, (tuple, list)) and len(lengths) > 0
        if not good or any(not isinstance(n, int) or n < 1 for n in lengths):
            raise ValueError(
                "TextVectorization: `ngrams` must be a positive integer or a tuple of them, got "
                f"{describe(ngrams)}."
            )
        return tuple(lengths)

    def _length(self, value: Any) -> int | None:
        if value is None:
            return None
        if self.output_mode != "int":
            raise ValueError(
                "TextVectorization: `output_sequence_length` is for output_mode='int', this layer "
                f"has '{self.output_mode}'."
            )
        if not isinstance(value, int) or value < 1:
            raise ValueError(
                "TextVectorization: `output_sequence_length` must be a positive integer, got "
                f"{describe(value)}."
            )
        return value

    # From texts to words

    def _words(self, inputs: Any) -> tuple[list[list[str]], bool]:
        """The words of each text, and whether it was a single text."""
        if self.split is None:
            rows = as_rows(inputs, "TextVectorization", self.encoding)
            return [self._grams(self._standard(row)) for row in rows], False
        texts = as_texts(inputs, "TextVectorization", self.encoding)
        if len(texts.shape) > 2 or texts.shape[1:] not in ((), (1,)):
            raise ValueError(
                "TextVectorization expects texts of shape (batch,) or (batch, 1), got "
                f"{texts.shape}. For words that are split already, use split=None."
            )
        split = self._split(self._standard(texts.flat))
        return [self._grams(words) for words in split], not texts.shape

    def _standard(self, texts: list[str]) -> list[str]:
        if callable(self.standardize):
            return as_texts(self.standardize(np.array(texts)), "standardize", self.encoding).flat
        if self.standardize is None:
            return texts
        table = _STANDARDS[self.standardize]
        return [text.translate(table) for text in texts]

    def _split(self, texts: list[str]) -> list[list[str]]:
        if callable(self.split):
            return [list(words) for words in self.split(np.array(texts))]  # type: ignore[operator]
        if self.split == "character":
            return [list(text) for text in texts]
        # ASCII whitespace, as in TensorFlow; Python's own idea of it is wider.
        return [
            text.split() if text.isascii() else [w.decode() for w in text.encode().split()]
            for text in texts
        ]

    def _grams(self, words: list[str]) -> list[str]:
        if self.ngrams is None:
            return words
        return [
            " ".join(words[start : start + length])
            for length in self.ngrams
            for start in range(len(words) - length + 1)
        ]

    # Calling

    def _ready(self, value: Any) -> Any:
        return self._words(value)

    def forward(self, inputs: Any) -> Tensor:
        """Look the words up, and lay them out."""
        rows, single = inputs
        self.lookup._require_vocabulary()
        if self.output_mode != "int":
            encoded = self.lookup.encode_rows(rows)
        else:
            flat = self.lookup.indices([word for row in rows for word in row])
            lengths = [len(row) for row in rows]
            table = padded(flat, lengths, 0, self.output_sequence_length)
            encoded = torch.from_numpy(table)
        return encoded[0] if single else encoded

    # Learning

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn the vocabulary: by falling frequency, and equally frequent words by falling order.

        Args:
            data: A list or array of texts, or batches from a dataset, a `DataLoader` or any
                iterable.
            batch_size: Accepted for Keras's sake.
            steps: At most so many batches.

        Raises:
            ValueError: If the layer was made with a vocabulary, or there are no words.
        """
        self._learn(data, steps)

    def reset_state(self) -> None:
        """Forget the counted words."""
        self.lookup.reset_state()

    def update_state(self, data: Any) -> None:
        """Count the words of some texts."""
        self.lookup.count_rows(self._words(data)[0])

    def finalize_state(self) -> None:
        """Make the vocabulary from the counted words."""
        self.lookup.finalize_state()

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The words by index.

        Args:
            include_special_tokens: Whether padding and unknown words come first, so that a word's
                place in the list is its index.
        """
        return self.lookup.get_vocabulary(include_special_tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the vocabulary, as `StringLookup.set_vocabulary` does."""
        self.lookup.set_vocabulary(vocabulary, idf_weights)

    def vocabulary_size(self) -> int:
        """How many indices there are, special ones included."""
        return self.lookup.vocabulary_size()

    def own_weights(self) -> list:
        """None: the vocabulary is part of the configuration."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, the learned vocabulary included."""
        learned = self.lookup.get_config()
        return {
            **super().get_config(),
            "vocabulary": learned["vocabulary"],
            "idf_weights": learned["idf_weights"],
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> TextVectorization:
        """Make the layer again with its vocabulary; it may be adapted anew."""
        made = {key: deserialize(value, custom_objects) for key, value in config.items()}
        learned = {key: made.pop(key, None) for key in ("vocabulary", "idf_weights")}
        layer = cls(**made)
        if learned["vocabulary"] is not None:
            inner = {**layer.lookup.get_config(), **learned}
            layer.lookup = StringLookup.from_config(inner, custom_objects)  # type: ignore[assignment]
        return layer
