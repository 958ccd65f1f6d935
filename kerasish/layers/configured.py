"""A layer's configuration: the arguments that make it again, kept without the author's help."""

from __future__ import annotations

import itertools
from typing import Any, Self

from kerasish.config import DTypePolicy
from kerasish.layers.arguments import constructor_signature, texts_in
from kerasish.registry import deserialize

# One number stands for all axes; the configuration has each, as Keras's does.
_SIZES = frozenset({"kernel_size", "strides", "dilation_rate", "pool_size"})


class Configured:
    """The part of a layer that says how to make it again."""

    name: str
    dtype_policy: DTypePolicy
    _trainable: bool
    _init_arguments: tuple[tuple, dict]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, without its weights.

        A subclass whose constructor keeps its arguments need not override this.
        """
        args, kwargs = self._init_arguments
        signature = constructor_signature(type(self))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        config: dict[str, Any] = {}
        takes_any = False
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                takes_any = True
                config.update(bound.arguments[name])
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                config[name] = bound.arguments[name]
        for name in self._written_elsewhere() & config.keys():
            del config[name]
        for name in self.__dict__.get("_reassigned", set()) & config.keys():
            config[name] = getattr(self, name)
        for name in _SIZES & config.keys():
            size = getattr(self, name, None)
            config[name] = size if isinstance(size, tuple) else config[name]
        base = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype_policy.name}
        accepted = base if takes_any else {k: v for k, v in base.items() if k in bound.arguments}
        return {**config, **accepted}

    def _written_elsewhere(self) -> set[str]:
        """The arguments that a `get_config` of the user's own, on top of this one, names itself.

        As in Keras, what it gets from here is without them: `dict(units=..., **config)` takes no
        name twice. A subclass of a ready-made layer gets all, since there it may change them.
        """
        own = type(self).get_config
        classes = type(self).__mro__
        above = itertools.takewhile(lambda cls: Configured not in cls.__bases__, classes)
        if any(cls.__module__.startswith("kerasish.") for cls in above):
            return set()
        return texts_in(own) if own is not Configured.get_config else set()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Self:
        """Make the layer that `get_config` described, with new weights."""
        return cls(**{key: deserialize(value, custom_objects) for key, value in config.items()})
