"""Data sets: small files of the public ones' form, over loopback, read as Keras reads them."""

import dataclasses
import gzip
import hashlib
import importlib
import inspect
import io
import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

import kerasish
from kerasish import datasets
from kerasish.datasets.files import SOURCES, read_npz
from kerasish.datasets.word_numbers import marked
from kerasish.utils import download as downloader
from tests.loopback import loopback, names

NAMES = [
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "imdb",
    "mnist",
    "reuters",
]


@pytest.fixture
def web(monkeypatch, tmp_path):
    """A server with a small file for each of the sources, whose hash is expected."""
    monkeypatch.setattr(downloader, "PAUSE", 0.0)
    monkeypatch.setenv("KERASISH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no_keras"))
    with loopback() as web:
        for name, content in small_files().items():
            source = SOURCES[name]
            web.files[source.file], web.tags[source.file] = content, '"v1"'
            digest = hashlib.sha256(content).hexdigest()
            small = dataclasses.replace(source, base=web.url(""), file_hash=digest)
            monkeypatch.setitem(SOURCES, name, small)
        yield web


def expect(web, name):
    """Take the file that is now on the server for the right one."""
    digest = hashlib.sha256(web.files[SOURCES[name].file]).hexdigest()
    SOURCES[name] = dataclasses.replace(SOURCES[name], file_hash=digest)


def small_files():
    rng = np.random.default_rng(1)

    def pixels(*shape):
        return rng.integers(0, 256, shape, dtype=np.uint8)

    def labels(count, classes):
        return rng.integers(0, classes, count)

    words = {"the": 1, "film": 2, "café": 3}
    return {
        "mnist": npz(
            x_train=pixels(5, 28, 28),
            y_train=labels(5, 10).astype(np.uint8),
            x_test=pixels(2, 28, 28),
            y_test=labels(2, 10).astype(np.uint8),
        ),
        "fashion_mnist/train-images": gzip.compress(bytes(16) + pixels(4, 28, 28).tobytes()),
        "fashion_mnist/train-labels": gzip.compress(bytes(8) + bytes([3, 1, 4, 1])),
        "fashion_mnist/t10k-images": gzip.compress(bytes(16) + pixels(2, 28, 28).tobytes()),
        "fashion_mnist/t10k-labels": gzip.compress(bytes(8) + bytes([5, 9])),
        "cifar10": tar(
            {
                f"cifar-10-batches-py/{name}": {
                    b"data": pixels(1, 3072),
                    b"labels": labels(1, 10).tolist(),
                }
                for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
            }
        ),
        "cifar100": tar(
            {
                f"cifar-100-python/{name}": {
                    b"data": pixels(count, 3072),
                    b"fine_labels": labels(count, 100).tolist(),
                    b"coarse_labels": labels(count, 20).tolist(),
                }
                for name, count in (("train", 4), ("test", 2))
            }
        ),
        "imdb": npz(
            x_train=texts(rng, 30),
            y_train=labels(30, 2),
            x_test=texts(rng, 20),
            y_test=labels(20, 2),
        ),
        "reuters": npz(x=texts(rng, 40), y=labels(40, 46)),
        "imdb/words": json.dumps(words).encode(),
        "reuters/words": json.dumps(words).encode(),
        "california_housing": npz(x=rng.random((700, 8)), y=rng.random(700)),
        "boston_housing": npz(x=rng.random((50, 13)), y=rng.random(50)),
    }


def texts(rng, count):
    """An array of lists of 1 to 12 word numbers, as in the public files."""
    found = np.empty(count, object)
    for row in range(count):
        found[row] = rng.geometric(0.1, rng.integers(1, 13)).tolist()
    return found


def npz(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def tar(batches):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, batch in batches.items():
            content = pickle.dumps(batch, protocol=4)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def keras_reads(name, home, monkeypatch, function="load_data", **arguments):
    """What Keras reads from the same files, which it finds in its own folder."""
    module = pytest.importorskip(f"keras.src.datasets.{name}")
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(home))
    monkeypatch.setattr("keras.src.utils.file_utils.validate_file", lambda *_, **__: True)
    return getattr(module, function)(**arguments)


def assert_same(ours, theirs):
    assert [len(part) for part in ours] == [2, 2]
    for mine, other in zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True):
        assert isinstance(mine, np.ndarray)
        assert (mine.dtype, mine.shape) == (other.dtype, other.shape)
        assert mine.tolist() == other.tolist()


CASES = [
    ("mnist", {}),
    ("fashion_mnist", {}),
    ("cifar100", {}),
    ("cifar100", {"label_mode": "coarse"}),
    ("boston_housing", {}),
    ("boston_housing", {"test_split": 0.33, "seed": 7}),
    ("boston_housing", {"test_split": 0}),
    ("california_housing", {}),
    ("california_housing", {"version": "small", "seed": 7, "test_split": 0.5}),
]


@pytest.mark.parametrize(("name", "arguments"), CASES, ids=str)
def test_arrays_are_those_that_keras_gives(name, arguments, web, tmp_path, monkeypatch):
    ours = getattr(datasets, name).load_data(**arguments)

    # The setting for images is Keras's own there.
    monkeypatch.setattr("keras.src.backend.image_data_format", lambda: "channels_first")
    assert_same(ours, keras_reads(name, tmp_path / "home", monkeypatch, **arguments))


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
def test_cifar10_is_as_keras_gives_it_in_both_image_formats(
    data_format, web, tmp_path, monkeypatch
):
    kerasish.config.set_image_data_format(data_format)

    (x, y), test = datasets.cifar10.load_data()

    monkeypatch.setattr("keras.src.backend.image_data_format", lambda: data_format)
    theirs = keras_reads("cifar10", tmp_path / "home", monkeypatch)
    # Keras counts on batches of 10,000 images and repeats our single ones.
    every = slice(None, None, 10_000)
    assert_same(((x, y), test), ((theirs[0][0][every], theirs[0][1][every]), theirs[1]))
    assert x.shape == ((5, 3, 32, 32) if data_format == "channels_first" else (5, 32, 32, 3))
    assert x.flags.c_contiguous


TEXT_ARGUMENTS = [
    {},
    {"num_words": 10},
    {"num_words": 12, "skip_top": 5},
    {"num_words": 10, "oov_char": None},
    {"maxlen": 8, "seed": 3},
    {"start_char": None},
    {"start_char": None, "index_from": 0, "oov_char": None},
    {"start_char": None, "index_from": None},
    {"start_char": 7, "index_from": 10, "oov_char": 8, "skip_top": 9},
]


@pytest.mark.parametrize("arguments", TEXT_ARGUMENTS, ids=str)
@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_texts_are_those_that_keras_gives(name, arguments, web, tmp_path, monkeypatch):
    ours = getattr(datasets, name).load_data(**arguments)

    assert_same(ours, keras_reads(name, tmp_path / "home", monkeypatch, **arguments))
    assert isinstance(ours[0][0][0], list)
    assert type(ours[0][0][0][0]) is int


def test_share_for_testing_is_that_of_keras(web, tmp_path, monkeypatch):
    ours = datasets.reuters.load_data(test_split=0.35)

    assert_same(ours, keras_reads("reuters", tmp_path / "home", monkeypatch, test_split=0.35))


def test_texts_of_equal_length_stay_lists(web, monkeypatch, tmp_path):
    same = np.empty(4, object)
    same[:] = [[1, 2], [3, 4], [5, 6], [7, 8]]
    (tmp_path / "same.npz").write_bytes(npz(x=same, y=np.arange(4)))

    (x, _), _ = datasets.reuters.load_data(path=tmp_path / "same.npz", test_split=0.0)

    assert x.shape == (4,)
    assert sorted(x.tolist())[0][1:] == [4, 5]


def test_no_texts_are_no_error():
    assert marked([], 1, 3) == []


def test_imdb_without_texts_short_enough_is_an_error(web):
    with pytest.raises(ValueError, match="no train review is shorter than maxlen=1"):
        datasets.imdb.load_data(maxlen=1)


@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_words_have_their_numbers(name, web, tmp_path, monkeypatch):
    ours = getattr(datasets, name).get_word_index()

    assert ours == {"the": 1, "film": 2, "café": 3}
    assert ours == keras_reads(name, tmp_path / "home", monkeypatch, "get_word_index")


def test_topics_of_reuters_are_those_of_keras():
    keras = pytest.importorskip("keras")

    assert datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()


@pytest.mark.parametrize("name", NAMES)
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")
    theirs = inspect.signature(getattr(keras.datasets, name).load_data).parameters
    ours = inspect.signature(getattr(datasets, name).load_data).parameters

    expected = {k: p.default for k, p in theirs.items() if p.kind is not p.VAR_KEYWORD}
    assert {key: parameter.default for key, parameter in ours.items()} == expected
    assert list(ours) == list(expected)


def test_every_set_of_keras_is_there():
    keras = pytest.importorskip("keras")

    theirs = {name for name in dir(keras.datasets) if not name.startswith("_")}

    assert theirs <= set(datasets.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_addresses_and_hashes_are_in_keras_s_own_list(name):
    text = inspect.getsource(pytest.importorskip(f"keras.src.datasets.{name}"))

    own = [source for key, source in SOURCES.items() if key.split("/")[0] == name]
    assert own
    for source in own:
        assert source.file in text
        if name != "fashion_mnist":
            assert source.base in text
            assert f'"{source.file_hash}"' in text


def test_hashes_of_fashion_mnist_are_in_torchvisions_list():
    published = pytest.importorskip("torchvision").datasets.FashionMNIST.resources

    own = [source for key, source in SOURCES.items() if key.startswith("fashion_mnist/")]
    assert {(source.file, source.file_hash) for source in own} == set(published)


def test_files_are_downloaded_once(web, tmp_path, capsys):
    first = datasets.mnist.load_data()
    said = capsys.readouterr().out
    again = datasets.mnist.load_data()

    assert_same(first, again)
    assert len(web.asked) == 1
    assert f"Downloading mnist.npz from {web.address}" in said
    assert capsys.readouterr().out == ""
    assert names(tmp_path / "home" / "datasets") == ["mnist.npz"]


def test_download_that_broke_off_goes_on(web):
    web.cuts = [1000, 0, 0, 0]
    with pytest.raises(ConnectionError, match="ended after 1,000 of"):
        datasets.mnist.load_data()

    (x, _), _ = datasets.mnist.load_data()

    assert x.shape == (5, 28, 28)
    assert web.asked[-1] == ("mnist.npz", "bytes=1000-")


def test_another_file_than_the_published_one_is_refused(web, tmp_path):
    web.files["imdb.npz"] = npz(x_train=np.ones(3))

    with pytest.raises(ValueError, match=r"imdb.npz is not the expected one: sha256 \w{64} was"):
        datasets.imdb.load_data()

    assert names(tmp_path / "home" / "datasets") == []


@pytest.mark.parametrize("name", NAMES)
def test_without_network_the_error_says_which_file_goes_where(name, web, tmp_path):
    contents = dict(web.files)
    web.files.clear()

    with pytest.raises(ConnectionError) as caught:
        getattr(datasets, name).load_data()

    text = str(caught.value)
    url = text.partition(" from ")[2].partition(": ")[0]
    place = Path(text.partition("put it here: ")[2])
    assert place.parent.is_relative_to(tmp_path / "home" / "datasets")
    # Doing as told helps.
    place.write_bytes(contents[url.rpartition("/")[2]])
    web.files.update(contents)
    asked = len(web.asked)
    getattr(datasets, name).load_data()
    assert url.rpartition("/")[2] not in [file for file, _ in web.asked[asked:]]


@pytest.mark.parametrize("path", ["copy.npz", Path("copy.npz")], ids=["text", "path"])
def test_name_of_the_kept_file_may_be_chosen(path, web, tmp_path):
    datasets.mnist.load_data(path)

    assert names(tmp_path / "home" / "datasets") == ["copy.npz"]


def test_path_of_a_copy_is_read_without_a_download(web, tmp_path):
    (tmp_path / "mine.npz").write_bytes(web.files["mnist.npz"])

    copied = datasets.mnist.load_data(str(tmp_path / "mine.npz"))

    assert web.asked == []
    assert_same(copied, datasets.mnist.load_data())


def test_path_without_a_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"datasets.mnist: there is no file .*gone.npz"):
        datasets.mnist.load_data(tmp_path / "gone.npz")


def test_kept_file_that_was_damaged_is_downloaded_again(web, tmp_path):
    first = datasets.fashion_mnist.load_data()
    broken = tmp_path / "home" / "datasets" / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    broken.write_bytes(broken.read_bytes()[:-20])

    assert_same(datasets.fashion_mnist.load_data(), first)
    assert len(web.asked) == 5


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("cifar100", {"label_mode": "all"}, "`label_mode` must be"),
        ("california_housing", {"version": "huge"}, "`version` must be"),
        ("california_housing", {"test_split": 1}, r"`test_split` must be in \[0, 1\)"),
        ("boston_housing", {"test_split": -0.1}, "`test_split` must be"),
        ("reuters", {"test_split": 1.5}, "`test_split` must be"),
        ("digits", {"test_split": "0.2"}, "`test_split` must be"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(name, arguments, words):
    with pytest.raises(ValueError, match=words):
        getattr(datasets, name).load_data(**arguments)


class Trap:
    def __reduce__(self):
        return importlib.import_module, ("this",)


@pytest.mark.parametrize("place", ["npz", "cifar"])
def test_code_in_a_file_is_not_run(place, web, tmp_path):
    if place == "npz":
        trap = np.empty(1, object)
        trap[0] = Trap()
        (tmp_path / "trap.npz").write_bytes(npz(x=trap, y=np.ones(1)))
    else:
        batch = {b"data": Trap(), b"fine_labels": []}
        web.files["cifar-100-python.tar.gz"] = tar({"cifar-100-python/train": batch})
        expect(web, "cifar100")

    with pytest.raises(pickle.UnpicklingError, match=r"wants to call importlib\.import_module"):
        _ = (
            datasets.reuters.load_data(tmp_path / "trap.npz")
            if place == "npz"
            else datasets.cifar100.load_data()
        )


def test_batches_pickled_by_python_2_are_read(web):
    # An array of two rows, as Python 2 and an old NumPy wrote it: bytes without a name of a code.
    head = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\nI3072\nt"
    )
    kind = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n"
    data = bytes(range(256)) * 24
    batch = b"(dS'data'\n" + head + kind + b"T" + len(data).to_bytes(4, "little") + data
    batch += b"tbsS'fine_labels'\n(lI7\naI8\nas."
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("train", "test"):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(batch)
            archive.addfile(member, io.BytesIO(batch))
    web.files["cifar-100-python.tar.gz"] = stream.getvalue()
    expect(web, "cifar100")

    (x, y), _ = datasets.cifar100.load_data()

    assert x.reshape(2, -1)[1].tolist() == list(range(256)) * 12
    assert y.tolist() == [[7], [8]]


def test_arrays_come_as_numpy_reads_them(tmp_path):
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "empty": np.zeros((0, 4), np.int16),
        "number": np.array(3),
        "words": np.array(["a", "bc"]),
    }
    np.savez(tmp_path / "a.npz", **arrays)

    found = read_npz(tmp_path / "a.npz")

    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)


def test_reuters_without_texts_short_enough_is_an_error(web):
    with pytest.raises(ValueError, match=r"reuters\.load_data: no text is shorter than maxlen=1"):
        datasets.reuters.load_data(maxlen=1)


def test_what_is_no_npz_file_is_named(tmp_path):
    (tmp_path / "mine.npz").write_bytes(b"nothing")

    with pytest.raises(ValueError, match=r"mine\.npz is damaged, or no \.npz file"):
        datasets.mnist.load_data(tmp_path / "mine.npz")
