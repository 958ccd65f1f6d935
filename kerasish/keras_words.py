"""Configs as Keras writes them, said in the words of kerasish's own."""

from __future__ import annotations

from typing import Any

# Where Keras keeps a class, and where its namesake is here.
_ROOMS = (
    "layers",
    "models",
    "optimizers",
    "losses",
    "metrics",
    "initializers",
    "regularizers",
    "constraints",
    "activations",
    "callbacks",
    "random",
)

# Classes that Keras knows by other names inside than in `keras.layers`.
INSIDE = {"GroupQueryAttention": "GroupedQueryAttention"}
_PUBLIC = {inside: name for name, inside in INSIDE.items()}

# Keras writes a function without the module that it is from.
FUNCTIONS = "functions of Keras"
FUNCTION_ROOMS = ("activations", "losses", "metrics", "ops")

# Settings without effect, which Keras writes down and our classes do not take.
_RECURRENT = {"implementation": 2, "time_major": False}
_NEEDLESS = {
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "LayerNormalization": {"rms_scaling": False},
    "MaxNumBoundingBoxes": {"data_format": "channels_last"},
}


def is_of_keras(config: dict[str, Any]) -> bool:
    """Whether Keras wrote this config of a class: its module says so."""
    module = config.get("module")
    return isinstance(module, str) and module.split(".")[0] == "keras"


def in_own_words(config: dict[str, Any]) -> dict[str, Any]:
    """A config by Keras as kerasish would have written it; any other as it is.

    Only the outermost level: what is inside is translated when its turn comes.

    Raises:
        ValueError: If the config holds Python code.
    """
    name, inner = config["class_name"], config.get("config")
    if name == "__lambda__":
        raise ValueError(
            "The file holds a lambda, which is code and is never run. Write the function in your "
            "program, use it in a layer of your own, and build the model there."
        )
    if name == "__numpy__":
        return {**config, "class_name": "__array__"}
    if name == "__slice__" and isinstance(inner, dict):
        return {**config, "config": [inner.get(key) for key in ("start", "stop", "step")]}
    if name == "function" and config.get("module") == "builtins":
        return {**config, "module": FUNCTIONS, "registered_name": None}
    if not is_of_keras(config):
        return config
    if name in ("DTypePolicy", "FloatDTypePolicy"):
        return {"class_name": "__policy__", "config": (inner or {})["name"]}
    own = {**config, "module": f"kerasish.{_room(config['module'])}"}
    own["class_name"] = _PUBLIC.get(name, name)
    if isinstance(inner, dict):
        needless = _NEEDLESS.get(name, {}).items()
        own["config"] = {k: v for k, v in inner.items() if (k, v) not in needless}
        if isinstance(inner.get("name"), str):
            own["config"]["name"] = layer_name(inner["name"])
    return own


def layer_name(name: str) -> str:
    """A name of Keras's that a child of a torch module can have: `mobilenetv2_0_35_224`."""
    return name.replace(".", "_")


def _room(module: str) -> str:
    """`layers` for `keras.layers` and for `keras.src.layers.core.dense`."""
    parts = module.split(".")[1:]
    if "schedules" in parts or "learning_rate_schedule" in parts:
        return "schedules"
    return next((part for part in parts if part in _ROOMS), "models")
