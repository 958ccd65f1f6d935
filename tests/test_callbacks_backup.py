"""The callback that keeps copies of a run; what a run's state is, is tested with training."""

import inspect

import pytest
import torch

import kerasish
from kerasish import layers
from kerasish.callbacks import BackupAndRestore, Callback
from kerasish.saving.archive import ArchiveError


class Stopped(Exception):
    pass


class StopAt(Callback):
    def __init__(self, epoch, batch):
        self.place = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise Stopped


class Seen(Callback):
    def __init__(self):
        self.batches = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.batches.append((self.epoch, batch))


def train(*watchers, epochs=3):
    kerasish.utils.set_random_seed(0)
    model = kerasish.Sequential([layers.Input((3,)), layers.Dense(1)])
    model.compile("adam", "mse")
    x = torch.randn(20, 3)
    model.fit(x, x[:, :1], 5, epochs, callbacks=list(watchers), verbose=0)
    return model


def stop(*watchers, epoch, batch):
    with pytest.raises(Stopped):
        train(*watchers, StopAt(epoch, batch))


def first_after(tmp_path, *, epoch, batch, **options):
    """Where a run goes on that was stopped after a batch (of four an epoch)."""
    stop(BackupAndRestore(tmp_path, **options), epoch=epoch, batch=batch)
    seen = Seen()
    train(seen, BackupAndRestore(tmp_path, **options))
    return seen.batches[0]


def test_arguments_are_those_of_keras():
    keras = pytest.importorskip("keras")

    theirs = inspect.signature(keras.callbacks.BackupAndRestore).parameters
    ours = inspect.signature(BackupAndRestore).parameters

    assert {name: p.default for name, p in theirs.items()}.items() <= {
        name: p.default for name, p in ours.items()
    }.items()
    assert list(ours)[: len(theirs)] == list(theirs)


@pytest.mark.parametrize("save_freq", ["batch", 0, -1, 2.0, True])
def test_a_strange_frequency_is_refused(save_freq):
    with pytest.raises(ValueError, match='`save_freq` must be "epoch" or a positive number'):
        BackupAndRestore("folder", save_freq)


def test_an_empty_folder_name_is_refused():
    with pytest.raises(ValueError, match="must name a folder"):
        BackupAndRestore("")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (1, 0)),
        ({"save_freq": 1}, (1, 2)),
        ({"save_freq": 3}, (1, 2)),
        ({"save_freq": 5}, (1, 1)),
        ({"save_freq": 50}, (0, 0)),
        ({"every_seconds": 0.0}, (1, 2)),
    ],
    ids=str,
)
def test_copies_are_as_frequent_as_asked(options, expected, tmp_path):
    assert first_after(tmp_path, epoch=1, batch=2, **options) == expected


def test_copies_are_deleted_when_training_ends_by_itself(tmp_path):
    folder = tmp_path / "run"

    train(BackupAndRestore(folder))

    assert not folder.exists()


def test_other_files_in_the_folder_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")

    train(BackupAndRestore(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_copies_stay_when_asked_or_when_something_else_ended_training(tmp_path):
    train(BackupAndRestore(tmp_path / "a", delete_checkpoint=False))
    stop(BackupAndRestore(tmp_path / "b"), epoch=0, batch=1)

    assert (tmp_path / "a" / "run.kerasish").exists()
    assert (tmp_path / "b" / "run.kerasish").exists()


def test_an_unfinished_file_of_a_killed_writer_is_swept_away(tmp_path):
    (tmp_path / ".run.kerasish.0f3a.tmp").write_bytes(b"half of it")

    train(BackupAndRestore(tmp_path, delete_checkpoint=False))

    assert [path.name for path in tmp_path.iterdir()] == ["run.kerasish"]


def test_the_copy_before_is_used_when_the_last_is_damaged(tmp_path, capsys):
    options = {"double_checkpoint": True}
    stop(BackupAndRestore(tmp_path, **options), epoch=2, batch=1)
    last = tmp_path / "run.kerasish"
    last.write_bytes(last.read_bytes()[:-40])
    seen = Seen()

    model = train(seen, BackupAndRestore(tmp_path, **options))

    assert seen.batches[0] == (1, 0)
    assert "Going on from the copy before it" in capsys.readouterr().out
    expected = train()
    for weight, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(weight, other)


def test_a_damaged_copy_without_another_is_an_error(tmp_path):
    (tmp_path / "run.kerasish").write_bytes(b"PK\x03\x04 nonsense")

    with pytest.raises(ArchiveError, match="Cannot read"):
        train(BackupAndRestore(tmp_path))


def test_two_of_them_are_refused(tmp_path):
    with pytest.raises(ValueError, match="only one BackupAndRestore can be used"):
        train(BackupAndRestore(tmp_path / "a"), BackupAndRestore(tmp_path / "b"))


def test_it_comes_last_wherever_it_is_listed(tmp_path):
    seen = []

    class Keep(BackupAndRestore):
        def save(self, epoch, batch):
            seen.append("copy")

    class Mark(Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append("other")

    train(Keep(tmp_path, save_freq=1), Mark(), epochs=1)

    assert seen[1:] == ["other", "copy"] * 4
