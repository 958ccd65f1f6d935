import pytest
from fake_fit import FakeModel, fake_fit

from kerasish.callbacks import ModelCheckpoint

LOGS = [
    {"loss": 1.0, "val_loss": 0.5},
    {"loss": 0.8, "val_loss": 0.7},
    {"loss": 0.6, "val_loss": 0.4},
]


def _files(folder):
    return {path.name: float(path.read_text()) for path in sorted(folder.iterdir())}


def test_every_epoch_is_saved_under_its_name(tmp_path):
    fake_fit([ModelCheckpoint(tmp_path / "m-{epoch:02d}-{val_loss:.2f}.k")], LOGS)

    assert _files(tmp_path) == {"m-01-0.50.k": 1, "m-02-0.70.k": 2, "m-03-0.40.k": 3}


def test_only_better_models_are_saved(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}.k", save_best_only=True)

    fake_fit([checkpoint], LOGS)

    assert _files(tmp_path) == {"1.k": 1, "3.k": 3}
    assert checkpoint.best == 0.4
    assert checkpoint.last_path == tmp_path / "3.k"


def test_a_threshold_must_be_beaten_first(tmp_path):
    checkpoint = ModelCheckpoint(
        tmp_path / "{epoch}.k", save_best_only=True, initial_value_threshold=0.45
    )

    fake_fit([checkpoint], LOGS)

    assert _files(tmp_path) == {"3.k": 3}


def test_weights_only_calls_save_weights(tmp_path):
    model = FakeModel()
    path = str(tmp_path / "w.safetensors")

    fake_fit([ModelCheckpoint(path, save_weights_only=True)], LOGS, model=model)

    assert model.saved == [("weights", path)] * 3


def test_saves_every_few_batches_across_epochs(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{loss:.0f}.k", save_freq=4)

    fake_fit([checkpoint], LOGS, steps=6, batch_logs=lambda e, b: {"loss": 10 * e + b})

    assert list(_files(tmp_path)) == ["1-4-3.k", "2-2-11.k", "2-6-15.k", "3-4-23.k"]


def test_batch_numbers_may_jump(tmp_path):
    checkpoint = ModelCheckpoint(tmp_path / "{batch}.k", save_freq=5)
    checkpoint.set_model(FakeModel())
    checkpoint.on_train_begin()
    checkpoint.on_epoch_begin(0)

    for batch in (2, 5, 8, 11):
        checkpoint.on_train_batch_end(batch, {})

    assert sorted(_files(tmp_path)) == ["12.k", "6.k"]


def test_only_the_last_files_are_kept(tmp_path):
    (tmp_path / "not-ours.k").write_text("0")

    fake_fit([ModelCheckpoint(tmp_path / "{epoch}.k", max_to_keep=2)], LOGS)

    assert list(_files(tmp_path)) == ["2.k", "3.k", "not-ours.k"]


def test_one_file_written_over_is_kept(tmp_path):
    fake_fit([ModelCheckpoint(tmp_path / "last.k", max_to_keep=1)], LOGS)

    assert _files(tmp_path) == {"last.k": 3}


def test_missing_folders_are_made(tmp_path):
    fake_fit([ModelCheckpoint(tmp_path / "a" / "{epoch}" / "m.k")], LOGS[:1])

    assert (tmp_path / "a" / "1" / "m.k").exists()


def test_verbose_says_what_is_saved(tmp_path, capsys):
    path = tmp_path / "m.k"

    fake_fit([ModelCheckpoint(path, save_best_only=True, verbose=1)], LOGS)

    assert capsys.readouterr().out == (
        f"ModelCheckpoint: epoch 1 saved to {path} (val_loss 0.5).\n"
        f"ModelCheckpoint: epoch 3 saved to {path} (val_loss 0.4, better than 0.5).\n"
    )


def test_a_batch_hook_exists_only_when_needed():
    from kerasish.callbacks import CallbackList

    assert not CallbackList(ModelCheckpoint("m.k")).overrides("on_train_batch_end")
    assert CallbackList(ModelCheckpoint("m.k", save_freq=3)).overrides("on_train_batch_end")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"filepath": "{val_los}.k"},
            "file name asks for 'val_los', which is not logged; did you mean",
        ),
        ({"filepath": "{batch}.k"}, "file name asks for 'batch'"),
        ({"filepath": "{val_loss}.k", "save_freq": 3}, "file name asks for 'val_loss'"),
        (
            {"filepath": "m.k", "save_best_only": True, "monitor": "auc"},
            "nothing is logged as 'auc'",
        ),
        ({"filepath": "m.k", "save_best_only": True, "save_freq": 3}, "end of an epoch only"),
    ],
    ids=["name", "batch", "val", "monitor", "freq"],
)
def test_mistakes_are_found_before_the_first_epoch(options, message):
    model = FakeModel()

    with pytest.raises(ValueError, match=message):
        fake_fit([ModelCheckpoint(**options)], LOGS, model=model)
    assert model.weight == 0


@pytest.mark.parametrize("options", [{"save_freq": "batch"}, {"save_freq": 0}, {"max_to_keep": 0}])
def test_wrong_numbers_are_errors(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        ModelCheckpoint("m.k", **options)


def test_an_unknown_monitor_does_not_matter_when_everything_is_saved(tmp_path):
    fake_fit([ModelCheckpoint(tmp_path / "m.k")], [{"loss": 1.0}])

    assert _files(tmp_path) == {"m.k": 1}


@pytest.mark.parametrize("name", ["{0}.k", "{.k", "{epoch:xx}.k", "{loss:,d.k"])
def test_a_name_that_cannot_be_filled_in_is_an_error_before_training(name, tmp_path):
    model = FakeModel()

    with pytest.raises(ValueError, match="cannot be filled in"):
        fake_fit([ModelCheckpoint(tmp_path / name)], LOGS, model=model)

    assert model.saved == []


def test_numbers_of_other_callbacks_may_be_whole(tmp_path):
    logs = [{"loss": 1.0, "steps": 7}]

    fake_fit([ModelCheckpoint(tmp_path / "{loss:.1f}-{steps:03d}.k")], logs)

    assert list(_files(tmp_path)) == ["1.0-007.k"]


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path):
    (tmp_path / "taken").write_text("a file")
    model = FakeModel()
    path = tmp_path / "taken" / "{epoch}.k"

    with pytest.raises(OSError, match="taken") as caught:
        fake_fit([ModelCheckpoint(path)], LOGS, model=model)

    assert f"ModelCheckpoint cannot write {path}; choose another filepath" in caught.value.__notes__
    assert model.saved == []
