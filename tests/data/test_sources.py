"""Every kind of data with every option of fit gives the same numbers."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import kerasish
from kerasish import layers, losses, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

COUNT, BATCH = 50, 8
DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(COUNT, 4)).astype("float32")
Y = DRAW.integers(0, 3, COUNT)
W = DRAW.random(COUNT).astype("float32")


class Rows(Dataset):
    """A map-style dataset, row by row."""

    def __init__(self, *columns):
        self.columns = columns

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, i):
        return tuple(column[i] for column in self.columns)


class Stream(IterableDataset):
    """Rows, one after the other."""

    def __init__(self, *columns):
        self.columns = columns

    def __iter__(self):
        return zip(*self.columns, strict=True)


class Batches(kerasish.utils.PyDataset):
    """Keras's kind: batches by number."""

    def __init__(self, *columns):
        super().__init__()
        self.columns = columns

    def __len__(self):
        return -(-len(self.columns[0]) // BATCH)

    def __getitem__(self, i):
        return tuple(column[i * BATCH : (i + 1) * BATCH] for column in self.columns)


class Iterated:
    """Something that yields batches each time it is iterated."""

    def __init__(self, *columns):
        self.columns = columns

    def __iter__(self):
        return generator(*self.columns)


def generator(*columns):
    for i in range(0, len(columns[0]), BATCH):
        yield tuple(column[i : i + BATCH] for column in columns)


def endless(*columns):
    while True:
        yield from generator(*columns)


def frames(*columns):
    pandas = pytest.importorskip("pandas")
    x, *rest = columns
    return pandas.DataFrame(x, columns=list("abcd")), *map(pandas.Series, rest)


def tensors(*columns):
    return tuple(map(torch.tensor, columns))


# In memory: x, y and weights are given apart. Others bring all in one.
IN_MEMORY = {
    "numpy": lambda *columns: columns,
    "torch": tensors,
    "lists": lambda *columns: tuple(column.tolist() for column in columns),
    "frames": frames,
}
BRING_ALL = {
    "TensorDataset": lambda *columns: TensorDataset(*tensors(*columns)),
    "Dataset": Rows,
    "IterableDataset": Stream,
    "DataLoader": lambda *columns: DataLoader(Rows(*columns), batch_size=BATCH),
    "PyDataset": Batches,
    "iterable": Iterated,
    "generator": endless,
}
MAKE_BATCHES = ("DataLoader", "PyDataset", "iterable", "generator")
SOURCES = [*IN_MEMORY, *BRING_ALL]


def model_of(metrics=("accuracy",)):
    kerasish.utils.set_random_seed(3)
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(3)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizers.SGD(0.1),
        loss,
        metrics=list(metrics),
        weighted_metrics=["accuracy"],
        device="cpu",
    )
    return model


def fitted(source, *, weighted=False, **fit):
    """The logs of a fit on one kind of source."""
    columns = (X, Y, W) if weighted else (X, Y)
    if source in IN_MEMORY:
        x, y, *weight = IN_MEMORY[source](*columns)
        given = {"x": x, "y": y, "sample_weight": weight[0] if weight else None}
    else:
        given = {"x": BRING_ALL[source](*columns)}
    if source not in MAKE_BATCHES:
        given["batch_size"] = BATCH
    if source == "generator":
        fit.setdefault("steps_per_epoch", -(-COUNT // BATCH))
    model = model_of()
    settings = {"epochs": 3, "shuffle": False, "verbose": 0, **fit}
    history = model.fit(**given, **settings).history
    return {**history, "weights": np.concatenate([w.ravel() for w in model.get_weights()])}


def assert_same(one, other):
    assert list(one) == list(other)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], 1e-5, 1e-6, err_msg=name)


OPTIONS = {
    "plain": {},
    "class_weight": {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    "sample_weight": {"weighted": True},
    "both_weights": {"weighted": True, "class_weight": {0: 1.0, 1: 3.0, 2: 0.5}},
    "fewer_steps": {"steps_per_epoch": 3},
    "more_steps": {"steps_per_epoch": 9},
    "validation_data": {
        "validation_data": (X[:20], Y[:20]),
        "validation_steps": 2,
        "validation_batch_size": 8,
    },
}


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("source", SOURCES[1:])
def test_every_source_with_every_option_trains_as_arrays_do(source, option):
    assert_same(fitted(source, **OPTIONS[option]), fitted("numpy", **OPTIONS[option]))


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_may_be_the_validation_data(source):
    if source in IN_MEMORY:
        held = IN_MEMORY[source](X, Y, W)
    elif source == "generator":
        held = Iterated(X, Y, W)
    else:
        held = BRING_ALL[source](X, Y, W)

    logs = fitted("numpy", validation_data=held)

    expected = fitted("numpy", validation_data=(X, Y, W))
    assert_same(logs, expected)


@pytest.mark.parametrize("source", ["torch", "lists", "frames", "TensorDataset", "Dataset"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_tail_can_be_split_off_where_rows_can_be_counted(source, weighted):
    options = {"validation_split": 0.3, "weighted": weighted}

    assert_same(fitted(source, **options), fitted("numpy", **options))


@pytest.mark.parametrize("source", ["generator", "DataLoader", "iterable"])
def test_others_say_that_they_cannot_be_split(source):
    with pytest.raises(ValueError, match="validation_data"):
        fitted(source, validation_split=0.3)


@pytest.mark.parametrize("source", ["torch", "lists", "frames", "TensorDataset", "Dataset"])
def test_shuffling_follows_the_seed_whatever_the_source(source):
    assert_same(fitted(source, shuffle=True), fitted("numpy", shuffle=True))


@pytest.mark.parametrize("source", MAKE_BATCHES)
def test_a_batch_size_for_what_makes_its_own_batches_is_ignored_with_a_warning(source):
    expected = fitted(source)

    with pytest.warns(UserWarning, match=r"`batch_size` has no effect.*own batches") as caught:
        weights = fitted(source, batch_size=4)

    assert_same(weights, expected)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("source", BRING_ALL)
def test_targets_beside_a_source_that_brings_its_own_are_an_error(source):
    with pytest.raises(ValueError, match="`y` must not be given"):
        model_of().fit(BRING_ALL[source](X, Y), Y, verbose=0)


def test_a_generator_that_ends_stops_training_with_a_warning():
    model = model_of()

    with pytest.warns(UserWarning, match="ran out"):
        history = model.fit(generator(X, Y), epochs=3, verbose=0)

    assert len(history.history["loss"]) == 1


def test_a_generator_function_says_that_it_must_be_called():
    with pytest.raises(TypeError, match="generator"):
        model_of().fit(endless, verbose=0)


def test_num_workers_do_not_change_the_numbers():
    loader = DataLoader(Rows(X, Y), batch_size=BATCH, num_workers=1)
    model = model_of()

    history = model.fit(loader, epochs=3, verbose=0).history

    expected = fitted("numpy")
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)


# Types and layouts


def trained(x, y, loss="logits", units=3, **compile_with):
    kerasish.utils.set_random_seed(5)
    model = kerasish.Sequential(
        [layers.Input(tuple(np.shape(x))[1:]), layers.Flatten(), layers.Dense(units)]
    )
    loss = {"logits": losses.SparseCategoricalCrossentropy(from_logits=True)}.get(loss, loss)
    model.compile(optimizers.SGD(0.01), loss, metrics=["accuracy"], device="cpu", **compile_with)
    return model.fit(x, y, shuffle=False, epochs=2, verbose=0).history


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def on_disk(array, folder):
    path = folder / "rows.npy"
    np.save(path, array)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize(
    "same",
    [
        lambda x: x.astype("float64"),
        lambda x: x.astype(">f4"),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=0)[::2],
        lambda x: x[::-1].copy()[::-1],
        read_only,
        lambda x: torch.tensor(x).double(),
        lambda x: torch.tensor(x.T.copy()).T,
        lambda x: torch.tensor(x, requires_grad=True),
    ],
    ids=[
        "float64",
        "big_endian",
        "fortran",
        "strided",
        "reversed",
        "read_only",
        "double",
        "transposed",
        "requires_grad",
    ],
)
def test_layout_and_width_of_inputs_do_not_matter(same):
    assert trained(same(X), Y) == trained(X, Y)


def test_a_list_of_rows_is_told_from_a_list_of_inputs():
    with pytest.raises(ValueError, match=r"50 inputs; np\.stack"):
        trained(list(X), Y)


def test_memory_maps_are_read_as_they_are(tmp_path):
    assert trained(on_disk(X, tmp_path), Y) == trained(X, Y)


@pytest.mark.parametrize(
    "same",
    [
        lambda y: y.astype("int32"),
        lambda y: y.astype("uint8"),
        lambda y: y.astype("uint16"),
        lambda y: y.astype("float32"),
        lambda y: y.astype("float64"),
        lambda y: y[:, None],
        lambda y: y.tolist(),
        lambda y: torch.tensor(y).int(),
    ],
    ids=["int32", "uint8", "uint16", "float32", "float64", "column", "list", "tensor"],
)
def test_the_type_of_class_indices_does_not_matter(same):
    assert trained(X, same(Y)) == trained(X, Y)


@pytest.mark.parametrize(
    "same",
    [
        lambda y: y.astype(bool),
        lambda y: y.astype("int64"),
        lambda y: y.astype("float64"),
        lambda y: y[:, None],
        lambda y: y.astype(bool)[:, None],
        lambda y: [bool(value) for value in y],
    ],
    ids=["bool", "int64", "float64", "column", "bool_column", "list_of_bools"],
)
@pytest.mark.parametrize(
    "loss",
    ["mse", losses.BinaryCrossentropy(from_logits=True), torch.nn.BCEWithLogitsLoss()],
    ids=["mse", "ours", "torch"],
)
def test_yes_and_no_may_be_any_type_and_rank(same, loss):
    y = (Y > 0).astype("float32")

    assert_same(trained(X, same(y), loss, 1), trained(X, y, loss, 1))


def test_bool_targets_may_be_class_indices():
    y = Y > 0

    assert trained(X, y, units=2) == trained(X, y.astype("int64"), units=2)


def test_images_of_bytes_are_numbers():
    images = DRAW.integers(0, 255, (COUNT, 3, 2, 2)).astype("uint8")

    assert trained(images, Y) == trained(images.astype("float32"), Y)


def test_the_users_arrays_stay_as_they_are():
    x, y, w = X.copy(), Y.copy(), W.copy()

    model_of().fit(x, y, sample_weight=w, class_weight={1: 2.0}, epochs=2, verbose=0)

    assert (x == X).all()
    assert (y == Y).all()
    assert (w == W).all()


def test_a_sparse_matrix_is_refused_with_a_way_out():
    sparse = pytest.importorskip("scipy.sparse")

    with pytest.raises(TypeError, match=r"is sparse, .* Pass its \.toarray\(\)"):
        model_of().fit(sparse.csr_matrix(X), Y)
