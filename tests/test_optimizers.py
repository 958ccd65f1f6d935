"""Optimizers: the numbers of torch.optim exactly, those of Keras closely, and Keras's settings."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import Sequential, layers, optimizers, schedules
from kerasish.optimizers.algorithms import RMSpropAlgorithm

SHAPES = [(4, 3), (4,), (2, 4), (2,)]


def make_net(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)


def give_gradients(net, step, skip=()):
    generator = torch.Generator().manual_seed(step)
    for index, p in enumerate(net.parameters()):
        grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        p.grad = None if index in skip else grad


def assert_same_weights(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


SAME_AS_TORCH = {
    "sgd": (optimizers.SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "sgd-momentum": (
        optimizers.SGD(0.1, momentum=0.9),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, fused=True),
    ),
    "sgd-nesterov": (
        optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, fused=True),
    ),
    "adam": (
        optimizers.Adam(0.1, 0.8, 0.95, 1e-6),
        lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.95), 1e-6, fused=True),
    ),
    "adam-amsgrad": (
        optimizers.Adam(0.1, amsgrad=True),
        lambda p: torch.optim.Adam(p, 0.1, eps=1e-7, amsgrad=True, fused=True),
    ),
    "adamw": (
        optimizers.AdamW(0.1),
        lambda p: torch.optim.AdamW(p, 0.1, eps=1e-7, weight_decay=0.004, fused=True),
    ),
    "rmsprop": (
        optimizers.RMSprop(0.1),
        lambda p: RMSpropAlgorithm(p, lr=0.1, alpha=0.9, eps=1e-7, momentum=0, centered=False),
    ),
    "rmsprop-all": (
        optimizers.RMSprop(0.1, momentum=0.5, centered=True),
        lambda p: RMSpropAlgorithm(p, lr=0.1, alpha=0.9, eps=1e-7, momentum=0.5, centered=True),
    ),
    "torch-rmsprop": (
        optimizers.TorchOptimizer(functools.partial(torch.optim.RMSprop, lr=0.1, foreach=True)),
        lambda p: torch.optim.RMSprop(p, 0.1, foreach=True),
    ),
    "torch-rmsprop-all": (
        optimizers.TorchOptimizer(
            functools.partial(
                torch.optim.RMSprop, lr=0.1, momentum=0.5, centered=True, foreach=True
            )
        ),
        lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.5, centered=True, foreach=True),
    ),
}


@pytest.fixture(params=SAME_AS_TORCH.values(), ids=SAME_AS_TORCH.keys())
def pair(request):
    description, make_reference = request.param
    net = make_net()
    twin = copy.deepcopy(net)
    ours = copy.deepcopy(description).bind(net.named_parameters())
    return net, ours, twin, make_reference(twin.parameters())


def run_together(net, ours, twin, reference, steps, skip_at=None):
    for step in steps:
        if step == 10:
            ours.learning_rate = 0.03
            for group in reference.param_groups:
                group["lr"] = 0.03
        skip = (1,) if step == skip_at else ()
        give_gradients(net, step, skip)
        give_gradients(twin, step, skip)
        ours.update()
        reference.step()
        assert all(p.grad is None for p in net.parameters())
        assert_same_weights(net, twin)


def test_every_update_equals_torch_bit_by_bit(pair):
    run_together(*pair, range(20))

    assert pair[1]._kernels is not None


def test_update_equals_torch_when_a_gradient_is_missing(pair):
    run_together(*pair, range(8), skip_at=5)


def test_update_equals_torch_when_the_first_gradients_are_missing(pair):
    net, ours, twin, reference = pair
    if any(group["momentum"] for group in reference.param_groups if "dampening" in group):
        # Fused SGD raises in torch itself when some momentum buffers are missing.
        for group in reference.param_groups:
            group.update(fused=False, foreach=True)

    for step in range(8):
        for network in (net, twin):
            give_gradients(network, step, skip=(1,) if step == 0 else ())
        ours.update()
        reference.step()

    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert_close(a, b)


def test_state_continues_in_a_plain_torch_optimizer(pair):
    net, ours, twin, reference = pair
    run_together(net, ours, twin, reference, range(6))

    for group in reference.param_groups:
        group["lr"] = 99.0
    reference.load_state_dict(copy.deepcopy(ours.state_dict()))

    run_together(net, ours, twin, reference, range(6, 9))


def test_state_of_a_plain_torch_optimizer_continues_here(pair):
    net, ours, twin, reference = pair
    for step in range(3):
        give_gradients(twin, step)
        reference.step()
    net.load_state_dict(twin.state_dict())

    ours.load_state_dict(copy.deepcopy(reference.state_dict()))

    run_together(net, ours, twin, reference, range(3, 9))


def test_state_loaded_into_the_torch_object_itself_is_noticed(pair):
    net, ours, twin, reference = pair
    run_together(net, ours, twin, reference, range(3))
    saved, weights = copy.deepcopy(ours.state_dict()), copy.deepcopy(net.state_dict())
    reference_saved = copy.deepcopy(reference.state_dict())
    run_together(net, ours, twin, reference, range(3, 6))

    ours.torch.load_state_dict(copy.deepcopy(saved))
    reference.load_state_dict(reference_saved)
    net.load_state_dict(weights)
    twin.load_state_dict(weights)

    run_together(net, ours, twin, reference, range(3, 6))


def test_hooks_on_the_torch_optimizer_are_called(pair):
    net, ours, _, _ = pair
    calls = []
    give_gradients(net, 0)
    ours.update()
    ours.torch.register_step_pre_hook(lambda *_: calls.append("pre"))
    ours.torch.register_step_post_hook(lambda *_: calls.append("post"))

    give_gradients(net, 1)
    ours.update()

    assert calls == ["pre", "post"]


def test_a_replaced_step_is_called(pair):
    net, ours, _, _ = pair
    calls = []
    original = ours.torch.step
    ours.torch.step = lambda: (calls.append(1), original())

    for step in range(3):
        give_gradients(net, step)
        ours.bind(net.named_parameters())
        ours.update()

    assert len(calls) == 3


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_updates_its_own_parameters(copier):
    net = make_net()
    optimizer = optimizers.Adam(0.1).bind(net.named_parameters())
    for step in range(3):
        give_gradients(net, step)
        optimizer.update()

    other_net, other = copier((net, optimizer))
    for n, o in ((net, optimizer), (other_net, other)):
        give_gradients(n, 7)
        o.update()
    assert_same_weights(net, other_net)

    give_gradients(other_net, 8)
    other.update()
    assert not torch.equal(net[0].weight, other_net[0].weight)
    assert optimizer.iterations == 4
    assert other.iterations == 5


def quadratic_update(net):
    loss = sum((p**2).sum() for p in net.parameters())
    loss.backward()
    return loss


def weights_of(net):
    return [p.detach().clone() for p in net.parameters()]


def test_lr_multipliers_scale_the_rate_of_parts_and_follow_its_changes():
    net = make_net()
    optimizer = optimizers.SGD(0.1).bind(net.named_parameters(), {"0": 0.01, "*.bias": 0.5})
    scales = {
        name: group["lr"] for group in optimizer.torch.param_groups for name in group["param_names"]
    }
    assert scales == pytest.approx(
        {"0.weight": 0.001, "0.bias": 0.001, "2.weight": 0.1, "2.bias": 0.05}
    )

    for rate in (0.1, 0.2):
        optimizer.learning_rate = rate
        assert optimizer.learning_rate == pytest.approx(rate)
        before = weights_of(net)
        quadratic_update(net)
        optimizer.update()
        for p, old, scale in zip(net.parameters(), before, (0.01, 0.01, 1, 0.5), strict=True):
            assert_close(p.detach(), old - rate * scale * 2 * old)


def test_lr_multipliers_also_scale_a_schedule():
    net = make_net()
    optimizer = optimizers.SGD(schedules.ExponentialDecay(0.1, 1, 0.5))
    optimizer.bind(net.named_parameters(), {"0": 0.0})

    for step in range(4):
        assert optimizer.learning_rate == pytest.approx(0.1 * 0.5**step)
        before = weights_of(net)
        quadratic_update(net)
        optimizer.update()
        assert torch.equal(net[0].weight, before[0])
        assert_close(net[2].bias.detach(), before[3] - 0.1 * 0.5**step * 2 * before[3])


def test_a_rate_changed_in_the_torch_groups_is_the_rate():
    net = make_net()
    optimizer = optimizers.Adam(0.1).bind(net.named_parameters())
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer.torch, 0.5)
    quadratic_update(net)
    optimizer.torch.step()
    scheduler.step()

    assert optimizer.learning_rate == pytest.approx(0.05)


def test_binding_again_keeps_what_stays_drops_the_frozen_and_adds_the_new():
    net = make_net()
    optimizer = optimizers.Adam(0.1).bind(net[2].named_parameters())
    torch_optimizer = optimizer.torch
    for step in range(3):
        give_gradients(net, step)
        optimizer.update()
    kept = optimizer.torch.state[net[2].weight]["exp_avg"].clone()
    optimizer.learning_rate = 0.02

    optimizer.bind([("0.weight", net[0].weight), ("2.weight", net[2].weight)])

    assert optimizer.torch is torch_optimizer
    assert optimizer.learning_rate == pytest.approx(0.02)
    assert set(optimizer.torch.state) == {net[2].weight}
    assert torch.equal(optimizer.torch.state[net[2].weight]["exp_avg"], kept)
    frozen = net[2].bias.detach().clone()
    for step in range(3, 6):
        give_gradients(net, step)
        optimizer.update()
    assert torch.equal(net[2].bias, frozen)
    assert optimizer.torch.state[net[2].weight]["step"] == 6
    assert optimizer.torch.state[net[0].weight]["step"] == 3
    assert optimizer.iterations == 6


@pytest.mark.parametrize("name", sorted(optimizers.lookup.NAMES))
def test_every_optimizer_can_be_bound_again_with_new_parameters(name):
    net = make_net()
    optimizer = optimizers.get(name)
    optimizer.bind(net[0].named_parameters(prefix="0"))
    give_gradients(net, 0)
    optimizer.update()
    optimizer.bind(net.named_parameters())
    before = weights_of(net)

    for step in range(1, 4):
        give_gradients(net, step)
        optimizer.update()

    assert all(not torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize("name", sorted(optimizers.lookup.NAMES))
def test_every_optimizer_goes_on_from_its_saved_state(name):
    net = make_net()
    optimizer = optimizers.get(name).bind(net.named_parameters())
    for step in range(4):
        give_gradients(net, step)
        optimizer.update()
    saved, weights = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(net.state_dict())
    twin = make_net(seed=1)
    twin.load_state_dict(weights)
    other = optimizers.get(name).bind(twin.named_parameters())

    other.load_state_dict(saved)

    for step in range(4, 8):
        give_gradients(net, step)
        give_gradients(twin, step)
        optimizer.update()
        other.update()
    assert_same_weights(net, twin)
    assert other.iterations == 8


@pytest.mark.parametrize("dead", ["a row", "a column", "everything"])
@pytest.mark.parametrize("name", sorted(optimizers.lookup.NAMES))
def test_units_without_a_gradient_stay_finite(name, dead):
    weight, bias = nn.Parameter(torch.ones(3, 4)), nn.Parameter(torch.ones(3))
    optimizer = optimizers.get(name).bind([("weight", weight), ("bias", bias)])
    for _ in range(3):
        weight.grad, bias.grad = torch.ones(3, 4), torch.ones(3)
        part = {"a row": 0, "a column": (slice(None), 0), "everything": slice(None)}[dead]
        weight.grad[part] = bias.grad[0] = 0
        optimizer.update()

    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()


@pytest.mark.parametrize("name", sorted(optimizers.lookup.NAMES))
def test_every_optimizer_lowers_a_quadratic_in_double_precision(name):
    net = make_net(dtype=torch.float64)
    optimizer = optimizers.get(name).bind(net.named_parameters())
    optimizer.learning_rate = 0.01

    losses = []
    for _ in range(50):
        losses.append(quadratic_update(net).item())
        optimizer.update()

    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "optimizer",
    [
        optimizers.SGD(0.3, momentum=0.9, weight_decay=0.1, clipnorm=1),
        optimizers.AdamW(schedules.CosineDecay(0.1, 20), use_ema=True),
        optimizers.Muon(0.1, exclude_layers=["head"], name="mine"),
        optimizers.LossScaleOptimizer(optimizers.Adam(0.5), initial_scale=4.0),
        optimizers.MultiOptimizer(
            optimizers.OptimizerMap(optimizers.SGD(), {"a/.*": optimizers.Adam()})
        ),
        optimizers.TorchOptimizer(torch.optim.RAdam),
        *[cls() for cls in optimizers.lookup.NAMES.values()],
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_an_optimizer_comes_back_from_its_config(optimizer):
    config = optimizers.serialize(optimizer)

    again = optimizers.deserialize(config)

    assert type(again) is type(optimizer)
    assert optimizers.serialize(again) == config


@pytest.mark.parametrize("identifier", ["adam", "Adam", optimizers.Adam, {"class_name": "Adam"}])
def test_get_finds_an_optimizer(identifier):
    assert type(optimizers.get(identifier)) is optimizers.Adam


def test_get_leaves_an_optimizer_and_none_alone():
    optimizer = optimizers.SGD()

    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(None) is None


FOREIGN = {
    "class": lambda p: (torch.optim.RAdam, torch.optim.RAdam(p)),
    "partial": lambda p: (
        functools.partial(torch.optim.SGD, lr=0.2, momentum=0.5),
        torch.optim.SGD(p, lr=0.2, momentum=0.5),
    ),
    "function": lambda p: (
        lambda q: torch.optim.Adam(q, lr=0.2, weight_decay=0.1),
        torch.optim.Adam(p, lr=0.2, weight_decay=0.1),
    ),
    "plain": lambda p: (
        functools.partial(torch.optim.SGD, lr=0.2, weight_decay=0.1),
        torch.optim.SGD(p, lr=0.2, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_torch_classes_and_partials_keep_their_own_numbers(make):
    net = make_net()
    twin = copy.deepcopy(net)
    given, reference = make(twin.parameters())
    ours = optimizers.TorchOptimizer(given)
    assert ours.learning_rate == reference.param_groups[0]["lr"]
    ours.bind(net.named_parameters())

    run_together(net, ours, twin, reference, range(12))


def test_a_torch_instance_is_used_as_it_is():
    net = make_net()
    twin = copy.deepcopy(net)
    instance = torch.optim.Adam(net.parameters(), lr=0.1)
    ours = optimizers.get(instance)
    ours.bind(net.named_parameters())

    assert ours.torch is instance
    run_together(net, ours, twin, torch.optim.Adam(twin.parameters(), lr=0.1), range(12))


def test_a_torch_instance_of_another_model_is_refused():
    other = torch.optim.Adam(make_net(1).parameters())

    with pytest.raises(ValueError, match="none of them among the model's 4 trainable ones"):
        optimizers.get(other).bind(make_net().named_parameters())


@pytest.mark.parametrize("interval", ["epoch", "batch"])
def test_a_torch_scheduler_steps_at_its_interval(interval):
    net = make_net()
    instance = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(instance, 1, gamma=0.5)
    optimizer = optimizers.TorchOptimizer(instance, scheduler, interval)
    optimizer.bind(net.named_parameters())

    for step in range(4):
        give_gradients(net, step)
        optimizer.update()
    optimizer.on_epoch_end()

    assert optimizer.learning_rate == pytest.approx(0.5 if interval == "epoch" else 0.5**4)


def test_a_scheduler_factory_is_made_at_binding_and_watches_the_loss():
    net = make_net()
    plateau = functools.partial(torch.optim.lr_scheduler.ReduceLROnPlateau, patience=0, factor=0.1)
    optimizer = optimizers.TorchOptimizer(torch.optim.SGD, plateau)
    optimizer.bind(net.named_parameters())

    for loss in (1.0, 2.0):
        optimizer.on_epoch_end({"val_loss": loss})

    assert optimizer.learning_rate == pytest.approx(1e-4)


def test_gradient_accumulation_through_backward_is_the_mean_of_the_batches():
    net = make_net()
    before = weights_of(net)
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=2).bind(net.named_parameters())

    for factor in (1.0, 3.0):
        (factor * sum(p.sum() for p in net.parameters())).backward()
        optimizer.update()
        optimizer.zero_grad()

    for p, old in zip(net.parameters(), before, strict=True):
        assert_close(p.detach(), old - 0.1 * 2.0)
        assert p.grad is None
    assert optimizer.iterations == 1


def test_gradients_given_by_hand_are_not_changed_nor_added_to_those_of_backward():
    net = make_net()
    before = weights_of(net)
    optimizer = optimizers.SGD(0.1, clipvalue=0.5).bind(net.named_parameters())
    sum(p.sum() for p in net.parameters()).backward()
    grads = [p.grad for p in net.parameters()]

    optimizer.apply_gradients(zip(grads, net.parameters(), strict=True))

    assert all((grad == 1).all() for grad in grads)
    for p, old in zip(net.parameters(), before, strict=True):
        assert_close(p.detach(), old - 0.1 * 0.5)


def test_excluded_parameters_do_not_decay():
    net = make_net()
    before = weights_of(net)
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay([net[0].weight], ["bias"])
    optimizer.bind(net.named_parameters())

    for p in net.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.update()

    expected = [before[0], before[1], before[2] * (1 - 0.1 * 0.5), before[3]]
    for p, value in zip(net.parameters(), expected, strict=True):
        assert_close(p.detach(), value)


def test_weights_of_layers_can_be_left_out_of_decay():
    model = Sequential([layers.Input((4, 3)), layers.LSTM(2), layers.Dense(2), layers.Dense(1)])
    lstm, dense, last = model.layers
    optimizer = optimizers.AdamW(0.1)
    optimizer.exclude_from_weight_decay([dense.bias, dense.kernel, last.bias])
    optimizer.bind(model.named_parameters())

    spared = [g["params"] for g in optimizer.param_groups if not g["weight_decay"]]
    decayed = [g["params"] for g in optimizer.param_groups if g["weight_decay"]]

    wanted = {id(p) for p in (*dense.parameters(), list(last.parameters())[1])}
    assert {id(p) for group in spared for p in group} == wanted
    assert {id(p) for p in lstm.parameters()} < {id(p) for group in decayed for p in group}


def test_counts_may_be_numpys():
    optimizer = optimizers.Adam(use_ema=True, ema_overwrite_frequency=np.int64(3))

    assert type(optimizer.ema_overwrite_frequency) is int


def test_step_keeps_the_gradients_and_zero_grad_clears_them():
    net = make_net()
    optimizer = optimizers.SGD(0.1).bind(net.named_parameters())
    give_gradients(net, 0)

    optimizer.step()
    assert all(p.grad is not None for p in net.parameters())

    optimizer.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_the_loss_scale_halves_at_an_overflow_and_doubles_after_good_updates():
    net = make_net()
    twin = copy.deepcopy(net)
    inner = optimizers.SGD(0.1)
    optimizer = optimizers.LossScaleOptimizer(inner, initial_scale=8.0, dynamic_growth_steps=2)
    optimizer.bind(net.named_parameters())
    plain = optimizers.SGD(0.1).bind(twin.named_parameters())

    give_gradients(net, 0)
    net[0].bias.grad[0] = float("inf")
    optimizer.update()
    assert_same_weights(net, twin)
    assert optimizer.dynamic_scale == 4.0

    for _ in range(2):
        optimizer.scale_loss(sum((p**2).sum() for p in net.parameters())).backward()
        optimizer.update()
        quadratic_update(twin)
        plain.update()
    assert_same_weights(net, twin)
    assert optimizer.dynamic_scale == 8.0
    assert optimizer.iterations == 2
    optimizer.learning_rate = 0.5
    assert inner.learning_rate == 0.5


def test_parts_of_a_model_get_their_own_optimizers():
    net, first, second = make_net(), make_net(), make_net()
    parts = optimizers.OptimizerMap(optimizers.SGD(0.1), {"0/.*": optimizers.Adam(0.2)})
    optimizer = optimizers.MultiOptimizer(parts)
    optimizer.bind(net.named_parameters())
    adam = torch.optim.Adam(first.parameters(), 0.2, eps=1e-7, fused=True)
    sgd = torch.optim.SGD(second.parameters(), 0.1)

    for step in range(4):
        for network, stepper in ((net, optimizer.update), (first, adam.step), (second, sgd.step)):
            give_gradients(network, step)
            stepper()

    assert_same_weights(net[0], first[0])
    assert_same_weights(net[2], second[2])
    assert {group["lr"] for group in optimizer.param_groups} == {0.1, 0.2}
    saved = copy.deepcopy(optimizer.state_dict())
    optimizer.load_state_dict(saved)


def test_averages_are_saved_with_the_state():
    net = make_net()
    optimizer = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5).bind(net.named_parameters())
    for step in range(3):
        give_gradients(net, step)
        optimizer.update()
    twin = copy.deepcopy(net)
    other = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5).bind(twin.named_parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    optimizer.finalize_variable_values()
    other.finalize_variable_values()

    assert_same_weights(net, twin)


def test_saved_tensors_share_no_memory():
    net = make_net()
    optimizer = optimizers.Adam().bind(net.named_parameters())
    for step in range(3):
        give_gradients(net, step)
        optimizer.update()

    tensors = [v for state in optimizer.state_dict()["state"].values() for v in state.values()]

    assert len({t.untyped_storage().data_ptr() for t in tensors}) == len(tensors)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: optimizers.get("addam"), ValueError, "did you mean 'adam'"),
        (lambda: optimizers.get(3), TypeError, r"got 3 \(int\)"),
        (
            lambda: optimizers.get(
                torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.ones(1)]), 1)
            ),
            TypeError,
            r"TorchOptimizer\(optimizer, scheduler=scheduler\)",
        ),
        (lambda: optimizers.get(torch.nn.Linear(1, 1)), TypeError, "An optimizer must be"),
        (lambda: optimizers.SGD("0.1"), TypeError, r"`learning_rate` must be a number, got '0.1'"),
        (lambda: optimizers.SGD(-1), ValueError, r"at least 0, got -1 \(int\)"),
        (lambda: optimizers.SGD(float("nan")), ValueError, "must be finite"),
        (lambda: optimizers.SGD(momentum=1.5), ValueError, "from 0 to 1"),
        (lambda: optimizers.SGD(clipnorm=1, clipvalue=2), ValueError, "one way of clipping"),
        (lambda: optimizers.Adam(lr=0.1), TypeError, "lr"),
        (lambda: optimizers.AdamW(weight_decay=None), ValueError, "Use Adam instead"),
        (lambda: optimizers.SGD(gradient_accumulation_steps=0), ValueError, "positive integer"),
        (lambda: optimizers.SGD().update(), RuntimeError, "no parameters yet"),
        (lambda: optimizers.SGD().bind([]), ValueError, "nothing to train"),
        (lambda: optimizers.TorchOptimizer(torch.optim.LBFGS), ValueError, "a loop of your own"),
        (lambda: optimizers.TorchOptimizer(torch.optim.SGD, None, "step"), ValueError, "interval"),
        (
            lambda: optimizers.SGD().bind(make_net().named_parameters(), {"0": -1}),
            ValueError,
            "at least 0",
        ),
        (lambda: optimizers.SGD.from_config({"momentun": 1}), TypeError, "did you mean 'momentum'"),
    ],
)
def test_mistakes_are_explained(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_settings_can_be_numpy_numbers_and_tensors():
    optimizer = optimizers.SGD(np.float32(0.5), momentum=torch.tensor(0.25))

    assert optimizer.get_config()["learning_rate"] == 0.5
    assert optimizer.momentum == 0.25
    optimizer.learning_rate = np.array(0.125)
    assert optimizer.learning_rate == 0.125


def test_a_schedule_can_be_replaced_by_a_number_and_back():
    net = make_net()
    optimizer = optimizers.Adam(schedules.ExponentialDecay(0.1, 1, 0.5))
    optimizer.bind(net.named_parameters())
    for step in range(3):
        give_gradients(net, step)
        optimizer.update()
    assert optimizer.learning_rate == pytest.approx(0.1 * 0.5**3)

    optimizer.learning_rate = 0.7
    give_gradients(net, 3)
    optimizer.update()
    assert optimizer.torch.param_groups[0]["lr"] == 0.7

    optimizer.learning_rate = lambda: 0.3
    give_gradients(net, 4)
    optimizer.update()
    assert optimizer.torch.param_groups[0]["lr"] == 0.3


def test_the_rate_answers_as_a_keras_variable_does():
    optimizer = optimizers.SGD(0.5)

    optimizer.learning_rate.assign(0.25)

    assert optimizer.learning_rate == 0.25
    assert optimizer.learning_rate.numpy() == np.float32(0.25)
    assert optimizer.learning_rate.value.item() == 0.25
    assert type(pickle.loads(pickle.dumps(optimizer.learning_rate))) is float


def test_torchs_gradient_scaler_takes_an_optimizer():
    net, twin = make_net(), make_net()
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = optimizers.Adam(0.1).bind(net.named_parameters())
    plain = optimizers.Adam(0.1).bind(twin.named_parameters())

    for _ in range(3):
        scaler.scale(sum((p**2).sum() for p in net.parameters())).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        quadratic_update(twin)
        plain.update()

    assert_same_weights(net, twin)
