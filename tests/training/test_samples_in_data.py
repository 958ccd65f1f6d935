"""Augmentation layers in a data set draw as they would in the model, and go on after a stop."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers, utils
from kerasish.data.batch_source import BatchSource
from kerasish.utils.batches import Batches
from tests.training.test_samples import (
    REFERENCE,
    ROWS,
    Recorder,
    Stop,
    assert_same,
    images,
    seen,
    targets,
)


class Augmented(Dataset):
    """Changes each image as it is read."""

    def __init__(self, seed=3):
        self.x, self.y = images(), targets()
        self.bright = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=seed)

    def __len__(self):
        return ROWS

    def __getitem__(self, index):
        return self.bright(self.x[index]), self.y[index]


class Together(Augmented):
    """Changes the images of a batch together."""

    def __getitems__(self, indices):
        return list(zip(self.bright(self.x[indices]), self.y[indices], strict=True))


class Plain(BatchSource):
    def __len__(self):
        return ROWS

    def batch(self, indices, epoch=None):
        return images()[list(indices)], targets()[list(indices)]


def mapped(batch_size, shuffle):
    bright = Augmented().bright
    batches = Batches(Plain(), batch_size=batch_size, shuffle=shuffle)
    return batches.map(lambda x, y: (bright(x, training=True), y))


class ByNumber(utils.PyDataset):
    """Makes batches of changed images."""

    def __init__(self, batch_size, **options):
        super().__init__(**options)
        self.data, self.batch_size = Augmented(), batch_size

    def __len__(self):
        return -(-ROWS // self.batch_size)

    def __getitem__(self, number):
        rows = slice(number * self.batch_size, (number + 1) * self.batch_size)
        return self.data.bright(self.data.x[rows]), self.data.y[rows]


def by_number(**options):
    return lambda batch_size, shuffle: ByNumber(batch_size, **options)


def loader(data, **options):
    return lambda batch_size, shuffle: DataLoader(data(), batch_size, shuffle, **options)


def twice(worker):
    """A function for workers, which looks at their data set."""
    assert type(torch.utils.data.get_worker_info().dataset) is Augmented


LOADERS = {
    "loader": loader(Augmented),
    "loader of several": loader(Together),
    "workers": loader(Augmented, num_workers=2),
    "mapped": mapped,
    "batches by number": by_number(),
    "batches by number in threads": by_number(workers=3),
    "batches by number in processes": by_number(workers=2, use_multiprocessing=True),
}


def fit_on(model, source, batch_size=4, shuffle=True, **kwargs):
    if source in LOADERS:
        data = LOADERS[source](batch_size, shuffle)
        return model.fit(data, shuffle=shuffle, verbose=0, **kwargs)
    data = Together() if source == "data set of several" else Augmented()
    return model.fit(data, batch_size=batch_size, shuffle=shuffle, verbose=0, **kwargs)


def model_of_data():
    recorder = Recorder()
    model = kerasish.Sequential(
        [layers.Input((1, 4, 4)), recorder, layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    return model, recorder


@pytest.fixture(scope="module")
def expected():
    return seen(**REFERENCE)


SOURCES = [*LOADERS, "data set", "data set of several"]
# What makes batches by number tells a row's place, not its number: a short last batch has others.
OF_ROWS = [source for source in SOURCES if "by number" not in source]


@pytest.mark.parametrize("source", OF_ROWS)
@pytest.mark.parametrize("options", [(4, False), (5, True)], ids=["in order", "shuffled"])
def test_layers_in_data_draw_as_those_in_a_model(source, options, expected):
    model, recorder = model_of_data()

    fit_on(model, source, *options, epochs=2)

    assert_same(recorder.by_sample(), expected)


@pytest.mark.parametrize("source", SOURCES)
def test_a_second_fit_goes_on_counting(source, expected):
    model, recorder = model_of_data()

    fit_on(model, source)
    fit_on(model, source)

    assert_same(recorder.by_sample(), expected)


@pytest.mark.parametrize("source", SOURCES)
def test_a_resumed_fit_sees_what_the_whole_one_saw(source, tmp_path):
    kerasish.utils.set_random_seed(0)
    model, recorder = model_of_data()
    fit_on(model, source, epochs=3)
    whole = recorder.seen
    backup = kerasish.callbacks.BackupAndRestore(tmp_path, save_freq=2)
    kerasish.utils.set_random_seed(0)
    model, recorder = model_of_data()
    with pytest.raises(KeyboardInterrupt):
        fit_on(model, source, epochs=3, callbacks=[backup, Stop(1, 4)])

    model, recorder = model_of_data()
    fit_on(model, source, epochs=3, callbacks=[backup])

    assert len(recorder.seen) == 8
    for a, b in zip(recorder.seen, whole[-8:], strict=True):
        assert torch.equal(a, b)


def test_workers_whose_function_looks_at_their_data_are_left_alone():
    model, recorder = model_of_data()

    model.fit(DataLoader(Augmented(), 6, num_workers=1, worker_init_fn=twice), verbose=0)

    assert len(torch.cat(recorder.seen)) == ROWS


def scaled(rows):
    """Puts rows together as the data set that a worker reads has it."""
    factor = torch.utils.data.get_worker_info().dataset.factor
    return tuple(factor * torch.stack(parts) for parts in zip(*rows, strict=True))


def test_code_in_a_worker_may_look_at_the_data_set_that_it_reads():
    data = Augmented()
    data.factor = 0.0
    model, recorder = model_of_data()

    model.fit(DataLoader(data, 6, num_workers=1, collate_fn=scaled), verbose=0)

    assert not torch.cat(recorder.seen).any()


def test_data_of_names_in_the_place_of_numbers_are_read_as_they_are():
    class Named(Augmented):
        def __getitem__(self, name):
            return super().__getitem__(int(name))

    names = [str(number) for number in range(ROWS)]
    model, recorder = model_of_data()

    model.fit(DataLoader(Named(), 6, sampler=names), verbose=0)

    assert len(torch.cat(recorder.seen)) == ROWS
