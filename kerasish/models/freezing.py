"""The stages of a network, and which of them learn."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.nn.parameter import Parameter

from kerasish.describe import count_of, describe, suggest
from kerasish.layers.holder import WeightHolder

# Children of a torch module that are no stage but hold the stages.
_CONTAINERS = {"backbone", "blocks", "body", "encoder", "features", "layers", "model", "stages"}
_CONTAINERS |= {"trunk", "trunk_output"}

# Layers of a model that are named as parts of one block, and the block's name: as in
# `block14_sepconv1`, `conv5_block3_2_conv`, `block6h_dwconv2`; MobileNet's `conv_dw_13`; ConvNeXt's
# `…_stage_3_block_2_layernorm` and `…_downsampling_conv_2`; NASNet's `normal_conv_1_12`.
_BLOCKS = {
    re.compile(r"([A-Za-z]+\d+)[a-z]?_"): r"\1",
    re.compile(r"conv_(?:dw|pw)_(\d+)"): r"conv_\1",
    re.compile(r"(\w+_stage_\d+)_block_"): r"\1",
    re.compile(r"(\w+_downsampling)_\w+_(\d+)$"): r"\1_\2",
    re.compile(r"(?:adjust|normal|reduction|separable_conv)_\w+?_((?:stem_|reduce_)?\d+)$"): (
        r"cell_\1"
    ),
}


@dataclasses.dataclass(eq=False)
class Stage:
    """A part of a network that is frozen or fine-tuned as a whole.

    Attributes:
        name: A layer's name, or the path of a part inside a torch module, such as `"layer3"`.
        parameters: Its parameters by their names in the model.
        layers: The layers that lie wholly in it.
        paths: The paths of its modules in the model, in the order of their calls.
        is_open: Whether torch convolutions that follow belong to it, up to the next pooling.
        block: What the names of its layers begin with, where they name a block.
    """

    name: str
    parameters: dict[str, Parameter] = dataclasses.field(default_factory=dict)
    layers: list[Any] = dataclasses.field(default_factory=list, repr=False)
    paths: list[str] = dataclasses.field(default_factory=list, repr=False)
    is_open: bool = False
    block: str | None = None

    @property
    def trainable(self) -> bool:
        """Whether training changes any of it."""
        if not self.parameters:
            return any(layer._trainable for layer in self.layers)
        return any(parameter.requires_grad for parameter in self.parameters.values())

    @property
    def count(self) -> int:
        """How many numbers its parameters hold."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    def add(self, path: str, module: nn.Module) -> None:
        """Take in a module whose path in the model is given."""
        self.paths.append(path)
        for name, parameter in module.named_parameters(prefix=path):
            self.parameters[name] = parameter
        if isinstance(module, WeightHolder):
            self.layers.append(module)

    def __repr__(self) -> str:
        state = "" if self.trainable else ", frozen"
        return f"Stage({self.name!r}, {count_of(self.count, 'parameter')}{state})"


def stages(model: Any) -> list[Stage]:
    """The stages of a model, from generic to specific; the last one is the head.

    A layer with weights is a stage; so is each large part of a torch module or of a model inside
    the model, and so are layers that are named as one block: `conv5_1`, `conv5_2`. Normalisation
    belongs to the stage before it. Every parameter is in one stage.

    Args:
        model: A model, a layer or a torch module; built.

    Raises:
        ValueError: If a layer has no weights yet.
    """
    if isinstance(model, WeightHolder):
        model._require_built("stages")
    found = [stage for stage in _stages_in(model, "", "") if stage.parameters or stage.layers]
    _take_own_parameters(model, found)
    names = [stage.name for stage in found]
    for stage in found:
        if names.count(stage.name) > 1 and stage.parameters:
            stage.name = _common_path([*stage.parameters])
    return found


def _stages_in(module: nn.Module, path: str, short: str) -> Iterator[Stage]:
    """The stages among a module's children; `short` is the path that users see."""
    current: Stage | None = None
    for key, child in _children(module):
        child_path, child_short = f"{path}{key}", f"{short}{key}"
        inner = _inside(child, key)
        if inner is not None:
            for stage in _stages_in(child, f"{child_path}.", "" if inner else f"{child_short}."):
                current = stage
                yield stage
            continue
        if not _has_weights(child):
            is_pool = "pool" in type(child).__name__.lower()
            if is_pool and current is not None and current.block is None:
                current = None  # what comes after pooling sees more of the image
            continue
        block = _block(key) if _is_model(module) else None
        if current is not None and (
            _is_norm(child)
            or (_is_convolution(child) and current.is_open)
            or (block is not None and current.block == block)
        ):
            current.add(child_path, child)
        else:
            name = child_short if block is None else f"{short}{block}"
            current = Stage(name, is_open=_is_convolution(child), block=block)
            current.add(child_path, child)
            yield current


def _block(name: str) -> str | None:
    """The block that a layer's name speaks of."""
    for pattern, block in _BLOCKS.items():
        if found := pattern.match(name):
            return found.expand(block)
    return None


def _children(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """The children, in the order of their calls where a model knows it."""
    layers = getattr(module, "layers", []) if _is_model(module) else []
    place = {id(layer): number for number, layer in enumerate(layers)}
    return sorted(module.named_children(), key=lambda item: place.get(id(item[1]), len(place)))


def _is_model(module: nn.Module) -> bool:
    return isinstance(module, WeightHolder) and hasattr(module, "summary")


def _inside(child: nn.Module, key: str) -> bool | None:
    """Whether a child is opened: `True` hides its own name, `False` shows it, `None` is closed."""
    if not _has_weights(child):
        return None
    if isinstance(child, WeightHolder):
        wraps = isinstance(child._modules.get("module"), nn.Module) and len(child._modules) == 1
        return True if (wraps or _is_model(child)) and _is_divisible(child) else None
    if key == "module":
        return True if _is_divisible(child) else None
    return False if key in _CONTAINERS and _is_divisible(child) else None


def _is_divisible(module: nn.Module) -> bool:
    return any(_has_weights(child) for child in module.children())


def _has_weights(module: nn.Module) -> bool:
    """Whether a module has parameters or statistics; what is not saved is constants."""
    return any(True for _ in module.parameters()) or any(
        buffer is not None and name not in part._non_persistent_buffers_set
        for part in module.modules()
        for name, buffer in part._buffers.items()
    )


def _is_convolution(module: nn.Module) -> bool:
    """Whether it is a single torch convolution: those in a row, as VGG's, are one stage."""
    if isinstance(module, WeightHolder) or list(module.children()):
        return False
    return max((parameter.dim() for parameter in module.parameters()), default=0) > 2


def _is_norm(module: nn.Module) -> bool:
    sizes = [parameter.dim() for parameter in module.parameters()]
    return "norm" in type(module).__name__.lower() and max(sizes, default=0) < 2


def _take_own_parameters(model: nn.Module, found: list[Stage]) -> None:
    """Give parameters outside all children, such as a class token, to the stage after them."""
    known = {id(p) for stage in found for p in stage.parameters.values()}
    for name, parameter in model.named_parameters():
        if id(parameter) in known:
            continue
        if not found:
            found.append(Stage(name))
        owner = name.rpartition(".")[0]
        below = [s for s in found if any(n.startswith(f"{owner}.") for n in s.parameters)]
        (below or found)[0].parameters[name] = parameter


def _common_path(names: list[str]) -> str:
    parts = [name.split(".")[:-1] for name in names]
    common = []
    for column in zip(*parts, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    return ".".join(common) or names[0]


# Freezing


def freeze(
    model: Any,
    what: Any = None,
    *,
    until: str | None = None,
    first: int | None = None,
) -> None:
    """Keep parts of a model as they are: parameters, and statistics such as batch normalisation's.

    It takes effect at the next `fit`, without compiling again; the optimizer keeps its state for
    what goes on learning.

    Args:
        model: A built model.
        what: A glob pattern or a list of them over names of stages and parameters, such as
            `"layer[1-3].*"`; or a fraction of the stages, from the first. By default everything up
            to the model's `freeze_point`, or where it has none everything but the last stage;
            `model.trainable = False` freezes that, too.
        until: The last stage to freeze, with all before it.
        first: How many stages to freeze.

    Raises:
        ValueError: If nothing fits; the message lists the stages.
    """
    parts = stages(model)
    if what is None and until is None and first is None:
        until = getattr(model, "freeze_point", None)
    if what is None and until is None and first is None:
        chosen: Iterable[Stage] = parts[:-1] or parts
    elif until is not None:
        chosen = parts[: _place(model, parts, until, "freeze") + 1]
    else:
        chosen = _chosen(model, parts, what, first, "freeze")
    _set(model, parts, chosen, learns=False)


def unfreeze(
    model: Any,
    what: Any = None,
    *,
    since: str | None = None,
    last: int | None = None,
) -> None:
    """Let parts of a model learn again, the others staying as they are.

    Args:
        model: A built model.
        what: As in `freeze`; a fraction counts from the last stage. By default everything.
        since: The first stage to thaw, with all after it.
        last: How many stages to thaw; the head is the last stage.

    Raises:
        ValueError: If nothing fits; the message lists the stages.
    """
    parts = stages(model)
    if what is None and since is None and last is None:
        chosen: Iterable[Stage] = parts
    elif since is not None:
        chosen = parts[_place(model, parts, since, "unfreeze") :]
    else:
        chosen = reversed([*_chosen(model, parts[::-1], what, last, "unfreeze")])
    _set(model, parts, chosen, learns=True)


def _place(model: Any, parts: list[Stage], name: str, action: str) -> int:
    names = [stage.name for stage in parts]
    if name in names:
        return names.index(name)
    # A layer of several stages: all of it.
    inside = [
        place
        for place, stage in enumerate(parts)
        if any(_fits(key, name) for key in stage.parameters)
    ]
    if not inside:
        raise ValueError(
            f"{action}: \"{_label(model)}\" has no stage '{name}'{suggest(name, names)}."
        )
    return inside[-1] if action == "freeze" else inside[0]


def _chosen(
    model: Any, parts: list[Stage], what: Any, number: int | None, action: str
) -> list[Stage]:
    """The stages that are meant; a stage of which only a part is meant comes as that part."""
    if number is not None or (isinstance(what, (int, float)) and not isinstance(what, bool)):
        return parts[: _number(parts, what, number, action)]
    patterns = [what] if isinstance(what, str) else what
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(
            f"{action}: expected a pattern, a list of them or a fraction, got {describe(what)}."
        )
    chosen = []
    for pattern in patterns:
        found = [_part(stage, pattern) for stage in parts]
        found = [part for part in found if part.parameters or part.layers]
        if not found:
            names = [stage.name for stage in parts]
            raise ValueError(
                f"{action}: nothing in \"{_label(model)}\" fits '{pattern}'"
                f"{suggest(pattern, names)}. Patterns are matched against stages and parameters."
            )
        chosen += found
    return chosen


def _number(parts: list[Stage], fraction: Any, number: int | None, action: str) -> int:
    if number is not None:
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise ValueError(f"{action}: expected a number of stages, got {describe(number)}.")
        return number
    if not 0 <= fraction <= 1:
        raise ValueError(f"{action}: a fraction lies between 0 and 1, got {describe(fraction)}.")
    return round(fraction * len(parts))


def _part(stage: Stage, pattern: str) -> Stage:
    """What a pattern covers of a stage."""
    if fnmatchcase(stage.name, pattern):
        return stage
    fitting = {name: p for name, p in stage.parameters.items() if _fits(name, pattern)}
    return stage if fitting and len(fitting) == len(stage.parameters) else Stage("", fitting)


def _fits(name: str, pattern: str) -> bool:
    """Whether a pattern covers a dotted name, from any of its parts on."""
    tails = [name, *(name.split(".", n)[-1] for n in range(1, name.count(".") + 1))]
    return any(fnmatchcase(t, pattern) or fnmatchcase(t, f"{pattern}.*") for t in tails)


def _label(model: Any) -> str:
    return getattr(model, "name", type(model).__name__)


def _set(model: Any, parts: list[Stage], chosen: Iterable[Stage], *, learns: bool) -> None:
    """Freeze or thaw stages, and set the flags of the layers around and inside them."""
    if learns and isinstance(model, WeightHolder) and not model._trainable:
        # It was frozen as a whole: layers without weights, as dropout, follow the model again.
        inside = {id(m) for stage in parts for layer in stage.layers for m in layer.modules()}
        for layer in model.sublayers():
            layer._trainable = layer._trainable or id(layer) not in inside
    for stage in chosen:
        for layer in stage.layers:
            for inner in (layer, *layer.sublayers()):
                inner._trainable = learns
        for parameter in stage.parameters.values():
            parameter.requires_grad_(learns)
        for path in stage.paths:
            for module in model.get_submodule(path).modules():
                if module._buffers and not list(module.parameters()):
                    vars(module)["_is_frozen"] = not learns  # for statistics without parameters
    holders = [m for m in model.modules() if isinstance(m, WeightHolder)]
    for holder in reversed(holders):
        for parameter in holder.fixed_parameters():
            parameter.requires_grad_(False)
        flags = [parameter.requires_grad for parameter in holder.parameters()]
        if flags:
            holder._trainable = any(flags)
    model.train(model.training)


# In files


def frozen_parts(model: nn.Module) -> dict[str, list[str]]:
    """What is frozen, by name: parameters, layers, and parts that hold statistics alone."""
    modules = [*model.named_modules()]
    return {
        "parameters": [name for name, p in model.named_parameters() if not p.requires_grad],
        "layers": [n for n, m in modules if isinstance(m, WeightHolder) and not m._trainable],
        "statistics": [n for n, m in modules if vars(m).get("_is_frozen", False)],
    }


def freeze_parts(
    model: nn.Module, parts: dict[str, list[str]], renamed: Callable[[str], str]
) -> None:
    """Freeze what `frozen_parts` listed and nothing else.

    Args:
        model: A model of the same architecture.
        parts: The names.
        renamed: From a name in the list to the model's.

    Raises:
        ValueError: If it is no such list.
    """
    kinds = ("parameters", "layers", "statistics")
    if not isinstance(parts, dict) or not all(isinstance(parts.get(kind), list) for kind in kinds):
        raise ValueError("The file is damaged: its list of what is frozen is none.")
    names = {kind: {renamed(name) for name in listed} for kind, listed in parts.items()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in names["parameters"])
    for name, module in model.named_modules():
        if isinstance(module, WeightHolder) and any(True for _ in module.parameters()):
            module._trainable = name not in names["layers"]
        if name in names["statistics"]:
            vars(module)["_is_frozen"] = True
    model.train(model.training)
