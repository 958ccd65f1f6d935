"""Every public name of Keras is there, with Keras's arguments and defaults, or on a list."""

import importlib
import inspect
from types import ModuleType

import pytest

from tests.parity.names import (
    ABSENT_ARGUMENTS,
    DEFAULTS,
    MISSING,
    MISSING_MODULES,
    OTHER_LISTS,
    RENAMED,
)

MODULES = [
    "",
    "activations",
    "backend",
    "callbacks",
    "config",
    "constraints",
    "dtype_policies",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "mixed_precision",
    "models",
    "ops",
    "optimizers",
    "optimizers.schedules",
    "preprocessing",
    "preprocessing.image",
    "preprocessing.sequence",
    "random",
    "regularizers",
    "saving",
    "tree",
    "utils",
]
VARIADIC = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def pair_of(module):
    """Our module and Keras's."""
    pytest.importorskip("keras")
    suffix = f".{module}" if module else ""
    return importlib.import_module(f"kerasish{suffix}"), importlib.import_module(f"keras{suffix}")


def public(module):
    return {n: v for n in dir(module) if not n.startswith("_") for v in [getattr(module, n)]}


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "keras")
def test_every_name_is_there_or_has_a_reason(module):
    ours, theirs = pair_of(module)
    names = {n for n, value in public(theirs).items() if not isinstance(value, ModuleType)}

    missing = {name for name in names if not hasattr(ours, name)}

    assert missing - MISSING.get(module, {}).keys() == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "keras")
def test_reasons_are_given_only_for_what_is_missing(module):
    ours, theirs = pair_of(module)

    listed = MISSING.get(module, {})

    assert [name for name in listed if hasattr(ours, name)] == []
    assert [name for name in listed if not hasattr(theirs, name)] == []


def test_every_module_is_there_or_has_a_reason():
    ours, theirs = pair_of("")
    names = {n for n, value in public(theirs).items() if isinstance(value, ModuleType)}

    missing = {name for name in names if not hasattr(ours, name)}

    assert missing - MISSING_MODULES.keys() == set()


def parameters(value):
    """Named arguments, or `None` where there is nothing to see."""
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    return [p for p in found if p.kind not in VARIADIC]


def shared_callables():
    keras = pytest.importorskip("keras")
    del keras
    for module in (*MODULES, "applications"):
        ours, theirs = pair_of(module)
        for name, value in public(theirs).items():
            mine = getattr(ours, name, None)
            # Models and base classes are made of anything.
            if callable(value) and callable(mine) and module:
                yield f"{module}.{name}", parameters(mine), parameters(value)


def compared():
    return [(name, a, b) for name, a, b in shared_callables() if a is not None and b is not None]


def by_place(parameters):
    """The names of the arguments that need no name."""
    return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


def test_arguments_by_place_are_those_of_keras_in_its_order():
    wrong = {}
    for name, mine, theirs in compared():
        wanted = by_place(theirs)
        wanted = wanted[: len(wanted) - len(ABSENT_ARGUMENTS.get(name, {}))]
        if by_place(mine) != wanted and name not in (*RENAMED, *OTHER_LISTS):
            wrong[name] = {"ours": by_place(mine), "Keras's": wanted}
    assert wrong == {}


def test_arguments_by_name_are_there():
    wrong = {}
    for name, mine, theirs in compared():
        missing = (
            {p.name for p in theirs} - {p.name for p in mine} - {*ABSENT_ARGUMENTS.get(name, {})}
        )
        if missing and name not in RENAMED:
            wrong[name] = missing
    assert wrong == {}


def test_defaults_are_those_of_keras():
    wrong = {}
    for name, mine, theirs in compared():
        by_name = {p.name: p.default for p in mine}
        # A network's default name is a label, in our spelling.
        listed = {"name"} if name.startswith("applications.") else DEFAULTS.get(name, {})
        for parameter in theirs:
            if parameter.name not in by_name or parameter.name in listed:
                continue
            own = by_name[parameter.name]
            if not same(own, parameter.default):
                wrong[f"{name}: {parameter.name}"] = (own, parameter.default)
    assert wrong == {}


def same(ours, theirs):
    """One number stands for as many equal ones; a function for one of its kind."""
    if isinstance(theirs, (tuple, list)):
        many = [ours] * len(theirs) if isinstance(ours, (int, float, str)) else ours
        return len(many) == len(theirs) and all(map(same, many, theirs))
    if callable(theirs) and callable(ours):
        return True
    return ours == theirs or str(ours) == str(theirs)


def test_lists_of_differences_name_only_differences():
    found = {name: (mine, theirs) for name, mine, theirs in compared()}

    for name, arguments in ABSENT_ARGUMENTS.items():
        mine, theirs = ({p.name for p in side} for side in found[name])
        assert arguments.keys() <= theirs - mine, name
    for name, arguments in DEFAULTS.items():
        mine, theirs = ({p.name: p.default for p in side} for side in found[name])
        for argument in arguments:
            assert mine[argument] != theirs[argument], f"{name}: {argument}"
    for name in {**OTHER_LISTS, **RENAMED}:
        mine, theirs = map(by_place, found[name])
        assert mine != theirs, name
