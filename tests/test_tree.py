"""Tree functions take structures apart and put them together as Keras's do."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kerasish import tree

Point = namedtuple("Point", ["x", "y"])
STRUCTURES = [
    1,
    None,
    [1, [2, (3,)], {"b": 4, "a": 5}],
    {"z": [1], "a": {"b": 2, "y": None}},
    OrderedDict([("z", 1), ("a", 2)]),
    defaultdict(list, {"z": 1, "a": [2, 3]}),
    Point(1, [Point(2, 3)]),
    (deque([1, 2]), "text"),
    [],
    {},
    ((), [1]),
]
nested = st.recursive(
    st.none() | st.integers(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.tuples(children, children)
        | st.dictionaries(st.text("abc", max_size=2), children, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_reading_is_as_in_keras(structure):
    keras = pytest.importorskip("keras")

    assert tree.is_nested(structure) == keras.tree.is_nested(structure)
    assert tree.flatten(structure) == keras.tree.flatten(structure)
    assert tree.flatten_with_path(structure) == keras.tree.flatten_with_path(structure)
    assert tree.lists_to_tuples(structure) == keras.tree.lists_to_tuples(structure)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_mapping_is_as_in_keras(structure):
    keras = pytest.importorskip("keras")

    ours = tree.map_structure(lambda x: (x, 0), structure)

    assert ours == keras.tree.map_structure(lambda x: (x, 0), structure)
    assert type(ours) is type(structure) or not tree.is_nested(structure)


@pytest.mark.parametrize("top_down", [True, False])
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_traverse_visits_in_the_order_of_keras(structure, top_down):
    keras = pytest.importorskip("keras")
    seen = []

    assert tree.traverse(seen.append, structure, top_down=top_down) == structure

    expected = []
    keras.tree.traverse(expected.append, structure, top_down=top_down)
    assert seen == expected


@given(nested)
def test_pack_is_the_way_back_from_flatten(structure):
    assert tree.pack_sequence_as(structure, tree.flatten(structure)) == structure


@given(nested, nested)
def test_only_equal_layouts_pass(a, b):
    same = tree.map_structure(lambda _: 0, a) == tree.map_structure(lambda _: 0, b)

    if same:
        tree.assert_same_structure(a, b)
        tree.assert_same_paths(a, b)
    else:
        with pytest.raises(ValueError, match="same nested structure"):
            tree.assert_same_structure(a, b)


def test_several_structures_are_mapped_together_whatever_the_order_of_keys():
    a, b = {"x": 1, "y": [2, 3]}, OrderedDict([("y", [20, 30]), ("x", 10)])

    assert tree.map_structure(lambda i, j: i + j, a, b) == {"x": 11, "y": [22, 33]}


def test_none_can_be_left_alone():
    double = lambda x: x * 2  # noqa: E731

    assert tree.map_structure(double, [1, None], none_is_leaf=False) == [2, None]
    assert tree.map_structure(double, None, none_is_leaf=False) is None
    with pytest.raises(ValueError, match="None in the first"):
        tree.map_structure(lambda x, y: x, [None], [1], none_is_leaf=False)


def test_map_structure_up_to_keeps_the_deeper_parts_whole():
    assert tree.map_structure_up_to([None, [None, None]], str, [[1, 1], [2, (3,)]]) == [
        "[1, 1]",
        ["2", "(3,)"],
    ]
    with pytest.raises(ValueError, match=r"at \[1\] one is list of 2"):
        tree.map_structure_up_to([None, [None, None]], str, [1, 2])


def test_keys_are_read_in_order_at_every_depth():
    # Keras 3.15 on torch sorts the outermost dict only.
    assert tree.flatten({"z": 1, "a": {"y": 2, "b": 3}}) == [3, 2, 1]


def test_map_to_none_puts_none_into_the_result():
    result = tree.traverse(lambda x: tree.MAP_TO_NONE if x == 2 else None, [1, (2, 3)])

    assert result == [1, (None, 3)]


def test_shapes_are_leaves_of_map_shape_structure():
    shapes = {"a": (None, 3), "b": [(2, 2), [None, 4]]}

    assert tree.map_shape_structure(len, shapes) == {"a": 2, "b": [2, 2]}


def test_tensors_and_sizes_are_leaves_and_torchs_records_are_not():
    x = torch.eye(2)

    assert tree.flatten([x, x.shape]) == [x, x.shape]
    _, indices = tree.flatten(torch.max(x, dim=0))
    assert indices.tolist() == [0, 1]
    assert type(tree.map_structure(lambda t: t + 1, torch.max(x, dim=0))) is torch.return_types.max


def test_paths_ignore_the_containers():
    tree.assert_same_paths([0, {"a": 1}], Point(0, {"a": 2}))
    with pytest.raises(ValueError, match=r"only the first has \[\(1,\)\]"):
        tree.assert_same_paths([0, 1], [0])


def test_wrong_number_of_leaves_is_an_error():
    with pytest.raises(ValueError, match="holds 2 leaf values, got 3"):
        tree.pack_sequence_as([0, 0], [1, 2, 3])


def test_missing_structures_and_check_types_are_reported():
    with pytest.raises(ValueError, match="at least one structure"):
        tree.map_structure(str)
    with pytest.warns(DeprecationWarning, match="check_types"):
        tree.assert_same_structure([1], [2], check_types=True)


def test_every_name_of_keras_is_here():
    keras = pytest.importorskip("keras")

    assert {n for n in dir(keras.tree) if n[0] != "_"} <= set(dir(tree))
