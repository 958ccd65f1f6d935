"""What layers with a vocabulary share: learning it, setting it, and what its indices mean."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kerasish.config import as_dtype, floatx
from kerasish.describe import describe
from kerasish.layers.checks import one_of
from kerasish.layers.data_layer import DataLayer
from kerasish.layers.encoding import encode, refuse_sparse
from kerasish.layers.hashing import as_salt
from kerasish.registry import deserialize

OUTPUT_MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_OLD_NAMES = {"binary": "multi_hot", "tf-idf": "tf_idf"}

# What a lookup gives for a token that the vocabulary lacks, and for the mask token where it has no
# index of its own.
MISSING, DROPPED = -2, -1


class VocabularyLayer(DataLayer):
    """A table from tokens to indices, and back.

    Index 0 is the mask token's if there is one and `output_mode="int"`; then come `num_oov_indices`
    for tokens out of the vocabulary; then the vocabulary, the most frequent token first.

    Args:
        max_tokens: The largest size of the vocabulary, special tokens included.
        num_oov_indices: How many indices unknown tokens share: with 0 they are errors.
        mask_token: The token that stands for padding.
        oov_token: What unknown tokens are called by `get_vocabulary` and `invert`.
        vocabulary: The tokens, or the path of a file with one in each line.
        idf_weights: For `"tf_idf"`: the weight of each token of `vocabulary`.
        invert: Whether it gives tokens for indices.
        output_mode: `"int"`, `"one_hot"`, `"multi_hot"`, `"count"` or `"tf_idf"`.
        sparse: Must be false.
        pad_to_max_tokens: Whether encodings have `max_tokens` columns, however many are in use.
        salt: Changes which of several OOV indices a hashed token gets.
        **kwargs: Those of `Layer`.
    """

    mask_token: Any
    oov_token: Any
    _idf: Tensor | None

    def __init__(
        self,
        max_tokens: int | None,
        num_oov_indices: int,
        mask_token: Any,
        oov_token: Any,
        vocabulary: Any,
        idf_weights: Any,
        invert: bool,
        output_mode: str,
        sparse: bool,
        pad_to_max_tokens: bool,
        salt: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_sparse(self, sparse)
        mode = _OLD_NAMES.get(output_mode, output_mode)
        self.output_mode = one_of(self, "output_mode", mode, OUTPUT_MODES)
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token = mask_token, oov_token
        self.invert = bool(invert)
        self.pad_to_max_tokens = bool(pad_to_max_tokens)
        self.salt = as_salt(self, salt)
        self._check_arguments()
        self.register_buffer("_idf", None, persistent=False)
        self._tokens: list = []
        self._is_given = vocabulary is not None
        self.reset_counts()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)
        elif idf_weights is not None:
            raise ValueError(f"{type(self).__name__}: `idf_weights` need a `vocabulary`.")

    def _check_arguments(self) -> None:
        who = type(self).__name__
        if self.max_tokens is not None and self.max_tokens <= 1:
            raise ValueError(
                f"{who}: `max_tokens` must be greater than 1, got {describe(self.max_tokens)}."
            )
        if self.num_oov_indices < 0:
            raise ValueError(
                f"{who}: `num_oov_indices` must not be negative, got "
                f"{describe(self.num_oov_indices)}."
            )
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ValueError(f"{who}: pad_to_max_tokens=True needs `max_tokens`.")
        if self.invert and self.output_mode != "int":
            raise ValueError(
                f"{who}: invert=True needs output_mode='int', got '{self.output_mode}'."
            )
        if self.invert and self.oov_token is None:
            raise ValueError(f"{who}: invert=True needs an `oov_token` for unknown indices.")

    # What indices mean

    @property
    def _oov_start(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _token_start(self) -> int:
        return self._oov_start + self.num_oov_indices

    @property
    def _special_tokens(self) -> list:
        return [self.mask_token] * self._oov_start + [self.oov_token] * self.num_oov_indices

    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """The tokens by index.

        Args:
            include_special_tokens: Whether mask and OOV tokens come first, so that a token's place
                in the list is its index.
        """
        return (self._special_tokens if include_special_tokens else []) + list(self._tokens)

    def vocabulary_size(self) -> int:
        """How many indices there are, special ones included."""
        return self._token_start + len(self._tokens)

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Set the vocabulary; one that is there is replaced.

        Args:
            vocabulary: The tokens: a list, array or tensor, or the path of a file with one in each
                line. Special tokens may come first, all of them in their order, or be left out.
            idf_weights: For `output_mode="tf_idf"`: a weight for each of them.

        Raises:
            ValueError: If tokens repeat, are too many or are none, or if weights do not fit.
        """
        who = type(self).__name__
        if (idf_weights is not None) != (self.output_mode == "tf_idf"):
            wants = "needs" if self.output_mode == "tf_idf" else "takes no"
            raise ValueError(f"{who}: output_mode='{self.output_mode}' {wants} `idf_weights`.")
        given = self._as_tokens(vocabulary)
        special = self._special_tokens
        has_special = given[: len(special)] == special
        tokens = given[len(special) :] if has_special else given
        self._check_tokens(tokens, bool(given))
        weights = None
        if idf_weights is not None:
            weights = self._weights_for(idf_weights, len(given), has_special)
        self._take(tokens, weights)

    def _check_tokens(self, tokens: list, any_given: bool) -> None:
        who = type(self).__name__
        if not any_given:
            raise ValueError(f"{who}: the vocabulary is empty.")
        repeated = [token for token, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise ValueError(
                f"{who}: each token may occur once in a vocabulary; repeated: {repeated[:5]}."
            )
        reserved = [self.mask_token] + ([self.oov_token] if self.invert else [])
        for token in reserved:
            if token is not None and token in tokens:
                raise ValueError(
                    f"{who}: the special token {token!r} stands at place {tokens.index(token)} of "
                    f"the vocabulary. Leave special tokens out, or begin with "
                    f"{self._special_tokens}."
                )
        size = self._token_start + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ValueError(
                f"{who}: a vocabulary of {size} with its special tokens exceeds "
                f"max_tokens={self.max_tokens}."
            )

    def _weights_for(self, weights: Any, count: int, has_special: bool) -> Tensor:
        values = torch.as_tensor(weights, dtype=as_dtype(floatx()))
        if values.shape != (count,):
            raise ValueError(
                f"{type(self).__name__}: `idf_weights` must be {count} numbers, one for each token "
                f"of the vocabulary, got {describe(weights)}."
            )
        return values if has_special else self._with_front(values)

    def _with_front(self, weights: Tensor) -> Tensor:
        """Weights for the special tokens, which have none of their own: the mean of the others."""
        return torch.cat([weights.mean().repeat(self._token_start), weights])

    def _take(self, tokens: list, weights: Tensor | None) -> None:
        self._tokens = tokens
        if weights is not None:
            if self.pad_to_max_tokens and self.max_tokens is not None:
                empty = self.max_tokens - len(weights)
                weights = torch.nn.functional.pad(weights, (0, empty))
            was = self._idf
            self._idf = weights if was is None else weights.to(was.device)
        self._index_tokens()

    def _index_tokens(self) -> None:
        """Make the table that lookups use."""
        raise NotImplementedError

    def _as_tokens(self, vocabulary: Any) -> list:
        """A vocabulary as a list of plain tokens."""
        raise NotImplementedError

    def _lines_of(self, path: Any) -> list[str]:
        file = Path(path)
        if not file.exists():
            raise ValueError(f"{type(self).__name__}: there is no vocabulary file {path}.")
        if self.output_mode == "tf_idf":
            raise ValueError(
                f"{type(self).__name__}: a vocabulary file has no weights for 'tf_idf'; give a "
                "list of tokens and `idf_weights`."
            )
        return file.read_text(encoding=self.encoding).splitlines()

    # Learning

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the vocabulary: by falling frequency, and equally frequent tokens by falling order.

        With `output_mode="tf_idf"` each row counts as a document, and a token's weight is
        `log(1 + documents / (1 + documents with the token))`.

        Args:
            data: An array or list, or batches from a dataset, a `DataLoader` or any iterable.
            steps: At most so many batches.

        Raises:
            ValueError: If the layer was made with a vocabulary, or the data has no tokens.
        """
        self._learn(data, steps)

    def reset_counts(self) -> None:
        """Forget the counted tokens."""
        self._counts: Counter = Counter()
        self._document_counts: Counter = Counter()
        self._num_documents = 0

    def reset_state(self) -> None:
        """Forget the counted tokens."""
        if self._is_given:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" was made with a vocabulary. Make it without '
                "one to learn it by adapt(), or call set_vocabulary()."
            )
        self.reset_counts()

    def count_rows(self, rows: list[list]) -> None:
        """Count the tokens of some rows."""
        for row in rows:
            self._counts.update(row)
        if self.output_mode == "tf_idf":
            self._num_documents += len(rows)
            for row in rows:
                self._document_counts.update(set(row))

    def finalize_state(self) -> None:
        """Make the vocabulary from the counted tokens, and forget the counts."""
        for special in (self.mask_token, self.oov_token):
            self._counts.pop(special, None)
        if not self._counts:
            raise ValueError(f"{type(self).__name__}.adapt: there are no tokens in the data.")
        ranked = sorted(self._counts, key=lambda token: (self._counts[token], token), reverse=True)
        room = None if self.max_tokens is None else max(self.max_tokens - self._token_start, 0)
        tokens = ranked[:room]
        weights = None
        if self.output_mode == "tf_idf":
            found = torch.tensor([self._document_counts[token] for token in tokens])
            weights = torch.log1p(self._num_documents / (1 + found.double()))
            weights = self._with_front(weights.to(as_dtype(floatx())))
        self._take(tokens, weights)
        self.reset_counts()

    # Looking up

    def _require_vocabulary(self) -> None:
        if not self._tokens:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" has no vocabulary yet. Call adapt(data) or '
                "set_vocabulary(tokens)."
            )

    def _unknown(self, tokens: list) -> ValueError:
        return ValueError(
            f'{type(self).__name__} "{self.name}" has num_oov_indices=0, but the vocabulary lacks '
            f"{tokens[:5]}. Set num_oov_indices=1 to give unknown tokens an index."
        )

    def _encode(self, index: Tensor) -> Tensor:
        """Indices as the output mode wants them."""
        mode = self.output_mode
        dtype = self.output_dtype(mode)
        encoded = encode(index, "count" if mode == "tf_idf" else mode, self._depth, dtype)
        return encoded if self._idf is None else encoded.to(self._idf.device) * self._idf

    @property
    def _depth(self) -> int:
        padded = self.pad_to_max_tokens and self.max_tokens is not None
        return self.max_tokens if padded else self.vocabulary_size()  # type: ignore[return-value]

    # Configuration

    def own_weights(self) -> list:
        """None: the vocabulary is part of the configuration."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, the learned vocabulary included."""
        config = {**super().get_config(), "vocabulary": None, "idf_weights": None}
        if self._tokens:
            config["vocabulary"] = self.get_vocabulary()
            if self._idf is not None:
                config["idf_weights"] = self._idf[: self.vocabulary_size()].tolist()
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> VocabularyLayer:
        """Make the layer again with its vocabulary; it may be adapted anew."""
        made = {key: deserialize(value, custom_objects) for key, value in config.items()}
        vocabulary, weights = made.pop("vocabulary", None), made.pop("idf_weights", None)
        if isinstance(vocabulary, str):
            # A configuration may come from a stranger; it must not choose files to read.
            raise ValueError(
                f"{cls.__name__}: a configuration holds the vocabulary itself, not the name of a "
                "file. Call set_vocabulary(path) after loading."
            )
        layer = cls(**made)
        if vocabulary is not None:
            layer.set_vocabulary(vocabulary, weights)
        return layer
