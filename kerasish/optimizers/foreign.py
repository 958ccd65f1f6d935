"""torch optimizers and schedulers as they are, behind the same `bind` and `update`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from kerasish.describe import count_of, describe, suggest
from kerasish.optimizers.base import Optimizer
from kerasish.optimizers.settings import Options


class TorchOptimizer(Optimizer):
    """A `torch.optim` class, partial or instance, with its own settings and its own numbers.

    Args:
        optimizer: A subclass of `torch.optim.Optimizer`, a `functools.partial` of one, a function
            from parameter groups to one, or an instance that holds (some of) the model's
            parameters.
        scheduler: A `torch.optim.lr_scheduler` made for that instance, or a function (class,
            partial) from the torch optimizer to one.
        scheduler_interval: Whether the scheduler steps after each epoch or each update.
            `ReduceLROnPlateau` watches `val_loss`, or `loss` where there is none.
        **options: The settings of every optimizer; see `Optimizer`. `weight_decay` here is the
            decoupled one of Keras, beside whatever the torch optimizer does.

    Raises:
        TypeError: If `optimizer` is none of these.
        ValueError: If the scheduler belongs to another optimizer, or the interval is unknown.
    """

    def __init__(
        self,
        optimizer: Any,
        scheduler: Any = None,
        scheduler_interval: Literal["epoch", "batch"] = "epoch",
        **options: Unpack[Options],
    ) -> None:
        if not is_torch_optimizer(optimizer) and not callable(optimizer):
            raise TypeError(
                "TorchOptimizer: expected a torch.optim class, partial or instance, got "
                f"{describe(optimizer)}."
            )
        if scheduler_interval not in ("epoch", "batch"):
            raise ValueError(
                "TorchOptimizer: unknown scheduler_interval "
                f"{describe(scheduler_interval)}{suggest(scheduler_interval, ['epoch', 'batch'])}"
            )
        super().__init__(0.0, **options)
        self.optimizer: Any = optimizer
        self.scheduler = scheduler
        self.scheduler_interval: str = scheduler_interval
        self._scheduler: Any = None
        self._is_instance = isinstance(self.optimizer, torch.optim.Optimizer)
        if self._is_instance:
            self._check_settings(options)
            self.name = type(optimizer).__name__.lower()
            groups = self.optimizer.param_groups
        else:
            # A matrix to try it on: wrong settings show here, not at the first update.
            groups = self.make_torch([{"params": [torch.nn.Parameter(torch.zeros(1, 1))]}], {})
            groups = groups.param_groups
        self._given_rate = float(groups[0]["lr"])

    def _check_settings(self, options: Options) -> None:
        if getattr(self.scheduler, "optimizer", self.optimizer) is not self.optimizer:
            raise ValueError("TorchOptimizer: the scheduler was made for another optimizer.")
        if options.get("weight_decay"):
            raise ValueError(
                "TorchOptimizer: `weight_decay` has no effect on an instance; set it there."
            )

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """Call the class or function that was given."""
        made: Any = self.optimizer(groups)
        if not isinstance(made, torch.optim.Optimizer):
            raise TypeError(
                "TorchOptimizer: the given function must return a torch.optim.Optimizer, got "
                f"{describe(made)}."
            )
        if isinstance(made, torch.optim.LBFGS):
            raise ValueError(
                "LBFGS evaluates the loss several times a step, which one update from given "
                "gradients cannot do; call its step(closure) in a loop of your own."
            )
        return made

    def bind(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> Optimizer:
        """Make the torch optimizer, or check that the given instance holds the model's parameters.

        Raises:
            ValueError: If an instance holds none of the parameters, or multipliers are given with
                one.
        """
        named = dict(named_parameters)
        if self._is_instance:
            self._check_instance(named, lr_multipliers)
            self._named = named
            if self.torch is None:
                self._adopt(self.optimizer)
            self._follow_parameters()
            self._forget_plan()
            self._plan(self.optimizer)
        else:
            super().bind(named.items(), lr_multipliers)
        self._make_scheduler()
        return self

    def _check_instance(
        self, named: dict[str, Tensor], lr_multipliers: Mapping[str, float] | None
    ) -> None:
        if lr_multipliers:
            raise ValueError(
                "lr_multipliers need a torch.optim class or partial: the groups of a "
                f"{type(self.optimizer).__name__} instance are made already."
            )
        held = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        shared = sum(id(p) in held for p in named.values())
        if not shared:
            raise ValueError(
                f"The {type(self.optimizer).__name__} instance holds "
                f"{count_of(len(held), 'parameter')}, none of them among the model's {len(named)} "
                "trainable ones. Make it from model.parameters() after the model is built, or pass "
                "the class instead."
            )

    def _make_scheduler(self) -> None:
        if self.scheduler is None or hasattr(self.scheduler, "optimizer"):
            self._scheduler = self.scheduler
        elif self._scheduler is None:
            self._scheduler = self.scheduler(self.torch)

    def _plan(self, optimizer: torch.optim.Optimizer) -> None:
        # A scheduler that steps with each update would be skipped by the short way.
        if self.scheduler is None or self.scheduler_interval == "epoch":
            super()._plan(optimizer)

    def _full_update(self, clear: bool = True) -> None:
        before = self._updates
        super()._full_update(clear)
        if self.scheduler_interval == "batch" and self._updates > before:
            self._step_scheduler({})

    def on_epoch_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Step the scheduler, if it steps with epochs."""
        if self.scheduler_interval == "epoch":
            self._step_scheduler(logs or {})

    def _step_scheduler(self, logs: Mapping[str, float]) -> None:
        scheduler = self._scheduler
        if scheduler is None:
            return
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            watched = logs.get("val_loss", logs.get("loss"))
            if watched is not None:
                scheduler.step(float(watched))
            return
        scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """The common state, and the scheduler's."""
        state = super().state_dict()
        if self._scheduler is not None:
            state["scheduler"] = self._scheduler.state_dict()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        super().load_state_dict(state_dict)
        if "scheduler" in state_dict and self._scheduler is not None:
            self._scheduler.load_state_dict(state_dict["scheduler"])

    def get_config(self) -> dict[str, Any]:
        """The class's name in `torch.optim` and its settings; a scheduler cannot be described."""
        made, settings = self.optimizer, {}
        if isinstance(made, torch.optim.Optimizer):
            made, settings = type(made), dict(made.defaults)
        elif isinstance(made, functools.partial):
            made, settings = made.func, dict(made.keywords)
        config = super().get_config()
        config.pop("learning_rate")
        name = getattr(made, "__name__", "")
        known = getattr(torch.optim, name, None) is made
        return {
            **config,
            "optimizer": name if known else made,
            "optimizer_settings": settings,
            "scheduler": None,
        }

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """Make it from a config; only classes of `torch.optim` itself can be named."""
        settings = dict(config)
        arguments = settings.pop("optimizer_settings", {})
        made = settings.pop("optimizer")
        if isinstance(made, str):
            made = _class_named(made)
        return cls(functools.partial(made, **arguments) if arguments else made, **settings)


def is_torch_optimizer(value: Any) -> bool:
    """Whether this is a `torch.optim` instance, class, or partial of a class."""
    if isinstance(value, functools.partial):
        value = value.func
    if isinstance(value, type):
        return issubclass(value, torch.optim.Optimizer)
    return isinstance(value, torch.optim.Optimizer)


def _class_named(name: str) -> Callable[..., torch.optim.Optimizer]:
    found = getattr(torch.optim, name, None)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        known = [n for n, v in vars(torch.optim).items() if is_torch_optimizer(v)]
        raise ValueError(f"torch.optim has no optimizer '{name}'{suggest(name, known)}")
    return found
