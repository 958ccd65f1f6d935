"""FeatureSpace against tables worked by hand."""

import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers
from kerasish.layers import FeatureSpace
from kerasish.registry import deserialize, serialize

TABLE = {
    "age": [10.0, 20.0, 30.0, 40.0],
    "colour": ["red", "blue", "red", "green"],
    "shop": [7, 7, 9, 7],
}


def space(**kwargs):
    features = {
        "colour": "string_categorical",
        "age": "float_normalized",
        "shop": "integer_categorical",
    }
    return FeatureSpace(features, **kwargs)


def test_vectors_are_joined_in_the_order_of_names():
    made = space()
    made.adapt(TABLE)

    y = made(TABLE)

    # age: mean 25, standard deviation 11.18; colour: unknown, red, green, blue; shop: unknown, 7, 9
    deviation = 125**0.5
    assert_close(y[0], torch.tensor([-15 / deviation, 0, 1, 0, 0, 0, 1, 0]))
    assert_close(y[3], torch.tensor([15 / deviation, 0, 0, 1, 0, 0, 1, 0]))


def test_a_row_of_single_values_gives_one_vector():
    made = space()
    made.adapt(TABLE)

    row = made({"age": 10.0, "colour": "red", "shop": 7})

    assert_close(row, made(TABLE)[0])


def test_learning_from_batches_is_learning_from_the_table():
    halves = [({k: v[i : i + 2] for k, v in TABLE.items()}, torch.zeros(2)) for i in (0, 2)]
    whole, parts = space(), space()

    whole.adapt(TABLE)
    parts.adapt(halves)

    assert_close(whole(TABLE), parts(TABLE))


def test_crosses_put_equal_combinations_into_equal_bins():
    made = space(crosses=[("colour", "shop")], crossing_dim=16, output_mode="dict")
    made.adapt(TABLE)

    crossed = made(TABLE)["colour_X_shop"]

    assert crossed.shape == (4, 16)
    assert crossed.sum(1).tolist() == [1, 1, 1, 1]
    assert not torch.equal(crossed[0], crossed[2])
    again = made({"age": [0.0], "colour": ["red"], "shop": [7]})["colour_X_shop"]
    assert_close(again[0], crossed[0])


def test_indices_stay_integers_in_a_dict_and_cannot_be_joined():
    features = {"colour": FeatureSpace.string_categorical(output_mode="int")}
    made = FeatureSpace(features, output_mode="dict")
    made.adapt(TABLE)
    assert made(TABLE)["colour"].tolist() == [[1], [3], [1], [2]]

    joined = FeatureSpace({"colour": FeatureSpace.string_categorical(output_mode="int")})
    joined.adapt(TABLE)
    with pytest.raises(ValueError, match="'colour' is an integer, which cannot be joined"):
        joined(TABLE)


@pytest.mark.parametrize(
    ("kind", "width"),
    [
        ("float", 1),
        ("float_rescaled", 1),
        ("float_normalized", 1),
        ("float_discretized", 4),
        ("integer_categorical", 5),
        ("integer_hashed", 6),
    ],
)
def test_every_kind_of_number(kind, width):
    made = FeatureSpace({"x": kind}, num_discretization_bins=4, hashing_dim=6)
    made.adapt({"x": torch.arange(4)})

    assert made({"x": torch.arange(4)}).shape == (4, width)


def test_hashed_strings_need_no_learning():
    made = FeatureSpace({"colour": "string_hashed"}, hashing_dim=8)

    y = made(TABLE)

    assert y.shape == (4, 8)
    assert_close(y[0], y[2])


def test_a_layer_of_ones_own():
    text = layers.TextVectorization(output_mode="tf_idf")
    made = FeatureSpace({"text": FeatureSpace.feature("string", text, "float")})
    data = {"text": ["a b", "b", "b c"]}
    made.adapt(data)

    assert_close(made(data), text(data["text"]))


def test_it_can_be_saved_and_loaded(tmp_path):
    made = space(crosses=[("colour", "shop")])
    made.adapt(TABLE)
    expected = made(TABLE)

    made.save(tmp_path / "space.kerasish")
    loaded = kerasish.load_model(tmp_path / "space.kerasish")

    assert isinstance(loaded, FeatureSpace)
    assert_close(loaded(TABLE), expected)


def test_given_vocabularies_survive_the_configuration():
    lookup = layers.StringLookup(vocabulary=["red", "blue"])
    made = FeatureSpace({"colour": FeatureSpace.feature("string", lookup, "one_hot")})

    again = deserialize(serialize(made))

    assert_close(again(TABLE), made(TABLE))


def test_numbers_may_be_prepared_inside_a_model():
    made = FeatureSpace({"age": "float_normalized", "shop": "integer_categorical"})
    made.adapt(TABLE)
    model = kerasish.Model(made.get_inputs(), made.get_encoded_features())

    y = model({"age": torch.tensor([[10.0]]), "shop": torch.tensor([[9]])})

    assert_close(y, made({"age": [10.0], "shop": [9]}))


def test_strings_stay_outside():
    made = space()
    made.adapt(TABLE)

    with pytest.raises(TypeError, match=r"columns: colour.*get_encoded_features"):
        made.get_inputs()


def test_a_dataset_is_mapped_as_it_is_read():
    made = space()
    made.adapt(TABLE)

    mapped = made.map([({k: v[:2] for k, v in TABLE.items()}, torch.ones(2))])

    ((x, y),) = list(mapped)
    assert_close(x, made(TABLE)[:2])
    assert y.tolist() == [1, 1]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="must be a dict of columns"):
        FeatureSpace({})
    with pytest.raises(ValueError, match="did you mean 'float_normalized'"):
        FeatureSpace({"a": "float_normalised"})
    with pytest.raises(ValueError, match="a cross names the unknown column 'c'"):
        FeatureSpace({"a": "float"}, crosses=[("a", "c")])
    with pytest.raises(ValueError, match="call adapt"):
        space()(TABLE)
    with pytest.raises(ValueError, match="lacks the column 'colour'"):
        space().adapt({"age": [1.0], "color": ["red"], "shop": [1]})
    with pytest.raises(ValueError, match="takes dicts of columns, got"):
        FeatureSpace({"a": "float"})(torch.ones(2))
    with pytest.raises(ValueError, match="must be one of 'concat', 'dict'"):
        space(output_mode="list")


@pytest.mark.parametrize("mode", ["concat", "dict"])
def test_a_model_may_begin_with_what_a_space_of_strings_gives(mode, tmp_path):
    table = {"size": [1.0, 3.0, 2.0], "colour": ["red", "blue", "red"], "count": [5, 6, 7]}
    space = FeatureSpace(
        {
            "size": FeatureSpace.float_discretized(4),
            "colour": FeatureSpace.string_categorical(num_oov_indices=0),
            "count": FeatureSpace.integer_categorical(num_oov_indices=0),
        },
        crosses=[FeatureSpace.cross(("colour", "count"), 8)],
        output_mode=mode,
    )
    space.adapt(table)
    space.save(tmp_path / "space.keras")

    for made in (space, kerasish.load_model(tmp_path / "space.keras")):
        encoded, given = made.get_encoded_features(), made(table)
        assert encoded is made.get_encoded_features()
        if mode == "dict":
            shapes = {name: x.shape[1:] for name, x in encoded.items()}
            assert shapes == {name: tuple(y.shape[1:]) for name, y in given.items()}
            model = kerasish.Model(
                encoded, layers.concatenate([encoded["colour"], encoded["size"]])
            )
            assert model(given).shape == (3, 6)
        else:
            model = kerasish.Model(encoded, layers.Dense(1)(encoded))
            assert model(given).shape == (3, 1)
