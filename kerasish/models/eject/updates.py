"""The optimizer of a compiled model as a `torch.optim` call, and what an update does around it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from typing import Any

import torch

from kerasish.models.eject.expressions import attribute
from kerasish.models.eject.rates import rate_function
from kerasish.models.eject.refusal import refusal
from kerasish.optimizers.algorithms import RMSpropAlgorithm

_LEFT_OUT = ("params", "lr", "foreach", "capturable", "differentiable")
_WIDTH = 84  # of a line, without its indentation
_OF_GROUPS = ("params", "param_names", "lr", "lr_scale", "weight_decay", "decay", "initial_lr")
_UNWRITTEN = ("use_ema", "loss_scale_factor", "gradient_accumulation_steps")


@dataclass
class Update:
    """How the script updates the weights.

    Attributes:
        classes: The source of an optimizer that torch lacks, as lines.
        functions: The lines of each function that an update calls.
        constructor: The lines that make the optimizer of `model`.
        lines: What happens between the backward pass and the clearing of gradients.
        counts: Whether the loop must count the updates, as `step`.
    """

    classes: list[str]
    functions: list[list[str]]
    constructor: list[str]
    lines: list[str] = field(default_factory=list)
    counts: bool = False


def write_update(model: Any, names: dict[int, str]) -> Update:
    """Write the update of a compiled model.

    Args:
        model: The model.
        names: The script's name of each parameter, by `id`.

    Raises:
        ValueError: If the optimizer, or something it was asked for, has no plain form.
    """
    optimizer, recipe = model.optimizer, model._recipe
    for setting in _UNWRITTEN:
        if getattr(optimizer, setting):
            raise refusal(f"`{setting}` of the optimizer", "Compile without it.")
    inner = _torch_optimizer(model)
    _check_groups(model, inner)
    groups = [_Group(group, names) for group in inner.param_groups]
    schedule = optimizer._schedule
    update = Update(_classes(inner), [], _constructor(inner, groups, names, schedule is None))
    if recipe.clip_norm is not None:
        update.lines.append(
            f"nn.utils.clip_grad_norm_(model.parameters(), max_norm={recipe.clip_norm})"
        )
    if schedule is not None:
        update.functions.append(rate_function(getattr(optimizer, "_given_rate", schedule)))
        scales = {group.scale for group in groups}
        factor = f"{groups[0].scale:.12g} * " if scales != {1.0} else ""
        factor = 'group["scale"] * ' if len(scales) > 1 else factor
        update.lines += [
            "for group in optimizer.param_groups:",
            f'    group["lr"] = {factor}learning_rate(step)',
        ]
        update.counts = True
    _clip_as_the_optimizer(optimizer, update)
    _decay(groups, update)
    return update


class _Group:
    """A parameter group: its parameters' names in the script, and its own settings."""

    def __init__(self, group: dict[str, Any], names: dict[int, str]) -> None:
        self.names = [names[id(p)] for p in group["params"] if id(p) in names]
        self.rate = float(group["lr"])
        self.scale = float(group.get("lr_scale", 1.0))
        self.decay = float(group.get("decay", 0.0))
        self.weight_decay = group.get("weight_decay")


def _torch_optimizer(model: Any) -> torch.optim.Optimizer:
    """The `torch.optim` object that the next fit would begin with."""
    given = model.optimizer
    if getattr(given, "scheduler", None) is not None:
        raise refusal("A scheduler of torch", "Compile with a schedule of kerasish's.")
    if getattr(given, "_is_instance", False):
        return given.optimizer
    fresh = type(given).from_config(given.get_config())
    fresh._exclusion = given._exclusion
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return fresh.bind(named, model._recipe.lr_multipliers).torch


def _check_groups(model: Any, inner: torch.optim.Optimizer) -> None:
    """Refuse an optimizer of the user's making whose groups say more than the script can."""
    held = {id(p) for group in inner.param_groups for p in group["params"]}
    if any(p.requires_grad and id(p) not in held for p in model.parameters()):
        raise refusal("An optimizer of some of the weights", "Freeze the others instead.")
    rest = [{k: group[k] for k in group if k not in _OF_GROUPS} for group in inner.param_groups]
    if any(settings != rest[0] for settings in rest):
        raise refusal("An optimizer whose groups differ", "Let them differ in rate or decay only.")


def _constructor(
    inner: torch.optim.Optimizer, groups: list[_Group], names: dict[int, str], has_rate: bool
) -> list[str]:
    kind = type(inner)
    is_stock = getattr(torch.optim, kind.__name__, None) is kind
    if not is_stock and kind is not RMSpropAlgorithm:
        own = kind.__name__.removesuffix("Algorithm")
        raise refusal(f"The optimizer {own}", "Compile with one that torch has.")
    name = f"torch.optim.{kind.__name__}" if is_stock else "RMSprop"
    settings = _settings(inner) if is_stock else [f"alpha={inner.defaults['alpha']}"]
    if not is_stock:
        settings += [f"eps={inner.defaults['eps']}"]
        settings += [f"momentum={m}" for m in [inner.defaults["momentum"]] if m]
    of_groups = _differing(groups, has_rate)
    shared = [("lr", "rate"), ("weight_decay", "weight_decay")]
    common = [
        f"{key}={getattr(groups[0], attribute):.12g}"
        for key, attribute in shared
        if getattr(groups[0], attribute) and (key, attribute) not in of_groups
    ]
    common = common if has_rate else [text for text in common if not text.startswith("lr=")]
    if not of_groups:
        arguments = ["model.parameters()", *common, *settings]
        line = f"optimizer = {name}({', '.join(arguments)})"
        if len(line) <= _WIDTH:
            return [line]
        return [f"optimizer = {name}(", *(f"    {argument}," for argument in arguments), ")"]
    lines = [f"optimizer = {name}(", "    ["]
    for group in groups:
        lines += [f"        {line}" for line in _group_lines(group, of_groups, names)]
    return [*lines, "    ],", *(f"    {setting}," for setting in [*common, *settings]), ")"]


def _group_lines(
    group: _Group, settings: list[tuple[str, str]], names: dict[int, str]
) -> list[str]:
    """A parameter group as the source of a dict."""
    own = "".join(f', "{key}": {getattr(group, of):.12g}' for key, of in settings)
    members = _members(group.names, set(names.values()))
    listed = members[0][1:] if len(members) == 1 and members[0][0] == "*" else None
    line = f'{{"params": {listed or "[" + ", ".join(members) + "]"}{own}}},'
    if len(line) <= _WIDTH:
        return [line]
    lines = ["{", '    "params": [', *(f"        {member}," for member in members), "    ],"]
    return [*lines, f"    {own[2:]},", "},"]


def _differing(groups: list[_Group], has_rate: bool) -> list[tuple[str, str]]:
    """The settings by which groups differ: the key in the script, and the attribute here."""
    keys = [("lr", "rate")] if has_rate else [("scale", "scale")]
    keys += [("weight_decay", "weight_decay"), ("decay", "decay")]
    return [key for key in keys if len({getattr(g, key[1]) for g in groups}) > 1]


def _settings(inner: torch.optim.Optimizer) -> list[str]:
    """The constructor's arguments that differ from torch's own."""
    known = inspect.signature(type(inner).__init__).parameters
    group = inner.param_groups[0]
    found = []
    for name, parameter in known.items():
        if name in _LEFT_OUT or name not in group or name == "weight_decay":
            continue
        if group[name] != parameter.default:
            found.append(f"{name}={group[name]!r}")
    return found


def _members(names: list[str], everything: set[str]) -> list[str]:
    """Parameters as source; all of a module as `*model.module.parameters()`."""
    found: dict[str, None] = {}
    for name in names:
        owner = name.rpartition(".")[0]
        siblings = {n for n in everything if n.rpartition(".")[0] == owner}
        whole = owner and siblings <= set(names)
        part = f"*model.{owner}.parameters()" if whole else f"model.{name}"
        found[attribute(part)] = None
    return list(found)


def _clip_as_the_optimizer(optimizer: Any, update: Update) -> None:
    """Clipping that the optimizer itself was asked for, by Keras's formulas."""
    if optimizer.clipvalue:
        update.lines.append(
            f"nn.utils.clip_grad_value_(model.parameters(), clip_value={optimizer.clipvalue})"
        )
    lines = []
    if optimizer.clipnorm:
        lines = [
            "    # Each gradient by itself, as Keras's clipnorm does.",
            "    for grad in grads:",
            f"        grad.div_((grad.norm() / {optimizer.clipnorm}).clamp(min=1.0))",
        ]
    elif optimizer.global_clipnorm:
        lines = [
            "    norm = nn.utils.get_total_norm(grads)",
            "    for grad in grads:",
            f"        grad.mul_(torch.clamp({optimizer.global_clipnorm} / norm, max=1.0))",
        ]
    if lines:
        grads = "    grads = [p.grad for p in model.parameters() if p.grad is not None]"
        update.functions.append(["def clip(model):", grads, *lines])
        update.lines.append("clip(model)")


def _decay(groups: list[_Group], update: Update) -> None:
    """Decoupled weight decay, where torch's optimizer has none."""
    decays = {group.decay for group in groups}
    if decays == {0.0}:
        return
    factor = 'group["decay"]' if len(decays) > 1 else f"{groups[0].decay:.12g}"
    update.functions.append(
        [
            "@torch.no_grad()",
            "def decay(optimizer):",
            '    """Shrink the weights beside the gradient, as AdamW does."""',
            "    for group in optimizer.param_groups:",
            '        for p in group["params"]:',
            "            if p.grad is not None:",
            f'                p.mul_(1 - group["lr"] * {factor})',
        ]
    )
    update.lines.append("decay(optimizer)")


def _classes(inner: torch.optim.Optimizer) -> list[str]:
    """RMSprop as Keras has it, with no more than this run needs."""
    if type(inner) is not RMSpropAlgorithm:
        return []
    momentum, centered = inner.defaults["momentum"], inner.defaults["centered"]
    more = (", momentum=0.9", ', "momentum": momentum') if momentum else ("", "")
    body = [
        "square = state.setdefault('square', torch.zeros_like(p))".replace("'", '"'),
        'square.mul_(group["alpha"]).addcmul_(p.grad, p.grad, value=1 - group["alpha"])',
        'scale = square + group["eps"]',
    ]
    if centered:
        body += [
            'mean = state.setdefault("mean", torch.zeros_like(p))',
            'mean.lerp_(p.grad, 1 - group["alpha"])',
            "scale = scale - mean.square()",
        ]
    if momentum:
        body += [
            'velocity = state.setdefault("velocity", torch.zeros_like(p))',
            'velocity.mul_(group["momentum"])',
            'velocity.addcdiv_(p.grad, scale.sqrt(), value=group["lr"])',
            "p.sub_(velocity)",
        ]
    else:
        body += ['p.addcdiv_(p.grad, scale.sqrt(), value=-group["lr"])']
    return [
        "class RMSprop(torch.optim.Optimizer):",
        '    """Keras\'s RMSprop: epsilon stands under the root, not beside it."""',
        "",
        f"    def __init__(self, params, lr=0.001, alpha=0.9, eps=1e-07{more[0]}):",
        f'        super().__init__(params, {{"lr": lr, "alpha": alpha, "eps": eps{more[1]}}})',
        "",
        "    @torch.no_grad()",
        "    def step(self):",
        "        for group in self.param_groups:",
        '            for p in group["params"]:',
        "                if p.grad is None:",
        "                    continue",
        "                state = self.state[p]",
        *(f"                {line}" for line in body),
    ]
