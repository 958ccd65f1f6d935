import pytest
import torch
from fake_fit import FakeModel, fake_fit
from torch import nn
from torch.testing import assert_close

from kerasish import optimizers
from kerasish.callbacks import (
    CallbackList,
    LambdaCallback,
    StochasticWeightAveraging,
    SwapEMAWeights,
)


def _averaging_model(use_ema=True):
    """A model of weight 3 whose moving average is 1."""
    model = FakeModel()
    model.optimizer = optimizers.SGD(1.0, use_ema=use_ema, ema_momentum=1.0)
    model.optimizer.bind(model.named_parameters())
    with torch.no_grad():
        model.weight.fill_(1.0)
        model.weight.grad = torch.zeros(())
        model.optimizer.update()
        model.weight.fill_(3.0)
    return model


@pytest.mark.parametrize("phase", ["test", "predict"])
def test_averages_are_in_the_model_during(phase):
    model = _averaging_model()
    hooks = CallbackList([SwapEMAWeights()], model=model)

    getattr(hooks, f"on_{phase}_begin")()
    inside = model.weight.item()
    getattr(hooks, f"on_{phase}_end")()

    assert (inside, model.weight.item()) == (1.0, 3.0)
    assert [float(a) for a in model.optimizer._averages.values()] == [1.0]


def test_averages_are_in_the_model_between_epochs_when_asked():
    model, seen = _averaging_model(), []
    watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.weight.item()))

    fake_fit(
        [SwapEMAWeights(swap_on_epoch=True), watch], [{}, {}], model=model, params={"steps": 2}
    )

    # The weight of the fake model is its epoch; the average stays what it was.
    assert seen == [1.0, 1.0]
    assert model.weight.item() == 1.0
    assert [float(a) for a in model.optimizer._averages.values()] == [1.0]


def test_weights_are_back_when_validation_fails():
    model = _averaging_model()
    hooks = CallbackList([SwapEMAWeights()], model=model)

    hooks.on_train_begin()
    hooks.on_test_begin()
    hooks.on_train_end()

    assert model.weight.item() == 3.0


def test_an_optimizer_without_averages_is_an_error():
    with pytest.raises(ValueError, match="give it use_ema=True"):
        fake_fit([SwapEMAWeights()], [{}], model=_averaging_model(use_ema=False))


@pytest.mark.parametrize(
    ("start", "expected"), [(0.5, 3.5), (1, 3.0), (0, 2.5), (1.0, 4.0), (7, 4.0)]
)
def test_training_ends_with_the_mean_of_the_last_epochs(start, expected):
    model = fake_fit([StochasticWeightAveraging(start)], [{"loss": 1.0}] * 4)

    assert_close(model.weight.detach(), torch.tensor(expected))


def test_the_rate_is_constant_from_the_start_epoch_on():
    rates = []
    watch = LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(watch.model.optimizer.learning_rate)
    )

    fake_fit([StochasticWeightAveraging(2, learning_rate=0.05), watch], [{"loss": 1.0}] * 3)

    assert rates == [0.1, 0.1, 0.05]


def test_batch_norm_statistics_are_measured_anew():
    model = nn.Sequential(nn.BatchNorm1d(2))
    data = torch.randn(64, 2) * 3 + 5
    averaging = StochasticWeightAveraging(0, batch_norm_data=data.numpy(), batch_size=16)
    hooks = CallbackList([averaging], model=model, epochs=1)

    hooks.on_train_begin()
    hooks.on_epoch_end(0)
    hooks.on_train_end()

    assert_close(model[0].running_mean, data.mean(0))


def test_statistics_are_averaged_without_data():
    model = nn.Sequential(nn.BatchNorm1d(2))
    hooks = CallbackList([StochasticWeightAveraging(0)], model=model, epochs=2)

    hooks.on_train_begin()
    for epoch in range(2):
        model[0].running_mean.fill_(epoch)
        model[0].num_batches_tracked.fill_(epoch)
        hooks.on_epoch_end(epoch)
    hooks.on_train_end()

    assert model[0].running_mean.tolist() == [0.5, 0.5]
    assert model[0].num_batches_tracked == 1


@pytest.mark.parametrize("start", [-1, 1.5])
def test_wrong_start_is_an_error(start):
    with pytest.raises(ValueError, match="`start_epoch` must be an epoch from 0 or a fraction"):
        StochasticWeightAveraging(start)
