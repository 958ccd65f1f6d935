"""Features of the frozen part for data sets, loaders and folders: the same bits as without."""

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
)

import kerasish
from kerasish import callbacks, layers
from kerasish.training import cache, storage


@pytest.fixture(autouse=True)
def _cheap_is_worth_it(monkeypatch):
    monkeypatch.setattr(cache, "WORTH", -1)


def network(side=12, channels=1):
    """A frozen convolution, and a head that draws random numbers."""
    kerasish.utils.set_random_seed(0)
    model = kerasish.Sequential(
        [
            layers.Input((channels, side, side)),
            layers.Rescaling(1 / 8),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(3, name="head"),
        ]
    )
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    model.freeze()
    return model


def arrays(rows=45):
    random = np.random.default_rng(0)
    x = torch.tensor(random.random((rows, 1, 12, 12)), dtype=torch.float32)
    return x, torch.arange(rows) % 3, torch.linspace(0.5, 2, rows)


class Foreign(Dataset):
    """Rows of a data set that says nothing about itself."""

    def __init__(self, *columns):
        self.columns, self.reads = columns, []

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, index):
        self.reads.append(index)
        return tuple(column[index] for column in self.columns)


def fitted(make_data, cache_frozen, *, make=network, **settings):
    """Losses, weights and the next random number of a fit on new data; and what it said."""
    model = make()
    kerasish.utils.set_random_seed(1)
    data = make_data()
    settings = {name: v() if callable(v) else v for name, v in settings.items()}
    settings = {"epochs": 3, "verbose": 0, **settings}
    if isinstance(data, Dataset):
        settings.setdefault("batch_size", 8)
    history = model.fit(data, cache_frozen=cache_frozen, **settings)
    return history.history, model.state_dict(), torch.rand(())


def assert_same_bits(got, want):
    assert got[0] == want[0]
    pairs = zip(got[1].values(), want[1].values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(got[2], want[2])


def loader(data=None, batch_size=8, **settings):
    def make():
        rows = TensorDataset(*arrays()) if data is None else data()
        return DataLoader(rows, batch_size, **settings)

    return make


def weighted():
    torch.manual_seed(3)
    return WeightedRandomSampler(torch.rand(45), 30)


def with_generator():
    generator = torch.Generator().manual_seed(5)
    return DataLoader(TensorDataset(*arrays()), 8, shuffle=True, generator=generator)


FIXED = {
    "subset": lambda: Subset(TensorDataset(*arrays()), list(range(44, 3, -1))),
    "loader": loader(),
    "shuffling loader": loader(shuffle=True),
    "loader without the last": loader(shuffle=True, drop_last=True),
    "one batch": loader(batch_size=64, shuffle=True),
    "own generator": with_generator,
    "drawn by weight": lambda: DataLoader(TensorDataset(*arrays()), 8, sampler=weighted()),
}
FOREIGN = {
    "data set": lambda: Foreign(*arrays()),
    "loader of a data set": loader(lambda: Foreign(*arrays()), shuffle=True),
    "workers": loader(lambda: Foreign(*arrays()), shuffle=True, num_workers=1),
}


@pytest.fixture
def said(monkeypatch):
    """What `fit` says of its cache."""
    lines = []
    monkeypatch.setattr(cache, "say", lines.append)
    return lines


@pytest.mark.parametrize("name", FIXED)
def test_data_that_are_known_to_stay_are_cached(name, said):
    got = fitted(FIXED[name], "auto", verbose=2)

    assert [line for line in said if "rows up to" in line]
    assert_same_bits(got, fitted(FIXED[name], False))


@pytest.mark.parametrize("name", FOREIGN)
def test_other_data_are_cached_where_the_user_promises(name, said):
    got = fitted(FOREIGN[name], True, verbose=2)

    assert [line for line in said if "45 rows up to" in line]
    assert_same_bits(got, fitted(FOREIGN[name], False))


@pytest.mark.parametrize("name", FOREIGN)
def test_they_are_left_alone_where_nobody_does(name, said):
    fitted(FOREIGN[name], "auto", verbose=2)

    assert said == []


def test_each_row_is_read_once_and_a_few_times_to_try():
    made = []

    def make():
        made.append(Foreign(*arrays()))
        return made[0]

    fitted(make, True, epochs=20, shuffle=True)

    # To look at the first batch, to begin the pass again, to try, and once for each row.
    assert len(made[0].reads) < 45 + 8 * 8


@pytest.mark.parametrize(
    "settings",
    [
        {"shuffle": False},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
        {"validation_data": lambda: Foreign(*arrays(20))},
        {"validation_data": lambda: DataLoader(Foreign(*arrays(20)), 7)},
        {"validation_data": lambda: DataLoader(TensorDataset(*arrays(20)), 7), "epochs": 4},
        {"validation_data": lambda: arrays(20)},
        {"validation_split": 0.2},
        {"steps_per_epoch": 4, "epochs": 5},
        {"validation_data": lambda: Foreign(*arrays(20)), "validation_steps": 2},
        {"validation_data": lambda: Foreign(*arrays(20)), "validation_freq": 2},
        {"batch_size": 7},
        {"batch_size": 45},
        {"batch_size": 64},
        {"batch_size": 15},
        {"batch_size": 22},
        {"batch_size": 1},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_settings_work_on_features_as_on_data(settings):
    got = fitted(FOREIGN["data set"], True, **settings)

    assert_same_bits(got, fitted(FOREIGN["data set"], False, **settings))


@pytest.mark.parametrize("settings", [{}, {"steps_per_epoch": 4, "epochs": 5}], ids=str)
@pytest.mark.parametrize("name", ["shuffling loader", "own generator"])
def test_settings_work_with_loaders(name, settings):
    validation = {"validation_data": loader(lambda: TensorDataset(*arrays(19)), shuffle=True)}

    got = fitted(FIXED[name], True, **settings, **validation)

    assert_same_bits(got, fitted(FIXED[name], False, **settings, **validation))


def test_validation_data_are_read_once():
    held = Foreign(*arrays(20))

    fitted(FOREIGN["data set"], True, epochs=20, validation_data=held)

    assert len(held.reads) < 20 + 8 * 8


class Tight(layers.Layer):
    """Nothing that is drawn, and numbers that another number of rows would round differently."""

    def build(self, shape):
        self.weight = self.add_weight(shape=(shape[-1], 5))

    def call(self, x):
        return torch.tanh(x @ self.weight + (1e-7 if len(x) == 5 else 0.0))


def test_a_short_last_batch_that_rounds_differently_is_made_anew():
    def make():
        kerasish.utils.set_random_seed(0)
        model = kerasish.Sequential([layers.Input((4,)), Tight(name="tight"), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.get_layer("tight").trainable = False
        return model

    def rows():
        torch.manual_seed(0)
        return Foreign(torch.rand(45, 4), torch.rand(45, 1))

    got = fitted(rows, True, make=make)

    assert_same_bits(got, fitted(rows, False, make=make))


def flipping():
    """Augmentation between the frozen part and the head."""
    kerasish.utils.set_random_seed(0)
    model = kerasish.Sequential(
        [
            layers.Input((1, 12, 12)),
            layers.Conv2D(4, 3, name="body"),
            layers.RandomFlip(seed=3),
            layers.Flatten(),
            layers.Dense(3, name="head"),
        ]
    )
    model.compile("adam", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.freeze("body")
    return model


@pytest.mark.parametrize("name", FOREIGN)
def test_augmentation_behind_the_frozen_part_sees_the_same_samples(name):
    got = fitted(FOREIGN[name], True, make=flipping)

    assert_same_bits(got, fitted(FOREIGN[name], False, make=flipping))


def thaw(model):
    model.unfreeze()


class At(callbacks.Callback):
    """Does something at the beginning of an epoch."""

    def __init__(self, epoch, action):
        super().__init__()
        self.epoch, self.action = epoch, action

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            self.action(self.model)


@pytest.mark.parametrize("name", ["loader of a data set", "data set"])
@pytest.mark.parametrize("settings", [{}, {"steps_per_epoch": 4}], ids=str)
def test_a_callback_that_thaws_goes_on_with_the_data(name, settings):
    got = fitted(FOREIGN[name], True, epochs=4, callbacks=At(2, thaw), **settings)

    want = fitted(FOREIGN[name], False, epochs=4, callbacks=At(2, thaw), **settings)
    assert_same_bits(got, want)


def freeze(model):
    model.freeze()


@pytest.mark.parametrize("name", ["loader of a data set", "data set"])
@pytest.mark.parametrize("settings", [{}, {"steps_per_epoch": 4}], ids=str)
def test_a_callback_that_freezes_begins_in_the_middle(name, settings, said):
    def make():
        model = network()
        model.unfreeze()
        return model

    settings = {"make": make, "epochs": 4, "callbacks": At(2, freeze), **settings}
    want = fitted(FOREIGN[name], False, **settings)
    made = FIXED["shuffling loader"] if "loader" in name else FIXED["subset"]

    fitted(made, "auto", verbose=2, **settings)
    assert [line for line in said if "rows up to" in line]
    assert_same_bits(fitted(FOREIGN[name], "auto", **settings), want)
    assert_same_bits(fitted(made, "auto", **settings), fitted(made, False, **settings))


@pytest.mark.parametrize("name", ["shuffling loader", "own generator", "subset"])
def test_a_run_goes_on_from_its_backup(name, tmp_path):
    def fail(model):
        raise RuntimeError("killed")

    want = fitted(FIXED[name], False, epochs=4)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(FIXED[name], True, epochs=4, callbacks=At(2, fail), resume=tmp_path)

    assert_same_bits(fitted(FIXED[name], True, epochs=4, resume=tmp_path), want)


@pytest.mark.parametrize("name", ["shuffling loader", "own generator", "subset"])
def test_a_run_goes_on_in_the_middle_of_an_epoch(name, tmp_path):
    class Fails(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 8:
                raise RuntimeError("killed")

    def backup():
        return callbacks.BackupAndRestore(tmp_path, save_freq=3)

    want = fitted(FIXED[name], False, epochs=4)
    with pytest.raises(RuntimeError, match="killed"):
        fitted(FIXED[name], True, epochs=4, callbacks=[backup(), Fails()])
    got = fitted(FIXED[name], True, epochs=4, callbacks=[backup()])

    # Backups close the sums of the mean loss more often, which rounds; weights know nothing of it.
    assert got[0]["loss"] == pytest.approx(want[0]["loss"], rel=1e-6)
    assert_same_bits(({}, *got[1:]), ({}, *want[1:]))


def test_features_go_to_a_file_where_memory_is_short(monkeypatch, said):
    want = fitted(FIXED["shuffling loader"], False)
    monkeypatch.setattr(storage, "free_memory", lambda: 1000)
    sizes = []
    on_disk = storage._on_disk
    monkeypatch.setattr(storage, "_on_disk", lambda size: sizes.append(size) or on_disk(size))

    assert_same_bits(fitted(FIXED["shuffling loader"], True), want)
    assert sizes


class Stream(IterableDataset):
    def __iter__(self):
        yield from zip(*arrays(), strict=True)


class Batches:
    def __iter__(self):
        yield from zip(*(column.split(8) for column in arrays()), strict=True)


class DrawsGlobally(Foreign):
    def __getitem__(self, index):
        torch.rand(())
        return super().__getitem__(index)


class DrawsByItself(Foreign):
    def __init__(self, *columns):
        super().__init__(*columns)
        self.random = np.random.default_rng(0)

    def __getitem__(self, index):
        x, y, weight = super().__getitem__(index)
        return x * float(self.random.random()), y, weight


class SaysNo(Foreign):
    is_fixed = False


def batches_of_two_sizes():
    order = BatchSampler(SequentialSampler(range(45)), 8, drop_last=False)
    return DataLoader(TensorDataset(*arrays()), batch_sampler=list(order)[::-1])


class Backwards(RandomSampler):
    pass


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stream(), "have no numbers"),
        (lambda: Batches(), "have no numbers"),
        (batches_of_two_sizes, "does not make batches of one size"),
        (
            lambda: DataLoader(Foreign(*arrays()), 8, sampler=Backwards(range(45))),
            "nobody knows which rows a Backwards takes",
        ),
        (lambda: DrawsGlobally(*arrays()), "reading its data draws random numbers"),
        (lambda: DrawsByItself(*arrays()), "its data differ when they are read again"),
        (lambda: SaysNo(*arrays()), "drawn anew in each epoch"),
    ],
)
def test_true_says_why_features_cannot_be(make, message):
    with pytest.raises(ValueError, match=f"cache_frozen=True, but .*{message}"):
        fitted(make, True)

    assert_same_bits(fitted(make, "auto"), fitted(make, False))


def test_a_data_set_may_say_that_it_stays_as_it_is(said):
    class Stays(Foreign):
        is_fixed = True

    fitted(lambda: Stays(*arrays()), "auto", verbose=2)

    assert [line for line in said if "rows up to" in line]


def test_fit_says_what_a_promise_would_save(said, monkeypatch):
    monkeypatch.setattr(cache, "_LONG", 0)

    def make():
        return DrawsByItself(*arrays())

    got = fitted(make, "auto", verbose=2)

    assert len(said) == 1
    assert "cache_frozen=True saves this" in said[0]
    assert_same_bits(got, fitted(make, False))  # nothing more was read for it


# Images of a folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    image = pytest.importorskip("PIL.Image")
    path = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for number in range(37):
        place = path / "abc"[number % 3]
        place.mkdir(exist_ok=True)
        pixels = random.integers(0, 256, (14, 13, 3), dtype=np.uint8)
        image.fromarray(pixels).save(place / f"{number:02}.png")
    return path


def images(folder, **settings):
    settings = {"image_size": (12, 12), "batch_size": 8, "seed": 3, "verbose": False, **settings}
    return kerasish.utils.image_dataset_from_directory(folder, **settings)


def colours():
    return network(channels=3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": False},
        {"dtype": "uint8"},
        {"augment": [layers.Resizing(12, 12)]},
        {"augment": [layers.RandomFlip(seed=1)], "training": False},
    ],
    ids=["plain", "in order", "uint8", "resized", "outside training"],
)
def test_folders_of_images_are_cached(folder, settings, said):
    if "Resizing" in str(settings):
        settings = {**settings, "image_size": None}
    parts = images(folder, validation_split=0.3, subset="both", **settings)

    got = fitted(
        lambda: images(folder, validation_split=0.3, subset="both", **settings)[0],
        "auto",
        make=colours,
        verbose=2,
        validation_data=parts[1],
    )

    want = fitted(lambda: parts[0], False, make=colours, validation_data=parts[1])
    assert_same_bits(got, want)
    assert [line for line in said if "26 rows up to" in line]


def test_augmented_folders_are_not(folder, said):
    def make():
        return images(folder, augment=[layers.RandomFlip(seed=1)])

    with pytest.raises(ValueError, match="drawn anew in each epoch, as augmentation is"):
        fitted(make, True, make=colours)
    fitted(make, "auto", make=colours, verbose=2)
    assert said == []


def test_functions_over_a_folder_need_a_promise(folder, said):
    def make():
        return images(folder).map(lambda x, y: (x * 2, y))

    fitted(make, "auto", make=colours, verbose=2)
    assert said == []

    got = fitted(make, True, make=colours, verbose=2)
    assert [line for line in said if "rows up to" in line]
    assert_same_bits(got, fitted(make, False, make=colours))
    with pytest.raises(ValueError, match="leaves out other rows"):
        fitted(lambda: images(folder).take(2), True, make=colours)


def test_folders_with_broken_files_are_not_cached(folder, tmp_path):
    import shutil

    broken = tmp_path / "images"
    shutil.copytree(folder, broken)
    (broken / "a" / "99.png").write_bytes(b"no image")

    def make():
        return images(broken, broken="skip")

    with pytest.warns(UserWarning, match="Skipped"):
        want = fitted(make, False, make=colours)
    with pytest.warns(UserWarning, match="Skipped"):
        assert_same_bits(fitted(make, "auto", make=colours), want)
    with (
        pytest.warns(UserWarning, match="Skipped"),
        pytest.raises(ValueError, match="some rows of its data cannot be read"),
    ):
        fitted(make, True, make=colours)


def test_packed_images_are_cached(folder, tmp_path, said):
    path = tmp_path / "images.kpk"
    kerasish.data.pack(folder, path, 12, verbose=False)

    def make():
        return kerasish.data.open_packed(path, [layers.Resizing(12, 12)])

    got = fitted(make, "auto", make=colours, verbose=2)

    assert [line for line in said if "37 rows up to" in line]
    assert_same_bits(got, fitted(make, False, make=colours))
