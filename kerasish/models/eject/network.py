"""The network of a model as a class of plain PyTorch: its modules, its forward, its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from kerasish import activations
from kerasish.data.arrays import leaves
from kerasish.graph.build import to_fx
from kerasish.graph.expand import expand, has_hooks
from kerasish.layers.normalization.biased import BiasedNorm
from kerasish.models.eject.forward import Forward
from kerasish.models.eject.members import Frozen, Member, biased_norms, definition, short_names
from kerasish.models.eject.modes import merged
from kerasish.models.eject.modules import biased_name, is_torchs
from kerasish.models.eject.refusal import refusal
from kerasish.models.eject.wrapping import wrapped
from kerasish.modes import kept_modes


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


def write_network(model: Any, undone: list[str | None]) -> Network:
    """Write the network of a model with a graph.

    Args:
        model: The model; its weights exist.
        undone: For each output the activation that its loss starts before, as torch's own losses
            do, or `None`.

    Raises:
        ValueError: If part of it is not torch's.
    """
    if has_hooks(model.modules()):
        raise refusal(f'The hooks on modules of "{model.name}"', "Remove them first.")
    writer = _Writer(model, undone)
    return Network(
        writer.source(), writer.weights(), writer.names, writer.forward.inputs, writer.scores
    )


class _Writer:
    def __init__(self, model: Any, undone: list[str | None]) -> None:
        self.model = model
        self.constants: dict[str, Tensor] = {}
        self.graph = self._trace()
        self.scores = self._strip_activations(undone)
        self.members = self._members()
        self.names = self._tensor_names()
        access = {member.path: f"self.{member.name}" for member in self.members}
        labels = {member.path: member.label for member in self.members}
        self.forward = Forward(self.graph, access, labels, self.scores)
        self.frozen = Frozen(model, self.members)

    def _trace(self) -> fx.Graph:
        """What the model calls, where training and evaluation differ by settings alone."""
        self.constants.clear()
        evaluation, training = self._calls(False), self._calls(True)
        return merged(evaluation, training) or evaluation

    def _calls(self, training: bool) -> fx.Graph:
        model = self.model
        paths: dict[int, str] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            paths.setdefault(id(module), path)
        tensors = {id(t): path for path, t in (*model.named_parameters(), *model.named_buffers())}

        def constant(tensor: Tensor) -> str:
            if id(tensor) not in tensors:
                if tensor.requires_grad:
                    raise TypeError("a tensor that is made of parameters would no longer learn")
                equal = (k for k, known in self.constants.items() if _equal(known, tensor))
                tensors[id(tensor)] = next(equal, f"constant_{len(self.constants)}")
                self.constants[tensors[id(tensor)]] = tensor
            return tensors[id(tensor)]

        try:
            with kept_modes(model):
                model.train(training)
                # A chain cut out of another at each call is not in the model, but its parts are.
                outputs = expand(
                    model.inputs,
                    model._output_structure,
                    lambda m: id(m) not in paths or not is_torchs(m),
                    training,
                )
                return to_fx(model.inputs, outputs, lambda m: paths[id(m)], constant)
        except Exception as error:
            raise refusal(
                f'A layer of "{model.name}"',
                f"Its code cannot be followed ({error}).",
            ) from error

    def _strip_activations(self, undone: list[str | None]) -> list[str | None]:
        """Let the forward end before a softmax or sigmoid that the loss applies by itself."""
        output = next(node for node in self.graph.nodes if node.op == "output")
        found: list[Any] = list(leaves(output.args[0]))
        scores: list[str | None] = []
        replaced = []
        for node, wanted in zip(found, undone, strict=True):
            activation = _activation(node) if wanted else None
            activation = activation if activation == wanted else None
            scores.append(activation)
            replaced.append(node.args[0] if activation else node)
        output.args = (replaced[0] if len(replaced) == 1 else tuple(replaced),)
        for node in reversed(self.graph.nodes):
            if not node.users and node.op not in ("placeholder", "output"):
                self.graph.erase_node(node)
        return scores

    def _members(self) -> list[Member]:
        """What the forward uses, in the order of the model's own modules."""
        calls = [n for n in self.graph.nodes if n.op in ("call_module", "get_attr")]
        used = list(dict.fromkeys(str(n.target) for n in calls))
        modules = dict(self.model.named_modules(remove_duplicate=False))
        tensors = dict((*self.model.named_parameters(), *self.model.named_buffers()))
        tensors |= self.constants
        order = {path: place for place, path in enumerate(modules)}
        inner = {p: order.get(p, order.get(p.rpartition(".")[0], len(order))) for p in used}
        names = short_names(sorted(used, key=lambda path: inner[path]))
        return [
            Member(path, name, modules.get(path, tensors.get(path))) for path, name in names.items()
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

    def _told(self) -> str:
        """From which shapes to which."""
        named = zip(self.forward.inputs, self.model.inputs, strict=True)
        given = ", ".join(f"{name} {_rows(tensor.shape)}" for name, tensor in named)
        made = ", ".join(_rows(tensor.shape) for tensor in self.model.outputs)
        return f"From {given} to {made}."

    def source(self) -> str:
        """The class and the classes it needs."""
        lines = ["class Network(nn.Module):", f'    """{self._told()}"""', ""]
        lines += ["    def __init__(self):", "        super().__init__()"]
        for member in self.members:
            lines += [f"        {line}" for line in definition(member, self.frozen)]
        lines += [f"        {line}" for line in self.frozen.parameter_lines()]
        lines += ["", *(f"    {line}" for line in self.forward.lines())]
        lines = wrapped("\n".join(lines)).split("\n")
        lines += self.frozen.mode_lines()
        moving = [m.value for m in self.members if m.name not in self.frozen.modes]
        kinds = dict.fromkeys(biased_name(m) for m in moving if isinstance(m, BiasedNorm))
        return "\n".join([*biased_norms(list(kinds)), *lines]) + "\n"


def _rows(shape: tuple[int | None, ...]) -> str:
    """A batch's shape in words, such as `(rows, 28, 28)`."""
    sizes = ["any" if size is None else str(size) for size in shape[1:]]
    return f"({', '.join(['rows', *sizes])})"


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


def _activation(node: Any) -> str | None:
    if node.target is activations.sigmoid:
        return "sigmoid"
    return "softmax" if node.target is activations.softmax else None
