"""Will training change the weights, and sensibly: nothing frozen, lost, shared or too fast."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from kerasish.data.arrays import map_leaves
from kerasish.optimizers import Optimizer, TorchOptimizer
from kerasish.optimizers.groups import multiplier_for
from kerasish.training.preflight.probe import (
    first_rows,
    reached,
    reached_in_training,
    run,
    unchanged,
    watched_calls,
)
from kerasish.training.preflight.subject import Subject, shorten

# Each step of these moves a weight by about the learning rate, whatever the gradient.
_SIGN_LIKE = {"adam", "adamw", "nadam", "radam", "adamax", "rmsprop", "lion"}
_SIGN_LIKE_LIMIT, _SGD_LIMIT = 1.0, 10.0


def check_weights(subject: Subject) -> None:
    """Look at parameters and optimizer.

    Raises:
        ValueError: If nothing can be trained.
    """
    _check_trainable(subject.plan.model)
    optimizer = subject.plan.recipe.optimizer
    _check_owner(subject, optimizer)
    _check_rate(subject, optimizer)
    _check_scheduler(subject, optimizer)
    _check_patterns(subject)
    if not subject.plan.model.overrides("compute_loss"):
        _check_connected(subject)
    _check_single_rows(subject)


def _check_trainable(model: nn.Module) -> None:
    if any(p.requires_grad for p in model.parameters()):
        return
    if next(model.parameters(), None) is None:
        raise ValueError(
            "K130: fit: there is nothing to train: the model has no parameters. Add a layer that "
            "has weights; evaluate() gives the loss of a model without any."
        )
    raise ValueError(
        "K130: fit: there is nothing to train: every parameter is frozen. Set trainable = True on "
        "what should learn."
    )


def _check_owner(subject: Subject, optimizer: Optimizer) -> None:
    own = {id(p) for p in subject.plan.model.parameters()}
    given = optimizer.optimizer if isinstance(optimizer, TorchOptimizer) else None
    if isinstance(given, torch.optim.Optimizer):
        held = [p for group in given.param_groups for p in group["params"]]
        if not any(id(p) in own for p in held):
            raise ValueError(
                f"K131: fit: the {type(given).__name__} instance holds {len(held)} parameters, "
                "none of them among the model's. Make it from model.parameters() after the model "
                "is built, or pass the class instead."
            )
        return
    groups = [] if optimizer.torch is None else optimizer.torch.param_groups
    held = [p for group in groups for p in group["params"]]
    if held and optimizer.iterations and not any(id(p) in own for p in held):
        subject.report.advise(
            "K132",
            f"the optimizer '{optimizer.name}' has trained other parameters than this model's; "
            "what it learnt of those is dropped. Give each model an optimizer of its own.",
        )


def _check_rate(subject: Subject, optimizer: Optimizer) -> None:
    given: Any = optimizer.optimizer if isinstance(optimizer, TorchOptimizer) else optimizer
    given = given.func if isinstance(given, functools.partial) else given
    name = (given if isinstance(given, type) else type(given)).__name__
    limits = dict.fromkeys(_SIGN_LIKE, _SIGN_LIKE_LIMIT) | {"sgd": _SGD_LIMIT}
    limit = limits.get(name.lower())
    if limit is None:
        return  # one of several optimizers, too, which has no single rate
    rate = float(optimizer.learning_rate)
    if rate == 0 and optimizer is given and optimizer._schedule is None:
        subject.report.advise(
            "K137",
            f"the learning rate of {name} is 0: weights change only if a callback raises it. "
            "Try 0.001.",
        )
    if rate > limit:
        usual = "0.001" if limit == _SIGN_LIKE_LIMIT else "0.01 to 0.1"
        subject.report.advise(
            "K136",
            f"the learning rate {rate:g} is far too large for {name}: the weights will jump about. "
            f"Try {usual}.",
        )


def _check_scheduler(subject: Subject, optimizer: Optimizer) -> None:
    given = optimizer.optimizer if isinstance(optimizer, TorchOptimizer) else None
    # A scheduler of torch leaves this on the step of the optimizer that it is made for.
    is_scheduled = hasattr(getattr(given, "step", None), "_wrapped_by_lr_sched")
    if is_scheduled and optimizer.scheduler is None:  # type: ignore[attr-defined]
        name = type(given).__name__
        subject.report.advise(
            "K147",
            f"a torch scheduler was made for the {name}, but fit was not given it: unless a "
            "callback steps it, the learning rate stays as it is. Compile with "
            "TorchOptimizer(optimizer, scheduler=scheduler).",
        )


def _check_patterns(subject: Subject) -> None:
    names = [name for name, _ in subject.plan.model.named_parameters()]
    for pattern in subject.plan.recipe.lr_multipliers or ():
        if not any(multiplier_for(name, {pattern: 0.0}) == 0.0 for name in names):
            subject.report.advise(
                "K139",
                f"lr_multipliers: no parameter has a name that fits '{pattern}'. Names are those "
                f"of model.named_parameters(), such as {shorten(names, 2)}.",
            )


def _check_has_loss(subject: Subject, is_compiled: bool) -> None:
    if is_compiled or subject.plan.penalised:
        return
    training = reached_in_training(subject.plan, subject.feed, lambda i: False)
    if training is not None and not training[2]:
        raise ValueError(
            "fit: there is no loss to reduce: compile was given none, and no layer adds one. "
            'Compile with loss=..., for example "mse", or call add_loss(...) in a layer.'
        )


def _check_connected(subject: Subject) -> None:
    """Whether the losses depend on every parameter that is to be trained."""
    used = [output.loss is not None for output in subject.objective.outputs]
    _check_has_loss(subject, any(used))
    predictions = [p for p, counts in zip(subject.predictions, used, strict=True) if counts]
    named = [(n, p) for n, p in subject.plan.model.named_parameters() if p.requires_grad]
    found = reached(predictions)
    if all(p.requires_grad for p in predictions) and all(id(p) in found for _, p in named):
        return
    # Auxiliary heads, and what is added by add_loss, may take part in training only.
    training = reached_in_training(subject.plan, subject.feed, lambda i: used[i])
    if training is None:
        return
    found_then, trainable, has_added = training
    dead = [
        output.name
        for output, counts, alive in zip(subject.objective.outputs, used, trainable, strict=False)
        if counts and not alive
    ]
    if dead and len(dead) == sum(used) and not has_added:
        raise ValueError(
            f"K134: fit: the loss cannot be differentiated: the output '{dead[0]}' does not depend "
            "on any trainable weight. Look for argmax, round, detach() or numpy() in the model, "
            "and for frozen layers."
        )
    lost = [name for name, p in named if id(p) not in found | found_then]
    if lost:
        outputs = f" (nor does the output '{dead[0]}' depend on any)" if dead else ""
        subject.report.advise(
            "K133",
            f"{len(lost)} trainable parameters get no gradient, since no loss depends on them"
            f"{outputs}: {shorten(lost, 4)}. Connect their layers to an output that has a loss, or "
            "remove or freeze them.",
        )


def _check_single_rows(subject: Subject) -> None:
    """A batch of one row gives batch normalisation one value per channel, which torch refuses."""
    feed, plan = subject.feed, subject.plan
    rows, size, batches = feed.num_samples, feed.batch_size, feed.num_batches
    if not rows or not size or not batches or rows - (batches - 1) * size != 1:
        return
    norms: list[nn.Module] = [m for m in plan.model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    x, _, _ = first_rows(plan.model, feed)
    one = map_leaves(lambda t: t[:1], x)
    with unchanged(plan), watched_calls(norms) as calls:
        plan.model.train()
        try:
            run(plan, one)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error) or not calls:
                raise
        else:
            return
    name = next(name for name, m in plan.model.named_modules() if m is calls[-1][0])
    better = next((b for b in range(size + 1, size + 9) if rows % b != 1), None)
    fix = f"Use batch_size={better}" if rows > 1 and better else "Use more rows"
    raise ValueError(
        f"K135: fit: {rows:,} rows in batches of {size} leave one row for the last batch, from "
        f"which the batch normalisation '{name}' cannot compute statistics. {fix}, or leave a row "
        "out."
    )
