"""The network of a model as a class of plain PyTorch: its modules, its forward, its weights."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from kerasish import activations
from kerasish.data.arrays import leaves
from kerasish.graph.build import identifier, to_fx
from kerasish.graph.expand import expand, has_hooks
from kerasish.layers.base import Layer
from kerasish.layers.normalization.biased import BiasedNorm
from kerasish.models.eject.expressions import attribute
from kerasish.models.eject.forward import Forward
from kerasish.models.eject.modules import biased_name, constructor
from kerasish.models.eject.refusal import refusal
from kerasish.modes import evaluating, kept_modes


@dataclass
class Network:
    """The class, as source and as what it needs.

    Attributes:
        source: The text of the class, and of the classes it is made of.
        weights: What its `state_dict` is to hold.
        names: The name in it of each parameter of the model, by `id`.
        inputs: The arguments of its `forward`.
        scores: For each output the activation left to the loss, or `None`.
    """

    source: str
    weights: dict[str, Tensor]
    names: dict[int, str]
    inputs: list[str]
    scores: list[str | None]


def write_network(model: Any, takes_scores: list[bool]) -> Network:
    """Write the network of a model with a graph.

    Args:
        model: The model; its weights exist.
        takes_scores: For each output, whether its loss starts from what is before a softmax or
            sigmoid, as torch's own losses do.

    Raises:
        ValueError: If part of it is not torch's.
    """
    if has_hooks(model.modules()):
        raise refusal(f'The hooks on modules of "{model.name}"', "Remove them first.")
    writer = _Writer(model, takes_scores)
    return Network(
        writer.source(), writer.weights(), writer.names, writer.forward.inputs, writer.scores
    )


@dataclass
class _Member:
    """A module, parameter or buffer that the forward uses.

    Attributes:
        path: Where it is in the model.
        name: Its name in the class.
        label: What a value made by it may be called.
        value: Itself.
        ties: The names of its own parameters that are another member's too, with that one's.
    """

    path: str
    name: str
    label: str
    value: Any
    ties: dict[str, str] = field(default_factory=dict)


class _Writer:
    def __init__(self, model: Any, takes_scores: list[bool]) -> None:
        self.model = model
        self.constants: dict[str, Tensor] = {}
        self.graph = self._trace()
        self.scores = self._strip_activations(takes_scores)
        self.members = self._members()
        self.names = self._tensor_names()
        access = {member.path: f"self.{member.name}" for member in self.members}
        labels = {member.path: member.label for member in self.members}
        self.forward = Forward(self.graph, access, labels, self.scores)
        self.frozen = self._frozen_modes()

    def _trace(self) -> fx.Graph:
        model = self.model
        paths: dict[int, str] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            paths.setdefault(id(module), path)
        tensors = {id(t): path for path, t in (*model.named_parameters(), *model.named_buffers())}

        def constant(tensor: Tensor) -> str:
            if id(tensor) not in tensors:
                tensors[id(tensor)] = f"constant_{len(self.constants)}"
                self.constants[tensors[id(tensor)]] = tensor
            return tensors[id(tensor)]

        try:
            with evaluating(model):
                outputs = expand(model.inputs, model.output, lambda m: isinstance(m, Layer))
                return to_fx(model.inputs, outputs, lambda m: paths[id(m)], constant)
        except Exception as error:
            raise refusal(
                f'A layer of "{model.name}"',
                f"Its code cannot be followed ({error}).",
            ) from error

    def _strip_activations(self, takes_scores: list[bool]) -> list[str | None]:
        """Let the forward end before a softmax or sigmoid that the loss applies by itself."""
        output = next(node for node in self.graph.nodes if node.op == "output")
        found: list[Any] = list(leaves(output.args[0]))
        scores: list[str | None] = []
        replaced = []
        for node, takes in zip(found, takes_scores, strict=True):
            activation = _activation(node) if takes else None
            scores.append(activation)
            replaced.append(node.args[0] if activation else node)
        output.args = (replaced[0] if len(replaced) == 1 else tuple(replaced),)
        for node in reversed(self.graph.nodes):
            if not node.users and node.op not in ("placeholder", "output"):
                self.graph.erase_node(node)
        return scores

    def _members(self) -> list[_Member]:
        """What the forward uses, in the order of the model's own modules."""
        calls = [n for n in self.graph.nodes if n.op in ("call_module", "get_attr")]
        used = list(dict.fromkeys(str(n.target) for n in calls))
        modules = dict(self.model.named_modules(remove_duplicate=False))
        tensors = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        tensors |= self.constants
        order = {path: place for place, path in enumerate(modules)}
        inner = {p: order.get(p, order.get(p.rpartition(".")[0], len(order))) for p in used}
        names = _short_names(sorted(used, key=lambda path: inner[path]))
        return [
            _Member(path, name, _label(path, name), modules.get(path, tensors.get(path)))
            for path, name in names.items()
        ]

    def _tensor_names(self) -> dict[int, str]:
        names: dict[int, str] = {}
        for member in self.members:
            if isinstance(member.value, Tensor):
                names.setdefault(id(member.value), member.name)
                continue
            for name, parameter in member.value.named_parameters():
                if id(parameter) in names:
                    member.ties[name] = names[id(parameter)]
                names.setdefault(id(parameter), f"{member.name}.{name}")
        return names

    def _frozen_modes(self) -> list[str]:
        """The modules that stay in evaluation mode while the model trains."""
        with kept_modes(self.model):
            self.model.train()
            return [
                member.name
                for member in self.members
                if _has_modes(member.value) and not member.value.training
            ]

    def weights(self) -> dict[str, Tensor]:
        """The state of the class."""
        state: dict[str, Tensor] = {}
        for member in self.members:
            if isinstance(member.value, Tensor):
                state[member.name] = member.value.detach()
                continue
            for key, tensor in member.value.state_dict().items():
                state[f"{member.name}.{key}"] = tensor
        return state

    def source(self) -> str:
        """The class and the classes it needs."""
        lines = [
            "class Network(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
        ]
        for member in self.members:
            lines += [f"        {line}" for line in _definition(member, self.frozen)]
        lines += ["", *(f"    {line}" for line in self.forward.lines())]
        if self.frozen:
            lines += _train_method(self.frozen)
        moving = [m.value for m in self.members if m.name not in self.frozen]
        kinds = dict.fromkeys(biased_name(m) for m in moving if isinstance(m, BiasedNorm))
        return "\n".join([*_biased_norms(list(kinds)), *lines]) + "\n"


def _activation(node: Any) -> str | None:
    if node.target is activations.sigmoid:
        return "sigmoid"
    return "softmax" if node.target is activations.softmax else None


def _has_modes(module: Any) -> bool:
    recurrent = isinstance(module, nn.RNNBase) and module.dropout > 0
    return recurrent or isinstance(module, (_NormBase, _DropoutNd))


def _short_names(paths: list[str]) -> dict[str, str]:
    """A name for each path: that of the layer, where it is the layer's only part."""
    names: dict[str, str] = {}
    for path in paths:
        owner = path.rpartition(".")[0]
        alone = owner and sum(p.startswith(f"{owner}.") for p in paths) == 1
        name = identifier((owner if alone else path).replace(".", "_"))
        while name in names.values() or hasattr(nn.Module, name) or keyword.iskeyword(name):
            name += "_"
        names[path] = name
    return names


def _label(path: str, name: str) -> str:
    """The last part of a name that was made of a path: `query` of `attention_query`."""
    parts = [identifier(part) for part in path.split(".")]
    return next((part for part in reversed(parts) if name.endswith(part)), name)


def _definition(member: _Member, frozen_modes: list[str]) -> list[str]:
    """The lines that make a member, with what is frozen or shared in it."""
    name, value = member.name, member.value
    if isinstance(value, nn.Parameter) or getattr(value, "_is_param", False):
        frozen = "" if value.requires_grad else ", requires_grad=False"
        return [f"self.{name} = nn.Parameter(torch.empty({_shape(value)}){frozen})"]
    if isinstance(value, Tensor):
        dtype = "" if value.is_floating_point() else f", dtype={value.dtype}"
        return [f'self.register_buffer("{name}", torch.empty({_shape(value)}{dtype}))']
    lines = [f"self.{name} = {constructor(value, is_frozen=name in frozen_modes)}"]
    lines += [
        attribute(f"self.{name}.{own}") + attribute(f" = self.{other}")
        for own, other in member.ties.items()
    ]
    learns = [parameter.requires_grad for parameter in value.parameters()]
    if learns and not any(learns):
        return [*lines, f"self.{name}.requires_grad_(False)"]
    frozen = [key for key, parameter in value.named_parameters() if not parameter.requires_grad]
    lines += [attribute(f"self.{name}.{key}.requires_grad_(False)") for key in frozen]
    if isinstance(value, nn.RNNBase):
        # One bias is a buffer in the model: a constant here too, since it must not learn.
        constants = [key for key in value._buffers if key.startswith("bias_hh")]
        lines += [f"self.{name}.{key}.requires_grad_(False)" for key in constants]
        lines[-1] += "  # stays 0" if constants else ""
    return lines


def _shape(tensor: Tensor) -> str:
    return ", ".join(map(str, tensor.shape)) or "()"


def _train_method(frozen: list[str]) -> list[str]:
    modules = "".join(f"self.{name}, " for name in frozen)
    return [
        "",
        "    def train(self, mode=True):",
        "        super().train(mode)",
        f"        for frozen in ({modules.rstrip() if len(frozen) == 1 else modules[:-2]}):",
        "            frozen.eval()  # neither drops values nor follows the batches' statistics",
        "        return self",
    ]


_BIASED_FORWARD = """\
    def forward(self, x):
        if not self.training:
            return super().forward(x)
        n = x.numel() // self.num_features
        self.running_var.data.mul_(n / (n - 1))
        y = super().forward(x)
        self.running_var.data.div_(n / (n - 1))
        return y"""


def _biased_norms(kinds: list[str]) -> list[str]:
    """Batch normalisations that store what Keras stores."""
    if not kinds:
        return []
    if len(kinds) == 1:
        name = kinds[0]
        return [
            f"class {name}(nn.{name}):",
            '    """Stores the biased variance, as Keras does, not n / (n - 1) times that."""',
            "",
            *_BIASED_FORWARD.splitlines(),
            "",
            "",
        ]
    lines = [
        "class BiasedVariance:",
        '    """Stores the biased variance, as Keras does, not n / (n - 1) times that."""',
        "",
        *_BIASED_FORWARD.splitlines(),
        "",
        "",
    ]
    for name in kinds:
        lines += [f"class {name}(BiasedVariance, nn.{name}):", "    pass", "", ""]
    return lines
