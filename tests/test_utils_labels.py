"""One-hot rows, unit vectors and the parts of a batch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kerasish import utils


@pytest.mark.parametrize(
    "labels", [[0, 2, 1], [[0], [2]], [[0, 1], [2, 2]], 3, [1.0, 0.0], [True, False]], ids=str
)
def test_to_categorical_matches_keras(labels):
    keras = pytest.importorskip("keras")

    assert np.array_equal(utils.to_categorical(labels), keras.utils.to_categorical(labels))
    assert np.array_equal(utils.to_categorical(labels, 7), keras.utils.to_categorical(labels, 7))


def test_to_categorical_of_a_tensor_is_a_tensor():
    rows = utils.to_categorical(torch.tensor([1, 0]))

    assert torch.equal(rows, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize(
    "labels", [[0, 3], [-1, 0], [0.5, 1]], ids=["too large", "negative", "half"]
)
def test_to_categorical_refuses_what_is_no_class(labels):
    with pytest.raises(ValueError, match=r"whole numbers in \[0, 3\)"):
        utils.to_categorical(labels, num_classes=3)


def test_to_categorical_of_nothing_needs_the_number_of_classes():
    assert utils.to_categorical([], num_classes=3).shape == (0, 3)
    with pytest.raises(ValueError, match="must be given"):
        utils.to_categorical([])


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_normalize_matches_torch(axis, order):
    x = np.random.default_rng(0).normal(size=(3, 4))

    expected = F.normalize(torch.from_numpy(x), p=order, dim=axis)

    assert np.allclose(utils.normalize(x, axis, order), expected)
    assert torch.allclose(utils.normalize(torch.from_numpy(x), axis, order), expected)


def test_normalize_leaves_zero_vectors():
    assert utils.normalize([[0.0, 0.0]]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("parts", [(1,), (1, 2), (1, 2, 3)])
def test_parts_of_a_batch_are_packed_and_unpacked(parts):
    packed = utils.pack_x_y_sample_weight(*parts)

    assert utils.unpack_x_y_sample_weight(packed) == (*parts, None, None)[:3]


def test_batch_of_four_parts_is_refused():
    with pytest.raises(ValueError, match=r"x, \(x, y\)"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))
