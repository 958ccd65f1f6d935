"""What an optimizer keeps, listed as variables."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import Input, Sequential, layers, optimizers


def trained(optimizer, updates=3):
    """A line through one weight and one offset, after some updates with a gradient of one."""
    model = Sequential([Input((1,)), layers.Dense(1, name="line")])
    optimizer.bind(model.named_parameters())
    for _ in range(updates):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.update()
    return model


def test_an_unbound_optimizer_keeps_its_count_and_its_rate():
    optimizer = optimizers.SGD(0.25)

    assert not optimizer.built
    assert [v.path for v in optimizer.variables] == ["sgd/iteration", "sgd/learning_rate"]
    assert [v.numpy().item() for v in optimizer.variables] == [0, 0.25]


def test_variables_are_those_of_keras_in_number_and_in_values():
    keras = pytest.importorskip("keras")
    ours, theirs = optimizers.Adam(0.1), keras.optimizers.Adam(0.1)
    trained(ours)
    weight, bias = keras.Variable(np.ones((1, 1), "float32")), keras.Variable(np.ones(1, "float32"))
    for _ in range(3):
        theirs.apply([torch.ones(1, 1), torch.ones(1)], [weight, bias])

    assert ours.built
    assert [v.name for v in ours.variables[2:]] == [
        f"line_linear_{of}_{key}" for of in ("weight", "bias") for key in ("exp_avg", "exp_avg_sq")
    ]
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        assert_close(a.detach(), b.value.detach(), rtol=1e-5, atol=0, check_dtype=False)


def test_what_is_assigned_counts_in_the_next_update():
    optimizer = optimizers.SGD(0.5, momentum=0.5)
    model = trained(optimizer, updates=1)
    before = model.layers[0].get_weights()[0]

    optimizer.variables[1].assign(0.1)
    optimizer.variables[2].assign([[4.0]])
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.update()

    assert optimizer.learning_rate == pytest.approx(0.1)
    np.testing.assert_allclose(model.layers[0].get_weights()[0], before - 0.1 * (0.5 * 4 + 1))


@pytest.mark.parametrize("make", [optimizers.Adam, optimizers.Adagrad, optimizers.Nadam])
def test_an_optimizer_set_to_zero_starts_again(make):
    used, fresh = make(0.1), make(0.1)
    model = trained(used)
    start = trained(fresh, updates=0)
    start.load_state_dict(model.state_dict())

    initial = {"sum": getattr(used, "initial_accumulator_value", 0.0), "mu_product": 1.0}
    for variable in used.variables:
        if not variable.path.endswith("learning_rate"):
            key = next((key for key in initial if variable.name.endswith(key)), None)
            variable.assign(torch.full(variable.shape, initial.get(key, 0)))
    for optimizer, module in ((used, model), (fresh, start)):
        for parameter in module.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        optimizer.update()

    assert used.iterations == fresh.iterations == 1
    assert_close(list(model.parameters()), list(start.parameters()))


def test_weights_of_one_optimizer_go_to_another():
    first, second = optimizers.Adam(0.1), optimizers.Adam(0.3)
    trained(first, updates=4)
    trained(second, updates=1)

    second.set_weights([variable.numpy() for variable in first.variables])

    assert second.iterations == 4
    assert second.learning_rate == pytest.approx(0.1)
    for a, b in zip(first.variables, second.variables, strict=True):
        assert_close(a.detach(), b.detach())
    with pytest.raises(ValueError, match=r"Adam.set_weights: expected 6 values .* got 1 of shapes"):
        second.set_weights([1.0])


def test_numbers_that_are_set_to_what_they_are_stay_exactly_so():
    optimizer = optimizers.Adam(0.1)
    trained(optimizer, updates=2)

    optimizer.set_weights([variable.numpy() for variable in optimizer.variables])

    assert optimizer.learning_rate == 0.1


def test_a_schedule_is_no_variable_and_stays_where_variables_are_set():
    schedule = optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    first, second = optimizers.SGD(schedule), optimizers.SGD(schedule)
    trained(first, updates=4)
    trained(second, updates=1)

    second.set_weights([variable.numpy() for variable in first.variables])

    assert [variable.name for variable in second.variables] == ["iteration"]
    assert second.learning_rate == pytest.approx(0.1 * 0.5**0.4)
    assert second.get_config()["learning_rate"] is schedule


def test_averages_of_the_weights_are_among_the_variables():
    optimizer = optimizers.SGD(0.1, use_ema=True)
    model = trained(optimizer, updates=1)

    _, _, weight, bias = optimizer.variables

    assert weight.path == "sgd/line_linear_weight_average"
    assert_close(bias.detach(), model.layers[0].linear.bias.detach())


def test_optimizers_round_others_list_those_variables():
    inner = optimizers.SGD(0.1, momentum=0.9)
    trained(optimizers.LossScaleOptimizer(inner), updates=1)
    both = optimizers.MultiOptimizer(
        optimizers.OptimizerMap(optimizers.Adam(0.2), {".*bias": optimizers.SGD(0.1)})
    )
    trained(both, updates=1)

    assert len(optimizers.LossScaleOptimizer(inner).variables) == 4
    assert {v.path for v in both.variables} >= {"adam/learning_rate", "sgd/learning_rate"}


def test_the_count_of_updates_has_the_words_of_a_variable():
    optimizer = optimizers.Adam(0.1)
    trained(optimizer, updates=3)

    assert optimizer.iterations.numpy() == 3
    assert optimizer.iterations.value.tolist() == 3
    optimizer.iterations.assign(7)

    assert optimizer.iterations == 7
    assert {float(state["step"]) for state in optimizer.torch.state.values()} == {7.0}
