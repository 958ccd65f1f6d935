"""Layers kept in lists and dicts become children, as Keras tracks them."""

import copy

import pytest
import torch
from torch import nn

from kerasish import Input, Model, layers, models
from kerasish.layers import Dense, Layer
from kerasish.layers.children import modules_in


class Chain(Layer):
    """Dense layers in a container that is filled step by step."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        if kind == "list":
            self.parts = []
            for _ in range(3):
                self.parts.append(Dense(4))
        elif kind == "dict":
            self.parts = {}
            for key in "abc":
                self.parts[key] = Dense(4)
        elif kind == "pairs":
            self.parts = []
            for number in range(3):
                self.parts.append((f"name {number}", Dense(4)))
        elif kind == "numbered":
            self.parts = {}
            for number in range(3):
                self.parts[number] = [Dense(4)]
        elif kind == "private":
            self._parts = []
            for _ in range(3):
                self._parts.append(Dense(4))

    def call(self, x):
        parts = self._parts if self.kind == "private" else self.parts
        for part in parts.values() if hasattr(parts, "values") else parts:
            part = part[-1] if isinstance(part, (list, tuple)) else part
            x = part(x)
        return x


KINDS = ["list", "dict", "pairs", "numbered", "private"]


@pytest.mark.parametrize("kind", KINDS)
def test_layers_added_to_a_container_after_its_making_are_trained_and_kept(kind):
    layer = Chain(kind)

    layer(torch.ones(2, 4))

    assert len(layer.trainable_weights) == len(list(layer.parameters())) == 6
    state = {key: torch.zeros_like(value) for key, value in layer.state_dict().items()}
    layer.load_state_dict(state)
    assert not layer(torch.ones(2, 4)).any()
    assert len(copy.deepcopy(layer).get_weights()) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_learns_the_layers_in_containers_as_keras_does(kind):
    inputs = Input((4,))
    model = Model(inputs, Chain(kind)(inputs))
    before = model.get_weights()

    model.compile("sgd", "mse")
    model.fit(torch.ones(4, 4), torch.ones(4, 4), verbose=0)

    assert len(before) == 6
    pairs = zip(before, model.get_weights(), strict=True)
    assert all((old != new).any() for old, new in pairs)


def test_layers_appended_in_build_become_children():
    class Later(Layer):
        def __init__(self):
            super().__init__()
            self.parts = []

        def build(self, input_shape):
            for _ in range(2):
                self.parts.append(Dense(input_shape[-1]))

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    layer = Later()

    layer(torch.ones(2, 4))

    assert len(layer.trainable_weights) == 4
    assert isinstance(layer.parts, nn.ModuleList)


def test_a_subclass_may_go_on_filling_what_its_base_began():
    class Base(Layer):
        def __init__(self):
            super().__init__()
            self.parts = [("a", Dense(4))]

    class More(Base):
        def __init__(self):
            super().__init__()
            self.parts.append(("b", Dense(4)))

    assert len(list(More().children())) == 1
    assert len(More().sublayers()) == 2


def test_a_mixin_may_fill_containers():
    class Filling:
        def __init__(self):
            super().__init__()
            self.parts = [("a", Dense(4))]

    class Mixed(Filling, Layer):
        pass

    assert len(Mixed().sublayers()) == 1


def test_layers_that_others_put_into_a_list_are_learned_from_the_first_call():
    class Open(Layer):
        def __init__(self):
            super().__init__()
            self.parts = []

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    layer = Open()
    layer.parts.append(Dense(4))

    layer(torch.ones(2, 3))

    assert len(layer.trainable_weights) == 2


def test_what_is_filled_further_later_keeps_its_place():
    class Filled(Layer):
        def __init__(self):
            super().__init__()
            self.pairs = [("a", Dense(4, name="a"))]
            self.head = Dense(4, name="head")

        def build(self, input_shape):
            self.pairs.append(("b", Dense(4, name="b")))

    layer = Filled()
    layer.build((None, 4))

    assert [part.name for part in layer.sublayers()] == ["a", "b", "head"]


def test_a_container_may_be_replaced():
    layer = Chain("pairs")

    layer.parts = [1, 2]

    assert layer.parts == [1, 2]
    assert not layer.sublayers()


@pytest.mark.parametrize("other", [[], [1, 2], {}], ids=["empty list", "data", "empty dict"])
def test_a_list_of_layers_may_be_replaced_by_one_without(other):
    layer = Kept()

    layer.parts = other

    assert layer.parts is other
    assert layer.sublayers() == [layer.named["a"]]


def test_layers_that_are_children_already_are_not_named_twice():
    class Both(Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = Dense(4), Dense(4)
            self.order = []
            self.order.append(self.second)
            self.order.append(self.first)

    layer = Both()

    assert type(layer.order) is list
    assert [name for name, _ in layer.named_children()] == ["first", "second"]


def test_children_may_be_made_before_the_base_is():
    class Early(Layer):
        def __init__(self, units):
            self.units = units
            self.parts = [Dense(units), Dense(units)]
            self.head = Dense(1)
            super().__init__(name="early")

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return self.head(x)

    layer = Early(3)

    assert layer(torch.ones(2, 4)).shape == (2, 1)
    assert len(layer.trainable_weights) == 6
    assert layer.name == "early"
    assert layer.get_config()["units"] == 3


def test_a_model_with_containers_is_saved_and_loaded(tmp_path):
    inputs = Input((4,))
    model = Model(inputs, Chain("pairs")(inputs))
    path = tmp_path / "model.keras"
    model.save(path)

    loaded = models.load_model(path, custom_objects={"Chain": Chain})

    x = torch.randn(2, 4)
    torch.testing.assert_close(loaded(x), model(x))


def test_long_lists_of_data_are_not_looked_through():
    class Untouchable(list):
        pass

    numbers = [*range(20), nn.Linear(1, 1)]

    assert modules_in(numbers) == []
    assert modules_in([1, nn.Linear(1, 1)]) != []
    assert modules_in(Untouchable([nn.Linear(1, 1)])) == []


class Choosing(Layer):
    """Has a layer that it uses for other widths alone."""

    def __init__(self, units):
        super().__init__()
        self.units = units
        self.dense = Dense(units)
        self.project = Dense(units)

    def build(self):
        """No shape is asked for, as Keras allows."""
        self.built = True

    def call(self, x):
        return self.dense(x) + (x if x.shape[-1] == self.units else self.project(x))


@pytest.mark.parametrize("is_symbolic", [True, False])
def test_a_layer_that_a_call_passes_by_needs_no_weights(is_symbolic):
    layer = Choosing(4)

    layer(Input((4,)) if is_symbolic else torch.ones(2, 4))

    assert layer.count_params() == 20
    layer.set_weights([w + 1 for w in layer.get_weights()])


def test_a_summary_counts_layers_with_parts_that_are_never_used(capsys):
    inputs = Input((4,))
    model = Model(inputs, layers.Dense(1)(Choosing(4)(inputs)))

    model.summary()

    shown = capsys.readouterr().out
    assert "unbuilt" not in shown
    assert "Total params: 25" in shown


def test_weights_not_made_yet_are_still_missed():
    with pytest.raises(ValueError, match="has no weights yet"):
        Choosing(4).count_params()


def test_a_part_may_have_the_name_of_a_method():
    class Staged(Model):
        def __init__(self):
            super().__init__()
            self.stages = [layers.Dense(3) for _ in range(2)]
            self.classify = layers.Dense(2)

        def call(self, x):
            for stage in self.stages:
                x = stage(x)
            return self.classify(x)

    model = Staged()
    assert model(torch.ones(1, 3)).shape == (1, 2)
    assert len(model.weights) == 6

    copied = copy.deepcopy(model)
    assert copied.classify is copied._modules["classify"]
    model.freeze(first=1)
    model.classify = None
    assert model.classify is None
    assert len(model.weights) == 4


def test_layers_in_containers_come_where_keras_tracks_them():
    class Net(Model):
        def __init__(self):
            super().__init__()
            self.first = Dense(1, name="first")
            self.blocks = []
            self.pairs = []
            self.named = {}
            self.some = (Dense(1, name="some"), None)
            self.late = []
            for number in range(2):
                self.blocks.append(Dense(1, name=f"block{number}"))
                self.pairs.append(("x", Dense(1, name=f"pair{number}")))
                self.named[f"k{number}"] = Dense(1, name=f"named{number}")
            self.head = Dense(1, name="head")
            self.after = Dense(1, name="after")
            self.late.append(Dense(1, name="late"))

        def call(self, x):
            return x

    names = [layer.name for layer in Net().layers]

    blocks = ["block0", "block1", "pair0", "pair1", "named0", "named1", "some"]
    assert names == ["first", *blocks, "head", "after", "late"]


class Kept(Layer):
    """A layer with a list and a dict of layers."""

    def __init__(self):
        super().__init__()
        self.parts = [Dense(2), Dense(2), Dense(2)]
        self.named = {"a": Dense(2)}


def test_lists_of_layers_know_the_words_of_lists():
    layer = Kept()
    first, second, third = layer.parts

    assert layer.parts.index(second) == 1
    assert layer.parts.count(third) == 1
    assert [1, *layer.parts] == [1] + layer.parts  # noqa: RUF005 - the sum is what is tried
    longer = layer.parts + [Dense(2)]  # noqa: RUF005 - as above
    assert longer.pop() is not third
    assert longer.copy() == [first, second, third]
    layer.parts.reverse()
    assert layer.parts.copy() == [third, second, first]
    layer.parts.remove(second)
    assert list(layer.parts) == [third, first]
    assert second not in layer.parts
    assert [key for key, _ in layer.parts.named_children()] == ["0", "1"]
    layer.parts.clear()
    assert layer.sublayers() == [layer.named["a"]]


def test_dicts_of_layers_know_the_words_of_dicts():
    layer = Kept()
    made = Dense(2)

    assert layer.named.get("a") is layer.named["a"]
    assert layer.named.get("b") is None
    assert layer.named.setdefault("b", made) is made
    assert layer.named.setdefault("b", Dense(3)) is made
    assert list(layer.named.copy()) == ["a", "b"]
    assert made in layer.sublayers()
