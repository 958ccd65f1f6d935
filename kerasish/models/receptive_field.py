"""Receptive fields: what each value depends on, followed through torch's operators.

Watching operators rather than layers, this holds for any module, with skip connections and slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kerasish.models.field_rules import Call, rule_of
from kerasish.models.spans import Field, Source, started


class FieldTracker(TorchDispatchMode):
    """Follows fields through every operator that runs inside it.

    Attributes:
        channels: The input axes whose values were combined all at once, by their own weights:
            features of a position rather than positions.
        positions: The input axes that windows slid over, or that held indices of embeddings.
        unknown: The names of operators that were not understood.
    """

    def __init__(self) -> None:
        super().__init__()
        # Tensors are kept alive: their ids must stay theirs. They hold no data.
        self._fields: dict[int, tuple[Tensor, Field | None]] = {}
        self.channels: set[Source] = set()
        self.positions: set[Source] = set()
        self.unknown: set[str] = set()

    def start(self, number: int, tensor: Tensor) -> None:
        """Take a tensor as an input: each value sees its own position."""
        self._fields[id(tensor)] = (tensor, started(number, tensor.shape))

    def field_of(self, value: Any) -> Field | None:
        """What a tensor depends on; nothing for a constant; `None` if that is not known."""
        return self._fields.get(id(value), (None, {}))[1]

    def carry_over(self, known: Iterable[Any], copies: Iterable[Any]) -> None:
        """Take tensors as others, which are copies of them."""
        for value, copied in zip(known, copies, strict=True):
            if isinstance(copied, Tensor) and value is not copied:
                self._fields[id(copied)] = (copied, self.field_of(value))

    def knows(self, value: Any) -> bool:
        """Whether the tensor came through here."""
        return id(value) in self._fields

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        sources = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if not any(self.knows(t) for t in sources):
            return result
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        fields = self._through(func, args, kwargs or {}, sources, outputs)
        for tensor, field in zip(outputs, fields, strict=True):
            self._fields[id(tensor)] = (tensor, field)
        return result

    def _through(
        self, func: Any, args: tuple, kwargs: dict, sources: list[Tensor], outputs: list[Tensor]
    ) -> Sequence[Field | None]:
        fields = [self.field_of(tensor) for tensor in sources]
        if any(field is None for field in fields):
            return [None] * len(outputs)
        if not any(fields):
            return [{}] * len(outputs)
        call = Call(self, func, args, kwargs, sources, outputs)
        rule = rule_of(call, func)
        if rule is None:
            self.unknown.add(call.name)
            return [None] * len(outputs)
        made = rule(call)
        return made if isinstance(made, list) else [made] * len(outputs)
