"""Merging layers against Keras and sums worked by hand."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import Model, layers
from tests.layers.harness import assert_same_as_keras, check_layer

ELEMENTWISE = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]


def tensors(*shapes):
    return [torch.randn(shape) for shape in shapes]


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize(
    "shapes", [[(2, 3), (2, 3)], [(2, 4, 3), (2, 1, 3)], [(2, 4, 3), (2, 3)]], ids=str
)
def test_elementwise_merge_is_that_of_keras(name, shapes):
    keras = pytest.importorskip("keras")

    assert_same_as_keras(getattr(layers, name)(), getattr(keras.layers, name)(), tensors(*shapes))


@pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_more_than_two_inputs(name):
    keras = pytest.importorskip("keras")
    x = tensors((2, 3), (2, 3), (2, 3), (2, 3))

    assert_same_as_keras(getattr(layers, name)(), getattr(keras.layers, name)(), x)


@pytest.mark.parametrize("axis", [1, 2, -1, -2])
def test_concatenate_is_that_of_keras(axis):
    keras = pytest.importorskip("keras")
    shapes = [[2, 3, 4], [2, 3, 4]]
    shapes[1][axis] = 7

    assert_same_as_keras(layers.Concatenate(axis), keras.layers.Concatenate(axis), tensors(*shapes))


@pytest.mark.parametrize(
    ("axes", "shapes"),
    [
        (1, [(2, 5), (2, 5)]),
        (-1, [(2, 5), (2, 5)]),
        ((1, 2), [(2, 3, 5), (2, 10, 3)]),
        (2, [(2, 3, 5), (2, 4, 5)]),
        ((1, 2), [(2, 5), (2, 3, 5)]),
        ((2, 1), [(2, 3, 5), (2, 5)]),
        ((3, 1), [(2, 3, 4, 5), (2, 5, 6)]),
        ((-2, -1), [(2, 3, 5), (2, 4, 3)]),
    ],
    ids=str,
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot_is_that_of_keras(axes, shapes, normalize):
    keras = pytest.importorskip("keras")
    ours, theirs = (p.Dot(axes, normalize=normalize) for p in (layers, keras.layers))

    assert_same_as_keras(ours, theirs, tensors(*shapes))


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Concatenate"])
def test_layers_owe(name):
    check_layer(getattr(layers, name)(), tensors((2, 3, 4), (2, 3, 4)))


def test_dot_owes():
    check_layer(layers.Dot(-1), tensors((2, 3, 4), (2, 5, 4)), (2, 3, 5))


def test_functions_make_layers():
    a, b = torch.tensor([[1.0, 5.0]]), torch.tensor([[3.0, 2.0]])

    assert layers.add([a, b, a]).tolist() == [[5.0, 12.0]]
    assert layers.subtract([a, b]).tolist() == [[-2.0, 3.0]]
    assert layers.multiply([a, b]).tolist() == [[3.0, 10.0]]
    assert layers.average([a, b]).tolist() == [[2.0, 3.5]]
    assert layers.maximum([a, b]).tolist() == [[3.0, 5.0]]
    assert layers.minimum([a, b]).tolist() == [[1.0, 2.0]]
    assert layers.concatenate([a, b], axis=0).tolist() == [[1.0, 5.0], [3.0, 2.0]]
    assert layers.dot([a, b], axes=1).tolist() == [[13.0]]
    x = layers.Input((2,))
    assert layers.add([x, x], name="sum").node.target.name == "sum"


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (
            layers.Add(name="sum"),
            [(3,), (4,)],
            r'Add "sum" got shapes \(None, 3\), \(None, 4\): the s',
        ),
        (layers.Concatenate(name="c"), [(3, 4), (4, 4)], "sizes differ on axis 1"),
        (layers.Concatenate(), [(3, 4), (4,)], "the numbers of axes differ"),
        (layers.Concatenate(5), [(3, 4), (3, 4)], "there is no axis 5"),
        (layers.Subtract(), [(3,), (3,), (3,)], "exactly two inputs"),
        (layers.Dot(1), [(3,), (4,)], "sizes 3 and 4 on axes 1 differ"),
        (layers.Dot(0), [(3,), (3,)], "axis 0 is not one to sum over"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_at_once(layer, shapes, message):
    with pytest.raises(ValueError, match=message):
        layer([layers.Input(shape) for shape in shapes])


def test_batches_of_different_size_are_refused():
    with pytest.raises(ValueError, match="the batch sizes differ"):
        layers.Add()([torch.zeros(4, 3), torch.zeros(5, 3)])
    with pytest.raises(ValueError, match="the batch sizes differ"):
        layers.Add()([torch.zeros(4, 3), torch.zeros(1, 3)])


def test_a_batch_of_one_is_repeated_once_the_layer_is_built_for_any_batch():
    latent, data = layers.Input((2, 3)), layers.Input((2, 3))
    layer = layers.Add()
    model = Model([latent, data], layer([latent, data]))
    one, many = torch.randn(1, 2, 3), torch.randn(4, 2, 3)

    assert_close(layer([one, many]), one + many)
    assert_close(model([one, many]), one + many)
    with pytest.raises(ValueError, match="the batch sizes differ"):
        layer([torch.zeros(2, 2, 3), many])


def test_later_calls_are_checked_too():
    for layer in (layers.Add(name="merge"), layers.Concatenate(axis=0, name="merge")):
        layer([torch.zeros(4, 3), torch.zeros(4, 3)])
        with pytest.raises(ValueError, match=r'"merge" got shapes \(4, 3\), \(4, 5\): '):
            layer([torch.zeros(4, 3), torch.zeros(4, 5)])


def test_hooks_run_on_plain_calls():
    layer, seen = layers.Add(), []
    layer([torch.zeros(1, 1)] * 2)
    layer.register_forward_hook(lambda module, args, output: seen.append(output))

    y = layer([torch.ones(1, 1)] * 2)

    assert seen == [y]


def test_a_single_tensor_is_refused():
    with pytest.raises(ValueError, match="expects a list of at least 1 tensors, as one argument"):
        layers.Add()(torch.zeros(4, 3))


def masked_inputs():
    tokens = [layers.Input((4,), dtype="int64") for _ in range(2)]
    embedding = layers.Embedding(10, 3, mask_zero=True)
    return tokens, [embedding(t) for t in tokens], layers.Embedding(10, 3)(tokens[0])


def test_masks_of_merged_sequences():
    _, (a, b), plain = masked_inputs()

    assert layers.Add()([a, b]).mask.shape == (None, 4)
    assert layers.Add()([a, plain]).mask is None
    assert layers.Concatenate()([a, plain]).mask.shape == (None, 4)
    assert layers.Concatenate(axis=1)([a, b]).mask.shape == (None, 8)
    assert layers.Dot(2)([a, b]).mask is None


def test_mask_rules_on_numbers():
    x = [torch.ones(1, 3, 2), torch.full((1, 3, 2), 5.0)]
    first, second = torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])

    assert layers.Add().compute_mask(x, [first, second]).tolist() == [[True, True, False]]
    joined = layers.Concatenate(axis=1).compute_mask(x, [first, None])
    assert joined.tolist() == [[True, False, False, True, True, True]]
    assert layers.Concatenate().compute_mask(x, [first, second]).tolist() == [[True, True, False]]


def test_multiply_counts_masked_steps_as_one():
    x = [torch.full((1, 3, 1), 2.0), torch.full((1, 3, 1), 5.0)]
    masks = [torch.tensor([[True, False, False]]), torch.tensor([[True, True, False]])]

    assert layers.Multiply()(x, mask=masks).flatten().tolist() == [10.0, 5.0, 0.0]
    assert layers.Multiply()(x, mask=[masks[0], None]).flatten().tolist() == [10.0, 5.0, 5.0]


def test_integers_average_to_floats():
    assert_close(
        layers.Average()([torch.tensor([[1]]), torch.tensor([[2]])]), torch.tensor([[1.5]])
    )
