"""Algorithms that torch lacks, as `torch.optim.Optimizer` classes of a few foreach lines each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from kerasish.optimizers.direct import MAKERS, Group, Kernel, kernels, shared_steps


class Algorithm(torch.optim.Optimizer):
    """The frame of an optimizer: find the gradients, start the state, count the steps.

    A subclass says what state a parameter starts with (`start`) and how a group advances
    (`advance`). Each parameter counts its own steps, in `state["step"]` on the CPU.
    """

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        super().__init__(params, {"lr": 1e-3, **defaults})

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """The state of a parameter before its first step."""
        raise NotImplementedError

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """Change the parameters of one group in place; `states` have counted this step already."""
        raise NotImplementedError

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step from the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for parameter in parameters:
                if not self.state[parameter]:
                    step = torch.zeros((), dtype=torch.float32)
                    self.state[parameter] = {"step": step, **self.start(group, parameter)}
                self.state[parameter]["step"] += 1
            if parameters:
                states = [self.state[p] for p in parameters]
                grads = [p.grad.to(p.dtype) for p in parameters]
                self.advance(group, parameters, grads, states)
        return loss


def _column(states: list[Any], key: str) -> list[Tensor]:
    return [state[key] for state in states]


def _corrections(beta: float, states: list[Any]) -> list[float]:
    """`1 - beta ** step`: how much of a mean that started at zero has filled by now."""
    return [1 - beta ** float(state["step"]) for state in states]


class RMSpropAlgorithm(Algorithm):
    """Gradient over the root of the running mean of its square, with Keras's order of operations.

    Epsilon stands inside the root, and the learning rate inside the velocity. The state of
    `torch.optim.RMSprop` can be loaded.
    """

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """Means and velocity of zeros, as far as they are used."""
        state = {"square_avg": torch.zeros_like(parameter)}
        if group["momentum"] > 0:
            state["velocity"] = torch.zeros_like(parameter)
        if group["centered"]:
            state["grad_avg"] = torch.zeros_like(parameter)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of this class, or of torch's, whose velocity lacks the rate."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            for state in [self.state[p] for p in group["params"]]:
                if state.get("momentum_buffer") is not None:
                    state["velocity"] = state.pop("momentum_buffer") * group["lr"]

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """One step along the scaled gradient."""
        rmsprop_kernel(parameters, group, states)(grads)


def rmsprop_kernel(parameters: list[Tensor], group: Group, states: list[Any]) -> Kernel:
    """The update of a group from its gradients, with its state at hand."""
    squares = _column(states, "square_avg")
    means = _column(states, "grad_avg") if group["centered"] else None
    velocities = _column(states, "velocity") if group["momentum"] > 0 else None

    def update(grads: list[Tensor]) -> None:
        alpha = group["alpha"]
        kernels._foreach_mul_(squares, alpha)
        kernels._foreach_addcmul_(squares, grads, grads, value=1 - alpha)
        scale = kernels._foreach_add(squares, group["eps"])
        if means is not None:
            kernels._foreach_lerp_(means, grads, 1 - alpha)
            kernels._foreach_addcmul_(scale, means, means, value=-1)
        kernels._foreach_sqrt_(scale)
        if velocities is None:
            kernels._foreach_addcdiv_(parameters, grads, scale, value=-group["lr"])
        else:
            kernels._foreach_mul_(velocities, group["momentum"])
            kernels._foreach_addcdiv_(velocities, grads, scale, value=group["lr"])
            kernels._foreach_sub_(parameters, velocities)

    return update


def _direct_rmsprop(parameters: list[Tensor], group: Group, state: Any) -> Kernel:
    states = [state[p] for p in parameters]
    count, _ = shared_steps(states)
    advance = rmsprop_kernel(parameters, group, states)

    def update(grads: list[Tensor]) -> None:
        count.add_(1)
        advance(grads)

    return update


MAKERS[RMSpropAlgorithm] = _direct_rmsprop


class LionAlgorithm(Algorithm):
    """Steps of one size in the direction of the sign of an interpolated momentum."""

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """A momentum of zeros."""
        return {"momentum": torch.zeros_like(parameter)}

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """One step of `lr` per element."""
        beta_1, beta_2 = group["betas"]
        momenta = _column(states, "momentum")
        directions = kernels._foreach_lerp(momenta, grads, 1 - beta_1)
        kernels._foreach_sign_(directions)
        kernels._foreach_add_(parameters, directions, alpha=-group["lr"])
        kernels._foreach_lerp_(momenta, grads, 1 - beta_2)


class LambAlgorithm(Algorithm):
    """Adam's step, rescaled for each parameter to the norm of its weights."""

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """Means of zeros."""
        return {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """One step whose norm is `lr` times the norm of the weights."""
        steps = _adam_steps(group, grads, states)
        weight_norms = kernels._foreach_norm(parameters)
        step_norms = kernels._foreach_norm(steps)
        for parameter, step, weight, length in zip(
            parameters, steps, weight_norms, step_norms, strict=True
        ):
            ratio = torch.where((weight > 0) & (length > 0), weight / length, 1.0)
            parameter.sub_(step * ratio, alpha=group["lr"])


def _adam_steps(group: Group, grads: list[Tensor], states: list[Any]) -> list[Tensor]:
    """Adam's direction: the corrected mean over the root of the corrected mean of squares."""
    beta_1, beta_2 = group["betas"]
    means, squares = _column(states, "mean"), _column(states, "square")
    kernels._foreach_lerp_(means, grads, 1 - beta_1)
    kernels._foreach_mul_(squares, beta_2)
    kernels._foreach_addcmul_(squares, grads, grads, value=1 - beta_2)
    steps = kernels._foreach_div(means, _corrections(beta_1, states))
    divisors = kernels._foreach_div(squares, _corrections(beta_2, states))
    kernels._foreach_sqrt_(divisors)
    kernels._foreach_add_(divisors, group["eps"])
    kernels._foreach_div_(steps, divisors)
    return steps


class FtrlAlgorithm(Algorithm):
    """Follow the regularised leader: sparse weights by way of an accumulated linear term."""

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """The sum of squares from its first value, the linear term from zero."""
        return {
            "square_sum": torch.full_like(parameter, group["initial_accumulator_value"]),
            "linear": torch.zeros_like(parameter),
        }

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """Solve for the weights that the sums so far ask for."""
        rate, power, l1 = group["lr"], -group["lr_power"], group["l1"]
        if rate == 0:
            return
        l2 = group["l2"] + group["beta"] / (2 * rate)
        for parameter, grad, state in zip(parameters, grads, states, strict=True):
            square_sum, linear = state["square_sum"], state["linear"]
            before = square_sum.pow(power)
            square_sum.addcmul_(grad, grad)
            after = square_sum.pow(power)
            linear.add_(grad).add_(parameter, alpha=2 * group["l2_shrinkage"])
            linear.sub_((after - before) / rate * parameter)
            parameter.copy_((linear.clamp(-l1, l1) - linear) / (after / rate + 2 * l2))


class ScheduleFreeAlgorithm(Algorithm):
    """AdamW steps at a fast point; the weights lie between it and its average over time."""

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """The fast point starts at the weights."""
        return {"fast": parameter.detach().clone(), "square": torch.zeros_like(parameter)}

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """Move the fast point, then the average, then the weights between them."""
        beta_1, beta_2 = group["betas"]
        fast, squares = _column(states, "fast"), _column(states, "square")
        kernels._foreach_mul_(squares, beta_2)
        kernels._foreach_addcmul_(squares, grads, grads, value=1 - beta_2)
        divisors = kernels._foreach_div(squares, _corrections(beta_2, states))
        kernels._foreach_sqrt_(divisors)
        kernels._foreach_add_(divisors, group["eps"])
        # The weights are y = (1 - beta_1) fast + beta_1 average, which gives the average back.
        averages = kernels._foreach_sub(parameters, fast, alpha=1 - beta_1)
        kernels._foreach_div_(averages, beta_1)
        steps = [float(state["step"]) for state in states]
        warmup = [
            min(step / group["warmup_steps"], 1.0) if group["warmup_steps"] else 1.0
            for step in steps
        ]
        kernels._foreach_addcdiv_(fast, grads, divisors, [-group["lr"] * w for w in warmup])
        for parameter, point, average, step in zip(parameters, fast, averages, steps, strict=True):
            average.lerp_(point, 1 / step)
            parameter.copy_(torch.lerp(point, average, beta_1))


class MuonAlgorithm(Algorithm):
    """Orthogonalised momentum for matrices (groups with `use_muon`), Adam for all else."""

    def start(self, group: Group, parameter: Tensor) -> dict[str, Tensor]:
        """A momentum for matrices, Adam's means for the rest."""
        if group["use_muon"]:
            return {"momentum": torch.zeros_like(parameter)}
        return {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}

    def advance(
        self, group: Group, parameters: list[Tensor], grads: list[Tensor], states: list[Any]
    ) -> None:
        """One step of the group's own kind."""
        if not group["use_muon"]:
            steps = _adam_steps(group, grads, states)
            kernels._foreach_add_(parameters, steps, alpha=-group["lr"])
            return
        momenta = _column(states, "momentum")
        kernels._foreach_mul_(momenta, group["momentum"])
        kernels._foreach_add_(momenta, grads)
        if group["nesterov"]:
            momenta = kernels._foreach_add(grads, momenta, alpha=group["momentum"])
        for parameter, momentum in zip(parameters, momenta, strict=True):
            step = orthogonalize(momentum, group["coefficients"], group["ns_steps"])
            scale = 1.0
            if group["rms_rate"] is not None:
                scale = group["rms_rate"] * max(parameter.shape) ** 0.5
            parameter.sub_(step, alpha=group["lr"] * scale)


def orthogonalize(
    matrix: Tensor, coefficients: tuple[float, float, float], num_steps: int
) -> Tensor:
    """Bring the singular values of a matrix near 1 by Newton-Schulz iterations.

    Shapes:
        matrix: `(rows, columns)`
        output: `(rows, columns)`
    """
    a, b, c = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(num_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
