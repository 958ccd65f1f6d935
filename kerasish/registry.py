"""Names for objects: look up what a string means, turn objects into JSON-able configs and back.

Nothing here imports by a name found in a file: a config can only name kerasish's own public
objects, torch's overridable functions, and what was registered with `register` or passed in as
`custom_objects`.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from kerasish.config import DTypePolicy, as_dtype, dtype_name
from kerasish.describe import describe, suggest
from kerasish.keras_words import FUNCTION_ROOMS, FUNCTIONS, in_own_words
from kerasish.stock_modules import make_stock, stock_config

PUBLIC_MODULES = (
    "activations",
    "applications",
    "callbacks",
    "constraints",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "random",
    "regularizers",
    "schedules",
)

# What is a function in these reads and writes files, or runs code of theirs: no file may name it.
_ACTING = ("applications", "callbacks", "models")

_registered: dict[str, Any] = {}


def register(obj: Any = None, /, *, package: str = "Custom", name: str | None = None) -> Any:
    """Let saved files name a class or function of yours: a decorator, with or without arguments.

    Args:
        obj: The class or function, when used without arguments.
        package: A prefix that keeps names of different projects apart.
        name: The name in the file. Defaults to the object's own.

    Returns:
        The object itself.

    Raises:
        ValueError: If another object already has that name.
    """
    if obj is None:
        return functools.partial(register, package=package, name=name)
    full_name = f"{package}>{name or obj.__name__}"
    known = _registered.get(full_name)
    # A notebook cell that runs again makes the class anew: the newer one replaces the older.
    if known is not None and (known.__module__, known.__qualname__) != (
        obj.__module__,
        obj.__qualname__,
    ):
        raise ValueError(
            f"register: '{full_name}' already names {describe(known)}; choose another name."
        )
    _registered[full_name] = obj
    return obj


def registered_name(obj: Any) -> str | None:
    """The name that `register` gave to a class or function, or `None`."""
    return next((name for name, known in _registered.items() if known is obj), None)


def public_module(obj: Any) -> str | None:
    """The public kerasish module that a class or function belongs to; `None` for a foreign one."""
    parts = getattr(obj, "__module__", "").split(".")
    if parts[0] != "kerasish" or len(parts) < 2 or parts[1] not in PUBLIC_MODULES:
        return None
    for name in (".".join(parts[:2]), ".".join(parts[:3])):
        if _public_object(name, obj.__name__) is obj:
            return name
    return None


def _public_object(module: str, name: str) -> Any:
    """What `kerasish.layers` or `kerasish.ops.image` calls by this name, or `None`."""
    parts = module.split(".")
    if parts[0] != "kerasish" or len(parts) not in (2, 3) or parts[1] not in PUBLIC_MODULES:
        return None
    found = importlib.import_module(f"kerasish.{parts[1]}")
    if len(parts) == 3:
        found = getattr(found, parts[2], None)
    return getattr(found, name, None)


class NotSerializableError(TypeError):
    """Raised for an object that no config can describe; the message says which and what to do."""


def serialize(obj: Any) -> Any:
    """Turn an object into values that JSON can hold; `deserialize` is the way back.

    Raises:
        NotSerializableError: If the object is neither plain data nor a known class or function.
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, (list, torch.nn.ModuleList)):
        return [serialize(item) for item in obj]
    if isinstance(obj, tuple):
        return {"class_name": "__tuple__", "config": [serialize(item) for item in obj]}
    if isinstance(obj, Mapping):
        # What a get_config() has written down by itself stays as it is.
        is_written = obj.keys() >= {"class_name", "config"}
        if all(isinstance(key, str) for key in obj) and (is_written or "class_name" not in obj):
            return {key: serialize(value) for key, value in obj.items()}
        return {
            "class_name": "__dict__",
            "config": [[serialize(k), serialize(v)] for k, v in obj.items()],
        }
    if isinstance(obj, torch.dtype):
        return {"class_name": "__dtype__", "config": dtype_name(obj)}
    if isinstance(obj, slice):
        return {
            "class_name": "__slice__",
            "config": [serialize(p) for p in (obj.start, obj.stop, obj.step)],
        }
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": None}
    if isinstance(obj, (np.ndarray, np.generic, torch.Tensor)):
        array = obj.detach().cpu().numpy() if isinstance(obj, torch.Tensor) else np.asarray(obj)
        if array.ndim == 0 and not isinstance(obj, torch.Tensor):
            return serialize(array.item())  # a number, as in Keras
        kind = "__tensor__" if isinstance(obj, torch.Tensor) else "__array__"
        return {"class_name": kind, "config": {"dtype": str(array.dtype), "value": array.tolist()}}
    if isinstance(obj, DTypePolicy):
        return {"class_name": "__policy__", "config": obj.name}
    if isinstance(obj, type) or inspect.isroutine(obj):
        return _serialize_name(obj)
    return _serialize_instance(obj)


def _serialize_name(obj: Any) -> dict:
    kind = "class" if isinstance(obj, type) else "function"
    if (name := registered_name(obj)) is not None:
        return {"class_name": kind, "config": name, "module": None, "registered_name": name}
    if (module := public_module(obj)) is not None:
        return {
            "class_name": kind,
            "config": obj.__name__,
            "module": module,
            "registered_name": None,
        }
    if (name := torch_function_name(obj)) is not None:
        return {"class_name": kind, "config": name, "module": "torch", "registered_name": None}
    label = getattr(obj, "__qualname__", repr(obj))
    raise NotSerializableError(
        f"The {kind} {label} has no name in a saved file. "
        f"Decorate it with @kerasish.register, or use a named {kind} instead of a lambda."
    )


def _serialize_instance(obj: Any) -> dict:
    cls = type(obj)
    if not hasattr(obj, "get_config"):
        if (config := stock_config(obj)) is not None:
            return {"class_name": "__torch_nn__", "config": config}
        raise NotSerializableError(
            f"{describe(obj)} has no get_config(), so no file can describe it. "
            "Give its class get_config() and @kerasish.register, or save only the weights with "
            "save_weights()."
        )
    cls = getattr(cls, "_written_as", cls)  # a model's class that took on a form as it was made
    name, module = registered_name(cls), public_module(cls)
    if name is None and module is None:
        # Written all the same: custom_objects={"Name": Class} at load time can name the class.
        name = f"Custom>{cls.__name__}"
    written = {
        "class_name": cls.__name__,
        "config": serialize(obj.get_config()),
        "module": module,
        "registered_name": name,
    }
    if _has_own_build(obj, "get_build_config") and obj.built:
        written["build_config"] = serialize(obj.get_build_config())
    return written


def _has_own_build(obj: Any, hook: str) -> bool:
    """Whether a layer says by a method of its own how it was built, or how to build it again."""
    return hasattr(obj, "has_own") and obj.has_own(hook)


_PLAIN: dict[str, Callable[[Any, Any], Any]] = {
    "__tuple__": lambda config, custom: tuple(deserialize(item, custom) for item in config),
    "__dict__": lambda config, custom: {
        deserialize(k, custom): deserialize(v, custom) for k, v in config
    },
    "__dtype__": lambda config, custom: as_dtype(config),
    "__slice__": lambda config, custom: slice(*(deserialize(part, custom) for part in config)),
    "__ellipsis__": lambda config, custom: Ellipsis,
    "__array__": lambda config, custom: np.array(config["value"], dtype=config["dtype"]),
    "__tensor__": lambda config, custom: torch.from_numpy(
        np.array(config["value"], dtype=config["dtype"])
    ),
    "__policy__": lambda config, custom: DTypePolicy(config),
    "__torch_nn__": lambda config, custom: make_stock(config),
}


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the object that `serialize` described.

    Args:
        config: What `serialize` returned, perhaps read from a JSON file.
        custom_objects: Classes and functions by name, beside the registered ones.

    Raises:
        ValueError: If the config names what is neither kerasish's own, registered nor passed in.
    """
    if isinstance(config, list):
        return [deserialize(item, custom_objects) for item in config]
    if not isinstance(config, dict):
        return config
    if "class_name" not in config:
        return {key: deserialize(value, custom_objects) for key, value in config.items()}
    config = in_own_words(config)
    class_name = config["class_name"]
    if class_name in _PLAIN:
        return _PLAIN[class_name](config["config"], custom_objects)
    if class_name in ("function", "class"):
        return _find(config, config["config"], custom_objects)
    cls = _find(config, class_name, custom_objects)
    if not isinstance(cls, type):
        raise ValueError(f"The file names '{class_name}' as a class, but that is {describe(cls)}.")
    inner = config.get("config") or {}
    if not hasattr(cls, "from_config"):
        return cls(**deserialize(inner, custom_objects))
    takes_custom = "custom_objects" in inspect.signature(cls.from_config).parameters
    made = (
        cls.from_config(inner, custom_objects=custom_objects)
        if takes_custom
        else cls.from_config(inner)
    )
    if config.get("build_config") and _has_own_build(made, "build_from_config"):
        made.build_from_config(deserialize(config["build_config"], custom_objects))
    return made


def _find(config: dict, name: str, custom_objects: Mapping[str, Any] | None) -> Any:
    registered, module = config.get("registered_name"), config.get("module")
    short = name.split(">")[-1]
    for table in (custom_objects or {}, _registered):
        for key in (registered, name, short):
            if key is not None and key in table:
                return table[key]
    if module == "torch":
        return torch_function(name)
    if module == FUNCTIONS:
        found = (_public_object(f"kerasish.{room}", name) for room in FUNCTION_ROOMS)
        if (function := next((f for f in found if inspect.isroutine(f)), None)) is not None:
            return function
    elif module is not None:
        found = _public_object(module, name)
        # Only a module's own public objects count, not what it happens to import.
        if found is not None and public_module(found) == module and not _acts(found, module):
            return found
    known = sorted(_registered)
    raise ValueError(
        f"The file names '{registered or name}', which is not part of kerasish. If you trust it, "
        "decorate the class or function with @kerasish.register before loading, or pass "
        f"custom_objects={{'{short}': ...}}."
        + (f" Registered: {', '.join(known)}." if known else "")
    )


def _acts(found: Any, module: str) -> bool:
    """Whether calling it may do something else than compute."""
    if isinstance(found, type) or found.__name__ == "preprocess_input":
        return False
    return module.split(".")[1] in _ACTING


# They call, keep or change what they are given instead of computing a tensor.
_CALLERS = {
    "apply_",
    "attrgetter",
    "call",
    "itemgetter",
    "map2_",
    "map_",
    "methodcaller",
    "module_load",
    "register_hook",
    "register_post_accumulate_grad_hook",
    "share_memory_",
}


@functools.cache
def _torch_names() -> dict[Any, str]:
    """Functions that take tensors, by name: the only torch functions a file may name."""
    names: dict[Any, str] = {}
    for function in torch.overrides.get_testing_overrides():
        label = torch.overrides.resolve_name(function)
        if label is not None and "__get__" not in label and "__set__" not in label:
            names[function] = label
    names.update({getattr(operator, name): f"operator.{name}" for name in operator.__all__})
    for name in dir(torch.Tensor):
        method = getattr(torch.Tensor, name)
        if not name.startswith("_") and callable(method):
            names.setdefault(method, f"torch.Tensor.{name}")
    return {
        function: name for function, name in names.items() if name.split(".")[-1] not in _CALLERS
    }


def torch_function_name(function: Any) -> str | None:
    """The dotted name of a torch function or operator that a file may name, or `None`."""
    try:
        return _torch_names().get(function)
    except TypeError:  # unhashable callables are never torch's
        return None


def torch_function(name: str) -> Any:
    """The torch function or operator of that dotted name.

    Raises:
        ValueError: If it is not one that takes tensors.
    """
    found = next((function for function, label in _torch_names().items() if label == name), None)
    if found is None:
        raise ValueError(f"The file names '{name}', which is not a torch function on tensors.")
    return found


def resolve(
    identifier: Any, names: Mapping[str, Any], kind: str, *, instantiate: bool = True
) -> Any:
    """Find what a user means by a name, config, class, instance or function.

    Args:
        identifier: A string in `names`; a config from `serialize`; a class (made with its defaults
            when `instantiate`); anything callable, returned as it is; `None`, returned as it is.
        names: What each string stands for: classes, or functions.
        kind: The word for error messages, such as "activation".
        instantiate: Whether a class found by name is called without arguments.

    Raises:
        ValueError: If the string is unknown; the message suggests the nearest name.
        TypeError: If the identifier is none of these.
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        custom = _registered.get(identifier, _registered.get(f"Custom>{identifier}"))
        found = names.get(identifier, custom)
        if found is None:
            raise ValueError(f"Unknown {kind} '{identifier}'{suggest(identifier, names)}.")
        return found() if instantiate and isinstance(found, type) else found
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type):
        return identifier() if instantiate else identifier
    if callable(identifier):
        return identifier
    raise TypeError(
        f"{kind}: expected a name, a config, a class or a callable, got {describe(identifier)}."
    )
