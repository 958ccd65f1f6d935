import math

import pytest
from torch import nn

from kerasish import optimizers
from kerasish.callbacks import CallbackList, LearningRateFinder


def _find(finder, *, curvature=1.0, epochs=1, steps=200, bind=True):
    """Minimise curvature/2 * w**2 by plain gradient descent, with the logs of a real fit."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    model.stop_training = False
    model.optimizer = optimizers.SGD(0.123, momentum=0.0)
    if bind:
        model.optimizer.bind(model.named_parameters())
    hooks = CallbackList([finder], model=model, epochs=epochs, steps=steps)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        total = 0.0
        for batch in range(steps):
            hooks.on_train_batch_begin(batch)
            loss = curvature / 2 * model.weight.square().sum()
            loss.backward()
            model.optimizer.update()
            total += loss.item()
            hooks.on_train_batch_end(batch, {"loss": total / (batch + 1)})
            if model.stop_training:
                break
        if model.stop_training:
            break
    hooks.on_train_end()
    return model


def test_rates_rise_geometrically_from_first_to_last():
    finder = LearningRateFinder(1e-4, 1.0, 21, verbose=0)

    _find(finder)

    assert len(finder.learning_rates) == len(finder.losses) == 21
    assert finder.learning_rates[0] == pytest.approx(1e-4)
    assert finder.learning_rates[5] == pytest.approx(1e-3)
    assert finder.learning_rates[-1] == pytest.approx(1.0)


def test_losses_are_those_of_single_batches():
    finder = LearningRateFinder(0.01, 0.1, 10, verbose=0)

    _find(finder, steps=4, epochs=5)

    weight, expected = 1.0, []
    for rate in finder.learning_rates:
        expected.append(weight**2 / 2)
        weight -= rate * weight
    assert finder.losses == pytest.approx(expected)


def test_weights_rate_and_state_are_as_before():
    finder = LearningRateFinder(0.01, 0.1, 10, verbose=0)

    model = _find(finder)

    assert model.weight.item() == 1.0
    assert model.optimizer.learning_rate == 0.123
    assert model.optimizer.iterations == 0


def test_search_ends_when_the_loss_explodes():
    finder = LearningRateFinder(1e-3, 1e3, 100, verbose=0)

    model = _find(finder)

    # Plain gradient descent on w**2/2 diverges from a rate of 2 on.
    assert model.stop_training
    assert 2 < finder.learning_rates[-1] < 1e3


@pytest.mark.parametrize("curvature", [1.0, 100.0])
def test_suggestion_is_below_the_edge_and_scales_with_curvature(curvature, capsys):
    finder = LearningRateFinder(1e-5, 1e2, 150)

    _find(finder, curvature=curvature)

    # Stability ends at 2 / curvature.
    assert 0.005 / curvature < finder.suggestion() < 2 / curvature
    assert f"suggests {finder.suggestion():.2g}" in capsys.readouterr().out


def test_too_few_steps_warn():
    finder = LearningRateFinder(1e-5, 1.0, 100, verbose=0)

    with pytest.warns(UserWarning, match="ended after 20 of 100 steps"):
        _find(finder, steps=20)


def test_a_loss_that_is_no_number_ends_the_search():
    finder = LearningRateFinder(1e-5, 1.0, 50, verbose=0)

    _find(finder, curvature=math.nan)

    assert len(finder.losses) == 1
    with pytest.raises(RuntimeError, match="too few for a suggestion"):
        finder.suggestion()


def test_plot_shows_losses_and_suggestion():
    pytest.importorskip("matplotlib")
    finder = LearningRateFinder(1e-3, 1.0, 20, verbose=0)
    _find(finder)

    axis = finder.plot().axes[0]

    assert axis.get_xscale() == "log"
    assert [line.get_label().split()[0] for line in axis.get_lines()] == [
        "batch",
        "smoothed",
        "suggestion",
    ]


@pytest.mark.parametrize(
    "options", [{"min_lr": 0}, {"min_lr": 1, "max_lr": 0.1}, {"num_steps": 3}, {"smoothing": 1}]
)
def test_wrong_settings_are_errors(options):
    with pytest.raises(ValueError, match="LearningRateFinder"):
        LearningRateFinder(**options)
