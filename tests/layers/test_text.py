"""TextVectorization against Keras's documented rules, worked by hand."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from kerasish import layers
from kerasish.layers import TextVectorization
from kerasish.registry import deserialize, register, serialize


def test_keras_documentation_of_adapt():
    layer = TextVectorization(max_tokens=5000, output_mode="int", output_sequence_length=4)
    layer.adapt(["foo bar", "bar baz", "baz bada boom"])

    y = layer([["foo qux bar"], ["qux baz"]])

    assert y.tolist() == [[4, 1, 3, 0], [1, 2, 0, 0]]
    assert layer.get_vocabulary() == ["", "[UNK]", "baz", "bar", "foo", "boom", "bada"]


def test_keras_documentation_of_a_given_vocabulary():
    layer = TextVectorization(vocabulary=["earth", "wind", "and", "fire"])

    assert layer.get_vocabulary() == ["", "[UNK]", "earth", "wind", "and", "fire"]
    assert layer.get_vocabulary(include_special_tokens=False)[0] == "earth"
    assert layer.vocabulary_size() == 6
    assert layer(["Earth, Wind & Fire!"]).tolist() == [[2, 3, 5]]


@pytest.mark.parametrize(
    ("standardize", "words"),
    [
        ("lower_and_strip_punctuation", ["dont", "stop", "École", "x\u00a0y"]),
        ("lower", ["don't", "stop!", "École", "x\u00a0y"]),
        ("strip_punctuation", ["DonT", "STOP", "École", "x\u00a0y"]),
        (None, ["Don'T", "STOP!", "École", "x\u00a0y"]),
    ],
)
def test_names_change_ascii_alone(standardize, words):
    layer = TextVectorization(standardize=standardize)

    layer.adapt(["Don'T  STOP!\tÉcole\nx\u00a0y "])

    assert set(layer.get_vocabulary(include_special_tokens=False)) == set(words)


def test_all_of_the_punctuation_goes():
    layer = TextVectorization()
    layer.adapt(["a!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'b"])

    assert layer.get_vocabulary(False) == ["ab"]


def test_functions_take_and_give_arrays():
    layer = TextVectorization(
        standardize=lambda texts: np.char.lower(texts),
        split=lambda texts: [text.split("-") for text in texts],
    )
    layer.adapt(["É-b", "é"])

    assert layer.get_vocabulary(False) == ["é", "b"]
    assert layer(["b-É-z"]).tolist() == [[3, 2, 1]]


def test_characters():
    layer = TextVectorization(split="character", vocabulary=list("abü"))

    assert layer(["üba", "a"]).tolist() == [[4, 3, 2], [2, 0, 0]]


def test_words_that_are_split_already():
    layer = TextVectorization(split=None, vocabulary=["new york", "rome"])

    assert layer([["New York", "Rome"], ["rome", "oslo"]]).tolist() == [[2, 3], [3, 1]]


@pytest.mark.parametrize(
    ("ngrams", "grams"),
    [
        (None, ["a", "b", "c"]),
        (2, ["a", "b", "c", "a b", "b c"]),
        (3, ["a", "b", "c", "a b", "b c", "a b c"]),
        ((2,), ["a b", "b c"]),
        ((3, 1), ["a b c", "a", "b", "c"]),
    ],
    ids=str,
)
def test_ngrams_come_length_by_length(ngrams, grams):
    layer = TextVectorization(ngrams=ngrams, vocabulary=grams)

    assert layer(["A b, c"]).tolist() == [list(range(2, 2 + len(grams)))]


def test_rows_are_filled_up_or_cut():
    vocabulary = ["a", "b", "c"]
    texts = ["a b c", "b", ""]
    assert TextVectorization(vocabulary=vocabulary)(texts).tolist() == [
        [2, 3, 4],
        [3, 0, 0],
        [0, 0, 0],
    ]
    short = TextVectorization(vocabulary=vocabulary, output_sequence_length=2)
    assert short(texts).tolist() == [[2, 3], [3, 0], [0, 0]]
    assert short("c").tolist() == [4, 0]
    assert short(np.array([["c"]])).tolist() == [[4, 0]]


@pytest.mark.parametrize(
    ("mode", "rows"),
    [("multi_hot", [[1, 1, 1], [0, 0, 0]]), ("count", [[1, 2, 1], [0, 0, 0]])],
)
def test_counting_modes_have_no_padding(mode, rows):
    layer = TextVectorization(vocabulary=["a", "b"], output_mode=mode)

    assert layer.get_vocabulary() == ["[UNK]", "a", "b"]
    assert layer(["a b a z", ""]).tolist() == rows


def test_tf_idf():
    layer = TextVectorization(output_mode="tf_idf")
    layer.adapt(["a b", "a", "a a"])

    a, b = np.log(1 + 3 / 4), np.log(1 + 3 / 2)
    assert_close(
        layer(["a a b", "z"]),
        torch.tensor([[0, 2 * a, b], [(a + b) / 2, 0, 0]], dtype=torch.float32),
    )


def test_max_tokens_and_padding_to_them():
    layer = TextVectorization(4, output_mode="count", pad_to_max_tokens=True)
    layer.adapt(["a a b"])
    assert layer(["a"]).tolist() == [[0, 1, 0, 0]]

    cut = TextVectorization(3)
    cut.adapt(["a a b"])
    assert cut.get_vocabulary() == ["", "[UNK]", "a"]


def test_adapting_in_batches_is_adapting_at_once():
    texts = ["a b", "b c", "c c d"]
    pairs = [(text, 0) for text in texts]
    whole = TextVectorization()
    whole.adapt(texts)
    for data in (DataLoader(pairs, batch_size=2), iter([texts[:1], texts[1:]]), np.array(texts)):
        layer = TextVectorization()
        layer.adapt(data)
        assert layer.get_vocabulary() == whole.get_vocabulary()


def test_map_prepares_batches_as_they_are_read():
    layer = TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)

    batches = layer.map(DataLoader([("a b", 1), ("b", 0)], batch_size=2))

    ((x, y),) = list(batches)
    assert x.tolist() == [[2, 3, 0], [3, 0, 0]]
    assert y.tolist() == [1, 0]


@register
def spaced(texts):
    return np.char.replace(texts, "-", " ")


def test_saved_layers_know_their_vocabulary():
    layer = TextVectorization(standardize=spaced, ngrams=(1, 2), output_mode="tf_idf")
    layer.adapt(["a-b", "b c"])

    again = deserialize(serialize(layer))

    assert again.get_vocabulary() == layer.get_vocabulary()
    assert_close(again(["a b-c"]), layer(["a b-c"]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"standardize": "upper"}, "`standardize` must be one of 'lower_and_strip_punctuation'"),
        ({"split": "word"}, "`split` must be one of 'whitespace', 'character'"),
        ({"ngrams": 0}, "`ngrams` must be a positive integer"),
        ({"ngrams": ("a",)}, "`ngrams` must be a positive integer"),
        ({"output_mode": "float"}, "`output_mode` must be one of"),
        ({"output_mode": "count", "output_sequence_length": 3}, "is for output_mode='int'"),
        ({"output_sequence_length": 0}, "`output_sequence_length` must be a positive integer"),
        ({"ragged": True}, "ragged=True is not offered"),
        ({"sparse": True}, "sparse=True is not offered"),
        ({"pad_to_max_tokens": True}, "needs `max_tokens`"),
    ],
    ids=str,
)
def test_arguments_that_do_not_fit(arguments, text):
    with pytest.raises(ValueError, match=text):
        TextVectorization(**arguments)


def test_inputs_that_do_not_fit():
    layer = TextVectorization(vocabulary=["a"])
    with pytest.raises(ValueError, match="use split=None"):
        layer([["a", "b"]])
    with pytest.raises(TypeError, match="expected strings"):
        layer([1])
    with pytest.raises(TypeError, match="cannot stand inside a model"):
        layer(layers.Input((1,), dtype="int64"))
    with pytest.raises(ValueError, match="no vocabulary yet"):
        TextVectorization()(["a"])
    with pytest.raises(ValueError, match="was made with a vocabulary"):
        layer.adapt(["b"])
