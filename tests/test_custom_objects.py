"""Keras's words for registered objects mean what `kerasish.register` means."""

import pytest

import kerasish
from kerasish import custom_objects, layers, saving, utils
from kerasish.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)


@pytest.fixture(autouse=True)
def put_back():
    before = dict(get_custom_objects())
    yield
    get_custom_objects().clear()
    get_custom_objects().update(before)


def test_a_decorated_class_is_found_by_its_name():
    @register_keras_serializable(package="tests", name="Twice")
    class Doubled(layers.Layer):
        def forward(self, x):
            return 2 * x

    made = deserialize_keras_object(serialize_keras_object(Doubled(name="a")))

    assert get_registered_name(Doubled) == "tests>Twice"
    assert get_registered_object("tests>Twice") is Doubled
    assert (type(made), made.name) == (Doubled, "a")


def test_without_registration_a_name_is_the_objects_own():
    assert get_registered_name(dict) == "dict"
    assert get_registered_object("nobody") is None
    assert get_registered_object("a", {"a": 1}, {"a": 2}) == 1
    assert get_registered_object("b", {"a": 1}, {"b": 2}) == 2


def test_entries_of_the_dictionary_are_names_that_layers_know():
    get_custom_objects()["double"] = lambda x: x * 2

    assert layers.Activation("double")(kerasish.ops.ones((1,))) == 2


@pytest.mark.parametrize("scope", [CustomObjectScope, custom_object_scope])
def test_a_scope_ends(scope):
    get_custom_objects()["old"] = 1

    with scope({"new": 2, "old": 3}):
        assert get_registered_object("new") == 2
        assert get_registered_object("old") == 3

    assert get_registered_object("new") is None
    assert get_registered_object("old") == 1


def test_a_scope_decorates_functions():
    @custom_object_scope({"inside": 1})
    def look():
        return get_registered_object("inside")

    assert look() == 1
    assert get_registered_object("inside") is None


def test_a_config_that_names_strangers_is_refused():
    with pytest.raises(ValueError, match="not part of kerasish"):
        deserialize_keras_object({"class_name": "Stranger", "config": {}})


def test_keras_addresses_lead_here():
    for name in custom_objects.__all__:
        assert getattr(saving, name) is getattr(utils, name) is getattr(custom_objects, name)


def test_functions_for_models_are_found_under_saving(tmp_path):
    model = kerasish.Sequential([layers.Input((3,)), layers.Dense(2)])

    saving.save_model(model, tmp_path / "m.kerasish")
    loaded = saving.load_model(tmp_path / "m.kerasish")
    again = kerasish.models.model_from_json(model.to_json())

    assert loaded.count_params() == again.count_params() == 8
    with pytest.raises(AttributeError, match="has no attribute 'save_everything'"):
        _ = saving.save_everything
