"""Optimizers: the numbers of torch.optim exactly, those of Keras closely, and Keras's settings."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import optimizers

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
        lambda p: torch.optim.RMSprop(p, 0.1, alpha=0.9, eps=1e-7, foreach=True),
    ),
    "rmsprop-all": (
        optimizers.RMSprop(0.1, momentum=0.5, centered=True),
        lambda p: torch.optim.RMSprop(
            p, 0.1, alpha=0.9, eps=1e-7, momentum=0.5, centered=True, foreach=True
        ),
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
