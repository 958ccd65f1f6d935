import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish.callbacks import CallbackList, GradientMonitor
from kerasish.callbacks.gradient_words import verdict


def _train(model, monitor, *, steps=4, epochs=1, lr=0.0, hooks=None):
    x = torch.randn(64, next(model.parameters()).shape[-1])
    hooks = hooks or CallbackList([monitor], model=model)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        for batch in range(steps):
            hooks.on_train_batch_begin(batch)
            model(x).square().mean().backward()
            with torch.no_grad():
                for p in model.parameters():
                    p -= lr * p.grad
                    p.grad = None
            hooks.on_train_batch_end(batch)
        hooks.on_epoch_end(epoch)
    hooks.on_train_end()
    return x


def _deep(depth, activation, std):
    layers = []
    for _ in range(depth):
        linear = nn.Linear(32, 32)
        nn.init.normal_(linear.weight, std=std)
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(32, 4))


def test_sizes_are_root_mean_squares():
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2))
    monitor = GradientMonitor(every=1, verbose=0)

    x = _train(model, monitor, steps=1)

    model(x).square().mean().backward()
    first = torch.cat([model[0].weight.grad.flatten(), model[0].bias.grad])
    assert list(monitor.gradients) == ["0", "2"]
    assert_close(monitor.gradients["0"][0], first.square().mean().sqrt().item())
    assert_close(monitor.activations["2"][0], model(x).square().mean().sqrt().item())


def test_every_nth_step_is_measured_and_hooks_are_gone_afterwards():
    model = nn.Sequential(nn.Linear(3, 2))
    monitor = GradientMonitor(every=3, verbose=0)

    _train(model, monitor, steps=4, epochs=2)

    assert monitor.steps == [0, 3, 6]
    assert len(monitor.gradients["0"]) == 3
    assert not model[0]._forward_hooks
    assert not model[0].weight._post_accumulate_grad_hooks


def test_vanishing_gradients_are_said(capsys):
    model = _deep(16, nn.Sigmoid, 0.1)

    _train(model, GradientMonitor(every=1))

    assert (
        "GradientMonitor, epoch 1: gradients vanish towards the input:" in capsys.readouterr().out
    )


def test_exploding_gradients_are_said():
    monitor = GradientMonitor(every=1, verbose=0)

    _train(_deep(12, nn.Identity, 1.0), monitor)

    assert "gradients explode towards the input" not in monitor.report()  # large, but alike
    assert "gradients are very large" in monitor.report()
    assert "activations blow up towards the output" in monitor.report()


def test_a_healthy_network_is_said_to_be_so(capsys):
    model = _deep(6, nn.ReLU, math.sqrt(2 / 32))

    _train(model, GradientMonitor(every=2), epochs=3)

    # Once: nothing changed after the first epoch.
    assert capsys.readouterr().out == (
        "GradientMonitor, epoch 1: gradients and activations are of similar size in all layers.\n"
    )


def test_a_dead_layer_is_named():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    nn.init.constant_(model[0].bias, -100.0)
    monitor = GradientMonitor(every=1, verbose=0)

    _train(model, monitor)

    assert monitor.report().startswith("no gradient reaches '0'.")


def test_frozen_layers_have_activations_only():
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    monitor = GradientMonitor(every=1, verbose=0)
    model[1].bias.grad = torch.zeros(1)
    for p in model[0].parameters():
        p.grad = torch.zeros_like(p)

    x = torch.randn(8, 3)
    hooks = CallbackList([monitor], model=model)
    hooks.on_train_begin()
    hooks.on_train_batch_begin(0)
    model(x).mean().backward()
    hooks.on_train_batch_end(0)

    monitor._read()
    assert monitor.gradients["0"] == [None]
    assert monitor.activations["0"][0] > 0
    assert monitor.gradients["1"][0] > 0


def test_numbers_that_are_not_finite_are_said():
    assert verdict({"a": (math.nan, 1.0), "b": (math.inf, 1.0), "c": (1.0, 1.0)}) == (
        "gradients are not finite in 'a', 'b'; 'b' is nearest to the loss."
    )
    assert verdict({"a": (1.0, 1.0), "b": (1.0, math.nan)}) == (
        "activations are not finite from 'b' on."
    )


def test_words_for_each_shape_of_trouble():
    def gradients(*sizes):
        return verdict({str(i): (size, 1.0) for i, size in enumerate(sizes)})

    assert gradients(1e2, 1e0, 1e-2).startswith("gradients explode towards the input: 1.0e+02")
    assert gradients(1e-7, 1e-5, 1e-3).startswith("gradients vanish towards the input: 1.0e-07")
    assert gradients(1e-2, 1e-6, 1e-2) == "gradients are uneven: 1.0e-06 in '1', 1.0e-02 in '0'."
    assert gradients(1e-10, 1e-10) == "gradients are tiny everywhere: at most 1.0e-10, in '0'."
    assert "similar size" in gradients(1e-3, 2e-3, 1e-3)
    assert verdict({"a": (1.0, 1.0), "b": (1.0, 1e-2), "c": (1.0, 1e-4)}).startswith(
        "activations fade towards the output"
    )
    assert verdict({"a": (1.0, 1.0), "b": (1.0, 0.0)}) == "activations are all zero in 'b'."


def test_plot_has_a_row_per_quantity():
    pytest.importorskip("matplotlib")
    monitor = GradientMonitor(every=1, verbose=0)
    with pytest.raises(ValueError, match="nothing measured yet"):
        monitor.plot()
    _train(_deep(3, nn.Tanh, 0.3), monitor, steps=8)

    figure = monitor.plot()

    assert len(figure.axes) == 4
    assert len(figure.axes[0].get_lines()) == 6
    assert figure.axes[1].get_lines()[0].get_ydata().tolist() == monitor.gradients["0"]


def test_wrong_interval_is_an_error():
    with pytest.raises(ValueError, match="`every` must be a positive integer"):
        GradientMonitor(0)


def test_a_layer_counts_as_one_with_the_module_inside_it():
    from kerasish import layers
    from kerasish.callbacks.taps import weighted_layers

    model = nn.Sequential(
        layers.Dense(4, name="hidden"),
        layers.TorchModule(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))),
        nn.Linear(2, 1),
    )
    model(torch.ones(1, 3))

    assert list(weighted_layers(model)) == ["0", "1.module.0", "1.module.1", "2"]


def test_a_lazy_model_is_measured_from_its_second_step_on():
    from kerasish import layers

    model = nn.Sequential(layers.Dense(4), layers.Dense(1))
    monitor = GradientMonitor(every=5, verbose=0)
    hooks = CallbackList([monitor], model=model)

    hooks.on_train_begin()
    for batch in range(7):
        hooks.on_train_batch_begin(batch)
        model(torch.randn(8, 3)).mean().backward()
        hooks.on_train_batch_end(batch)
    hooks.on_train_end()

    assert monitor.steps == [1, 5]
