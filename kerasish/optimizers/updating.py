"""What one update does, and the shortest code that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from kerasish.optimizers import direct, gradients
from kerasish.optimizers.rate import Count


class Updating:
    """The update of an optimizer: gradients in, weights changed, gradients cleared.

    The first update goes through `torch.optim`, which makes its state. Then, where nothing but the
    algorithm is asked for, `update` is a closure that calls torch's kernels on that state.
    """

    name: str
    torch: Any
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    _schedule: Callable[[int], float] | None
    _named: dict[str, Tensor]

    def __init__(self) -> None:
        self._steps = 0
        self._averages: dict[Tensor, Tensor] = {}
        self._forget_plan()

    @property
    def iterations(self) -> int:
        """Number of weight updates so far; setting it sets torch's counts of steps as well."""
        return Count(self._updates, self)

    @property
    def _updates(self) -> int:
        return self._steps // (self.gradient_accumulation_steps or 1)

    @iterations.setter
    def iterations(self, value: int) -> None:
        self._steps = int(value) * (self.gradient_accumulation_steps or 1)
        for state in () if self.torch is None else self.torch.state.values():
            if isinstance(state.get("step"), Tensor):  # by which moments are corrected for bias
                state["step"].fill_(int(value))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The torch parameter groups, so that torch's schedulers and `GradScaler` find them."""
        return self._bound("param_groups").param_groups

    def update(self, clear: bool = True) -> None:
        """Update the parameters from the gradients that `backward()` left, and clear those.

        For gradients from elsewhere there are `apply` and `step`.
        """
        self._update(clear)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters and leave the gradients, as `torch.optim` does."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._full_update(clear=False)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients, unless `gradient_accumulation_steps` are being gathered."""
        if self.torch is not None and self._steps % (self.gradient_accumulation_steps or 1) == 0:
            self.torch.zero_grad(set_to_none=set_to_none)

    @property
    def gathers(self) -> bool:
        """Whether gradients of several batches are gathered for one update."""
        return self.gradient_accumulation_steps is not None

    @property
    def is_due(self) -> bool:
        """Whether the next `update` changes weights, and not only gathers."""
        return (self._steps + 1) % (self.gradient_accumulation_steps or 1) == 0

    @property
    def scales_loss(self) -> bool:
        """Whether `scale_loss` has something to do."""
        return self.loss_scale_factor is not None

    @property
    def gradient_scale(self) -> float:
        """How many times larger gradients that are due are than those that the update uses."""
        return (self.loss_scale_factor or 1.0) * (self.gradient_accumulation_steps or 1)

    def drop(self) -> None:
        """Forget the gradients gathered so far, as if their batches had not been."""
        self._rewind()
        self.zero_grad()

    def _rewind(self) -> None:
        self._steps -= self._steps % (self.gradient_accumulation_steps or 1)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss to call `backward()` on: multiplied by `loss_scale_factor` if there is one."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def on_epoch_end(self, logs: dict[str, float] | None = None) -> None:
        """Called by `fit` after each epoch; only a torch scheduler has something to do then."""

    def _bound(self, action: str) -> torch.optim.Optimizer:
        if self.torch is None:
            raise RuntimeError(
                f"{type(self).__name__}.{action}: the optimizer has no parameters yet; compile and "
                "fit a model with it, or call bind(model.named_parameters())."
            )
        return self.torch

    def _set_group_rates(self, rate: float) -> None:
        for group in self.param_groups:
            scaled = float(rate) * group.get("lr_scale", 1.0)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(scaled)
            else:
                group["lr"] = scaled

    def _forget_plan(self) -> None:
        self._kernels: direct.Kernels | None = None
        self._update: Callable[[bool], None] = self._full_update

    def _full_update(self, clear: bool = True) -> None:
        """Do all that was asked for; the short way below must give the same numbers."""
        optimizer = self._bound("update")
        if self._schedule is not None:
            self._set_group_rates(self._schedule(self._steps))
        self._steps += 1
        accumulated = self.gradient_accumulation_steps or 1
        if self._steps % accumulated:
            return
        with torch.no_grad():
            self._lay_out_gradients(optimizer)
            self._prepare_gradients(optimizer, accumulated)
            self._decay_weights(optimizer)
            self._advance(optimizer)
            if clear:
                for group in optimizer.param_groups:
                    for parameter in group["params"]:
                        parameter.grad = None
            if self.use_ema:
                self._follow_average()

    @staticmethod
    def _lay_out_gradients(optimizer: torch.optim.Optimizer) -> None:
        """Some may have been put there by hand; see `laid_out_as`."""
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad = direct.laid_out_as(parameter, parameter.grad)

    def _prepare_gradients(self, optimizer: torch.optim.Optimizer, accumulated: int) -> None:
        scale = accumulated * (self.loss_scale_factor or 1.0)
        if scale == 1.0 and not (self.clipnorm or self.clipvalue or self.global_clipnorm):
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        grads = [grad for p in parameters if (grad := p.grad) is not None]
        if not grads:
            return
        if scale != 1.0:
            direct.kernels._foreach_div_(grads, scale)
        if self.clipnorm:
            gradients.clip_each_norm(grads, self.clipnorm)
        elif self.global_clipnorm:
            gradients.clip_global_norm(grads, self.global_clipnorm)
        elif self.clipvalue:
            gradients.clip_value(grads, self.clipvalue)

    def _decay_weights(self, optimizer: torch.optim.Optimizer) -> None:
        for group in optimizer.param_groups:
            if group.get("decay"):
                decayed = [p for p in group["params"] if p.grad is not None]
                if decayed:
                    direct.kernels._foreach_mul_(decayed, 1 - group["lr"] * group["decay"])

    def _advance(self, optimizer: torch.optim.Optimizer) -> None:
        """Let the algorithm step: by direct kernels when they are ready, else by torch itself."""
        if self._kernels is not None and not direct.has_step_hooks(optimizer):
            gathered = [
                [p.grad for p in members if p.grad is not None] for members, _ in self._kernels
            ]
            if all(len(g) == len(k[0]) for g, k in zip(gathered, self._kernels, strict=True)):
                for grads, (_, kernel) in zip(gathered, self._kernels, strict=True):
                    kernel(grads)
                return
        direct.complete_buffers(optimizer)
        optimizer.step()
        if self._kernels is None:
            self._plan(optimizer)

    def _plan(self, optimizer: torch.optim.Optimizer) -> None:
        self._kernels = direct.kernels_for(optimizer)
        extras = (
            self.clipnorm,
            self.clipvalue,
            self.global_clipnorm,
            self.use_ema,
            self.loss_scale_factor,
            self.gradient_accumulation_steps,
        )
        if self._kernels is not None and not any(extras):
            self._update = self._short_update(
                optimizer, direct.with_decay(optimizer, self._kernels)
            )

    def _short_update(
        self, optimizer: torch.optim.Optimizer, kernels: direct.Kernels
    ) -> Callable[[bool], None]:
        """The update with nothing to decide: gather the gradients, run the kernels, clear them."""
        groups, full_update = optimizer.param_groups, self._full_update
        parameters = [p for members, _ in kernels for p in members]
        count, num_groups = len(parameters), len(kernels)
        only_kernel = kernels[0][1] if num_groups == 1 else None
        has_step_hooks, no_grad = direct.has_step_hooks, torch.no_grad()

        def update(clear: bool) -> None:
            grads = [grad for p in parameters if (grad := p.grad) is not None]
            if len(grads) != count or len(groups) != num_groups or has_step_hooks(optimizer):
                full_update(clear)
                return
            if self._schedule is not None:
                self._set_group_rates(self._schedule(self._steps))
            with no_grad:
                if only_kernel is not None:
                    only_kernel(grads)
                else:
                    start = 0
                    for members, kernel in kernels:
                        kernel(grads[start : start + len(members)])
                        start += len(members)
            if clear:
                for p in parameters:
                    p.grad = None
            self._steps += 1

        return update

    def _follow_average(self) -> None:
        parameters = list(self._named.values())
        fresh = [p for p in parameters if p not in self._averages]
        known = [p for p in parameters if p in self._averages]
        if known:
            averages = [self._averages[p] for p in known]
            direct.kernels._foreach_lerp_(averages, known, 1 - self.ema_momentum)
        for parameter in fresh:
            self._averages[parameter] = parameter.detach().clone()
        if self.ema_overwrite_frequency and self._updates % self.ema_overwrite_frequency == 0:
            self.finalize_variable_values()

    def finalize_variable_values(self, var_list: Iterable[Tensor] | None = None) -> None:
        """Copy the moving averages into the weights, if `use_ema`; `var_list` defaults to all."""
        for parameter in list(self._named.values()) if var_list is None else var_list:
            if parameter in self._averages:
                parameter.detach().copy_(self._averages[parameter])
