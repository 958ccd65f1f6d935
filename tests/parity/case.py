"""How a configuration is written down: the layer's name, its arguments and its inputs."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Values:
    """A tensor to make: integers below `high`, or truth values.

    Attributes:
        shape: Its shape, batch axis included.
        high: One more than the largest integer; 2 with `flags` gives masks.
        flags: Whether it is a mask. Its first step is always valid.
    """

    shape: tuple[int, ...]
    high: int = 2
    flags: bool = False

    def make(self, generator: torch.Generator) -> torch.Tensor:
        numbers = torch.randint(self.high, self.shape, generator=generator)
        if not self.flags:
            return numbers
        numbers[:, 0] = 1
        return numbers > 0


@dataclass(frozen=True)
class Made:
    """An argument that is itself a layer, made in each library by itself."""

    name: str
    arguments: dict = field(default_factory=dict)

    def make(self, library: Any) -> Any:
        return getattr(library, self.name)(**in_library(self.arguments, library))

    def __str__(self) -> str:
        words = [f"{key}={short(value)}" for key, value in self.arguments.items()]
        return f"{self.name}({','.join(words)})"


@dataclass(frozen=True)
class Case:
    """One configuration of one layer.

    Attributes:
        name: The layer's name, the same in both libraries.
        arguments: Keyword arguments of its constructor.
        inputs: Positional arguments of the call: shapes of normal numbers, `Values`, tensors, or
            lists of them.
        call: Keyword arguments of the call, likewise.
        training: The mode of the compared call.
        positive: Whether the inputs are to be between 0.5 and 1.5.
    """

    name: str
    arguments: dict
    inputs: tuple
    call: dict = field(default_factory=dict)
    training: bool = False
    positive: bool = False

    def __str__(self) -> str:
        words = [f"{key}={short(value)}" for key, value in self.arguments.items()]
        words += [short(shape) for shape in self.inputs]
        words += [f"{key}={short(value)}" for key, value in self.call.items()]
        return "-".join([self.name, *words, *(["training"] if self.training else [])])

    def make_inputs(self) -> tuple[list, dict]:
        """The call's arguments, the same for the same case in every process."""
        generator = torch.Generator().manual_seed(zlib.crc32(str(self).encode()))
        args = [self._tensors(spec, generator) for spec in self.inputs]
        return args, {k: self._tensors(spec, generator) for k, spec in self.call.items()}

    def _tensors(self, spec: Any, generator: torch.Generator) -> Any:
        if isinstance(spec, list):
            return [self._tensors(item, generator) for item in spec]
        if isinstance(spec, Values):
            return spec.make(generator)
        if not isinstance(spec, tuple):
            return spec
        if self.positive:
            return torch.rand(spec, generator=generator) + 0.5
        return torch.randn(spec, generator=generator)


def short(value: Any) -> str:
    """A value as part of a test's name."""
    if isinstance(value, Values):
        return f"{'mask' if value.flags else 'int'}{short(value.shape)}"
    if isinstance(value, torch.Tensor):
        return f"tensor{short(tuple(value.shape))}"
    if isinstance(value, list):
        return "[" + ",".join(map(short, value)) + "]"
    return str(value).replace(" ", "")


def in_library(value: Any, library: Any) -> Any:
    """Arguments with the layers among them made in one library."""
    if isinstance(value, Made):
        return value.make(library)
    if isinstance(value, dict):
        return {key: in_library(item, library) for key, item in value.items()}
    if isinstance(value, list):
        return [in_library(item, library) for item in value]
    return value


def one(name: str, *inputs: Any, call: dict | None = None, **arguments: Any) -> Case:
    """A single case; `training` and `positive` are the case's, all else the layer's."""
    training, positive = arguments.pop("training", False), arguments.pop("positive", False)
    return Case(name, arguments, inputs, call or {}, training, positive)


def never(arguments: dict) -> bool:
    """Refuse nothing."""
    return False


def grid(
    name: str,
    *inputs: Any,
    call: dict | None = None,
    unless: Callable[[dict], bool] = never,
    **choices: list,
) -> list[Case]:
    """Every combination of the choices, given as lists, but those that `unless` refuses."""
    rows = (dict(zip(choices, row, strict=True)) for row in itertools.product(*choices.values()))
    return [one(name, *inputs, call=call, **row) for row in rows if not unless(row)]


def each(name: str, *inputs: Any, base: dict, options: dict[str, list]) -> list[Case]:
    """The base arguments with one option changed at a time."""
    return [
        one(name, *inputs, **{**base, key: value})
        for key, values in options.items()
        for value in values
    ]
