"""Batches of sounds read from a folder with one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish.data.batch_source import BatchSource
from kerasish.data.folder_index import index_folder
from kerasish.describe import describe
from kerasish.utils.folders import folder_batches
from kerasish.utils.wav import read_wav, resample


class SoundFiles(BatchSource):
    """WAV files, read when a batch of them is asked for.

    Args:
        paths: The files.
        labels: One row for each file, or `None`.
        rate: The sampling rate to bring them to; `None` keeps each file's own.
        length: Samples of each sound; `None` pads to the longest of a batch.
        ragged: Whether sounds are left as long as they are, in a list.
    """

    def __init__(
        self,
        paths: list[str],
        labels: Tensor | None,
        rate: int | None,
        length: int | None,
        ragged: bool,
    ) -> None:
        self.paths, self.labels = paths, labels
        self.rate, self.length, self.ragged = rate, length, ragged
        # Where nothing says how long sounds are, that depends on the others in a batch.
        self.is_fixed = True if length is not None and not ragged else None

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Any:
        """The sounds of these numbers, and their labels."""
        sounds: Any = [self._sound(self.paths[index]) for index in indices]
        if not self.ragged:
            self._check_channels(sounds, indices)
            sounds = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)
        return sounds if self.labels is None else (sounds, self.labels[indices])

    def _sound(self, path: str) -> Tensor:
        sound, rate = read_wav(path)
        if self.rate is not None:
            sound = resample(sound, rate, self.rate)
        if self.length is None:
            return sound
        sound = sound[: self.length]
        return torch.nn.functional.pad(sound, (0, 0, 0, self.length - len(sound)))

    def _check_channels(self, sounds: list[Tensor], indices: Sequence[int]) -> None:
        for sound, index in zip(sounds, indices, strict=True):
            if sound.shape[1] != sounds[0].shape[1]:
                raise ValueError(
                    "audio_dataset_from_directory: sounds in a batch must have the same number of "
                    f"channels, but {self.paths[indices[0]]} has {sounds[0].shape[1]} and "
                    f"{self.paths[index]} has {sound.shape[1]}. Convert one of them, or take "
                    "batch_size=None or ragged=True."
                )


def audio_dataset_from_directory(
    directory: str | os.PathLike,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Sequence[str] | None = None,
    batch_size: int | None = 32,
    sampling_rate: int | None = None,
    output_sequence_length: int | None = None,
    ragged: bool = False,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    verbose: bool = True,
) -> Any:
    """Batches of sounds from a folder of `.wav` files with one sub-folder per class.

    Samples are floats in [-1, 1]. The result is a `DataLoader` with `class_names`, `class_counts`
    and `file_paths`; use `.map` to turn sounds into spectrograms.

    Shapes:
        sounds: `(batch, samples, channels)` float32; padded with zeros to the longest of the
            batch, or to `output_sequence_length`. With `ragged`, a list of `(samples, channels)`
        labels: `(batch,)` int64 for `label_mode="int"`, `(batch, classes)` float32 for
            `"categorical"`, `(batch, 1)` float32 for `"binary"`

    Args:
        directory: The folder.
        labels: `"inferred"` from the sub-folders, `None` for sounds alone, or one integer for
            each file in the sorted order of their paths.
        label_mode: `"int"`, `"categorical"`, `"binary"`, or `None` for sounds alone.
        class_names: The sub-folders in the order of their numbers; sorted by default.
        batch_size: Sounds in a batch; `None` gives them one by one.
        sampling_rate: The rate in Hz to bring all sounds to; each keeps its own by default.
        output_sequence_length: Samples of each sound, counted after resampling: longer ones are
            cut, shorter ones padded.
        ragged: Whether each sound stays as long as it is.
        shuffle: Whether to shuffle the files, before a split and, for training, each epoch.
        seed: Makes split and orders repeat.
        validation_split: The share of files for validation, in (0, 1).
        subset: `"training"`, `"validation"`, or `"both"` for the two as a tuple.
        follow_links: Whether to enter sub-folders that are symbolic links.
        verbose: Whether to print how many files and classes were found.

    Returns:
        `Batches`, or a tuple of two for `subset="both"`.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If options contradict each other or the folder; and, while reading, if a file
            is no WAV file, or the numbers of channels differ in a batch.
    """
    _check_count("sampling_rate", sampling_rate)
    _check_count("output_sequence_length", output_sequence_length)
    if ragged and output_sequence_length is not None:
        raise ValueError(
            "audio_dataset_from_directory: with ragged=True each sound keeps its length; leave "
            "`output_sequence_length` out, or `ragged`."
        )
    index = index_folder(directory, labels, class_names, (".wav",), follow_links)
    return folder_batches(
        index,
        lambda paths, rows, _: SoundFiles(
            paths, rows, sampling_rate, output_sequence_length, ragged
        ),
        label_mode=label_mode,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        validation_split=validation_split,
        subset=subset,
        verbose=verbose,
    )


def _check_count(name: str, value: Any) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ValueError(
            f"audio_dataset_from_directory: `{name}` must be a positive integer or None, got "
            f"{describe(value)}."
        )
