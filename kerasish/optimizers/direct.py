"""Updates that call torch's kernels directly, on the state that a `torch.optim` object owns.

`torch.optim.X.step()` spends most of a small model's update in Python: it collects lists, groups
them by device and checks options at every step. All of that is the same each time, so it is done
once here. A kernel made by `kernels_for` runs the same torch calls in the same order, with the
options read live from the parameter group, so its numbers are those of `step()`, bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.optim.optimizer as torch_optimizer
from torch import Tensor

from kerasish.variables import Variable, Weight

# Its stubs hide the foreach and fused kernels, which torch.optim itself is made of.
kernels: Any = torch

Group = dict[str, Any]
Kernel = Callable[[list[Tensor]], None]
Kernels = list[tuple[list[Tensor], Kernel]]
Maker = Callable[[list[Tensor], Group, Any], Kernel]

FUSED_DEVICES = ("cpu", "cuda")


def can_fuse(parameters: list[Tensor]) -> bool:
    """Whether torch's fused kernels take these: ordinary float tensors on CPU or CUDA."""
    return all(
        type(p) in (Tensor, torch.nn.Parameter, Variable, Weight)
        and p.is_floating_point()
        and p.device.type in FUSED_DEVICES
        and torch.empty_like(p, device="meta").stride() == p.stride()  # it leaves no gaps in memory
        for p in parameters
    )


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """The value, its numbers in memory in the order in which the parameter has its own.

    torch's fused kernels read memory from end to end and look at no strides: of anything laid out
    otherwise they would take the wrong numbers without a word. What `backward()` makes is laid out
    as its parameter; what `torch.autograd.grad`, a file or a change of `memory_format` gives may
    not be.
    """
    if value.layout != torch.strided or value.stride() == parameter.stride():
        return value
    like = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
    return like.copy_(value)


def has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """Whether somebody waits for `optimizer.step()`, so that it must be called in person."""
    return bool(
        optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or torch_optimizer._global_optimizer_pre_hooks
        or torch_optimizer._global_optimizer_post_hooks
    )


def supports(optimizer: torch.optim.Optimizer) -> bool:
    """Whether every group of this optimizer has a direct kernel, once its state exists."""
    # torch's schedulers replace `step` to see it called; anybody else who does so wants it called.
    patched = vars(optimizer).get("step")
    if patched is not None and not hasattr(patched, "_wrapped_by_lr_sched"):
        return False
    return type(optimizer) in MAKERS and all(_is_plain(group) for group in optimizer.param_groups)


def kernels_for(optimizer: torch.optim.Optimizer) -> Kernels | None:
    """For each group its parameters and the function that updates them from a list of gradients.

    Returns:
        `None` when the optimizer is not one of ours to drive, or when torch has not yet made the
        state of every parameter (its own first `step()` does).
    """
    if not supports(optimizer):
        return None
    made = []
    for group in optimizer.param_groups:
        parameters = list(group["params"])
        stateless = type(optimizer) is torch.optim.SGD and group["momentum"] == 0
        states = [optimizer.state.get(p) or {"missing": None} for p in parameters]
        if not stateless and any(value is None for state in states for value in state.values()):
            return None
        kernel = MAKERS[type(optimizer)](parameters, group, optimizer.state)
        made.append((parameters, kernel))
    # What a scheduler's replacement of `step` would set: without it the scheduler warns.
    vars(optimizer)["_opt_called"] = True
    return made


def with_decay(optimizer: torch.optim.Optimizer, made: Kernels) -> Kernels:
    """The same kernels, each after the decoupled weight decay of its group, if it has one."""
    return [
        (members, _decayed(members, kernel, group) if group.get("decay") else kernel)
        for (members, kernel), group in zip(made, optimizer.param_groups, strict=True)
    ]


def _decayed(parameters: list[Tensor], kernel: Kernel, group: Group) -> Kernel:
    def update(grads: list[Tensor]) -> None:
        kernels._foreach_mul_(parameters, 1 - group["lr"] * group["decay"])
        kernel(grads)

    return update


def complete_buffers(optimizer: torch.optim.Optimizer) -> None:
    """Give fused SGD the momentum buffers that some parameters lack; it fails when only some do.

    From zeros, the buffer becomes the gradient at the next step, as torch starts it.
    """
    if type(optimizer) is not torch.optim.SGD:
        return
    for group in optimizer.param_groups:
        if group["fused"] and group["momentum"] and not group["dampening"]:
            states = [optimizer.state[p] for p in group["params"] if p.grad is not None]
            if any(state.get("momentum_buffer") is not None for state in states):
                for parameter in group["params"]:
                    state = optimizer.state[parameter]
                    if state.get("momentum_buffer") is None and parameter.grad is not None:
                        state["momentum_buffer"] = torch.zeros_like(parameter)


def _is_plain(group: Group) -> bool:
    parameters = group["params"]
    if not parameters or not can_fuse(parameters):
        return False
    if group.get("capturable") or group.get("differentiable") or isinstance(group["lr"], Tensor):
        return False
    if len({(p.device, p.dtype) for p in parameters}) > 1:
        return False
    if "momentum" in group and "dampening" in group and group["momentum"] == 0:  # plain SGD
        return not (group["weight_decay"] or group["maximize"] or group["fused"])
    if "alpha" in group:  # RMSprop has no fused kernel
        other = group.get("weight_decay") or group.get("maximize")
        return bool(group.get("foreach", True) and not other)
    return bool(group["fused"])


def shared_steps(states: list[Group]) -> tuple[Tensor, list[Tensor]]:
    """Make the step counters views of one vector: one addition counts for all parameters."""
    vector = torch.stack([state["step"] for state in states])
    views = list(vector.unbind())
    for state, view in zip(states, views, strict=True):
        state["step"] = view
    return vector, views


def part_steps(optimizer: torch.optim.Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """Give each saved counter memory of its own: some file formats refuse tensors that share."""
    parted = {
        key: {**state, "step": state["step"].clone()}
        if isinstance(state.get("step"), Tensor)
        else state
        for key, state in state_dict["state"].items()
    }
    return {**state_dict, "state": parted}


def _sgd(parameters: list[Tensor], group: Group, state: Any) -> Kernel:
    if group["momentum"] == 0:

        def descend(grads: list[Tensor]) -> None:
            kernels._foreach_add_(parameters, grads, alpha=-group["lr"])

        return descend

    buffers = [state[p]["momentum_buffer"] for p in parameters]

    def roll(grads: list[Tensor]) -> None:
        kernels._fused_sgd_(
            parameters,
            grads,
            buffers,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            is_first_step=False,
        )

    return roll


def _adam(parameters: list[Tensor], group: Group, state: Any) -> Kernel:
    states = [state[p] for p in parameters]
    count, steps = shared_steps(states)
    means = [s["exp_avg"] for s in states]
    squares = [s["exp_avg_sq"] for s in states]
    amsgrad = group["amsgrad"]
    maxima = [s["max_exp_avg_sq"] for s in states] if amsgrad else []
    fused = kernels._fused_adamw_ if group["decoupled_weight_decay"] else kernels._fused_adam_

    def update(grads: list[Tensor]) -> None:
        count.add_(1)
        beta_1, beta_2 = group["betas"]
        fused(
            parameters,
            grads,
            means,
            squares,
            maxima,
            steps,
            lr=group["lr"],
            beta1=beta_1,
            beta2=beta_2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=amsgrad,
            maximize=group["maximize"],
        )

    return update


def _adagrad(parameters: list[Tensor], group: Group, state: Any) -> Kernel:
    states = [state[p] for p in parameters]
    count, steps = shared_steps(states)
    sums = [s["sum"] for s in states]

    def update(grads: list[Tensor]) -> None:
        count.add_(1)
        kernels._fused_adagrad_(
            parameters,
            grads,
            sums,
            steps,
            lr=group["lr"],
            lr_decay=group["lr_decay"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )

    return update


def _rmsprop(parameters: list[Tensor], group: Group, state: Any) -> Kernel:
    states = [state[p] for p in parameters]
    count, _ = shared_steps(states)
    squares = [s["square_avg"] for s in states]
    means = [s["grad_avg"] for s in states] if group["centered"] else None
    buffers = [s["momentum_buffer"] for s in states] if group["momentum"] > 0 else None

    def update(grads: list[Tensor]) -> None:
        count.add_(1)
        alpha = group["alpha"]
        kernels._foreach_mul_(squares, alpha)
        kernels._foreach_addcmul_(squares, grads, grads, value=1 - alpha)
        if means is None:
            scale = kernels._foreach_sqrt(squares)
        else:
            kernels._foreach_lerp_(means, grads, 1 - alpha)
            scale = kernels._foreach_addcmul(squares, means, means, value=-1)
            kernels._foreach_sqrt_(scale)
        kernels._foreach_add_(scale, group["eps"])
        if buffers is None:
            kernels._foreach_addcdiv_(parameters, grads, scale, value=-group["lr"])
        else:
            kernels._foreach_mul_(buffers, group["momentum"])
            kernels._foreach_addcdiv_(buffers, grads, scale)
            kernels._foreach_add_(parameters, buffers, alpha=-group["lr"])

    return update


MAKERS: dict[type, Maker] = {
    torch.optim.SGD: _sgd,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
    torch.optim.Adagrad: _adagrad,
    torch.optim.RMSprop: _rmsprop,
}
