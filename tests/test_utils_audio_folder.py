"""Sounds from folders that the tests write, in batches."""

import inspect

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import layers, utils
from kerasish.utils.wav import read_wav, resample
from tests.test_utils_wav import write_pcm

LENGTHS = {"bark": [5, 9, 3], "meow": [7, 4]}


@pytest.fixture
def sounds(tmp_path):
    """Five files of one number each, which tells the file, and a note."""
    root = tmp_path / "sounds"
    number = 0
    for name, lengths in LENGTHS.items():
        (root / name).mkdir(parents=True)
        for i, length in enumerate(lengths):
            number += 1
            write_pcm(root / name / f"{i}.wav", np.full((length, 1), number * 1024), 2)
    (root / "bark" / "notes.txt").write_text("not a sound")
    return root


def load(root, **options):
    return utils.audio_dataset_from_directory(root, **{"verbose": False, **options})


def test_sounds_come_in_batches_padded_to_the_longest(sounds):
    batches = load(sounds, batch_size=3, shuffle=False)

    (first, labels), (second, more) = batches

    assert batches.class_names == ["bark", "meow"]
    assert batches.class_counts == {"bark": 3, "meow": 2}
    assert (first.shape, second.shape) == ((3, 9, 1), (2, 7, 1))
    assert first.dtype == torch.float32
    assert torch.cat([labels, more]).tolist() == [0, 0, 0, 1, 1]
    assert first[0, :, 0].tolist() == [1 / 32] * 5 + [0.0] * 4
    assert second.sum((1, 2)).tolist() == [7 * 4 / 32, 4 * 5 / 32]


def test_sounds_are_cut_and_padded_to_the_length_asked_for(sounds):
    (batch,) = load(sounds, output_sequence_length=4, shuffle=False, labels=None)

    assert batch.shape == (5, 4, 1)
    assert (batch != 0).sum((1, 2)).tolist() == [4, 4, 3, 4, 4]


def test_sounds_are_brought_to_one_rate_before_they_are_cut(tmp_path):
    tone = (8000 * np.sin(np.arange(4000) / 4)).astype(int)[:, None]
    write_pcm(tmp_path / "slow.wav", tone, 2, rate=8000)
    write_pcm(tmp_path / "fast.wav", tone, 2, rate=16_000)

    (batch,) = load(
        tmp_path, labels=None, sampling_rate=16_000, output_sequence_length=6000, shuffle=False
    )

    fast, slow = batch
    assert_close(slow, resample(read_wav(tmp_path / "slow.wav")[0], 8000, 16_000)[:6000])
    assert_close(fast[:4000], read_wav(tmp_path / "fast.wav")[0])
    assert fast[4000:].abs().max() == 0


def test_ragged_sounds_stay_as_long_as_they_are(sounds):
    ((batch, _),) = load(sounds, ragged=True, shuffle=False)

    assert [len(sound) for sound in batch] == [5, 9, 3, 7, 4]


def test_sounds_come_one_by_one_without_a_batch_size(sounds):
    rows = list(load(sounds, batch_size=None, shuffle=False))

    assert [tuple(sound.shape) for sound, _ in rows] == [(n, 1) for n in (5, 9, 3, 7, 4)]
    assert [int(label) for _, label in rows] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("label_mode", "first"), [("binary", [0.0]), ("categorical", [1.0, 0.0]), ("int", 0)]
)
def test_labels_take_the_form_asked_for(sounds, label_mode, first):
    ((_, labels),) = load(sounds, label_mode=label_mode, shuffle=False)

    assert labels[0].tolist() == first


def test_parts_of_a_split_share_no_file(sounds):
    train, validation = load(sounds, validation_split=0.4, subset="both", seed=1)

    assert len(train.file_paths) == 3
    assert len({*train.file_paths, *validation.file_paths}) == 5


def test_sounds_become_spectrograms_by_map(sounds):
    spectrogram = layers.STFTSpectrogram(frame_length=4, frame_step=2, fft_length=4)

    batches = load(sounds, output_sequence_length=16).map(lambda x, y: (spectrogram(x), y))

    ((images, labels),) = batches
    assert images.shape[0] == len(labels) == 5
    assert images.ndim == 3


def test_numbers_of_channels_must_agree_in_a_batch(tmp_path):
    write_pcm(tmp_path / "one.wav", np.ones((4, 1)), 2)
    write_pcm(tmp_path / "two.wav", np.ones((4, 2)), 2)

    with pytest.raises(ValueError, match=r"one\.wav has 1 and .*two\.wav has 2"):
        list(load(tmp_path, labels=None, shuffle=False))


def test_broken_file_is_an_error_that_names_it(sounds):
    (sounds / "meow" / "2.wav").write_text("text")

    with pytest.raises(ValueError, match=r"meow.2\.wav: it is no WAV file"):
        list(load(sounds))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampling_rate": 0}, "`sampling_rate` must be a positive integer or None, got 0"),
        ({"sampling_rate": 8e3}, "`sampling_rate` must be"),
        ({"output_sequence_length": -1}, "`output_sequence_length` must be"),
        ({"output_sequence_length": 4, "ragged": True}, "with ragged=True each sound keeps"),
        ({"label_mode": "words"}, "`label_mode` must be"),
    ],
)
def test_contradicting_options_are_refused(sounds, options, words):
    with pytest.raises(ValueError, match=words):
        load(sounds, **options)


def test_arguments_are_those_of_keras():
    keras = pytest.importorskip("keras")
    theirs = inspect.signature(keras.utils.audio_dataset_from_directory).parameters
    ours = inspect.signature(utils.audio_dataset_from_directory).parameters

    assert {k: p.default for k, p in ours.items()} == {k: p.default for k, p in theirs.items()}
    assert list(ours) == list(theirs)
