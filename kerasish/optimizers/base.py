"""The optimizer: Keras's settings over a `torch.optim` object that owns the state."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from kerasish import registry
from kerasish.describe import suggest
from kerasish.optimizers import direct, kept
from kerasish.optimizers.groups import (
    DecayExclusion,
    check_multipliers,
    group_parameters,
    multiplier_for,
)
from kerasish.optimizers.own import OwnSteps, OwnUpdate
from kerasish.optimizers.rate import Rate
from kerasish.optimizers.settings import number, optional_count, optional_number
from kerasish.optimizers.updating import Updating
from kerasish.schedules import LearningRateSchedule
from kerasish.variables import Variable

LearningRate = float | LearningRateSchedule | Callable[[], float]

# How torch runs a step, not what it computes: a loaded state must not bring another machine's
# choice along.
EXECUTION_KEYS = ("foreach", "fused", "capturable", "differentiable")


def _call_without_step(rate: Callable[[], float], step: int) -> float:
    return rate()


class Optimizer(OwnUpdate, Updating):
    """Keras's optimizer settings; `bind` makes a `torch.optim` object of them.

    Until `bind` it is a description: it can be copied, saved in a config and reused. After it,
    `torch` is the `torch.optim` object that owns the state, and `update()` makes one step from the
    gradients in `.grad`.

    Args:
        learning_rate: A number, a schedule (called with the number of updates so far), or a
            function without arguments.
        weight_decay: Each update first does `weight -= learning_rate * weight_decay * weight`:
            decoupled from the gradient as in Keras and AdamW, unlike the `weight_decay` of
            `torch.optim.SGD` or `Adam`.
        clipnorm: Largest L2 norm of the gradient of each parameter.
        clipvalue: Largest absolute value of each element of a gradient.
        global_clipnorm: Largest L2 norm of all gradients together.
        use_ema: Keep an exponential moving average of the weights; see `finalize_variable_values`.
        ema_momentum: Share of the old average that stays at each update.
        ema_overwrite_frequency: Copy the average into the weights every so many updates. `None`
            never does.
        loss_scale_factor: `scale_loss` multiplies by it and the update divides the gradients by it.
        gradient_accumulation_steps: Update at every so many calls, from the mean of their
            gradients.
        name: A label. Defaults to the class name in lower case.

    Raises:
        ValueError: If a number is out of its range, or more than one way of clipping is asked for.
        TypeError: If an argument is not a number where one is needed.
    """

    # Whether the torch object applies decoupled weight decay itself (AdamW); else the update does.
    torch_decays: ClassVar[bool] = False

    def __init__(
        self,
        learning_rate: LearningRate,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        owner = type(self).__name__
        self.name = name or owner.lower()
        self.weight_decay = optional_number(owner, "weight_decay", weight_decay)
        self.clipnorm = optional_number(owner, "clipnorm", clipnorm)
        self.clipvalue = optional_number(owner, "clipvalue", clipvalue)
        self.global_clipnorm = optional_number(owner, "global_clipnorm", global_clipnorm)
        self.use_ema = use_ema
        self.ema_momentum = number(owner, "ema_momentum", ema_momentum, maximum=1.0)
        self.ema_overwrite_frequency = optional_count(
            owner, "ema_overwrite_frequency", ema_overwrite_frequency
        )
        self.loss_scale_factor = optional_number(owner, "loss_scale_factor", loss_scale_factor)
        self.gradient_accumulation_steps = optional_count(
            owner, "gradient_accumulation_steps", gradient_accumulation_steps
        )
        asked = [n for n in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(self, n)]
        if len(asked) > 1:
            raise ValueError(f"{owner}: only one way of clipping can be used, got {asked}.")
        self.torch: torch.optim.Optimizer | None = None
        self._exclusion = DecayExclusion()
        self._lr_multipliers: dict[str, float] = {}
        self._named: dict[str, Tensor] = {}
        self._gathered: dict[Tensor, Tensor] = {}
        self._schedule: Callable[[int], float] | None = None
        self._given_rate: LearningRate = 0.0
        super().__init__()
        self.learning_rate = learning_rate

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the common settings in the signature instead of `**options`."""
        super().__init_subclass__(**kwargs)
        own = list(inspect.signature(cls.__init__).parameters.values())
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return
        named = [p for p in own if p.kind is not p.VAR_KEYWORD]
        taken = {p.name for p in named} | {"learning_rate"}
        common = inspect.signature(Optimizer.__init__).parameters.values()
        rest = [p.replace(kind=p.KEYWORD_ONLY) for p in common if p.name not in taken]
        cls.__signature__ = inspect.Signature([*named[1:], *rest])

    @property
    def learning_rate(self) -> Any:
        """The learning rate now, as a float; assign a number, schedule or function at any time."""
        return Rate(self._current_rate(), self)

    @learning_rate.setter
    def learning_rate(self, value: LearningRate) -> None:
        if isinstance(value, dict):
            value = registry.deserialize(value)
        if isinstance(value, LearningRateSchedule):
            self._schedule = value
        elif callable(value) and not isinstance(value, Tensor):
            self._schedule = functools.partial(_call_without_step, value)
        else:
            value = number(type(self).__name__, "learning_rate", value)
            self._schedule = None
        self._given_rate = value
        if self.torch is not None:
            self._set_group_rates(value if isinstance(value, float) else self._current_rate())

    def _current_rate(self) -> float:
        if self.torch is not None and self._schedule is None:
            # The torch groups are the truth: a torch scheduler or the user may have changed them.
            group = max(self.torch.param_groups, key=lambda group: group.get("lr_scale", 1.0))
            scale = group.get("lr_scale", 1.0)
            if scale > 0:
                return float(group["lr"]) if scale == 1 else float(group["lr"]) / scale
        if self._schedule is not None:
            return float(self._schedule(self._steps))
        return float(self._given_rate)  # pyright: ignore[reportArgumentType]

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """Make the `torch.optim` object; each optimizer class says how, or has an `update_step`.

        Args:
            groups: Parameter groups, with `lr`, `lr_scale` and `weight_decay` or `decay` set.
            fast: `{"fused": True}` where torch has fused kernels for these parameters, else `{}`.
        """
        if type(self).update_step is OwnUpdate.update_step:
            raise NotImplementedError(
                f"{type(self).__name__} must define make_torch(groups, fast), or as in Keras "
                "update_step(gradient, variable, learning_rate)."
            )
        return OwnSteps(groups, self)

    def start_state(self, optimizer: torch.optim.Optimizer) -> None:
        """Make state that must exist before the first step; most algorithms make it in `step`."""

    def bind(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        lr_multipliers: Mapping[str, float] | None = None,
    ) -> Optimizer:
        """Take charge of these parameters; what is known of those already bound is kept.

        Args:
            named_parameters: Names and parameters, as `module.named_parameters()` gives them.
                Repeated parameters count once.
            lr_multipliers: Factor on the learning rate by glob pattern over names; the first that
                fits counts. `None` keeps the patterns of the last call.

        Raises:
            ValueError: If there are no parameters.
        """
        seen: dict[Tensor, str] = {}
        for name, parameter in named_parameters:
            seen.setdefault(parameter, name)
        if not seen:
            raise ValueError(
                f"{type(self).__name__}: there is nothing to train; every parameter is frozen, or "
                "there is none."
            )
        named = {name: parameter for parameter, name in seen.items()}
        if lr_multipliers is not None:
            self._lr_multipliers = check_multipliers(lr_multipliers)
        rate = self._current_rate()
        self._named = named
        groups = group_parameters(named, self.parameter_options)
        if self.torch is None:
            fast = {"fused": True} if direct.can_fuse(list(seen)) else {}
            self._set_rates_in(groups, rate)
            self._adopt(self.make_torch(groups, fast))
        elif not self._same_groups(groups):
            self._set_rates_in(groups, rate)
            self._regroup(groups)
        self._follow_parameters()
        if type(self).build is not Optimizer.build and not self._waits:
            self._build_own(list(seen))
        self.start_state(self._bound("bind"))
        self._averages = {p: self._averages[p] for p in seen if p in self._averages}
        self._forget_plan()
        self._plan(self._bound("bind"))
        return self

    def parameter_options(self, name: str, parameter: Tensor) -> dict[str, Any]:
        """The torch group options of one parameter; those of equal options share a group."""
        decay = 0.0 if self._exclusion.covers(name, parameter) else self.weight_decay or 0.0
        return {
            "lr_scale": multiplier_for(name, self._lr_multipliers),
            "weight_decay" if self.torch_decays else "decay": decay,
        }

    @staticmethod
    def _set_rates_in(groups: list[dict[str, Any]], rate: float) -> None:
        for group in groups:
            group["lr"] = rate * group["lr_scale"]

    def _adopt(self, optimizer: torch.optim.Optimizer) -> None:
        self.torch = optimizer
        optimizer.register_load_state_dict_post_hook(lambda _: self._follow_loaded())
        optimizer.register_state_dict_post_hook(direct.part_steps)

    def _same_groups(self, groups: list[dict[str, Any]]) -> bool:
        assert self.torch is not None
        now = [([id(p) for p in g["params"]], g.get("lr_scale")) for g in self.torch.param_groups]
        return now == [([id(p) for _, p in g["params"]], g["lr_scale"]) for g in groups]

    def _regroup(self, groups: list[dict[str, Any]]) -> None:
        """Exchange the groups inside the torch object, so that its hooks and schedulers live on."""
        assert self.torch is not None
        kept = {p for group in groups for _, p in group["params"]}
        self.torch.param_groups.clear()
        for group in groups:
            self.torch.add_param_group(group)
        for parameter in [p for p in self.torch.state if p not in kept]:
            del self.torch.state[parameter]

    def _follow_loaded(self) -> None:
        self._follow_parameters()
        self._forget_plan()

    def _follow_parameters(self) -> None:
        """Keep state where its parameter is, of its type, and laid out in memory as that is."""
        assert self.torch is not None
        for group in self.torch.param_groups:
            for parameter in group["params"]:
                state = self.torch.state.get(parameter, {})
                for key, value in state.items():
                    # Counters of unfused optimizers stay on the CPU, whatever the device.
                    if isinstance(value, Tensor) and (key != "step" or group.get("fused")):
                        state[key] = _beside(parameter, value)

    @property
    def built(self) -> bool:
        """Whether it has parameters to update, and the state that `build` makes for them."""
        return self.torch is not None and not self._waits

    @property
    def variables(self) -> list[Variable]:
        """The number of updates, the learning rate, then what is kept of each parameter.

        A schedule, which follows the number of updates, is none of them. `assign` changes them. A
        new list at each look: torch makes most of its state in the first update.
        """
        return kept.variables_of(self)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set `variables` from arrays of their shapes.

        Raises:
            ValueError: If numbers or shapes differ; nothing is changed then.
        """
        kept.set_all(self.variables, weights, f"{type(self).__name__}.set_weights")

    def build(self, variables: Iterable[Tensor]) -> None:
        """Bind parameters that come without names.

        A subclass may make state of its own here, after `super().build(variables)`; it is called
        again when other parameters are bound, and finds what it made for the old ones.
        """
        if self.torch is None:
            self._waits = True
            try:
                self.bind((f"parameter_{i}", p) for i, p in enumerate(variables))
            finally:
                self._waits = False
        elif not self._waits:
            self.bind((f"parameter_{i}", p) for i, p in enumerate(variables))

    def _build_own(self, variables: list[Tensor]) -> None:
        """Let a `build` of the subclass's own make its state for parameters that are bound."""
        self._waits = True
        try:
            self.build(variables)
        finally:
            self._waits = False

    def apply(
        self, grads: Iterable[Tensor | None], trainable_variables: Iterable[Tensor] | None = None
    ) -> None:
        """Update parameters from gradients given in a list of the same order; others stay.

        Raises:
            ValueError: If the lists differ in length, or a parameter is not one of the bound ones.
        """
        targets = list(self._named.values() if trainable_variables is None else trainable_variables)
        if self.torch is None and trainable_variables is not None:
            self.build(targets)
        self._bound("apply")
        given = list(grads)
        owner = f"{type(self).__name__}.apply"
        if len(given) != len(targets):
            raise ValueError(
                f"{owner}: expected one gradient per parameter, got {len(given)} gradients for "
                f"{len(targets)} parameters."
            )
        known = {id(p) for p in self._named.values()}
        if any(id(p) not in known for p in targets):
            raise ValueError(f"{owner}: a parameter is not among the bound ones; bind it first.")
        self._gather(targets, given)
        accumulated = self.gradient_accumulation_steps or 1
        for parameter in self._named.values():
            parameter.grad = None
        if (self._steps + 1) % accumulated == 0:
            for parameter, grad in self._gathered.items():
                parameter.grad = direct.laid_out_as(parameter, grad)
            self._gathered = {}
        self.update()

    def _gather(self, targets: list[Tensor], given: list[Tensor | None]) -> None:
        # Clipping and averaging work in place: the caller's own tensors must not be changed.
        changes = any(
            (
                self.clipnorm,
                self.clipvalue,
                self.global_clipnorm,
                self.loss_scale_factor,
                self.gradient_accumulation_steps,
            )
        )
        for parameter, grad in zip(targets, given, strict=True):
            if grad is None:
                continue
            if parameter in self._gathered:
                self._gathered[parameter].add_(grad.detach())
            else:
                self._gathered[parameter] = grad.detach().clone() if changes else grad.detach()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Tensor | None, Tensor]]) -> None:
        """Update parameters from `(gradient, parameter)` pairs."""
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)

    def exclude_from_weight_decay(
        self,
        var_list: Iterable[Tensor] | None = None,
        var_names: Iterable[str] | None = None,
    ) -> None:
        """Leave parameters out of weight decay.

        Args:
            var_list: The parameters themselves.
            var_names: Regular expressions; a parameter whose dotted name (as in `state_dict()`)
                holds one is left out. `["bias"]` spares all offsets.

        Raises:
            ValueError: If the optimizer is bound already, as its groups then stand.
        """
        if self.torch is not None:
            raise ValueError(
                f"{type(self).__name__}.exclude_from_weight_decay must be called before the "
                "optimizer is bound."
            )
        self._exclusion = DecayExclusion(var_list or [], var_names or [])

    def state_dict(self) -> dict[str, Any]:
        """The torch optimizer's `state_dict`, and under `"kerasish"` what torch does not know.

        A plain `torch.optim` object of the same algorithm loads it as it is.
        """
        names = {p: name for name, p in self._named.items()}
        return {
            **self._bound("state_dict").state_dict(),
            "kerasish": {
                "steps": self._steps,
                "averages": {names[p]: average for p, average in self._averages.items()},
            },
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state saved by `state_dict` here or by a plain `torch.optim` object.

        Raises:
            ValueError: If the parameter groups differ.
        """
        optimizer = self._bound("load_state_dict")
        # What decides how torch computes comes from here: the other machine may have had other
        # devices.
        saved_groups = [dict(group) for group in state_dict["param_groups"]]
        for saved, group in zip(saved_groups, optimizer.param_groups, strict=False):
            saved.update({key: group[key] for key in EXECUTION_KEYS if key in group})
            saved.setdefault("lr_scale", group.get("lr_scale", 1.0))
            if "decay" in group:
                saved.setdefault("decay", group["decay"])
        optimizer.load_state_dict({"state": state_dict["state"], "param_groups": saved_groups})
        own = state_dict.get("kerasish", {})
        steps = [float(s["step"]) for s in state_dict["state"].values() if "step" in s]
        self._steps = int(own.get("steps", max(steps, default=self._steps)))
        averages = own.get("averages", {})
        self._averages = {
            self._named[name]: average.to(self._named[name].device, copy=True)
            for name, average in averages.items()
            if name in self._named
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the learning rate (or the schedule) as it is now."""
        names = [n for n in inspect.signature(type(self)).parameters if hasattr(self, n)]
        config = {name: getattr(self, name) for name in names if name != "learning_rate"}
        rate = self._current_rate() if self._schedule is None else self._given_rate
        return {"learning_rate": rate, **config}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Any:
        """Make an unbound optimizer from what `get_config` gave."""
        settings = {
            key: registry.deserialize(value, custom_objects)
            if isinstance(value, (dict, list))
            else value
            for key, value in config.items()
        }
        known = list(inspect.signature(cls).parameters)
        if unknown := [key for key in settings if key not in known]:
            raise TypeError(
                f"{cls.__name__}: unknown setting '{unknown[0]}'{suggest(unknown[0], known)}."
            )
        return cls(**settings)

    def __getstate__(self) -> dict[str, Any]:
        """All but the plan: its closures belong to this object alone."""
        return {
            key: value for key, value in self.__dict__.items() if key not in ("_update", "_kernels")
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.torch is not None:
            self._adopt(self.torch)
        self._forget_plan()

    def __repr__(self) -> str:
        rate = self._given_rate if self._schedule is not None else self._current_rate()
        return f"{type(self).__name__}(learning_rate={rate!r})"


def _beside(parameter: Tensor, state: Tensor) -> Tensor:
    state = state.to(parameter.device)
    if state.shape != parameter.shape or not parameter.dim():
        return state  # a counter or a factor
    if state.is_floating_point():
        state = state.to(parameter.dtype)
    return direct.laid_out_as(parameter, state)
