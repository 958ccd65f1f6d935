"""Layers kept in lists and dicts, where torch does not look for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

CONTAINERS = (list, tuple, dict)
_FEW = 16  # what begins with so many items that are no modules is data, and not looked through


class LayerList(nn.ModuleList):
    """Layers in a list, with those words of Python's lists that torch's lacks."""

    def __add__(self, other: Iterable[nn.Module]) -> LayerList:
        return LayerList([*self, *other])

    def __radd__(self, other: list) -> list:
        return [*other, *self]

    def index(self, *args: Any) -> int:
        """The place of a layer."""
        return list(self).index(*args)

    def count(self, layer: nn.Module) -> int:
        """How often a layer is there."""
        return list(self).count(layer)

    def copy(self) -> list[nn.Module]:
        """A plain list of the layers."""
        return list(self)

    def remove(self, layer: nn.Module) -> None:
        """Let go of a layer."""
        del self[self.index(layer)]

    def reverse(self) -> None:
        """Turn the order round."""
        self._modules = {str(place): layer for place, layer in enumerate(list(self)[::-1])}

    def pop(self, key: Any = -1) -> Any:
        """Take a layer out, by default the last."""
        layer = self[key]
        del self[key]
        return layer

    def clear(self) -> None:
        """Let go of all layers."""
        self._modules.clear()


class LayerDict(nn.ModuleDict):
    """Layers in a dict, with those words of Python's dicts that torch's lacks."""

    def get(self, key: str, default: Any = None) -> Any:
        """The layer of this name, or something else where there is none."""
        return self._modules.get(key, default)

    def setdefault(self, key: str, default: nn.Module) -> nn.Module:
        """The layer of this name, put there if there is none."""
        if key not in self:
            self[key] = default
        return self[key]

    def copy(self) -> dict[str, nn.Module]:
        """A plain dict of the layers."""
        return dict(self.items())


def is_listed(value: Any) -> bool:
    """Whether this is a list or tuple of nothing but modules."""
    kept = type(value) in (list, tuple) and value
    return bool(kept) and all(isinstance(item, nn.Module) for item in value)


def is_named(value: Any) -> bool:
    """Whether this is a dict of modules, under names that torch can find them by."""
    if type(value) is not dict or not value:
        return False
    return all(isinstance(module, nn.Module) for module in value.values()) and all(
        isinstance(key, str) and key and "." not in key and not hasattr(LayerDict, key)
        for key in value
    )


def modules_in(value: Any) -> list[nn.Module]:
    """The modules in lists, tuples and dicts, at any depth, each once."""
    found: dict[nn.Module, None] = {}
    others = 0
    stack = [value]
    while stack and (found or others < _FEW):
        item = stack.pop()
        if isinstance(item, nn.Module):
            found[item] = None
        elif type(item) in CONTAINERS:
            stack += reversed(list(item.values() if isinstance(item, dict) else item))
        else:
            others += 1
    return list(found)


def as_child(owner: nn.Module, name: str, value: Any) -> Any:
    """What an attribute holds in the place of a list, tuple or dict: torch's like, if of modules.

    Else it may be filled later; then its layers count from here.
    """
    if name[0] != "_" and is_listed(value):
        return LayerList(value)
    if name[0] != "_" and is_named(value):
        return LayerDict(value)
    children = vars(owner).get("_modules", {})
    if isinstance(children.get(name), (LayerList, LayerDict)):
        del children[name]  # torch takes no list for what was a module
    if type(value) is not tuple or any(
        type(item) in CONTAINERS or isinstance(item, nn.Module) for item in value
    ):
        vars(owner).setdefault("_places", {})[name] = len(children)
    return value


def adopt(owner: nn.Module) -> None:
    """Make children of the modules in an owner's lists and dicts, which Keras tracks.

    A list or dict of nothing but modules becomes a `LayerList` or `LayerDict`. Where they lie
    deeper, or beside other things, the attribute `parts` stays as it is, and torch finds them in a
    list of its own, `parts_layers`.
    """
    moved = 0
    adopted: dict[str, str] = vars(owner).get("_adopted", {})
    for name, place in list(vars(owner).get("_places", {}).items()):
        value = vars(owner).get(name)
        modules = modules_in(value)
        if not modules or set(modules) <= set(owner.modules()):
            continue
        if name in adopted:  # filled further since then
            owner._modules[adopted[name]] = nn.ModuleList(modules)
            continue
        key = name
        if name[0] != "_" and (is_listed(value) or is_named(value)):
            setattr(owner, name, value)
        else:
            key = f"{name}_layers"
            while hasattr(owner, key):
                key = f"{key}_"
            owner._modules[key] = nn.ModuleList(modules)
            adopted[name] = key
            vars(owner)["_adopted"] = adopted
        _move(owner._modules, key, place + moved)
        moved += 1


def _move(children: dict[str, Any], key: str, place: int) -> None:
    """Put a container's child after what was there before it, or was made before its layers."""
    items = [item for item in children.items() if item[0] != key]
    begun = min((getattr(module, "_age", 0) for module in children[key].children()), default=0)
    while place < len(items) and getattr(items[place][1], "_age", begun) < begun:
        place += 1
    items.insert(place, (key, children[key]))
    children.clear()
    children.update(items)


def forget(owner: nn.Module, name: str) -> None:
    """Let go of the children that `adopt` found in an attribute."""
    if name in vars(owner).get("_adopted", ()):
        del owner._modules[vars(owner)["_adopted"].pop(name)]
