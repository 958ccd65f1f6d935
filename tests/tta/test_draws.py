"""Views drawn at random by an augmentation, and Monte-Carlo dropout."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers, tta
from kerasish.layers.augmentation.draws import sample_context


def images(rows=6, size=8):
    return np.random.default_rng(0).random((rows, 3, size, size)).astype("float32")


def network():
    return kerasish.Sequential(
        [layers.Input((3, 8, 8)), layers.Flatten(), layers.Dense(3, activation="softmax")]
    )


def predict(model, x, tta, batch_size=32):
    return model.predict(x, batch_size=batch_size, verbose=0, tta=tta)


# Draws


def test_draws_average_what_epochs_of_training_would_show():
    model, x = network(), images()
    flip = layers.RandomFlip(seed=3)

    averaged = predict(model, x, tta.Draws(flip, 4))

    by_hand = []
    for epoch in range(4):
        with sample_context(np.arange(6), epoch):
            by_hand.append(model.predict(flip(torch.as_tensor(x), training=True), verbose=0))
    assert_close(averaged, np.mean(by_hand, axis=0), rtol=1e-5, atol=1e-6)
    assert np.ptp(by_hand, axis=0).max() > 1e-4


def test_draws_are_the_same_for_every_batch_size_and_call():
    model, views = network(), tta.Draws(layers.RandomFlip("horizontal_and_vertical", seed=1), 3)
    x = images()
    model.compile("sgd", "categorical_crossentropy")
    y = np.eye(3, dtype="float32")[np.arange(6) % 3]

    losses = {model.evaluate(x, y, size, verbose=0, tta=views) for size in (2, 4, 6)}

    assert_close(predict(model, x, views, 2), predict(model, x, views, 4))
    assert max(losses) == pytest.approx(min(losses), rel=1e-6)


def test_draws_may_cut_larger_images_to_the_models_size():
    model = network()
    model.compile("sgd", "categorical_crossentropy")
    views = tta.Draws(layers.RandomCrop(8, 8, seed=0), 5)

    model.evaluate(images(size=12), np.ones((6, 3)) / 3, verbose=0, tta=views)

    assert predict(model, images(size=12), views).shape == (6, 3)


def test_torchvisions_transforms_are_drawn():
    from torchvision.transforms import v2

    model, x = network(), images()

    averaged = predict(model, x, tta.Draws(v2.RandomHorizontalFlip(p=1.0), 2))

    assert_close(averaged, model.predict(x[..., ::-1].copy(), verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [0, 2.5, True])
def test_numbers_of_views_must_be_positive(n):
    with pytest.raises(ValueError, match="Draws: `n` must be a positive number"):
        tta.Draws(layers.RandomFlip(), n)
    with pytest.raises(ValueError, match="MonteCarloDropout: `n` must be a positive number"):
        tta.MonteCarloDropout(n)


# Monte-Carlo dropout


def dropping():
    return kerasish.Sequential(
        [
            layers.Input((3, 8, 8)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.SpatialDropout2D(0.3),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )


def test_monte_carlo_dropout_is_a_loop_over_predictions_with_dropout():
    model, x = dropping(), images()

    torch.manual_seed(7)
    mean, spread = predict(model, x, tta.MonteCarloDropout(8, spread=True))

    torch.manual_seed(7)
    model.eval()
    for name in ("SpatialDropout2D", "Dropout"):
        for module in model.modules():
            if type(module).__name__ in (name, "Dropout2d"):
                module.train()
    with torch.no_grad():
        by_hand = torch.stack([model(torch.as_tensor(x)) for _ in range(8)]).numpy()
    assert_close(mean, by_hand.mean(0), rtol=1e-5, atol=1e-6)
    assert_close(spread, by_hand.std(0), rtol=1e-4, atol=1e-6)
    assert spread.max() > 1e-3


def test_monte_carlo_dropout_leaves_statistics_and_modes_alone():
    model = dropping()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    predict(model, images(), "monte_carlo_dropout")

    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_monte_carlo_dropout_reaches_frozen_torch_and_recurrent_dropout():
    inputs = layers.Input((5, 4))
    frozen = layers.TorchModule(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)), trainable=False)
    torch_drops = kerasish.Model(inputs, frozen(inputs))
    recurrent = kerasish.Model(inputs, layers.LSTM(3, dropout=0.5)(inputs))
    attention = kerasish.Model(inputs, layers.MultiHeadAttention(1, 4, dropout=0.5)(inputs, inputs))
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")

    for model in (torch_drops, recurrent, attention):
        _, spread = predict(model, x, tta.MonteCarloDropout(6, spread=True))

        assert spread.max() > 1e-3, model


def test_monte_carlo_dropout_reaches_torchs_encoders():
    layer = nn.TransformerEncoderLayer(4, 1, 8, dropout=0.5, batch_first=True)
    model = kerasish.Model(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False))
    views = tta.MonteCarloDropout(4, spread=True)

    _, spread = model.predict(np.ones((2, 3, 4), "float32"), verbose=0, tta=views)

    assert spread.max() > 0
    assert torch.backends.mha.get_fastpath_enabled()


def test_monte_carlo_dropout_leaves_random_paths_alone():
    inputs = layers.Input((4,))
    x = layers.Dropout(0.5)(layers.Dense(4)(inputs)) * 0
    model = kerasish.Model(
        inputs, x + layers.StochasticDepth(0.5)(layers.GaussianNoise(1.0)(inputs))
    )

    _, spread = predict(model, np.ones((5, 4), "float32"), tta.MonteCarloDropout(6, spread=True))

    assert spread.max() == 0


def test_a_model_without_dropout_is_refused():
    with pytest.raises(ValueError, match="has no dropout"):
        predict(network(), images(), "monte_carlo_dropout")


def test_mode_comes_back_when_the_model_fails():
    model = dropping()
    views = tta.MonteCarloDropout()

    with pytest.raises(RuntimeError, match="broken"), views.mode(model):
        raise RuntimeError("broken")

    model.eval()
    assert not any(module.training for module in model.modules())


def test_draws_are_the_same_whether_the_model_is_built_by_them_or_before():
    model = kerasish.Sequential([layers.Flatten(), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    y = np.eye(3, dtype="float32")[np.arange(6) % 3]
    views = tta.Draws(layers.RandomFlip(seed=2), 3)

    first, second = (model.evaluate(images(), y, verbose=0, tta=views) for _ in range(2))

    assert first == pytest.approx(second, rel=1e-6)
