"""Batch normalisations of torch that store Keras's variance, in all that torch does with them."""

import pickle

import pytest
import torch
from torch import distributed, nn
from torch.nn.utils import parametrize
from torch.testing import assert_close

from kerasish import layers
from kerasish.layers.normalization.biased import (
    BiasedBatchNorm1d,
    BiasedBatchNorm2d,
    BiasedBatchNorm3d,
    BiasedSyncBatchNorm,
)

KINDS = {
    BiasedBatchNorm1d: (nn.BatchNorm1d, (5, 3)),
    BiasedBatchNorm2d: (nn.BatchNorm2d, (5, 3, 2, 2)),
    BiasedBatchNorm3d: (nn.BatchNorm3d, (5, 3, 2, 2, 2)),
    BiasedSyncBatchNorm: (nn.SyncBatchNorm, (5, 3, 4)),
}


def biased(x, before=1.0, momentum=0.1):
    """The variance to be stored after a batch, in double precision."""
    axes = [axis for axis in range(x.dim()) if axis != 1]
    return ((1 - momentum) * before + momentum * x.double().var(axes, correction=0)).to(x.dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_stored_variance_is_as_in_the_torch_module(kind):
    torch_kind, shape = KINDS[kind]
    ours, theirs = kind(3), torch_kind(3)
    mine, their = (torch.arange(1.0, 1 + torch.Size(shape).numel()) for _ in range(2))
    mine, their = (t.sin().reshape(shape).requires_grad_() for t in (mine, their))

    for module, x in ((ours, mine), (theirs, their)):
        (module(x) * torch.linspace(-1, 1, x.numel()).reshape(shape)).sum().backward()

    assert_close(ours(mine), theirs(their))
    assert_close(mine.grad, their.grad)
    assert_close(ours.weight.grad, theirs.weight.grad)
    assert_close(ours.running_mean, theirs.running_mean)
    assert ours.num_batches_tracked == theirs.num_batches_tracked == 2
    x = mine.detach()
    assert_close(ours.running_var, biased(x, biased(x)))
    assert isinstance(ours, torch_kind)
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_the_torch_module_of_one_shares_its_tensors_and_nothing_else():
    norm = BiasedBatchNorm2d(3)
    plain = norm.to_torch()

    assert type(plain) is nn.BatchNorm2d
    assert plain.running_var is norm.running_var
    assert plain.weight is norm.weight
    assert not plain.eval().training
    assert norm.training
    plain.bias = None
    assert norm.bias is not None
    assert type(BiasedSyncBatchNorm(3).to_torch()) is nn.SyncBatchNorm


def test_a_failing_call_leaves_the_stored_variance_alone():
    norm = BiasedBatchNorm1d(3)
    with pytest.raises(RuntimeError):
        norm(torch.randn(6, 4))

    assert torch.equal(norm.running_var, torch.ones(3))


def test_an_empty_batch_changes_no_statistics():
    norm = BiasedBatchNorm1d(3)

    assert norm(torch.randn(0, 3)).shape == (0, 3)

    assert torch.equal(norm.running_var, torch.ones(3))
    assert torch.equal(norm.running_mean, torch.zeros(3))


def test_stored_statistics_become_means_over_batches_without_a_momentum():
    batches = [torch.randn(rows, 3) for rows in (5, 4, 1)]
    norm = BiasedBatchNorm1d(3)

    torch.optim.swa_utils.update_bn(batches, norm)

    assert_close(norm.running_var, torch.stack([x.var(0, correction=0) for x in batches]).mean(0))
    assert_close(norm.running_mean, torch.stack([x.mean(0) for x in batches]).mean(0))
    assert norm.momentum == 0.1


def test_statistics_that_are_not_tracked_stay():
    norm = BiasedBatchNorm1d(3)
    norm.track_running_stats = False
    x = torch.randn(6, 3)

    assert_close(norm(x), nn.BatchNorm1d(3)(x))

    assert torch.equal(norm.running_var, torch.ones(3))
    assert norm.num_batches_tracked == 0


def test_a_weight_may_be_made_by_a_parametrisation():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    norm, x = BiasedBatchNorm1d(3), torch.randn(6, 3)
    want = 2 * norm(x)
    parametrize.register_parametrization(norm, "weight", Doubled())

    assert_close(norm(x), want)

    assert_close(norm.running_var, biased(x, biased(x)))


def test_one_may_be_called_often_before_the_gradients_are_taken():
    norm, x = BiasedBatchNorm1d(3), torch.randn(6, 3, requires_grad=True)
    norm.eval()
    first = norm(x)
    norm.train()

    (first + norm(x) + norm(x)).sum().backward()

    assert x.grad is not None


def test_gradients_are_those_of_finite_differences():
    norm = BiasedBatchNorm1d(2).double()
    x = torch.randn(4, 2, dtype=torch.double, requires_grad=True)

    assert torch.autograd.gradcheck(norm, x)
    assert torch.autograd.gradgradcheck(norm, x)
    assert torch.autograd.gradcheck(norm, x[:1].detach().requires_grad_())


def test_transforms_of_functions_store_it_too():
    norm, x = BiasedBatchNorm1d(3), torch.randn(2, 6, 3)
    parameters = dict(norm.named_parameters())

    def call(buffers, x):
        return torch.func.functional_call(norm, (parameters, buffers), (x,))

    one = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    torch.func.grad(lambda x, b: call(b, x).square().sum())(x[0], one)
    several = {name: torch.stack([b.clone()] * 2) for name, b in norm.named_buffers()}
    torch.vmap(call)(several, x)

    assert_close(one["running_var"], biased(x[0]))
    assert_close(several["running_var"], torch.stack([biased(x[0]), biased(x[1])]))
    assert torch.equal(norm.running_var, torch.ones(3))


@pytest.mark.parametrize("way", ["compile", "export"])
def test_captured_graphs_store_it_too(way):
    norm, x = BiasedBatchNorm1d(3), torch.randn(6, 3)
    if way == "compile":
        captured, stores = torch.compile(norm, backend="eager", fullgraph=True), norm
    else:
        captured = stores = torch.export.export(norm, (x,)).module()

    assert_close(captured(x), nn.BatchNorm1d(3)(x))

    assert_close(stores.running_var.clone(), biased(x), check_stride=False)


def test_copies_by_pickle_go_on_storing_it():
    layer, x = layers.BatchNormalization(), torch.randn(6, 3)
    layer(x)

    again = pickle.loads(pickle.dumps(layer))
    again(x)
    layer(x)

    assert torch.equal(again.norm.running_var, layer.norm.running_var)


def test_a_synchronized_layer_alone_is_like_any_other():
    x = torch.randn(6, 3)
    one, other = layers.BatchNormalization(synchronized=True), layers.BatchNormalization()

    assert torch.equal(one(x), other(x))

    assert torch.equal(one.norm.running_var, other.norm.running_var)
    assert isinstance(one.norm, nn.SyncBatchNorm)


def test_a_synchronized_variance_is_that_of_the_rows_of_all_processes(monkeypatch):
    # torch's synchronisation needs several GPUs: the kernel over all rows stands in for it.
    here, elsewhere = torch.randn(3, 4), torch.randn(5, 4)

    def add_elsewhere(count, group):
        count += len(elsewhere)

    def kernel(norm, x):
        both = torch.cat([x, elsewhere])
        mean, variance = norm.running_mean, norm.running_var
        return torch.batch_norm(both, None, None, mean, variance, True, 0.1, 1e-3, True)[: len(x)]

    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda group: 2)
    monkeypatch.setattr(distributed, "all_reduce", add_elsewhere)
    monkeypatch.setattr(nn.SyncBatchNorm, "forward", kernel)
    norm = BiasedSyncBatchNorm(4, eps=1e-3)

    norm(here)

    assert_close(norm.running_var, biased(torch.cat([here, elsewhere])))
