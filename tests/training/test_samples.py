"""Augmentation layers in a model: what they draw depends on seed, epoch and sample alone."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler

import kerasish
from kerasish import layers
from kerasish.data.batch_source import BatchSource
from kerasish.layers import augmentation

ROWS = 24


class Recorder(layers.Layer):
    """Keeps the images that it sees in training, and the pixel that tells which sample it is."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seen = []

    def forward(self, x):
        if self.training and torch.is_grad_enabled():
            self.seen.append(x.detach().clone())
        return x

    def by_sample(self):
        """What was seen of each sample, epoch after epoch: {number: images}."""
        found = {}
        for image in torch.cat(self.seen):
            # Brightness moves all pixels of an image alike: what lies between two tells the sample.
            number = round(float(image[0, 0, 1] - image[0, 0, 0]) * 100)
            found.setdefault(number, []).append(image)
        return {number: torch.stack(images) for number, images in found.items()}


def images():
    """Grey images; two pixels of image n differ by n / 100."""
    x = torch.full((ROWS, 1, 4, 4), 0.2)
    x[:, 0, 0, 1] += torch.arange(ROWS) / 100
    return x


def targets():
    return torch.linspace(0, 1, ROWS)[:, None]


def make(seed=3):
    recorder = Recorder()
    model = kerasish.Sequential(
        [
            layers.Input((1, 4, 4)),
            layers.RandomBrightness(0.1, value_range=(-10, 10), seed=seed),
            recorder,
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    return model, recorder


def seen(source="arrays", batch_size=4, epochs=2, **kwargs):
    """Fit; returns what was seen of each sample."""
    kerasish.utils.set_random_seed(0)
    model, recorder = make()
    x, y = images(), targets()
    fit_on(model, source, x, y, batch_size, epochs=epochs, verbose=0, **kwargs)
    return recorder.by_sample()


class Rows(Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return self.x[index], self.y[index]


def fit_on(model, source, x, y, batch_size, **kwargs):
    if source == "arrays":
        return model.fit(x, y, batch_size=batch_size, **kwargs)
    if source == "dataset":
        return model.fit(Rows(x, y), batch_size=batch_size, **kwargs)
    if source == "loader":
        return model.fit(DataLoader(TensorDataset(x, y), batch_size), **kwargs)
    if source == "workers":
        return model.fit(DataLoader(Rows(x, y), batch_size, num_workers=1), **kwargs)
    return model.fit(loader_of(source, Rows(x, y), batch_size), **kwargs)


class Backwards(torch.utils.data.Sampler):
    """A sampler that nobody knows, of batches that shrink."""

    def __iter__(self):
        rows = list(range(ROWS))[::-1]
        while rows:
            half = (len(rows) + 1) // 2
            yield rows[:half]
            rows = rows[half:]


def loader_of(name, rows, batch_size):
    """A user's loader that takes rows in an order of its own."""
    generator = torch.Generator().manual_seed(3)
    options = {
        "shuffled": {"shuffle": True},
        "drawn from a generator": {"shuffle": True, "generator": generator},
        "by workers": {"shuffle": True, "num_workers": 1},
        "by weights": {"sampler": WeightedRandomSampler(torch.rand(ROWS) + 1, ROWS, False)},
        "backwards": {"batch_sampler": Backwards()},
    }[name]
    if "batch_sampler" not in options:
        options["batch_size"] = batch_size
    return DataLoader(rows, **options)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for number, pictures in one.items():
        assert torch.equal(pictures, other[number]), f"sample {number}"


REFERENCE = {"batch_size": 4, "shuffle": False}


@pytest.fixture(scope="module")
def expected():
    return seen(**REFERENCE)


def test_what_is_seen_differs_by_sample_and_epoch(expected):
    shifts = torch.stack([expected[number][:, 0, 3, 3] for number in range(ROWS)])
    assert shifts.unique().numel() == 2 * ROWS


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 8, "shuffle": False},
        {"batch_size": 7, "shuffle": False},
        {"batch_size": 4},
        {"batch_size": 24, "shuffle": "batch"},
        {"source": "dataset", "batch_size": 8},
        {"source": "dataset", "batch_size": 5, "shuffle": False},
        {"source": "loader", "batch_size": 8},
        {"source": "workers", "batch_size": 4},
        {"source": "shuffled", "batch_size": 5},
        {"source": "drawn from a generator", "batch_size": 8},
        {"source": "by workers", "batch_size": 4},
        {"source": "by weights", "batch_size": 8},
        {"source": "backwards"},
        {"source": "shuffled", "batch_size": 4, "epochs": 4, "steps_per_epoch": 3},
        {"batch_size": 4, "epochs": 4, "steps_per_epoch": 3},
        {"batch_size": 4, "validation_split": 0.0},
    ],
    ids=str,
)
def test_batch_size_order_and_source_change_nothing(options, expected):
    assert_same(seen(**options), expected)


def test_the_tail_that_validates_takes_no_numbers_away(expected):
    part = seen(batch_size=6, validation_split=0.25)
    assert part.keys() == set(range(18))
    assert_same(part, {number: expected[number] for number in part})


def test_it_is_what_a_sample_context_gives(expected):
    layer = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=3)
    for epoch in range(2):
        with augmentation.sample_context(range(ROWS), epoch):
            whole = layer(images(), training=True)
        for number in range(ROWS):
            assert torch.equal(whole[number], expected[number][epoch])


def test_accumulated_batches_see_what_the_big_batch_sees():
    weights = []
    for batch_size, steps in ((8, 1), (4, 2)):
        kerasish.utils.set_random_seed(0)
        model, _ = make()
        model.compile("sgd", "mse", accumulate_steps=steps)
        model.fit(images(), targets(), batch_size=batch_size, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_second_fit_goes_on_counting_and_initial_epoch_says_where(expected):
    kerasish.utils.set_random_seed(0)
    model, recorder = make()
    x, y = images(), targets()
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert_same(recorder.by_sample(), expected)
    model, recorder = make()
    model.fit(x, y, batch_size=8, initial_epoch=1, epochs=2, verbose=0)
    assert_same(recorder.by_sample(), {n: pictures[1:] for n, pictures in expected.items()})


class Stop(kerasish.callbacks.Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.place, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            raise KeyboardInterrupt


@pytest.mark.parametrize("source", ["arrays", "dataset", "loader", "shuffled"])
def test_a_resumed_fit_sees_what_the_whole_one_saw(source, tmp_path):
    kerasish.utils.set_random_seed(0)
    model, recorder = make()
    x, y = images(), targets()
    fit_on(model, source, x, y, 4, epochs=3, verbose=0)
    whole = recorder.seen
    backup = kerasish.callbacks.BackupAndRestore(tmp_path, save_freq=2)
    kerasish.utils.set_random_seed(0)
    model, recorder = make()
    with pytest.raises(KeyboardInterrupt):
        fit_on(model, source, x, y, 4, epochs=3, verbose=0, callbacks=[backup, Stop(1, 4)])
    kerasish.utils.set_random_seed(5)
    model, recorder = make(seed=8)
    backup = kerasish.callbacks.BackupAndRestore(tmp_path, save_freq=2)
    fit_on(model, source, x, y, 4, epochs=3, verbose=0, callbacks=[backup])
    assert len(recorder.seen) == 8
    for a, b in zip(recorder.seen, whole[-8:], strict=True):
        assert torch.equal(a, b)


def order_of(batches):
    return [round(float(x[0, 0, 1] - x[0, 0, 0]) * 100) for batch in batches for x in batch]


@pytest.mark.parametrize("source", ["shuffled", "drawn from a generator"])
def test_a_loader_keeps_its_order_when_it_is_followed(source):
    orders = []
    for layer in (layers.RandomBrightness(0.1, value_range=(-10, 10)), layers.Activation("linear")):
        kerasish.utils.set_random_seed(0)
        recorder = Recorder()
        stack = [layers.Input((1, 4, 4)), layer, recorder, layers.Flatten(), layers.Dense(1)]
        model = kerasish.Sequential(stack)
        model.compile("sgd", "mse")
        fit_on(model, source, images(), targets(), 5, epochs=2, verbose=0)
        orders.append(order_of(recorder.seen))

    assert orders[0] == orders[1]
    assert sorted(orders[0][:ROWS]) == list(range(ROWS))


def as_pairs(rows):
    return torch.stack([x for x, _ in rows]).repeat(2, 1, 1, 1), torch.zeros(2 * len(rows), 1)


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 4, "num_workers": 1, "persistent_workers": True},
        {"batch_size": 4, "collate_fn": as_pairs},
        {"batch_size": None},
    ],
    ids=["workers that stay", "more rows than numbers", "batches that the data make"],
)
def test_places_stand_for_numbers_where_no_loader_tells_them(options):
    data = Rows(images(), targets())
    if options["batch_size"] is None:
        data = TensorDataset(images().reshape(6, 4, 1, 4, 4), targets().reshape(6, 4, 1))
    kerasish.utils.set_random_seed(0)
    model, recorder = make()

    model.fit(DataLoader(data, **options), epochs=2, verbose=0)

    assert set(order_of(recorder.seen)) == set(range(ROWS))


def test_layers_inside_layers_and_by_lot_know_the_samples_too():
    found = []
    for batch_size in (4, 6):
        kerasish.utils.set_random_seed(0)
        recorder = Recorder()
        bright = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=1)
        part = kerasish.Sequential(
            [layers.Input((1, 4, 4)), augmentation.RandomApply([bright], 0.5, seed=2), bright]
        )
        model = kerasish.Sequential([part, recorder, layers.Flatten(), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(images(), targets(), batch_size=batch_size, epochs=2, verbose=0)
        found.append(recorder.by_sample())
    assert_same(*found)


def test_two_views_of_a_batch_differ():
    recorder = Recorder()
    augment = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=1)
    inputs = layers.Input((1, 4, 4))
    views = [recorder(augment(inputs)), recorder(augment(inputs))]
    model = kerasish.Model(inputs, layers.Dense(1)(layers.Flatten()(views[0] - views[1])))
    model.compile("sgd", "mse")
    model.fit(images(), targets(), batch_size=4, shuffle=False, verbose=0)
    pairs = recorder.by_sample()
    assert all(not torch.equal(one, other) for one, other in pairs.values())


def test_the_frames_of_a_sample_are_told_apart():
    found = []
    for batch_size in (4, 8):
        kerasish.utils.set_random_seed(0)
        recorder = Recorder()
        bright = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=1)
        model = kerasish.Sequential(
            [
                layers.Input((2, 1, 4, 4)),
                layers.TimeDistributed(bright),
                layers.TimeDistributed(recorder),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
        model.compile("sgd", "mse")
        clips = images()[:, None].expand(-1, 2, -1, -1, -1)
        model.fit(clips, targets(), batch_size=batch_size, verbose=0)
        found.append(recorder.by_sample())
    assert_same(*found)
    assert all(not torch.equal(one, other) for one, other in found[0].values())


def test_nothing_is_told_after_fit_or_an_error_in_it():
    def fail(model):
        raise RuntimeError("stop")

    model, _ = make()
    model.fit(images(), targets(), verbose=0)
    assert augmentation.draws.current_samples() is None
    callback = kerasish.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: fail(model))
    with pytest.raises(RuntimeError, match="stop"):
        model.fit(images(), targets(), verbose=0, callbacks=[callback])
    assert augmentation.draws.current_samples() is None


def test_a_train_step_of_ones_own_sees_the_same(expected):
    class Own(kerasish.Sequential):
        def train_step(self, data):
            x, y = data
            loss = ((self(x, training=True) - y) ** 2).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            return {"loss": loss}

    recorder = Recorder()
    bright = layers.RandomBrightness(0.1, value_range=(-10, 10), seed=3)
    model = Own([layers.Input((1, 4, 4)), bright, recorder, layers.Flatten(), layers.Dense(1)])
    model.compile("sgd")
    model.fit(images(), targets(), batch_size=6, epochs=2, verbose=0)
    assert_same(recorder.by_sample(), expected)


def test_a_source_of_batches_hears_of_all_fits_before():
    heard = []

    class Source(BatchSource):
        def __len__(self):
            return 8

        def batch(self, indices, epoch=None):
            heard.append(epoch)
            rows = torch.tensor(indices)
            return images()[rows], targets()[rows]

    model, _ = make()
    source = Source()
    for options in ({"epochs": 2}, {"epochs": 1}, {"initial_epoch": 7, "epochs": 8}):
        model.fit(source, batch_size=8, verbose=0, **options)
    model.evaluate(source, batch_size=8, verbose=0)
    assert heard[-5:] == [0, 1, 2, 7, 0]


@pytest.mark.parametrize("source", ["arrays", "dataset"])
def test_the_order_of_an_epoch_is_drawn_once(source, monkeypatch):
    drawn, draw = [], torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda n, **kw: drawn.append(n) or draw(n, **kw))

    seen(source, epochs=3, shuffle=True)

    assert drawn.count(ROWS) == 3
