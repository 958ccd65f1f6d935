"""The step's short way back gives what `loss.backward()` gives."""

import pytest
import torch
from torch import nn

from kerasish.training.step import backward_on

BACKWARD = backward_on(torch.device("cpu"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_gradients_and_hooks_are_those_of_backward(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
    x, seen = torch.randn(5, 3, dtype=dtype), []
    net[0].weight.register_hook(lambda gradient: seen.append(gradient.clone()))
    net[0].weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    found = []
    for backward in (torch.Tensor.backward, BACKWARD):
        net.zero_grad()
        backward(net(x).square().mean())
        backward(net(x).square().mean())  # gradients add up
        found.append([parameter.grad for parameter in net.parameters()])
    assert all(map(torch.equal, *found))
    assert all(map(torch.equal, seen[:4], seen[4:]))


def test_a_loss_without_a_history_is_refused():
    with pytest.raises(RuntimeError, match="does not require grad"):
        BACKWARD(torch.ones(()))


def test_a_graph_is_freed_after_its_backward_pass():
    weight = torch.ones((), requires_grad=True)
    loss = weight.exp() * 2
    BACKWARD(loss)
    with pytest.raises(RuntimeError, match="second time"):
        BACKWARD(loss)
