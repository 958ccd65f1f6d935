"""Config: settings of an experiment, read as attributes or by name, and frozen when they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

from kerasish.describe import suggest


class Config(MutableMapping):
    """Named settings: `config.rate` and `config["rate"]` are the same one.

    Args:
        settings: The first settings, by name.

    Raises:
        ValueError: If a setting of a frozen config is changed.
        AttributeError: If a setting is read as an attribute that is not there.

    Example:
        >>> config = Config(rate=0.1, layers=[32, 10])
        >>> config.rate = 0.01
        >>> config.freeze()
        >>> config.to_json()
        '{"rate": 0.01, "layers": [32, 10]}'
    """

    _settings: dict[str, Any]
    _frozen: bool

    def __init__(self, **settings: Any) -> None:
        object.__setattr__(self, "_settings", dict(settings))
        object.__setattr__(self, "_frozen", False)

    def __getitem__(self, name: str) -> Any:
        return self._settings[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._check_thawed(name)
        self._settings[name] = value

    def __delitem__(self, name: str) -> None:
        self._check_thawed(name)
        del self._settings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    def __getattr__(self, name: str) -> Any:
        settings = self.__dict__.get("_settings", {})  # none yet in a copy that is being made
        if name not in settings:
            raise AttributeError(f"Config has no setting '{name}'{suggest(name, settings)}.")
        return settings[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self._settings:
            raise AttributeError(f"Config has no setting '{name}'{suggest(name, self)}.")
        del self[name]

    def __copy__(self) -> Config:
        twin = type(self)(**self._settings)
        object.__setattr__(twin, "_frozen", self._frozen)
        return twin

    def __repr__(self) -> str:
        return f"<Config {self._settings}>"

    @property
    def frozen(self) -> bool:
        """Whether settings may not be changed."""
        return self._frozen

    def freeze(self) -> None:
        """Let no setting be changed from now on."""
        object.__setattr__(self, "_frozen", True)

    def unfreeze(self) -> None:
        """Let settings be changed again."""
        object.__setattr__(self, "_frozen", False)

    def as_dict(self) -> dict[str, Any]:
        """A dict of the settings, apart from this config."""
        return dict(self._settings)

    def to_json(self) -> str:
        """The settings as JSON; a config among them as an object of its own."""
        return json.dumps(self._settings, default=_inner)

    def _check_thawed(self, name: str) -> None:
        if self._frozen:
            raise ValueError(f"Config: '{name}' cannot be changed, as the config is frozen.")


def _inner(value: Any) -> dict[str, Any]:
    if isinstance(value, Config):
        return value.as_dict()
    raise TypeError(f"Config.to_json: {type(value).__name__} has no form in JSON.")
