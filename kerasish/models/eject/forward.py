"""A graph's calls as the lines of a `forward` that reads as if somebody had written it."""

from __future__ import annotations

import keyword
from typing import Any

from torch import fx

from kerasish.graph.build import identifier
from kerasish.models.eject.expressions import call_text, value_text

_TAKEN = ("F", "math", "nn", "self", "torch")
# Names that the loop around the network has for itself.
_LOOP = frozenset(
    (
        "add",
        "batches",
        "clip",
        "column",
        "data",
        "decay",
        "epoch",
        "evaluate",
        "history",
        "logs",
        "measure",
        "model",
        "name",
        "number",
        "optimizer",
        "order_seed",
        "rows",
        "scaler",
        "shuffled",
        "step",
        "told",
        "totals",
        "train",
        "validation",
        "value",
        "values",
        "waiting",
    )
)
_NESTED = 60  # characters of a call up to which it may stand inside the next one
_COMMENTS = {
    "softmax": "scores: the loss takes the softmax of them",
    "sigmoid": "scores: the loss takes the sigmoid of them",
}


class Forward:
    """The lines of the method.

    A value takes over the name of the value it is made of where nothing else needs that any more,
    and a short call that is used by the next one alone is written inside it.

    Args:
        graph: What to compute.
        access: How the method finds each module, parameter and buffer, by the graph's path.
        labels: What a value made by each of them may be called.
        scores: For each output the activation that was left to the loss, or `None`.
    """

    def __init__(
        self,
        graph: fx.Graph,
        access: dict[str, str],
        labels: dict[str, str],
        scores: list[str | None],
    ) -> None:
        self.access, self.labels, self.scores = access, labels, scores
        self.nodes = [n for n in graph.nodes if n.op not in ("placeholder", "get_attr")]
        placeholders = [n for n in graph.nodes if n.op == "placeholder"]
        self.inputs = _input_names(placeholders)
        self.text: dict[fx.Node, str] = dict(zip(placeholders, self.inputs, strict=True))
        self.names = dict(self.text)  # of values that exist under a name of their own
        self.makeshift: set[str] = set()  # names of functions, for want of better ones
        self.nested: dict[fx.Node, list[fx.Node]] = {}
        self.last_use = self._last_uses()

    def _last_uses(self) -> dict[fx.Node, fx.Node]:
        return {source: node for node in self.nodes for source in node.all_input_nodes}

    def lines(self) -> list[str]:
        """The method, unindented."""
        body: list[str] = []
        for place, node in enumerate(self.nodes):
            if node.op == "output":
                body.append(self._returned(node))
                continue
            source = self._source(node)
            follower = self.nodes[place + 1]
            if self._fits_inside(node, source, follower):
                self.text[node] = source
                self._hand_on(node, follower)
                continue
            name = self._name_for(node)
            self.text[node] = self.names[node] = name
            body.append(f"{name} = {source}")
        return [f"def forward(self, {', '.join(self.inputs)}):", *(f"    {s}" for s in body)]

    def _source(self, node: fx.Node) -> str:
        if node.op != "call_module":
            return call_text(node, self._read)
        given = [value_text(arg, self._read) for arg in node.args]
        while given and given[-1] == "None":  # a recurrent module's state, if there is none
            given.pop()
        given += [f"{key}={value_text(arg, self._read)}" for key, arg in node.kwargs.items()]
        return f"{self.access[str(node.target)]}({', '.join(given)})"

    def _read(self, node: fx.Node) -> str:
        return self.access[str(node.target)] if node.op == "get_attr" else self.text[node]

    def _fits_inside(self, node: fx.Node, source: str, follower: fx.Node) -> bool:
        """Whether a call is better written inside the one that follows."""
        if len(node.users) != 1 or follower not in node.users:
            return False
        if follower.op == "output":
            return len(self.scores) == 1
        if len(source) > _NESTED:
            return False
        first = follower.args[0] if follower.args else None
        if first is not node or follower.all_input_nodes.count(node) != 1:
            return False
        return follower.op != "call_module"

    def _hand_on(self, node: fx.Node, follower: fx.Node) -> None:
        """What a nested call was the last to use is now used by the call around it."""
        self.nested[node] = self._sources(node)
        for source in self.nested[node]:
            if self.last_use.get(source) is node:
                self.last_use[source] = follower

    def _sources(self, node: fx.Node) -> list[fx.Node]:
        """The named values that a call's source speaks of."""
        return [s for i in node.all_input_nodes for s in self.nested.get(i, [i])]

    def _name_for(self, node: fx.Node) -> str:
        freed = [
            self.names.pop(source)
            for source in list(self.names)  # oldest first
            if source in self._sources(node) and self.last_use.get(source) is node
        ]
        if freed and node.target not in ("size", getattr):  # a size is no step of the data
            # A name that says what is computed goes on sooner than that of a step on the way.
            return min(freed, key=lambda name: name in self.makeshift)
        module = self._module_in(node)
        name = _free_name(_plain(module or node.name), set(self.names.values()))
        if module is None:
            self.makeshift.add(name)
        return name

    def _module_in(self, node: fx.Node) -> str | None:
        """The module that a call begins with, such as `conv` of `torch.relu(self.conv(x))`."""
        while node.op != "call_module":
            inside = [source for source in node.all_input_nodes if source in self.nested]
            if not inside:
                return None
            node = inside[0]
        return self.labels[str(node.target)]

    def _returned(self, node: fx.Node) -> str:
        value: Any = node.args[0]
        if isinstance(value, fx.Node):
            comment = f"  # {_COMMENTS[self.scores[0]]}" if self.scores[0] else ""
            return f"return {self._read(value)}{comment}"
        scores = [score for score in self.scores if score]
        comment = "  # scores where the loss takes the softmax or sigmoid" if scores else ""
        return f"return {', '.join(self._read(item) for item in value)}{comment}"


def _input_names(placeholders: list[fx.Node]) -> list[str]:
    """`x` for the only input; else the names that the user gave, or `x1` and `x2`."""
    if len(placeholders) == 1:
        return ["x"]
    return [
        f"x{number}" if node.name.startswith("input_layer") else _column(node.name)
        for number, node in enumerate(placeholders, 1)
    ]


def _column(name: str) -> str:
    """The name of an input, which the loop has too, beside names of its own."""
    return f"x_{name}" if name in _LOOP else _plain(name)


def _free_name(name: str, taken: set[str]) -> str:
    """The name, numbered if it is taken."""
    numbered, count = name, 1
    while numbered in taken:
        count += 1
        numbered = f"{name}_{count}"
    return numbered


def _plain(name: str) -> str:
    name = identifier(name)
    return f"{name}_" if name in _TAKEN or keyword.iskeyword(name) else name
