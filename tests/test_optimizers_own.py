"""Optimizers of one's own, written as Keras's guides have it."""

import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import Input, Sequential, layers, optimizers


def adam_of(library):
    """Adam by its formula, in Keras's words: the same code for kerasish and for Keras."""
    ops = library.ops

    class OwnAdam(library.optimizers.Optimizer):
        def __init__(self, learning_rate=0.1, beta=0.9, **kwargs):
            super().__init__(learning_rate=learning_rate, **kwargs)
            self.beta = beta

        def build(self, variables):
            if self.built:
                return
            super().build(variables)
            self.first, self.second = [], []
            for variable in variables:
                self.first.append(self.add_variable_from_reference(variable, name="first"))
                self.second.append(self.add_variable_from_reference(variable, name="second"))

        def update_step(self, gradient, variable, learning_rate):
            rate = ops.cast(learning_rate, variable.dtype)
            step = ops.cast(self.iterations + 1, variable.dtype)
            place = self._get_variable_index(variable)
            first, second = self.first[place], self.second[place]
            self.assign_add(first, (1 - self.beta) * (gradient - first))
            self.assign_add(second, (1 - 0.999) * (ops.square(gradient) - second))
            scale = rate * ops.sqrt(1 - 0.999**step) / (1 - self.beta**step)
            self.assign_sub(variable, first * scale / (ops.sqrt(second) + 1e-7))

        def get_config(self):
            return {**super().get_config(), "beta": self.beta}

    return OwnAdam


OwnAdam = adam_of(kerasish)


class OwnSGD(optimizers.Optimizer):
    """Nothing to keep, nothing to build."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * gradient)


def network():
    kerasish.utils.set_random_seed(0)
    return Sequential([Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])


DATA = (
    np.random.default_rng(0).normal(size=(24, 3)).astype("float32"),
    np.random.default_rng(1).normal(size=(24, 1)).astype("float32"),
)


def fitted(optimizer, epochs=2, model=None):
    model = model or network()
    model.compile(optimizer, "mse")
    model.fit(*DATA, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return model


def assert_same_weights(a, b, **tolerance):
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def test_adam_by_its_formula_is_torchs_adam():
    own, ready = fitted(OwnAdam(0.01)), fitted(optimizers.Adam(0.01))

    assert_same_weights(own, ready, rtol=1e-3, atol=1e-4)
    assert own.optimizer.iterations == 6


def test_without_anything_kept_update_step_is_enough():
    assert_same_weights(fitted(OwnSGD(0.1)), fitted(optimizers.SGD(0.1)), rtol=1e-5)


def test_the_settings_of_every_optimizer_hold():
    settings = {"global_clipnorm": 0.1, "weight_decay": 0.1, "use_ema": True}
    settings["learning_rate"] = optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)

    own, ready = fitted(OwnSGD(**settings)), fitted(optimizers.SGD(**settings))

    assert_same_weights(own, ready, rtol=1e-5)
    assert_close(
        [a.detach() for a in own.optimizer.variables],
        [b.detach() for b in ready.optimizer.variables],
        rtol=1e-5,
        atol=1e-6,
    )


def test_gathered_gradients_count_as_one_update():
    own = fitted(OwnAdam(0.01, gradient_accumulation_steps=3))
    ready = fitted(optimizers.Adam(0.01, gradient_accumulation_steps=3))

    assert_same_weights(own, ready, rtol=1e-3, atol=1e-4)
    assert own.optimizer.iterations == 2


def test_a_loop_of_ones_own_may_build_and_apply():
    weight = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = OwnAdam(0.5)
    optimizer.build([weight])
    assert optimizer.built

    optimizer.apply_gradients([(torch.tensor([3.0, -1.0]), weight)])

    assert_close(weight.detach(), torch.tensor([0.5, 2.5]))  # Adam's first step is the rate
    assert [v.name for v in optimizer.variables[2:]] == ["parameter_0_first", "parameter_0_second"]


def test_state_is_saved_and_goes_on(tmp_path):
    whole, half = fitted(OwnAdam(0.01), epochs=4), fitted(OwnAdam(0.01), epochs=2)
    half.save(tmp_path / "model.kerasish")

    again = kerasish.load_model(tmp_path / "model.kerasish", custom_objects={"OwnAdam": OwnAdam})
    again.fit(*DATA, batch_size=8, epochs=2, shuffle=False, verbose=0)

    assert again.optimizer.beta == 0.9
    assert_same_weights(again, whole, rtol=1e-6)


def test_a_copy_goes_its_own_way():
    model = fitted(OwnAdam(0.01), epochs=1)
    twin = copy.deepcopy(model)
    wanted = fitted(OwnAdam(0.01), epochs=2)

    twin.fit(*DATA, batch_size=8, shuffle=False, verbose=0)
    model.fit(*DATA, batch_size=8, shuffle=False, verbose=0)

    assert_same_weights(twin, wanted, rtol=1e-6)
    assert_same_weights(model, wanted, rtol=1e-6)


def test_thawed_weights_get_state_and_the_others_keep_theirs():
    def run(make):
        model = network()
        model.layers[0].trainable = False
        model = fitted(make(0.01), epochs=1, model=model)
        model.layers[0].trainable = True
        model.fit(*DATA, batch_size=8, shuffle=False, verbose=0)
        return model

    own = run(OwnAdam)

    places = {p: i for i, p in enumerate(own.optimizer._named.values())}
    kept = [own.optimizer.first[places[p]] for p in own.parameters()]
    assert all((value != 0).any() for value in kept)
    assert len(own.optimizer.variables) == 2 + 2 * 4


def test_state_that_belongs_to_no_weight_is_kept_too():
    class Counting(OwnSGD):
        def build(self, variables):
            super().build(variables)
            self.calls = self.add_variable((), name="calls")
            self.a, self.b = self.add_optimizer_variables(variables, ["a", "b"], "ones")

        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate)
            self.calls.assign_add(1)

    optimizer = fitted(Counting(0.1), epochs=1).optimizer

    assert optimizer.calls.numpy() == 3 * 4
    assert len(optimizer.a) == len(optimizer.b) == 4
    assert (optimizer.b[0] == 1).all()
    assert any(v.name.endswith("calls") for v in optimizer.variables)


class CountingUpdates(OwnSGD):
    def build(self, variables):
        super().build(variables)
        self.calls = self.add_variable((), dtype="int64", name="calls")
        self.seen = self.add_optimizer_variables(variables, "seen")

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)
        self.calls.assign_add(1)
        self.seen[self._get_variable_index(variable)].assign_add(gradient)


def test_state_that_belongs_to_no_weight_stays_while_weights_are_frozen_and_thawed():
    weights = {name: torch.nn.Parameter(torch.ones(2)) for name in "ab"}
    optimizer = CountingUpdates(0.1)

    for names in ("ab", "b", "ab"):
        optimizer.bind([(name, weights[name]) for name in names])
        for name in names:
            weights[name].grad = torch.ones(2)
        optimizer.update()
        assert len(optimizer.state_dict()["state"]) == len(names)

    assert optimizer.calls.item() == 5
    assert optimizer.seen[1].tolist() == [3.0, 3.0]


def test_files_hold_plain_tensors_and_counts_stay_whole_numbers(tmp_path):
    def optimizer_of(weight):
        made = CountingUpdates(0.1)
        made.apply([torch.ones(2)], [weight])
        return made

    saved = optimizer_of(torch.nn.Parameter(torch.ones(2)))
    torch.save(saved.state_dict(), tmp_path / "state.pt")
    weight = torch.nn.Parameter(torch.zeros(2))
    loaded = optimizer_of(weight)
    loaded.apply([torch.ones(2)])

    loaded.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    loaded.apply([torch.ones(2)], [weight])

    assert loaded.calls.item() == 2
    assert loaded.calls.dtype == torch.int64
    assert loaded.seen[0].tolist() == [2.0, 2.0]


def test_keras_gives_the_same_with_the_same_code():
    keras = pytest.importorskip("keras")

    weight, theirs = torch.nn.Parameter(torch.ones(3)), keras.Variable(np.ones(3, "float32"))
    ours, other = OwnAdam(0.1), adam_of(keras)(0.1)

    for factor in (1.0, -0.5, 2.0):
        gradient = factor * torch.tensor([1.0, 2.0, -3.0])
        ours.apply([gradient], [weight])
        other.apply([gradient], [theirs])

    assert_close(weight.detach(), theirs.value.detach(), rtol=1e-5, atol=1e-6)


def test_an_optimizer_with_neither_way_of_updating_is_told_what_to_define():
    class Empty(optimizers.Optimizer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define make_torch.*update_step"):
        Empty(0.1).build([torch.nn.Parameter(torch.ones(2))])
