"""Rescaling and Normalization against Keras, NumPy and numbers worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers
from kerasish.data import make_feed
from tests.layers.harness import assert_same_as_keras, check_layer


@pytest.mark.parametrize("args", [(1 / 127.5, -1.0), (2.0,), (1 / 255,)], ids=str)
def test_rescaling_is_that_of_keras(args):
    keras = pytest.importorskip("keras")

    assert_same_as_keras(
        layers.Rescaling(*args), keras.layers.Rescaling(*args), torch.randn(2, 5, 3)
    )


def test_rescaling_owes():
    check_layer(layers.Rescaling(1 / 255, -0.5), torch.randn(2, 3, 4, 4), (2, 3, 4, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64], ids=str)
def test_integers_become_floats(dtype):
    x = torch.tensor([[0, 51, 255]], dtype=dtype)
    layer = layers.Rescaling(1 / 127.5, -1)

    assert_close(layer(x), torch.tensor([[-1.0, -0.6, 1.0]]))
    assert_close(layer(x.numpy()), torch.tensor([[-1.0, -0.6, 1.0]]))
    assert layer(layers.Input((3,), dtype=dtype)).dtype == torch.float32


def test_one_scale_for_each_channel_in_both_axis_orders():
    x = torch.ones(1, 3, 2, 2)
    first = layers.Rescaling(np.array([1.0, 2.0, 3.0]), [0.0, 1.0, 2.0])

    assert first(x)[0, :, 0, 0].tolist() == [1.0, 3.0, 5.0]

    kerasish.config.set_image_data_format("channels_last")
    last = layers.Rescaling([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    assert last(x.movedim(1, -1))[0, 0, 0].tolist() == [1.0, 3.0, 5.0]


def test_scales_are_arguments_not_weights():
    layer = layers.Rescaling([1.0, 2.0, 3.0])
    layer(torch.ones(1, 3, 2, 2))

    assert layer.weights == []
    assert not layer.state_dict()


# Normalization


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (0, -1), None], ids=str)
@pytest.mark.parametrize("invert", [False, True])
def test_normalization_is_that_of_keras(axis, invert):
    keras = pytest.importorskip("keras")
    x = torch.randn(6, 3, 4) * 3 + 2
    ours = layers.Normalization(axis, invert=invert)
    theirs = keras.layers.Normalization(axis, invert=invert)
    ours.adapt(x)
    theirs.build(x.shape)
    theirs.set_weights(ours.get_weights())
    theirs.finalize_state()

    kept = [a % 3 for a in ((axis,) if isinstance(axis, int) else axis or ())]
    averaged = tuple(a for a in range(3) if a not in kept)
    assert_close(ours.mean, torch.as_tensor(x.numpy().mean(averaged)))
    assert_close(ours.variance, torch.as_tensor(x.numpy().var(averaged)))
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize(
    ("axis", "mean"), [(-1, [1.0, 2.0, 3.0]), (-1, 2.0), (None, 1.5), ((1, 2), [1.0, 2.0, 3.0])]
)
def test_given_statistics_are_those_of_keras(axis, mean):
    keras = pytest.importorskip("keras")
    variance = np.square(mean).tolist()
    x = torch.randn(2, 4, 3)
    ours = layers.Normalization(axis, mean, variance)

    y = ours(x)

    assert_close(y, keras.layers.Normalization(axis, mean, variance)(x))
    assert ours.weights == []
    assert not ours.state_dict()


def test_channels_of_images_follow_the_image_format():
    x = np.random.RandomState(0).rand(5, 3, 4, 6)
    layer = layers.Normalization()
    layer.adapt(x)
    assert_close(layer.mean.numpy(), x.mean((0, 2, 3)).astype(np.float32))
    assert_close(layer.variance.numpy(), x.var((0, 2, 3)).astype(np.float32))

    kerasish.config.set_image_data_format("channels_last")
    last = layers.Normalization()
    last.adapt(np.moveaxis(x, 1, -1))
    assert_close(last.mean, layer.mean)
    assert_close(last(np.moveaxis(x, 1, -1)), layer(x).movedim(1, -1))


def test_a_row_of_numbers_is_one_feature():
    layer = layers.Normalization()
    layer.adapt([1.0, 2.0, 3.0, 4.0, 5.0])

    assert_close(layer([1.0, 3.0]), torch.tensor([-(2**0.5), 0.0]))


def test_constant_features_do_not_divide_by_zero():
    layer = layers.Normalization()
    layer.adapt([[3.0], [3.0]])

    assert layer([[3.0]]).item() == 0.0


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
    offset=st.sampled_from([0.0, 1e4, -1e6]),
)
def test_statistics_of_batches_are_those_of_the_whole(sizes, offset):
    data = np.random.RandomState(sum(sizes)).randn(sum(sizes), 3) + offset
    whole, parts = layers.Normalization(), layers.Normalization()

    whole.adapt(data)
    parts.adapt(np.split(data, np.cumsum(sizes)[:-1]))

    assert_close(parts.mean, whole.mean)
    assert_close(parts.variance, whole.variance)
    assert_close(whole.variance.numpy(), data.var(0).astype(np.float32), rtol=1e-5, atol=1e-9)


def test_large_arrays_are_read_in_chunks(monkeypatch):
    monkeypatch.setattr("kerasish.layers.preprocessing._CHUNK", 7)
    data = np.random.RandomState(0).randint(0, 255, (11, 2, 3), dtype=np.uint8)
    layer = layers.Normalization()

    layer.adapt(data)

    assert_close(layer.mean.numpy(), data.mean((0, 1)).astype(np.float32))


def test_datasets_loaders_and_feeds_bring_targets_that_are_left_out():
    x, y = torch.randn(10, 3), torch.zeros(10)
    expected = layers.Normalization()
    expected.adapt(x)
    pairs = TensorDataset(x, y)
    sources = [pairs, DataLoader(pairs, batch_size=4), make_feed(x, y), iter([(x, y)])]
    for source in [*sources, [(x, y)], [x[:4], x[4:]]]:
        layer = layers.Normalization()
        layer.adapt(source)
        assert_close(layer.mean, expected.mean)


def test_adapting_again_forgets():
    layer = layers.Normalization()
    layer.adapt([[1.0], [3.0]])
    layer.adapt([[10.0], [30.0]])

    assert layer.mean.item() == 20.0


def test_learned_statistics_are_state():
    layer = layers.Normalization()
    layer.adapt(torch.randn(8, 3))
    check_layer(layers.Normalization(), torch.randn(2, 3), (2, 3))
    assert [w.shape for w in layer.get_weights()] == [(3,), (3,), ()]
    assert layer.trainable_weights == []

    again = layers.Normalization.from_config(layer.get_config())
    again.build((None, 3))
    again.load_state_dict(layer.state_dict())
    x = torch.randn(2, 3)
    assert_close(again(x), layer(x))


def test_inverting_undoes():
    x = torch.randn(20, 3) * 5 + 1
    forth, back = layers.Normalization(), layers.Normalization(invert=True)
    forth.adapt(x)
    back.adapt(x)

    assert_close(back(forth(x)), x)


def test_one_number_goes_with_a_list():
    x = torch.tensor([[3.0, 6.0]])

    assert layers.Normalization(mean=[1.0, 2.0], variance=4.0)(x).tolist() == [[1.0, 2.0]]
    assert layers.Normalization(mean=2.0, variance=[1.0, 4.0])(x).tolist() == [[1.0, 2.0]]


def test_normalization_refuses():
    with pytest.raises(ValueError, match="go together"):
        layers.Normalization(mean=1.0)
    with pytest.raises(ValueError, match="go together"):
        layers.Normalization(mean=[1.0, 2.0], variance=[1.0])
    with pytest.raises(ValueError, match="`mean` has 2 axes, but axis=-1 keeps 1"):
        layers.Normalization(-1, mean=np.ones((2, 2)), variance=np.ones((2, 2)))
    with pytest.raises(ValueError, match="must be an integer, several, 'auto' or None"):
        layers.Normalization("channels")
    with pytest.raises(ValueError, match="lies outside an input with 2 axes"):
        layers.Normalization(3)(torch.ones(2, 2))
    with pytest.raises(ValueError, match="was made with a mean"):
        layers.Normalization(mean=1.0, variance=1.0).adapt([1.0])
    with pytest.raises(ValueError, match="do not fit kept axes of sizes"):
        layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(torch.ones(2, 3))
    with pytest.raises(ValueError, match="size 3 on axis -1"):
        layers.Normalization().adapt([torch.ones(2, 3), torch.ones(2, 4)])
    with pytest.raises(ValueError, match="needs to know the size of axis 1"):
        layers.Normalization()(layers.Input((None,)))
    with pytest.raises(TypeError, match="expected an array, a list, a dataset"):
        layers.Normalization().adapt(object())


def made_for_images(kind):
    if kind == "learned":
        layer = layers.Normalization()
        layer.adapt(np.random.default_rng(0).random((20, 3, 4, 4), "float32"))
        return layer
    if kind == "given":
        return layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[4.0, 5.0, 6.0])
    return layers.Rescaling([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])


@pytest.mark.parametrize("kind", ["learned", "given", "scaled"])
def test_numbers_for_each_channel_stay_with_it_in_files_and_leave_by_to_torch(kind, tmp_path):
    model = kerasish.Sequential([layers.Input((3, 4, 4)), made_for_images(kind)])
    x = torch.rand(2, 3, 4, 4)
    expected = model(x)
    assert torch.equal(model.to_torch()(x), expected)
    model.save(tmp_path / "m.kerasish")
    was = kerasish.config.image_data_format()
    kerasish.config.set_image_data_format("channels_last")
    try:
        loaded = kerasish.load_model(tmp_path / "m.kerasish")
    finally:
        kerasish.config.set_image_data_format(was)
    assert torch.equal(loaded(x), expected)
