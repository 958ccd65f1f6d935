"""Strings in lists and arrays, flattened with their shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasish.layers.texts import Texts, as_rows, as_texts, holds_strings, is_ragged


@pytest.mark.parametrize(
    ("value", "flat", "shape"),
    [
        ("a", ["a"], ()),
        (b"a", ["a"], ()),
        (["a", "b"], ["a", "b"], (2,)),
        ([["a"], ["b"]], ["a", "b"], (2, 1)),
        ([[["a", "b"]]], ["a", "b"], (1, 1, 2)),
        (np.array([["a", "b"]]), ["a", "b"], (1, 2)),
        ([np.array(["a", "b"])], ["a", "b"], (1, 2)),
        (np.array("a"), ["a"], ()),
        ([], [], (0,)),
    ],
    ids=str,
)
def test_strings_are_flattened(value, flat, shape):
    texts = as_texts(value, "Layer")

    assert (texts.flat, texts.shape) == (flat, shape)
    assert as_texts(texts, "Layer") is texts


@given(st.lists(st.lists(st.text(max_size=2), min_size=3, max_size=3), min_size=1, max_size=4))
def test_arrays_and_lists_are_alike(rows):
    rows = [[text.rstrip("\0") for text in row] for row in rows]  # NumPy drops these

    assert as_texts(np.array(rows), "Layer") == as_texts(rows, "Layer")
    assert as_rows(rows, "Layer") == rows
    assert as_rows(as_texts(rows, "Layer"), "Layer") == rows


def test_rows_may_differ_in_length():
    rows = [["a"], [], ["b", "c"]]

    assert is_ragged(rows)
    assert as_rows(rows, "Layer") == rows
    assert as_rows("a", "Layer") == [["a"]]
    with pytest.raises(ValueError, match="Layer: rows differ in length"):
        as_texts(rows, "Layer")


def test_strings_are_told_from_numbers():
    for value in ("a", ["a"], [["a"]], np.array(["a"]), np.array(["a"], dtype=object), b"a"):
        assert holds_strings(value)
    for value in (1, [1], [], np.ones(2), None):
        assert not holds_strings(value)
    assert holds_strings(Texts([], (0,)))


def test_other_things_are_refused():
    with pytest.raises(TypeError, match="Layer: expected strings, got 1"):
        as_texts(["a", 1], "Layer")
    with pytest.raises(TypeError, match="expected a string, a list or an array of strings"):
        as_texts(3, "Layer")


def test_bytes_are_decoded():
    assert as_texts(["ü".encode("latin-1")], "Layer", "latin-1").flat == ["ü"]


def test_strings_of_numpy_become_pythons():
    found = as_texts([np.str_("a"), "b"], "it")

    assert [type(text) for text in found.flat] == [str, str]
