"""What the state of a run is, and how it goes back into a run that has just begun."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor

from kerasish.callbacks import BackupAndRestore, CallbackList
from kerasish.callbacks.console import say
from kerasish.data.arrays import map_leaves
from kerasish.data.random_state import generators_in, random_state, set_random_state
from kerasish.metrics import Metric
from kerasish.optimizers.direct import laid_out_as
from kerasish.random import SeedGenerator
from kerasish.saving.archive import Archive
from kerasish.saving.plain import flatten, unflatten
from kerasish.training.parallel import gather, process_number
from kerasish.training.tracker import to_number

VERSION = 1


def capture(run: Any, epoch: int, batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The state of a run before a batch of an epoch, as documents and tensors of an archive.

    What every process has alike is stored once; what is its own (random numbers, sums of metrics,
    the place in its data), once for each.
    """
    if run.tracker is not None:
        run.tracker.reduce()
    shared = {
        "version": VERSION,
        "epoch": epoch,
        "batch": batch,
        "fingerprint": fingerprint(run),
        "weights": weights_of(run.model, getattr(run.step, "gathers", True)),
        "training": training_state(run),
        "callbacks": callback_states(run.listeners.callbacks),
        "stop_training": run.model.stop_training,
        "logs": run.logs,
    }
    document, tensors = flatten(shared, "fit: the state of the run")
    documents, groups = {"run": document}, {"run": tensors}
    for number, part in enumerate(gather(own_state(run, batch))):
        documents[f"process_{number}"], groups[f"process_{number}"] = flatten(part)
    return documents, groups


def keeper_of(listeners: CallbackList) -> BackupAndRestore | None:
    """The callback that keeps copies of this run, if there is one.

    Raises:
        ValueError: If there are several.
    """
    keepers = [known for known in listeners.callbacks if isinstance(known, BackupAndRestore)]
    if len(keepers) > 1:
        raise ValueError(
            "fit: only one BackupAndRestore can be used (resume= is one too), "
            f"got {len(keepers)}, for {', '.join(str(known.backup_dir) for known in keepers)}."
        )
    return keepers[0] if keepers else None


def read(keeper: BackupAndRestore, run: Any) -> Backup | None:
    """The copy from which a run is to go on, checked, or `None`; callbacks hear of it."""
    keeper.attach(run)
    archive = keeper.read()
    if archive is None:
        return None
    backup = Backup(archive, str(keeper.path))
    backup.fit_to(run)
    run.listeners.set_params({**run.listeners.params, "is_resumed": True})
    where = f", batch {backup.batch + 1}" if backup.batch else ""
    say(f"fit: resuming from {keeper.path} at epoch {backup.epoch + 1}{where}.")
    return backup


class Backup:
    """A state read from a file, on its way back into a run.

    Args:
        archive: What `capture` made.
        where: Its path, for messages.

    Raises:
        ValueError: If it holds something else, or fewer processes ran than now.
    """

    def __init__(self, archive: Archive, where: str) -> None:
        self.where = where
        mine = f"process_{process_number()}"
        if "run" not in archive.documents or mine not in archive.documents:
            raise ValueError(
                f"fit: {where} cannot be resumed here: it is no copy of a run, or of a run with "
                "fewer processes. Delete it to start anew."
            )
        self.shared = unflatten(archive.documents["run"], archive.tensors["run"])
        self.own = unflatten(archive.documents[mine], archive.tensors[mine])
        self.epoch, self.batch = self.shared["epoch"], self.shared["batch"]

    def fit_to(self, run: Any) -> None:
        """Take over the run's names, and refuse to go on with other data or another model.

        Raises:
            ValueError: If there is a difference.
        """
        for name, now in fingerprint(run).items():
            then = self.shared["fingerprint"].get(name)
            if then != now:
                raise ValueError(
                    f"fit: {self.where} is a copy of another run: {name} was {then} and is {now}. "
                    "Make it as it was, or delete the copy to start anew."
                )
        saved, own = self.shared["weights"]["saved"], run.model.state_dict()
        pairs = list(zip(saved.items(), own.items(), strict=False))
        if len(saved) != len(own) or any(a.shape != b.shape for (_, a), (_, b) in pairs):
            raise ValueError(
                f"fit: {self.where} is a copy of a run of another model. Build the model as it "
                "was, or delete the copy to start anew."
            )
        # A model that is built a second time in one process has layers of other numbers.
        names = {old: new for (old, _), (new, _) in pairs if old != new}
        if names:
            layers = {old.partition(".")[0]: new.partition(".")[0] for old, new in names.items()}
            for name in self.shared["weights"]["buffers"]:
                layer, _, rest = name.partition(".")
                names[name] = f"{layers.get(layer, layer)}.{rest}"
            self.shared = _renamed(self.shared, names)

    def restore_model(self, run: Any) -> None:
        """Put back weights, optimizer, metrics and callbacks."""
        shared, model = self.shared, run.model
        model.stop_training = shared["stop_training"]
        run.logs = dict(shared["logs"])
        load_weights(model, shared["weights"])
        load_training_state(run, shared["training"])
        load_callback_states(run.listeners.callbacks, shared["callbacks"])
        load_metrics(metrics_of(model), self.own["metrics"])
        run.latest = dict(self.own.get("latest", {}))

    def restore_position(self, run: Any) -> None:
        """Put back the place in the data, then the random numbers, which finding it may draw."""
        run.passes.resume(self.own["data"])
        if run.validation is not None and self.own["validation"] is not None:
            run.validation.resume(self.own["validation"])
        _set_layer_seeds(run.model, self.own["layers"])
        set_random_state(self.own["random"])


def fingerprint(run: Any) -> dict[str, Any]:
    """What must be the same for a place in the data to mean the same."""
    feed = run.passes.feed
    return {
        "the number of rows": feed.num_samples,
        "batch_size": feed.batch_size,
        "steps_per_epoch": run.passes.steps,
    }


def own_state(run: Any, batch: int) -> dict[str, Any]:
    """What is another in every process."""
    return {
        "metrics": [metric_state(metric) for metric in metrics_of(run.model)],
        "data": run.passes.position(batch),
        "latest": {name: to_number(value) for name, value in run.latest.items()},
        "validation": None if run.validation is None else run.validation.position(0),
        "layers": [_seed_state(seeds) for seeds in _layer_seeds(run.model)],
        # As they were before the batches that wait ahead of the next step drew theirs.
        "random": random_state() | run.passes.feed.random_state(),
    }


def _renamed(state: Any, names: dict[str, str]) -> Any:
    """A state in which names of weights, wherever they are keys, are replaced."""
    if isinstance(state, dict):
        return {names.get(key, key): _renamed(value, names) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(_renamed(item, names) for item in state)
    return state


def weights_of(model: Any, gathers: bool) -> dict[str, Any]:
    """The `state_dict`, and the buffers and recurrent states that it leaves out.

    Args:
        model: The model.
        gathers: Whether gradients wait for an update, and belong to the state.
    """
    saved = {k: v for k, v in model.state_dict().items() if isinstance(v, Tensor)}
    named = model.named_parameters() if gathers else ()
    return {
        "saved": saved,
        "buffers": {name: b for name, b in model.named_buffers() if name not in saved},
        "carried": [layer.states for layer in _carrying(model)],
        "gradients": {n: p.grad for n, p in named if p.grad is not None},
    }


def load_weights(model: Any, state: dict[str, Any]) -> None:
    """Put back what `weights_of` took."""
    model.load_state_dict(state["saved"], strict=False)
    buffers = dict(model.named_buffers())
    for name, value in state["buffers"].items():
        if name in buffers and buffers[name].shape == value.shape:
            buffers[name].copy_(value)
    for layer, states in zip(_carrying(model), state["carried"], strict=False):
        layer.reset_state()
        if states is not None:
            device = next(layer.parameters()).device
            layer.carry(map_leaves(methodcaller("to", device), states))
    for name, parameter in model.named_parameters():
        gradient = state["gradients"].get(name)
        if gradient is not None:
            gradient = laid_out_as(parameter, gradient.to(parameter.device))
        parameter.grad = gradient


def _carrying(model: torch.nn.Module) -> list[Any]:
    """The layers that start each batch from where the last one ended."""
    return [m for m in model.modules() if getattr(m, "stateful", False) and hasattr(m, "carry")]


def training_state(run: Any) -> dict[str, Any]:
    """The optimizer's state, and that of a step that gathers gradients or scales the loss."""
    optimizer = run.model.optimizer
    return {
        "optimizer": None if optimizer.torch is None else optimizer.state_dict(),
        "bound": _bound(run.model),
        "step": run.step.state_dict() if hasattr(run.step, "state_dict") else None,
    }


def _bound(model: Any) -> dict[str, bool]:
    """The parameters that the optimizer has in charge, by name."""
    optimizer = model.optimizer.torch
    groups = [] if optimizer is None else optimizer.param_groups
    bound = {id(parameter) for group in groups for parameter in group["params"]}
    return {name: True for name, p in model.named_parameters() if id(p) in bound}


def load_training_state(run: Any, state: dict[str, Any]) -> None:
    """Put back what `training_state` took."""
    if state["optimizer"] is not None:
        model, bound = run.model, state.get("bound")
        if bound and bound.keys() != _bound(model).keys():
            # A callback had frozen or thawed layers, and will do so again when the epoch begins.
            named = [(name, p) for name, p in model.named_parameters() if name in bound]
            model.optimizer.bind(named, model._recipe.lr_multipliers)
            run.learning = None
        run.model.optimizer.load_state_dict(state["optimizer"])
    if state["step"] is not None and hasattr(run.step, "load_state_dict"):
        run.step.load_state_dict(state["step"])


def callback_states(callbacks: Iterable[Any]) -> list[list[Any]]:
    """`[name, state]` of each callback that has a state."""
    states = [(name, callback.state_dict()) for name, callback in _with_state(callbacks)]
    return [[name, state] for name, state in states if state]


def load_callback_states(callbacks: Iterable[Any], states: list[list[Any]]) -> None:
    """Hand each callback its state; those that joined since begin anew."""
    known = dict(map(tuple, states))
    for name, callback in _with_state(callbacks):
        if name in known:
            callback.load_state_dict(known[name])


def _with_state(callbacks: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Callbacks with a state, named by their class and a number among their kind."""
    seen: Counter[str] = Counter()
    for callback in callbacks:
        if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
            kind = type(callback).__name__
            yield f"{kind} {seen[kind]}", callback
            seen[kind] += 1


def metrics_of(model: Any) -> list[Metric]:
    """The compiled metrics, and those that the model and its layers keep."""
    # A subclass may list only its own under `metrics`.
    compiled = [] if model._objective is None else model._objective.all_metrics
    return list({id(metric): metric for metric in (*compiled, *model.metrics)}.values())


def metric_state(metric: Metric) -> dict[str, Any]:
    """The tensors in which a metric adds up; those of torchmetrics too."""
    foreign = getattr(metric, "metric", None)
    names = getattr(foreign, "_defaults", {})
    return {
        "variables": [variable.value.clone() for variable in metric.variables],
        "foreign": {name: getattr(foreign, name) for name in names},
        "count": getattr(foreign, "_update_count", None),
    }


def load_metrics(metrics: list[Metric], states: list[dict[str, Any]]) -> None:
    """Put back what `metric_state` took of each."""
    for metric, state in zip(metrics, states, strict=False):
        for variable, value in zip(metric.variables, state["variables"], strict=False):
            if variable.shape == value.shape:
                variable.assign(value)
            else:
                variable.data = value.to(variable.device)
        foreign: Any = getattr(metric, "metric", None)
        for name, value in state["foreign"].items():
            device = foreign.device
            moved = [v.to(device) for v in value] if isinstance(value, list) else value.to(device)
            setattr(foreign, name, moved)
        if state["count"] is not None:
            foreign._update_count = state["count"]
            foreign._computed = None


def _layer_seeds(model: torch.nn.Module) -> list[Any]:
    """The seed generators and torch generators that layers hold, each once."""
    seeds: dict[int, Any] = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, SeedGenerator):
                seeds[id(value)] = value
    return [*seeds.values(), *generators_in(model.modules())]


def _seed_state(seeds: Any) -> Any:
    return seeds.state if isinstance(seeds, SeedGenerator) else seeds.get_state()


def _set_layer_seeds(model: torch.nn.Module, states: list[Any]) -> None:
    for seeds, state in zip(_layer_seeds(model), states, strict=False):
        if isinstance(seeds, SeedGenerator):
            seeds.state = state
        else:
            seeds.set_state(state)
