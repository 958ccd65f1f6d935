"""What the network's class is made of: names, definitions, and what is frozen."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from kerasish.graph.build import identifier
from kerasish.models.eject.expressions import attribute
from kerasish.models.eject.modules import constructor
from kerasish.modes import kept_modes

_FEW = 4  # frozen modules that are named one by one


@dataclass
class Member:
    """A module, parameter or buffer that the forward uses.

    Attributes:
        path: Where it is in the model.
        name: Its name in the class.
        value: Itself.
        ties: The names of its own parameters that are another member's too, with that one's.
    """

    path: str
    name: str
    value: Any
    ties: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What a value made by it may be called: `query` of `attention_query`."""
        parts = [identifier(part) for part in self.path.split(".")]
        return next((part for part in reversed(parts) if self.name.endswith(part)), self.name)

    @property
    def family(self) -> str:
        """What the names of all members of its outermost layer begin with."""
        return identifier(self.path.partition(".")[0]) + "_"

    @property
    def parameters(self) -> list[Tensor]:
        """Its parameters."""
        if isinstance(self.value, nn.Module):
            return list(self.value.parameters())
        return [self.value] if is_parameter(self.value) else []


def is_parameter(value: Any) -> bool:
    """Whether a value is a parameter, torch's or a `Variable`."""
    return isinstance(value, nn.Parameter)


def short_names(paths: list[str]) -> dict[str, str]:
    """A name for each path: that of the layer, where it is the layer's only part."""
    names: dict[str, str] = {}
    for path in paths:
        owner = path.rpartition(".")[0]
        alone = owner and sum(p.startswith(f"{owner}.") for p in paths) == 1
        # A layer around a torch module keeps it as `module`, which tells nothing.
        parts = [part for part in (owner if alone else path).split(".") if part != "module"]
        parts = [part for part, before in zip(parts, ["", *parts], strict=False) if part != before]
        name = identifier("_".join(parts or ["module"]))
        while name in names.values() or hasattr(nn.Module(), name) or keyword.iskeyword(name):
            name += "_"
        names[path] = name
    return names


class Frozen:
    """What does not learn: parameters, and modules that stay in evaluation mode.

    Attributes:
        modes: The modules that stay in evaluation mode, as the class reaches them.
        families: What the names of many frozen members begin with.
    """

    def __init__(self, model: nn.Module, members: list[Member]) -> None:
        modes = _modes(model, members)
        self.modes = [name for name, is_training in modes.items() if not is_training]
        self._drawing = tuple(name for name, is_training in modes.items() if is_training)
        by_family: dict[str, list[Member]] = {}
        for member in members:
            if member.parameters and member.name.startswith(member.family):
                by_family.setdefault(member.family, []).append(member)
        self.families = tuple(
            family
            for family, kin in by_family.items()
            if len(kin) > _FEW and not any(p.requires_grad for m in kin for p in m.parameters)
        )

    def covers(self, member: Member) -> bool:
        """Whether a member is frozen together with its family."""
        return bool(self.families) and member.name.startswith(self.families)

    def parameter_lines(self) -> list[str]:
        """The lines of `__init__` that freeze whole families."""
        if not self.families:
            return []
        return [
            "for name, parameter in self.named_parameters():",
            f"    if name.startswith({_prefixes(self.families)}):",
            "        parameter.requires_grad_(False)",
        ]

    def mode_lines(self) -> list[str]:
        """The method that keeps modules in evaluation mode."""
        if not self.modes:
            return []
        families = tuple(
            family
            for family in self.families
            if any(mode.startswith(family) for mode in self.modes)
            and not any(name.startswith(family) for name in self._drawing)
        )
        single = [mode for mode in self.modes if not (families and mode.startswith(families))]
        lines = ["", "    def train(self, mode=True):", "        super().train(mode)"]
        lines.append(
            "        # What is frozen neither drops values nor follows batches' statistics."
        )
        if families:
            lines += [
                "        for name, module in self.named_children():",
                f"            if name.startswith({_prefixes(families)}):",
                "                module.eval()",
            ]
        lines += [f"        self.{name}.eval()" for name in single]
        return [*lines, "        return self"]


def _prefixes(families: tuple[str, ...]) -> str:
    texts = ", ".join(f'"{family}"' for family in families)
    return texts if len(families) == 1 else f"({texts})"


def _modes(model: nn.Module, members: list[Member]) -> dict[str, bool]:
    """Whether each module that has modes is in training mode while the model trains."""
    with kept_modes(model):
        model.train()
        return {
            attribute(f"{member.name}.{path}" if path else member.name): module.training
            for member in members
            if isinstance(member.value, nn.Module)
            for path, module in member.value.named_modules()
            if _has_modes(module)
        }


def _has_modes(module: nn.Module) -> bool:
    is_recurrent = isinstance(module, nn.RNNBase) and module.dropout > 0
    return is_recurrent or isinstance(module, (_NormBase, _DropoutNd))


def definition(member: Member, frozen: Frozen) -> list[str]:
    """The lines that make a member, with what is frozen or shared in it."""
    name, value = member.name, member.value
    is_covered = frozen.covers(member)
    if is_parameter(value):
        rest = "" if value.requires_grad or is_covered else ", requires_grad=False"
        return [f"self.{name} = nn.Parameter(torch.empty({_shape(value)}){rest})"]
    if isinstance(value, Tensor):
        dtype = "" if value.is_floating_point() else f", dtype={value.dtype}"
        return [f'self.register_buffer("{name}", torch.empty({_shape(value)}{dtype}))']
    lines = [f"self.{name} = {constructor(value, is_frozen=name in frozen.modes)}"]
    lines += [
        attribute(f"self.{name}.{own}") + attribute(f" = self.{other}")
        for own, other in member.ties.items()
    ]
    # A normalisation without a scale has an offset all the same, which no argument says.
    lines += [f"self.{name}.{key} = None" for key in missing(value)]
    if is_covered:
        return lines
    if member.parameters and not any(p.requires_grad for p in member.parameters):
        return [*lines, f"self.{name}.requires_grad_(False)"]
    fixed = [key for key, parameter in value.named_parameters() if not parameter.requires_grad]
    lines += [attribute(f"self.{name}.{key}.requires_grad_(False)") for key in fixed]
    if isinstance(value, nn.RNNBase):
        # One bias is a buffer in the model: a constant here too, since it must not learn.
        constants = [key for key in value._buffers if key.startswith("bias_hh")]
        lines += [f"self.{name}.{key}.requires_grad_(False)" for key in constants]
        lines[-1] += "  # stays 0" if constants else ""
    return lines


def missing(module: nn.Module) -> list[str]:
    """The parameters that a module lacks, and one made by its constructor would have."""
    if not isinstance(module, (_NormBase, nn.LayerNorm, nn.GroupNorm)):
        return []
    lacks = module.weight is None and module.bias is not None
    return ["weight"] if lacks else []


def _shape(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape)) or "()"


_BIASED = """\
    \"\"\"Stores the biased variance, as Keras does, not n / (n - 1) times that.\"\"\"

    def forward(self, x):
        if not self.training:
            return super().forward(x)
        n = x.numel() // self.num_features
        self.running_var.data.mul_(n / (n - 1))
        y = super().forward(x)
        self.running_var.data.div_(n / (n - 1))
        return y


"""


def biased_norms(kinds: list[str]) -> list[str]:
    """The lines of batch normalisations that store what Keras stores, of torch's kinds."""
    if not kinds:
        return []
    if len(kinds) == 1:
        return [f"class {kinds[0]}(nn.{kinds[0]}):", *_BIASED.splitlines()]
    lines = ["class BiasedVariance:", *_BIASED.splitlines()]
    for kind in kinds:
        lines += [f"class {kind}(BiasedVariance, nn.{kind}):", "    pass", "", ""]
    return lines
