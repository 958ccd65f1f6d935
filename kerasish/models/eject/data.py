"""The rows of a run: prepared as `fit` prepares them, written beside the script, loaded by it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_HELD = "The rows to evaluate on after each epoch."


@dataclass
class Data:
    """What the script trains on.

    Attributes:
        input_names: The script's names of the inputs.
        target_names: The script's names of the targets.
        targets_by_output: The name of each output's target.
        shapes: Shape and type of a row of each column, for a script without data.
        tensors: The columns, `None` for a script whose user fills them in.
        validation: The columns to evaluate on; `None` for none.
    """

    input_names: list[str]
    target_names: list[str]
    targets_by_output: list[str]
    shapes: dict[str, str]
    tensors: dict[str, Tensor] | None
    validation: dict[str, Tensor] | None

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order in which they are loaded."""
        return [*self.input_names, *self.target_names]

    def stored(self) -> dict[str, Tensor]:
        """What the data file holds."""
        held = {f"val_{name}": tensor for name, tensor in (self.validation or {}).items()}
        return {**(self.tensors or {}), **held}

    def loader(self, stem: str) -> list[str]:
        """The functions that load the data."""
        if self.tensors is None:
            return self._unfilled()
        lines = [
            "def load_data():",
            '    """The rows to train on, as tensors. Put your own here."""',
            f'    data = torch.load(HERE / "{stem}_data.pt", weights_only=True)',
            f"    return {self._returned('')}",
        ]
        if self.validation:
            lines += ["", "", "def load_validation_data():", f'    """{_HELD}"""']
            lines += [f'    data = torch.load(HERE / "{stem}_data.pt", weights_only=True)']
            lines += [f"    return {self._returned('val_')}"]
        return lines

    def _returned(self, prefix: str) -> str:
        return ", ".join(f'data["{prefix}{name}"]' + self._widening(name) for name in self.columns)

    def _widening(self, name: str) -> str:
        assert self.tensors is not None
        is_bytes = self.tensors[name].dtype == torch.uint8 and name in self.input_names
        return ".float()" if is_bytes else ""

    def _unfilled(self) -> list[str]:
        wanted = [f"{name}: {shape}" for name, shape in self.shapes.items()]
        return [
            "def load_data():",
            f'    """Returns {", ".join(self.columns)}: the rows to train on.',
            "",
            *(f"    {line}" for line in wanted),
            '    """',
            '    raise NotImplementedError("Load your data in load_data(), and return it there.")',
        ]


def described(shape: Any, dtype: torch.dtype) -> str:
    """Shape and type of a column as a docstring says it."""
    sizes = ["any" if size is None else str(size) for size in shape[1:]]
    return f"{str(dtype).removeprefix('torch.')}, ({', '.join(['rows', *sizes])})"


def distinct(names: list[str], taken: list[str]) -> list[str]:
    """The names, numbered where they repeat or are taken.

    Example:
        >>> distinct(["y", "y"], ["x"])
        ['y', 'y_2']
    """
    found: list[str] = []
    for name in names:
        numbered, count = name, 1
        while numbered in found or numbered in taken:
            count += 1
            numbered = f"{name}_{count}"
        found.append(numbered)
    return found
