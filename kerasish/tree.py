"""Nested structures of lists, tuples, dicts and deques: flatten, map over and pack them again.

What is not one of these containers (tensors, None, strings, `torch.Size`, subclasses other than
namedtuples) is a leaf. Plain dicts are read in the order of their sorted keys, `OrderedDict` in
its own.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kerasish.describe import count_of, describe

_DICTS = (dict, defaultdict, OrderedDict)


class MAP_TO_NONE:  # noqa: N801  (Keras's name)
    """What a `traverse` function returns to put None into the result."""


def is_nested(structure: Any) -> bool:
    """Whether the value is a container that these functions look into."""
    kind = type(structure)
    return kind in (list, tuple, deque, *_DICTS) or _is_record(structure)


def _is_record(structure: Any) -> bool:
    # Named tuples, and torch's own: torch.max(x, dim=0) returns one of torch.return_types.
    if not isinstance(structure, tuple):
        return False
    return hasattr(structure, "_fields") or type(structure).__module__ == "torch.return_types"


def _items(structure: Any) -> list[tuple[Any, Any]]:
    """The (key or index, child) pairs of a container, in flattening order."""
    if type(structure) in (dict, defaultdict):
        return sorted(structure.items(), key=lambda item: item[0])
    if isinstance(structure, OrderedDict):
        return list(structure.items())
    return list(enumerate(structure))


def _rebuild(structure: Any, children: list[tuple[Any, Any]]) -> Any:
    """A container like `structure` with other children, given in flattening order."""
    if type(structure) in _DICTS:
        by_key = dict(children)
        ordered = ((key, by_key[key]) for key in structure)
        if isinstance(structure, defaultdict):
            return defaultdict(structure.default_factory, ordered)
        return type(structure)(ordered)
    values = [child for _, child in children]
    if isinstance(structure, deque):
        return deque(values, maxlen=structure.maxlen)
    if hasattr(structure, "_fields"):
        return type(structure)(*values)
    return type(structure)(values)


def flatten(structure: Any) -> list[Any]:
    """The leaves, in order.

    Example:
        >>> flatten({"b": [2, 3], "a": (1, None)})
        [1, None, 2, 3]
    """
    return [leaf for _, leaf in _leaves((), structure)]


def flatten_with_path(structure: Any) -> list[tuple[tuple, Any]]:
    """The leaves, each with the keys and indices that lead to it.

    Example:
        >>> flatten_with_path([{"x": 42}])
        [((0, 'x'), 42)]
    """
    return list(_leaves((), structure))


def _leaves(path: tuple, structure: Any) -> Iterator[tuple[tuple, Any]]:
    if not is_nested(structure):
        yield path, structure
        return
    for key, child in _items(structure):
        yield from _leaves((*path, key), child)


def pack_sequence_as(structure: Any, flat_sequence: Iterable[Any]) -> Any:
    """Put leaves into a structure: the way back from `flatten`.

    Raises:
        ValueError: If there are more or fewer leaves than the structure holds.

    Example:
        >>> pack_sequence_as({"b": 0, "a": (0, 0)}, [1, 2, 3])
        {'b': 3, 'a': (1, 2)}
    """
    leaves = list(flat_sequence)
    wanted = len(flatten(structure))
    if len(leaves) != wanted:
        raise ValueError(
            f"pack_sequence_as: the structure holds {count_of(wanted, 'leaf value')}, "
            f"got {len(leaves)}."
        )
    remaining = iter(leaves)
    return map_structure(lambda _: next(remaining), structure)


def map_structure(func: Callable[..., Any], *structures: Any, none_is_leaf: bool = True) -> Any:
    """Call `func` on the corresponding leaves of structures of one layout.

    Args:
        func: Takes one leaf of each structure.
        *structures: At least one.
        none_is_leaf: Whether `func` is called on None too; else None stays None.

    Returns:
        A structure of the results.

    Raises:
        ValueError: If the layouts differ.

    Example:
        >>> map_structure(lambda x, y: x + y, [1, (2,)], [10, (20,)])
        [11, (22,)]
    """
    if not structures:
        raise ValueError("map_structure: give at least one structure.")

    def map_leaves(*leaves: Any) -> Any:
        for leaf in leaves[1:]:
            if is_nested(leaf):
                raise _mismatch((), leaves[0], leaf)
        if not none_is_leaf and leaves[0] is None:
            if any(leaf is not None for leaf in leaves):
                raise ValueError(
                    "map_structure: a leaf is None in the first structure and not in all others."
                )
            return None
        return func(*leaves)

    return _map(map_leaves, structures, ())


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """Call `func` on the parts of structures that correspond to the leaves of a shallower one.

    Raises:
        ValueError: If a structure does not go as deep as `shallow_structure`, or differs before.

    Example:
        >>> map_structure_up_to([None, None], len, [[1, 1], [2, 2, 2]])
        [2, 3]
    """
    if not structures:
        raise ValueError("map_structure_up_to: give at least one structure.")
    return _map(lambda _, *parts: func(*parts), (shallow_structure, *structures), ())


def _map(func: Callable[..., Any], structures: tuple, path: tuple) -> Any:
    first = structures[0]
    if not is_nested(first):
        return func(*structures)
    tables = []
    for other in structures[1:]:
        if not _same_container(first, other):
            raise _mismatch(path, first, other)
        tables.append(dict(_items(other)))
    return _rebuild(
        first,
        [
            (key, _map(func, (child, *(table[key] for table in tables)), (*path, key)))
            for key, child in _items(first)
        ],
    )


def _same_container(a: Any, b: Any) -> bool:
    if not is_nested(b) or len(a) != len(b):
        return False
    if type(a) in _DICTS:
        return type(b) in _DICTS and set(a) == set(b)
    return type(a) is type(b)


def _mismatch(path: tuple, a: Any, b: Any) -> ValueError:
    where = "".join(f"[{key!r}]" for key in path) or "the top"
    return ValueError(
        f"The structures don't have the same nested structure: at {where} one is {describe(a)}, "
        f"the other {describe(b)}."
    )


def assert_same_structure(a: Any, b: Any, check_types: bool | None = None) -> None:
    """Raise a ValueError unless both structures have the same containers in the same places.

    Args:
        a: One structure.
        b: The other. Kinds of dicts are interchangeable; lists, tuples and deques are not.
        check_types: Has no effect, as in Keras.
    """
    if check_types is not None:
        warnings.warn(
            "assert_same_structure: `check_types` has no effect; leave it out.",
            DeprecationWarning,
            stacklevel=2,
        )
    map_structure(lambda *_: None, a, b)


def assert_same_paths(a: Any, b: Any) -> None:
    """Raise a ValueError unless the same keys and indices lead to leaves in both."""
    paths_a, paths_b = ({path for path, _ in flatten_with_path(s)} for s in (a, b))
    if paths_a != paths_b:
        raise ValueError(
            "The structures don't have the same paths: "
            f"only the first has {sorted(paths_a - paths_b, key=str)}, "
            f"only the second {sorted(paths_b - paths_a, key=str)}."
        )


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """Call `func` on every container and leaf, and replace those for which it returns something.

    Args:
        func: Returns a replacement, None to go on (top-down: into the children), or `MAP_TO_NONE`.
        structure: What to walk through, depth first.
        top_down: Whether containers come before their children; else after.

    Example:
        >>> traverse(lambda x: tuple(x) if isinstance(x, list) else None, [1, [2]], top_down=False)
        (1, (2,))
    """
    if top_down:
        found = func(structure)
        if found is not None:
            return None if found is MAP_TO_NONE else found
    if is_nested(structure):
        children = [(key, traverse(func, child, top_down)) for key, child in _items(structure)]
        structure = _rebuild(structure, children)
    if not top_down:
        found = func(structure)
        if found is not None:
            return None if found is MAP_TO_NONE else found
    return structure


def lists_to_tuples(structure: Any) -> Any:
    """The structure with every list made a tuple."""
    return traverse(
        lambda part: tuple(part) if isinstance(part, list) else None, structure, top_down=False
    )


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """Call `func` on every shape: a tuple or list of nothing but integers and None."""

    def is_shape(part: Any) -> bool:
        return isinstance(part, (list, tuple)) and all(
            size is None or isinstance(size, int) for size in part
        )

    if is_shape(structure) or not is_nested(structure):
        return func(structure)
    children = [(key, map_shape_structure(func, child)) for key, child in _items(structure)]
    return _rebuild(structure, children)
