"""What every layer has: building, names, configuration, weights, freezing, modes, losses."""

import copy
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, Sequential, layers, optimizers
from kerasish.layers.holder import added_losses
from kerasish.layers.naming import forget_names


class Scale(layers.Layer):
    def __init__(self, factor, use_bias=False, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor
        self.use_bias = use_bias

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1],), "ones", name="w", regularizer="l2")
        self.count = self.add_weight((), "zeros", trainable=False, name="count")

    def call(self, inputs, training=None):
        if training:
            self.count += 1
        return inputs * self.kernel * self.factor


class TorchStyle(layers.Layer):
    def __init__(self, size):
        super().__init__()
        self.net = nn.Linear(size, 2)

    def forward(self, x):
        return self.net(x)


def test_weights_appear_at_the_first_call():
    layer = layers.Dense(4)

    assert not layer.built
    assert layer.weights == []
    layer(torch.ones(2, 3))

    assert [tuple(w.shape) for w in layer.weights] == [(4, 3), (4,)]
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,)]


def test_names_are_numbered_in_the_order_of_making():
    forget_names()
    names = [layers.Dense(1).name, layers.Dense(1).name, layers.MaxPooling2D().name]
    assert names == ["dense", "dense_1", "max_pooling2d"]


@pytest.mark.parametrize("name", ["a.b", "", 3], ids=["dot", "empty", "number"])
def test_a_name_that_cannot_name_a_child_is_refused(name):
    with pytest.raises(ValueError, match="`name` must be a non-empty string without dots"):
        layers.Dense(2, name=name)


def test_an_unknown_argument_is_refused_with_a_suggestion():
    with pytest.raises(TypeError, match="no argument 'kernel_initialiser'; did you mean 'kernel_i"):
        layers.Dense(2, kernel_initialiser="zeros")


def test_arguments_are_captured_without_code():
    layer = Scale(3.0, use_bias=True, name="mine", dtype="float64")

    config = layer.get_config()

    wanted = {"factor": 3.0, "use_bias": True, "name": "mine", "dtype": "float64"}
    assert {key: config[key] for key in wanted} == wanted
    again = Scale.from_config(config)
    assert (again.factor, again.use_bias, again.name) == (3.0, True, "mine")


def test_a_class_without_kwargs_has_a_config_too():
    assert TorchStyle.from_config(TorchStyle(5).get_config()).net.in_features == 5


def test_keras_style_and_torch_style_are_ordinary_modules():
    keras_style, torch_style = Scale(2.0), TorchStyle(3)
    x = torch.randn(4, 3)

    assert_close(keras_style(x), 2 * x)
    assert_close(torch_style(x), torch_style.net(x))
    assert list(keras_style.state_dict()) == ["kernel", "count"]
    assert list(torch_style.state_dict()) == ["net.weight", "net.bias"]


def test_a_weight_is_known_by_the_attribute_it_is_assigned_to():
    layer = Scale(1.0)
    layer(torch.ones(1, 3))

    assert dict(layer.named_parameters()).keys() == {"kernel"}
    assert dict(layer.named_buffers()).keys() == {"count"}
    assert layer.trainable_weights[0] is layer.kernel
    assert layer.non_trainable_weights[0] is layer.count


def test_a_weight_kept_in_a_list_is_registered_all_the_same():
    class Listed(layers.Layer):
        def build(self, input_shape):
            self.kept = [self.add_weight((2,), "zeros", name=f"part_{i}") for i in range(2)]

        def call(self, x):
            return x + self.kept[0] + self.kept[1]

    layer = Listed()
    layer(torch.ones(1, 2))
    assert list(dict(layer.named_parameters())) == ["part_0", "part_1"]


def test_layers_kept_in_a_list_are_tracked():
    class Stack(layers.Layer):
        def __init__(self):
            super().__init__()
            self.parts = [layers.Dense(3), layers.Dense(2)]

        def call(self, x):
            for part in self.parts:
                x = part(x)
            return x

    stack = Stack()
    assert stack(torch.ones(1, 4)).shape == (1, 2)
    assert stack.count_params() == 4 * 3 + 3 + 3 * 2 + 2


def test_training_follows_the_mode_unless_given():
    layer = Scale(1.0)
    x = torch.ones(1, 2)

    layer(x)
    layer.eval()
    layer(x)
    assert layer.count == 1
    layer(x, training=True)
    assert layer.count == 2
    assert not layer.training


def test_training_reaches_layers_inside():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dropout(0.5)

        def call(self, x):
            return self.inner(x)

    outer, x = Outer(), torch.ones(100)[None]
    assert torch.equal(outer(x, training=False), x)
    outer.eval()
    assert not torch.equal(outer(x, training=True), x)
    assert not outer.inner.training


def test_a_wrong_size_is_refused_by_name_with_both_shapes():
    layer = layers.Dense(4, name="head")
    layer(torch.ones(2, 3))

    with pytest.raises(ValueError, match=r'Dense "head" expects size 3 on axis -1 .*\(2, 5\)'):
        layer(torch.ones(2, 5))


def test_a_wrong_rank_is_refused_before_weights_are_made():
    layer = layers.Conv2D(4, 3)
    with pytest.raises(ValueError, match=r"4-D input \(batch, channels, height, width\)"):
        layer(torch.ones(32, 784))
    assert not layer.built


def test_an_error_inside_a_layer_names_it():
    class Broken(layers.Layer):
        def forward(self, x):
            return x @ torch.ones(7, 7)

    with pytest.raises(RuntimeError) as caught:
        Broken(name="wrong")(torch.ones(2, 3))
    assert 'in Broken "wrong", called on shape (2, 3)' in caught.value.__notes__


def test_set_weights_refuses_wrong_shapes_and_changes_nothing():
    layer = layers.Dense(2, name="small")
    layer(torch.ones(1, 3))
    before = layer.get_weights()

    with pytest.raises(ValueError, match=r"expects 2 arrays \(kernel \(3, 2\), bias \(2,\)\)"):
        layer.set_weights([np.zeros((2, 3)), np.zeros(2)])

    assert all(np.array_equal(a, b) for a, b in zip(before, layer.get_weights(), strict=True))


def test_set_weights_takes_keras_layout():
    layer = layers.Dense(2)
    layer(torch.ones(1, 3))
    kernel = np.arange(6, dtype="float32").reshape(3, 2)

    layer.set_weights([kernel, np.array([10.0, 20.0])])

    assert_close(layer(torch.eye(3)), torch.tensor(kernel) + torch.tensor([10.0, 20.0]))


@pytest.mark.parametrize("action", ["get_weights", "count_params"])
def test_asking_for_weights_that_do_not_exist_yet_says_what_to_do(action):
    with pytest.raises(ValueError, match=r"has no weights yet. Call it on data, or build"):
        getattr(layers.Dense(2), action)()


def test_building_by_hand_happens_once():
    layer = Scale(1.0)
    layer.build((None, 3))
    kernel = layer.kernel
    layer(torch.ones(1, 3))
    assert layer.kernel is kernel


def test_output_shape_is_found_by_running():
    assert layers.Dense(5).compute_output_shape((None, 3)) == (None, 5)
    assert layers.Dense(5).compute_output_shape((2, None, 3)) == (2, None, 5)
    assert layers.Conv2D(4, 3).compute_output_shape((None, 3, 28, None)) == (None, 4, 26, None)
    assert layers.Embedding(10, 4).compute_output_shape((None, 7)) == (None, 7, 4)


def test_finding_a_shape_changes_neither_random_state_nor_buffers():
    layer = layers.BatchNormalization()
    layer(torch.randn(8, 3))
    state = torch.get_rng_state()
    before = [w.clone() for w in layer.weights]

    layer.compute_output_shape((None, 3))
    layers.Dropout(0.5).compute_output_shape((None, 3))

    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before, layer.weights, strict=True))


def test_input_and_output_are_those_of_the_first_symbolic_call():
    layer = layers.Dense(2)
    with pytest.raises(AttributeError, match="has not been called on a symbolic tensor"):
        _ = layer.output
    x = Input((3,))
    y = layer(x)
    assert layer.input is x
    assert layer.output is y


def test_a_frozen_layer_keeps_parameters_and_buffers():
    model = Sequential(
        [Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(2, name="head")]
    )
    model.layers[0].trainable = model.layers[1].trainable = False
    frozen = [w.clone() for layer in model.layers[:2] for w in layer.weights]
    head = model.get_layer("head").kernel.detach().clone()
    model.compile("sgd", "mse")

    model.fit(torch.randn(32, 4), torch.randn(32, 2), epochs=2, verbose=0)

    after = [w for layer in model.layers[:2] for w in layer.weights]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))
    assert not torch.equal(head, model.get_layer("head").kernel)


def test_freezing_reaches_children_and_stays_through_train():
    outer = Sequential([Input((4,)), layers.BatchNormalization(), layers.Dropout(0.5)])
    outer.trainable = False

    outer.train()

    assert not any(module.training for module in outer.modules())
    assert outer.trainable_weights == []
    outer.trainable = True
    outer.train()
    assert all(module.training for module in outer.modules())
    assert len(outer.trainable_weights) == 2


def test_a_layer_frozen_before_it_is_built_stays_frozen():
    layer = layers.Dense(2, trainable=False)
    layer(torch.ones(1, 3))
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 2


def test_a_frozen_torch_part_stays_in_evaluation_mode():
    net = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    net[:2].requires_grad_(False)
    model = Model(net)
    model.compile("sgd", "mse")
    before = net[1].running_mean.clone()

    model.fit(torch.randn(16, 3) + 5, torch.randn(16, 1), verbose=0)
    layer = layers.TorchModule(net)
    layer.train()

    assert not net[1].training
    assert net[2].training
    assert torch.equal(before, net[1].running_mean)


def test_losses_hold_what_layers_added_and_the_penalties():
    class Adds(layers.Layer):
        def forward(self, x):
            self.add_loss(x.sum())
            return x

    x = torch.ones(2, 3)
    model = Sequential([Input((3,)), Adds(), layers.Dense(2, kernel_regularizer="l2")])
    model(x)

    added, penalty = model.losses
    assert added == 6
    assert_close(penalty, 0.01 * model.layers[1].kernel.square().sum())
    model.clear_losses()
    assert len(model.losses) == 1


class AddsSquare(layers.Layer):
    def call(self, x):
        self.add_loss(x.square().mean())
        return x


class Twice(layers.Layer):
    """Calls a layer that adds to the loss two times."""

    def __init__(self):
        super().__init__()
        self.adds = AddsSquare()

    def call(self, x):
        return self.adds(2 * self.adds(x))


def test_losses_are_those_of_the_last_call_of_the_outermost_layer(monkeypatch):
    monkeypatch.setattr(added_losses, "any", False)
    layer, x = Twice(), torch.ones(2, 3)

    for _ in range(2):
        layer(x)
        assert [float(loss) for loss in layer.losses] == [1, 4]

    layer.adds(3 * x)
    assert [float(loss) for loss in layer.losses] == [9]


def test_losses_are_told_apart_where_threads_call_models_at_the_same_time():
    both_are_in = threading.Barrier(2, timeout=20)

    class Own(Model):
        def __init__(self):
            super().__init__()
            self.twice = Twice()

        def call(self, x):
            both_are_in.wait()
            y = self.twice(x)
            both_are_in.wait()
            return y

    models = [Own(), Own()]
    for factor in (1, 3):
        x = factor * torch.ones(2, 3)
        threads = [threading.Thread(target=model, args=(x,)) for model in models]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        for model in models:
            assert [float(loss) for loss in model.losses] == [factor**2, 4 * factor**2]


@pytest.mark.parametrize("inside", ["layer", "model"])
def test_a_layer_that_a_graph_calls_twice_keeps_both_losses_in_fit_and_evaluate(inside):
    shared, inputs = AddsSquare(), Input((3,))
    shared = shared if inside == "layer" else Model(inputs, shared(inputs))
    first = layers.Dense(3, kernel_initializer="identity", use_bias=False)
    model = Model(inputs, shared(shared(first(inputs)) * 2))
    model.compile(optimizers.SGD(1e-9), device="cpu")
    x = torch.randn(8, 3)
    once = float(x.square().mean())

    assert model.fit(x, verbose=0).history["loss"] == pytest.approx([5 * once])
    assert model.evaluate(x, verbose=0) == pytest.approx(5 * once)
    model(x)
    assert [loss.item() for loss in model.losses] == pytest.approx([once, 4 * once])


def test_a_penalty_on_the_output_is_divided_by_the_batch():
    layer = layers.Dense(2, kernel_initializer="ones", activity_regularizer="l1")
    layer(torch.ones(4, 3))
    assert_close(layer.losses[0], torch.tensor(0.01 * 4 * 2 * 3 / 4))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float64"])
def test_a_policy_decides_types_of_weights_and_results(policy):
    layer = layers.Dense(2, dtype=policy)
    y = layer(torch.ones(1, 3))
    assert layer.kernel.dtype == layer.variable_dtype
    assert y.dtype == layer.compute_dtype


def test_arrays_and_float64_arrays_are_taken():
    assert layers.Dense(2)(np.ones((1, 3))).dtype == torch.float32


def test_a_layer_compiles_and_exports():
    layer = layers.Dense(2, activation="relu")
    x = torch.randn(4, 3)
    want = layer(x)

    assert_close(torch.compile(layer, backend="eager", fullgraph=True)(x), want)
    assert_close(torch.export.export(layer, (x,)).module()(x), want)


def test_layers_copy_and_pickle():
    layer = layers.Dense(2, activation="tanh")
    x = torch.randn(4, 3)
    want = layer(x)

    assert_close(copy.deepcopy(layer)(x), want)
    assert_close(pickle.loads(pickle.dumps(layer))(x), want)


def test_hooks_run():
    layer, seen = layers.Dense(2), []
    layer.register_forward_hook(lambda module, args, output: seen.append(output.shape))
    layer(torch.ones(3, 4))
    assert seen == [(3, 2)]


def test_registered_names_are_found_by_keras_name_too():
    @kerasish.register(package="Tests")
    class Kept(layers.Dense):
        pass

    config = kerasish.layers.serialize(Kept(3, name="kept"))
    again = kerasish.layers.deserialize(config)
    assert type(again) is Kept
    assert again.units == 3


class Tokens(layers.Layer):
    """As on keras.io: a mask by `compute_mask`, without `supports_masking`."""

    def __init__(self):
        super().__init__()
        self.table = layers.Embedding(5, 3, mask_zero=True)

    def call(self, inputs):
        return 2 * self.table(inputs)

    def compute_mask(self, inputs, mask=None):
        return self.table.compute_mask(inputs)


@pytest.mark.parametrize("of", [lambda: Tokens(), lambda: Sequential([Input((None,)), Tokens()])])
def test_a_mask_that_a_layer_makes_by_itself_reaches_the_next_layer(of):
    tokens = Input((None,), dtype="int64")
    model = Model(tokens, layers.LSTM(2)(of()(tokens)))

    assert_close(model(torch.tensor([[1, 2, 0, 0]])), model(torch.tensor([[1, 2]])))


def test_layers_in_a_dict_are_found_as_those_in_a_list_are():
    class Heads(Model):
        def __init__(self):
            super().__init__()
            self.heads = {"a": layers.Dense(2), "b": layers.Dense(3)}

        def call(self, inputs):
            return {name: head(inputs) for name, head in self.heads.items()}

    model = Heads()
    model(torch.ones(1, 4))

    assert model.count_params() == 4 * 2 + 2 + 4 * 3 + 3
    assert set(model.state_dict()) >= {"heads.a.linear.weight", "heads.b.linear.bias"}


@pytest.mark.parametrize("by_name", [False, True])
def test_a_model_of_own_code_may_take_two_tensors(by_name):
    class Scaled(Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, inputs, factors):
            return self.dense(inputs) * factors.sum(1, keepdim=True)

    model, x, factors = Scaled(), torch.randn(3, 4), torch.ones(3, 5)

    y = model(x, factors=factors) if by_name else model(x, factors)

    weight, bias = model.dense.linear.weight, model.dense.linear.bias
    assert_close(y, 5 * torch.nn.functional.linear(x, weight, bias))


def test_a_call_without_a_return_is_named():
    class Silent(layers.Layer):
        def call(self, inputs):
            2 * inputs

    with pytest.raises(ValueError, match=r'Silent "quiet" returned None.*`return`'):
        Silent(name="quiet")(Input((3,)))


def test_get_config_gives_what_a_subclass_does_not_write_itself():
    class Own(layers.Layer):
        def __init__(self, units=2, rate=0.5, **kwargs):
            super().__init__(**kwargs)
            self.units = units

        def get_config(self):
            return dict(units=self.units + 1, **super().get_config())

    class OnTop(layers.Dense):
        def get_config(self):
            config = super().get_config()
            return {**config, "units": config["units"] + 1}

    config = Own(rate=0.1, name="own").get_config()
    expected = {"units": 3, "rate": 0.1, "name": "own", "trainable": True, "dtype": "float32"}
    assert config == expected
    assert OnTop(4).get_config()["units"] == 5


def test_code_for_batches_of_one_size_is_told_to_say_so():
    class Fixed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(torch.reshape(x, (12, 4)))

    assert Fixed()(Input((3, 4), batch_size=4)).shape == (12, 2)
    with pytest.raises(RuntimeError) as caught:
        Fixed()(Input((3, 4)))
    assert caught.value.__notes__[-1] == (
        "Unknown sizes were tried as some number, with zeros of shape (2, 3, 4). If this needs "
        "particular sizes, give them to Input, such as Input(shape, batch_size=32)."
    )


def test_a_layer_said_to_be_built_that_is_not_says_so_where_it_fails():
    layer = layers.Dense(2)
    layer.built = True

    with pytest.raises(AttributeError) as caught:
        layer(torch.ones(1, 3))
    assert "`built` was set by hand" in caught.value.__notes__[-1]
