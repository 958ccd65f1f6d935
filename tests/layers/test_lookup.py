"""StringLookup and IntegerLookup against Keras's documented rules, worked by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset

import kerasish
from kerasish import layers
from kerasish.layers import IntegerLookup, StringLookup
from kerasish.registry import deserialize, serialize
from tests.layers.harness import check_layer

WORDS = [["a", "b", "a"], ["c", "a", "b"]]


# What both share


def test_the_vocabulary_is_sorted_by_frequency_then_backwards_by_name():
    layer = StringLookup()
    layer.adapt(["b", "c", "a", "c", "b", "d"])

    assert layer.get_vocabulary() == ["[UNK]", "c", "b", "d", "a"]
    assert layer.get_vocabulary(include_special_tokens=False) == ["c", "b", "d", "a"]
    assert layer.vocabulary_size() == 5

    numbers = IntegerLookup()
    numbers.adapt([[3, 7, 3], [9, 7, 5]])
    assert numbers.get_vocabulary() == [-1, 7, 3, 9, 5]


def test_max_tokens_counts_special_tokens():
    layer = StringLookup(max_tokens=4, num_oov_indices=2)
    layer.adapt(["b", "c", "a", "c", "b", "d"])

    assert layer.get_vocabulary() == ["[UNK]", "[UNK]", "c", "b"]


def test_indices_begin_with_mask_and_oov():
    layer = StringLookup(mask_token="", vocabulary=["a", "b"])
    assert layer.get_vocabulary() == ["", "[UNK]", "a", "b"]
    assert layer([["a", "", "z"], ["b", "a", ""]]).tolist() == [[2, 0, 1], [3, 2, 0]]

    numbers = IntegerLookup(mask_token=0, vocabulary=[12, 36])
    assert numbers([[12, 0, 99], [36, 12, 0]]).tolist() == [[2, 0, 1], [3, 2, 0]]


def test_encodings_have_no_place_for_the_mask_and_leave_it_out():
    layer = StringLookup(mask_token="", vocabulary=["a", "b"], output_mode="count")
    assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
    assert layer([["a", "", "z"], ["b", "b", ""]]).tolist() == [[1, 1, 0], [0, 0, 2]]

    numbers = IntegerLookup(mask_token=0, vocabulary=[12, 36], output_mode="multi_hot")
    assert numbers([[12, 0, 99], [36, 36, 0]]).tolist() == [[1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
def test_encodings_are_those_of_the_indices(mode):
    plain = StringLookup(vocabulary=["a", "b"])
    encoded = StringLookup(vocabulary=["a", "b"], output_mode=mode)

    assert_close(encoded(WORDS), layers.CategoryEncoding(3, mode)(plain(WORDS)))


def test_pad_to_max_tokens_widens_encodings():
    layer = StringLookup(5, vocabulary=["a", "b"], output_mode="count", pad_to_max_tokens=True)

    assert layer(WORDS).tolist() == [[0, 2, 1, 0, 0], [1, 1, 1, 0, 0]]


def test_tf_idf_of_keras_documentation():
    vocabulary, weights = [-1, 12, 36, 1138, 42], [0.9, 0.25, 0.75, 0.6, 0.4]
    layer = IntegerLookup(output_mode="tf_idf", vocabulary=vocabulary, idf_weights=weights)

    y = layer([[12, 1138, 42, 42], [42, 7, 36, 7]])

    assert_close(y, torch.tensor([[0, 0.25, 0, 0.6, 0.8], [1.8, 0, 0.75, 0, 0.4]]))


def test_unknown_tokens_weigh_the_mean_of_the_known():
    layer = StringLookup(output_mode="tf_idf", vocabulary=["a", "b"], idf_weights=[0.2, 0.4])

    assert_close(layer([["z", "a", "b"]]), torch.tensor([[0.3, 0.2, 0.4]]))


def test_learned_weights_are_logarithms_of_document_counts():
    layer = StringLookup(6, output_mode="tf_idf", pad_to_max_tokens=True)
    layer.adapt([["a", "b", "a"], ["a", "c", "b"], ["a", "a", "a"]])

    # Of 3 documents, "a" is in 3, "b" in 2, "c" in 1.
    a, b, c = (math.log(1 + 3 / (1 + n)) for n in (3, 2, 1))
    assert layer.get_vocabulary() == ["[UNK]", "a", "b", "c"]
    y = layer([["z", "a"], ["b", "c"]])
    mean = (a + b + c) / 3
    assert_close(y, torch.tensor([[mean, a, 0, 0, 0, 0], [0, 0, b, c, 0, 0]]))


def test_adapting_in_batches_is_adapting_at_once():
    rows = [["a", "b"], ["c", "a"], ["d", "d"]]
    for mode in ("int", "tf_idf"):
        whole, parts = StringLookup(output_mode=mode), StringLookup(output_mode=mode)
        whole.adapt(rows)
        parts.adapt(iter([np.array(rows[:2]), np.array(rows[2:])]))
        assert whole.get_vocabulary() == parts.get_vocabulary()
        assert_close(whole(rows), parts(rows))


def test_steps_limit_endless_data():
    def endless():
        while True:
            yield np.array([5, 6])

    layer = IntegerLookup()
    layer.adapt(endless(), steps=3)
    assert layer.get_vocabulary() == [-1, 6, 5]

    with pytest.warns(UserWarning, match="`steps` has no effect"):
        layer.adapt([1, 2], steps=3)


class Reviews(Dataset):
    """Rows of a text and a label."""

    words = ("good", "bad", "good", "fine")

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.words[index], index % 2


def test_datasets_and_loaders_bring_targets_that_are_left_out():
    for data in (Reviews(), DataLoader(Reviews(), batch_size=3)):
        layer = StringLookup()
        layer.adapt(data)
        assert layer.get_vocabulary() == ["[UNK]", "good", "fine", "bad"]


def test_map_changes_inputs_and_leaves_targets():
    layer = StringLookup(vocabulary=["good", "bad"])

    rows = layer.map(Reviews())
    batches = layer.map(DataLoader(Reviews(), batch_size=3))

    assert len(rows) == 4
    assert (rows[1][0].item(), rows[1][1]) == (2, 1)
    assert len(batches) == 2
    x, y = next(iter(batches))
    assert (x.tolist(), y.tolist()) == ([1, 2, 1], [0, 1, 0])
    assert len(list(batches)) == 2  # and again
    with pytest.raises(TypeError, match="Call the layer itself on arrays"):
        layer.map(["a"])


def test_fit_takes_a_mapped_dataset():
    lookup = StringLookup(vocabulary=["good", "bad"])
    model = kerasish.Sequential([layers.Embedding(3, 4), layers.Dense(2)])
    model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))

    history = model.fit(lookup.map(Reviews()), verbose=0)

    assert math.isfinite(history.history["loss"][0])


@pytest.mark.parametrize("kind", [StringLookup, IntegerLookup])
def test_saved_layers_know_their_vocabulary_and_may_learn_another(kind):
    tokens = ["x", "y"] if kind is StringLookup else [4, 5]
    layer = kind(output_mode="tf_idf", num_oov_indices=2, salt=None)
    layer.adapt([tokens, tokens[:1]])

    again = deserialize(serialize(layer))

    assert again.get_vocabulary() == layer.get_vocabulary()
    assert_close(again([tokens]), layer([tokens]))
    again.adapt([tokens[::-1] * 2])
    assert again.vocabulary_size() == 4


def test_a_configuration_never_names_a_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("a\nb\n")
    layer = StringLookup(vocabulary=str(path))
    assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
    config = layer.get_config()
    assert config["vocabulary"] == ["[UNK]", "a", "b"]

    with pytest.raises(ValueError, match="not the name of a file"):
        StringLookup.from_config({**config, "vocabulary": str(path)})
    with pytest.raises(ValueError, match="no vocabulary file"):
        StringLookup(vocabulary=str(tmp_path / "none.txt"))


def test_vocabularies_may_be_arrays_tensors_or_files(tmp_path):
    path = tmp_path / "numbers.txt"
    path.write_text("12\n36\n")
    for tokens in ([12, 36], np.array([12, 36]), torch.tensor([12, 36]), str(path)):
        assert IntegerLookup(vocabulary=tokens).get_vocabulary() == [-1, 12, 36]
    assert StringLookup(vocabulary=np.array(["a"])).get_vocabulary() == ["[UNK]", "a"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"max_tokens": 1}, "`max_tokens` must be greater than 1"),
        ({"num_oov_indices": -1}, "must not be negative"),
        ({"pad_to_max_tokens": True}, "needs `max_tokens`"),
        ({"invert": True, "output_mode": "count"}, "invert=True needs output_mode='int'"),
        ({"invert": True, "oov_token": None}, "needs an `oov_token`"),
        ({"output_mode": "onehot"}, "`output_mode` must be one of 'int'"),
        ({"sparse": True}, "sparse=True is not offered"),
        ({"vocabulary": ["a", "b", "a"]}, "repeated: \\['a'\\]"),
        ({"vocabulary": []}, "the vocabulary is empty"),
        ({"vocabulary": ["a", "b"], "max_tokens": 2}, "a vocabulary of 3 with its special tokens"),
        ({"vocabulary": ["a", ""], "mask_token": ""}, "special token '' stands at place 1"),
        ({"vocabulary": ["a", "[UNK]"], "invert": True}, "special token '\\[UNK\\]' stands"),
        ({"vocabulary": ["a"], "output_mode": "tf_idf"}, "needs `idf_weights`"),
        ({"vocabulary": ["a"], "idf_weights": [1.0]}, "takes no `idf_weights`"),
        ({"idf_weights": [1.0], "output_mode": "tf_idf"}, "need a `vocabulary`"),
        (
            {"vocabulary": ["a"], "idf_weights": [1.0, 2.0], "output_mode": "tf_idf"},
            "must be 1 numbers",
        ),
        ({"salt": "x"}, "`salt` must be an integer or two"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(arguments, text):
    with pytest.raises(ValueError, match=text):
        StringLookup(**arguments)


def test_layers_without_and_with_a_vocabulary():
    with pytest.raises(ValueError, match="no vocabulary yet"):
        StringLookup()(["a"])
    with pytest.raises(ValueError, match="no vocabulary yet"):
        IntegerLookup()([1])
    with pytest.raises(ValueError, match="was made with a vocabulary"):
        StringLookup(vocabulary=["a"]).adapt(["b"])
    with pytest.raises(ValueError, match="there are no tokens"):
        StringLookup().adapt(["[UNK]"])
    with pytest.raises(ValueError, match="there are no batches"):
        StringLookup().adapt(iter([]))


# Strings


def test_keras_documentation_of_string_lookup():
    layer = StringLookup(vocabulary=["a", "b", "c", "d"])
    data = [["a", "c", "d"], ["d", "z", "b"]]

    assert layer(data).tolist() == [[1, 3, 4], [4, 0, 2]]
    back = StringLookup(vocabulary=layer.get_vocabulary(), invert=True)
    assert back(layer(data)).tolist() == [["a", "c", "d"], ["d", "[UNK]", "b"]]


def test_strings_come_in_lists_arrays_frames_bytes_and_alone():
    layer = StringLookup(vocabulary=["a", "ü"])
    assert layer("a").tolist() == 1
    assert layer(["a", "ü"]).tolist() == [1, 2]
    assert layer(np.array([["a"], ["ü"]])).tolist() == [[1], [2]]
    assert layer(np.array(["a", "ü"], dtype=object)).tolist() == [1, 2]
    assert layer(["ü".encode()]).tolist() == [2]
    assert layer([]).shape == (0,)
    pandas = pytest.importorskip("pandas")
    assert layer(pandas.Series(["ü", "a"])).tolist() == [2, 1]


def test_rows_of_different_lengths_can_be_counted_only():
    rows = [["a"], ["a", "b", "z"]]
    assert StringLookup(vocabulary=["a", "b"], output_mode="count")(rows).tolist() == [
        [0, 1, 0],
        [1, 1, 1],
    ]
    with pytest.raises(ValueError, match="rows differ in length"):
        StringLookup(vocabulary=["a", "b"])(rows)


def test_several_oov_indices_are_shared_by_hash():
    layer = StringLookup(num_oov_indices=3, mask_token="", vocabulary=["a"])
    unknown = [f"w{i}" for i in range(50)]

    y = layer([*unknown, "a", ""])

    assert set(y[:50].tolist()) == {1, 2, 3}
    assert y[50:].tolist() == [4, 0]
    assert_close(y, layer([*unknown, "a", ""]))
    salted = StringLookup(num_oov_indices=3, mask_token="", vocabulary=["a"], salt=5)
    assert (salted(unknown) != y[:50]).any()


def test_without_oov_indices_unknown_strings_are_errors():
    layer = StringLookup(num_oov_indices=0, vocabulary=["a", "b"])

    assert layer(["a", "b"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="the vocabulary lacks \\['z'\\]"):
        layer(["a", "z"])


@given(st.lists(st.text(max_size=3), min_size=1, max_size=20, unique=True))
def test_inverting_gives_back_what_is_known(words):
    words = [word for word in words if word != "[UNK]"] or ["w"]
    forth = StringLookup(vocabulary=words)
    back = StringLookup(vocabulary=words, invert=True)

    # NumPy's fixed-width strings drop zeros at their end.
    assert back(forth(words)).tolist() == [word.rstrip("\0") for word in words]


def test_strings_stay_outside_of_models():
    with pytest.raises(TypeError, match="Apply it before the model"):
        StringLookup(vocabulary=["a"])(layers.Input((1,), dtype="int64"))
    with pytest.raises(TypeError, match="expected strings, got 1"):
        StringLookup(vocabulary=["a"])([1, 2])


# Integers


@pytest.mark.parametrize("kind", [torch.int32, torch.int64, torch.uint8, torch.float32], ids=str)
def test_integers_of_all_types(kind):
    layer = IntegerLookup(vocabulary=[12, 36, 42])

    assert layer(torch.tensor([[12, 7], [42, 36]], dtype=kind)).tolist() == [[1, 0], [3, 2]]


def test_keras_documentation_of_inverted_integers():
    layer = IntegerLookup(vocabulary=[12, 36, 1138, 42], invert=True)

    assert layer([[1, 3, 4], [4, 0, 2]]).tolist() == [[12, 1138, 42], [42, -1, 36]]
    assert layer([9, -3]).tolist() == [-1, -1]


def test_several_oov_indices_are_shared_by_remainder():
    layer = IntegerLookup(num_oov_indices=3, vocabulary=[12])
    assert layer([12, 13, 14, 15, -1]).tolist() == [3, 1, 2, 0, 2]

    hashed = IntegerLookup(num_oov_indices=3, vocabulary=[12], oov_method="farmhash", salt=1)
    y = hashed(torch.arange(100, 150))
    assert set(y.tolist()) == {0, 1, 2}


def test_without_oov_indices_unknown_integers_are_errors():
    layer = IntegerLookup(num_oov_indices=0, mask_token=0, vocabulary=[5, 6])

    assert layer([5, 6, 0]).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match="the vocabulary lacks \\[9\\]"):
        layer([5, 9])


@given(
    vocabulary=st.lists(st.integers(0, 50), min_size=1, max_size=20, unique=True),
    x=st.lists(st.integers(-5, 60), min_size=1, max_size=20),
)
def test_lookups_are_those_of_a_dict(vocabulary, x):
    places = {token: place + 1 for place, token in enumerate(vocabulary)}

    assert IntegerLookup(vocabulary=vocabulary)(x).tolist() == [places.get(i, 0) for i in x]


def test_integers_are_looked_up_inside_models():
    inputs = layers.Input((2,), dtype="int64")
    lookup = IntegerLookup(vocabulary=[100, 200], output_mode="multi_hot")
    model = kerasish.Model(inputs, lookup(inputs))

    assert model(torch.tensor([[100, 7]])).tolist() == [[1, 1, 0]]


def test_models_may_be_drawn_before_learning():
    lookup = IntegerLookup()
    inputs = layers.Input((1,), dtype="int64")
    model = kerasish.Model(inputs, lookup(inputs))
    lookup.adapt([30, 30, 20])

    assert model(torch.tensor([[30], [20], [10]])).tolist() == [[1], [2], [0]]


def test_integer_lookup_owes():
    check_layer(IntegerLookup(vocabulary=[1, 5]), torch.randint(0, 9, (2, 3)), (2, 3))
    tf_idf = IntegerLookup(vocabulary=[1, 5], idf_weights=[1.0, 2.0], output_mode="tf_idf")
    check_layer(tf_idf, torch.randint(0, 9, (2, 4)), (2, 3))


def test_integer_lookup_refuses():
    with pytest.raises(ValueError, match="must be 'int64'"):
        IntegerLookup(vocabulary_dtype="int32")
    with pytest.raises(ValueError, match="a list of integers"):
        IntegerLookup(vocabulary=[1.5])
    with pytest.raises(ValueError, match="needs oov_method='farmhash'"):
        IntegerLookup(salt=3)
    with pytest.raises(ValueError, match="must be one of 'floormod', 'farmhash'"):
        IntegerLookup(oov_method="hash")
    with pytest.raises(TypeError, match="expected numbers"):
        IntegerLookup(vocabulary=[1])(["a"])
