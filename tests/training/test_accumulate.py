"""Gathering gradients over batches, clipping them, and rates by name."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import callbacks, layers, losses, optimizers
from tests.training.twins import classifier, rows

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
WEIGHTS = np.random.default_rng(1).random(50).astype("float32")


def compiled(model=None, optimizer=None, **more):
    model = classifier(kerasish) if model is None else model
    loss = more.pop("loss", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.compile(optimizer or optimizers.SGD(0.1, momentum=0.9), loss, device="cpu", **more)
    return model


def pair(**more):
    """A model that gathers gradients and a plain one, with the same weights."""
    gathering, plain = compiled(**more), compiled()
    plain.set_weights(gathering.get_weights())
    return gathering, plain


def assert_same_weights(one, other, tolerance=1e-6):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)


@pytest.mark.parametrize(
    ("small", "steps", "big"), [(5, 4, 20), (10, 2, 20), (7, 3, 21), (8, 100, 50), (50, 1, 50)]
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_gathering_gives_the_big_batch_ragged_tail_included(small, steps, big, weights):
    gathering, plain = pair(accumulate_steps=steps)
    fit = {"epochs": 3, "shuffle": False, "verbose": 0, "sample_weight": weights}

    gathering.fit(X, LABELS, batch_size=small, **fit)
    plain.fit(X, LABELS, batch_size=big, **fit)

    assert_same_weights(gathering, plain)
    assert gathering.optimizer.iterations == plain.optimizer.iterations


def test_gathering_with_penalties_gives_the_big_batch():
    def build():
        return kerasish.Sequential(
            [layers.Input((4,)), layers.Dense(8, "tanh", kernel_regularizer="l2"), layers.Dense(3)]
        )

    gathering, plain = compiled(build(), accumulate_steps=4), compiled(build())
    plain.set_weights(gathering.get_weights())
    fit = {"epochs": 3, "shuffle": False, "verbose": 0}

    gathering.fit(X, LABELS, batch_size=5, **fit)
    plain.fit(X, LABELS, batch_size=20, **fit)

    assert_same_weights(gathering, plain)


def test_clipping_works_on_the_gathered_gradient():
    gathering, plain = compiled(accumulate_steps=4, clip_norm=0.05), compiled(clip_norm=0.05)
    plain.set_weights(gathering.get_weights())
    fit = {"epochs": 2, "shuffle": False, "verbose": 0}

    gathering.fit(X, LABELS, batch_size=5, **fit)
    plain.fit(X, LABELS, batch_size=20, **fit)

    assert_same_weights(gathering, plain)


def test_the_optimizers_own_way_of_gathering_works_too():
    optimizer = optimizers.SGD(0.1, gradient_accumulation_steps=5)
    gathering, plain = compiled(optimizer=optimizer), compiled(optimizer=optimizers.SGD(0.1))
    plain.set_weights(gathering.get_weights())
    fit = {"epochs": 2, "shuffle": False, "verbose": 0}

    gathering.fit(X, LABELS, batch_size=10, **fit)
    plain.fit(X, LABELS, batch_size=50, **fit)

    assert_same_weights(gathering, plain)


def test_clip_norm_bounds_the_step():
    model = compiled(optimizer=optimizers.SGD(1.0), clip_norm=0.01)
    before = np.concatenate([w.ravel() for w in model.get_weights()])

    model.fit(X, LABELS, batch_size=50, verbose=0)

    after = np.concatenate([w.ravel() for w in model.get_weights()])
    assert np.linalg.norm(after - before) == pytest.approx(0.01, rel=1e-4)


def test_clip_norm_is_that_of_torch():
    model, hand = compiled(clip_norm=0.1), classifier(kerasish)
    hand.set_weights(model.get_weights())
    optimizer = torch.optim.SGD(hand.parameters(), lr=0.1, momentum=0.9)

    model.fit(X, LABELS, batch_size=25, shuffle=False, verbose=0)

    for i in (0, 25):
        x, y = torch.tensor(X[i : i + 25]), torch.tensor(LABELS[i : i + 25])
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(hand(x), y).backward()
        torch.nn.utils.clip_grad_norm_(hand.parameters(), 0.1)
        optimizer.step()
    assert_same_weights(model, hand)


def test_rates_by_name_pattern():
    model = kerasish.Sequential(
        [layers.Input((4,)), layers.Dense(8, name="body"), layers.Dense(3, name="head")]
    )
    compiled(model, optimizers.SGD(0.1), lr_multipliers={"body.*": 0.0, "head.linear.bias": 2.0})
    before = [w.clone() for w in model.weights]

    model.fit(X, LABELS, batch_size=50, verbose=0)

    grads = gradients(before, model)
    steps = [b - a.detach() for b, a in zip(before, model.weights, strict=True)]
    for step, grad, factor in zip(steps, grads, [0.0, 0.0, 1.0, 2.0], strict=True):
        assert_close(step, 0.1 * factor * grad, rtol=1e-4, atol=1e-6)


def gradients(weights, model):
    w, b, v, c = (x.detach().clone().requires_grad_() for x in weights)
    logits = (torch.tensor(X) @ w.T + b) @ v.T + c
    torch.nn.functional.cross_entropy(logits, torch.tensor(LABELS)).backward()
    return [t.grad for t in (w, b, v, c)]


def test_a_schedule_counts_updates_not_batches():
    schedule = kerasish.schedules.PiecewiseConstantDecay([2], [0.1, 0.0])
    model = compiled(optimizer=optimizers.SGD(schedule), accumulate_steps=5)

    model.fit(X, LABELS, batch_size=5, epochs=3, verbose=0)

    assert model.optimizer.iterations == 6


def test_stopping_in_the_middle_updates_with_what_is_gathered():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                self.model.stop_training = True

    model = compiled(accumulate_steps=2)

    model.fit(X, LABELS, batch_size=10, callbacks=[Stop()], verbose=0)

    assert model.optimizer.iterations == 2


def test_an_interrupt_leaves_no_gradients_behind():
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    interrupted, plain = pair(accumulate_steps=2)
    with pytest.raises(KeyboardInterrupt):
        interrupted.fit(X, LABELS, batch_size=10, callbacks=[Interrupt()], verbose=0)

    compiled(plain, accumulate_steps=2)
    plain.set_weights(interrupted.get_weights())
    compiled(interrupted, accumulate_steps=2)
    for model in (interrupted, plain):
        model.fit(X, LABELS, batch_size=10, shuffle=False, verbose=0)

    assert_same_weights(interrupted, plain)


def test_gradients_of_a_users_own_backward_do_not_leak_into_fit():
    model, plain = pair()
    model(torch.tensor(X)).sum().backward()

    for each in (model, plain):
        each.fit(X, LABELS, shuffle=False, verbose=0)

    assert_same_weights(model, plain)


@pytest.mark.parametrize(
    "options",
    [{}, {"clip_norm": 0.05}, {"precision": "bfloat16-mixed"}, {"memory_format": "channels_last"}],
    ids=["plain", "clipped", "bfloat16", "channels_last"],
)
def test_a_loss_scale_changes_no_update(options):
    inner = optimizers.SGD(0.1, momentum=0.9)
    scaled = compiled(optimizer=optimizers.LossScaleOptimizer(inner), **options)
    plain = compiled(**options)
    plain.set_weights(scaled.get_weights())

    for model in (scaled, plain):
        model.fit(X, LABELS, batch_size=20, epochs=3, shuffle=False, verbose=0)

    tolerance = 2e-2 if "precision" in options else 1e-5
    assert_same_weights(scaled, plain, tolerance)
    assert scaled.optimizer.iterations == 9


WRAPPERS = {
    "loss scale": optimizers.LossScaleOptimizer,
    "parts": lambda inner: optimizers.MultiOptimizer(lambda parameter: inner),
    "both": lambda inner: optimizers.LossScaleOptimizer(
        optimizers.MultiOptimizer(lambda parameter: inner)
    ),
    "itself": lambda inner: inner,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.05}], ids=["plain", "clipped"])
def test_an_optimizer_inside_another_gathers_gradients(wrap, options):
    inner = optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2)
    gathering, plain = compiled(optimizer=wrap(inner), **options), compiled(**options)
    plain.set_weights(gathering.get_weights())

    gathering.fit(X[:40], LABELS[:40], batch_size=10, epochs=3, shuffle=False, verbose=0)
    plain.fit(X[:40], LABELS[:40], batch_size=20, epochs=3, shuffle=False, verbose=0)

    assert_same_weights(gathering, plain, 1e-5)
    assert inner.iterations == 6


def test_the_optimizers_own_way_of_gathering_works_under_a_loss_scale_of_compile():
    inner = optimizers.SGD(0.1, momentum=0.9, gradient_accumulation_steps=2)
    gathering = compiled(optimizer=inner, precision="float16-mixed")
    plain = compiled(precision="float16-mixed")
    plain.set_weights(gathering.get_weights())

    gathering.fit(X[:40], LABELS[:40], batch_size=10, epochs=3, shuffle=False, verbose=0)
    plain.fit(X[:40], LABELS[:40], batch_size=20, epochs=3, shuffle=False, verbose=0)

    assert inner.iterations == plain.optimizer.iterations
    assert_same_weights(gathering, plain, 2e-2)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS.keys())
def test_averages_of_an_optimizer_inside_another_are_in_the_model_after_fit(wrap):
    inner = optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
    model = compiled(optimizer=wrap(inner))

    model.fit(X, LABELS, batch_size=20, verbose=0)

    averages = list(inner._averages.values())
    assert averages
    assert all(map(torch.equal, averages, model.parameters()))


def test_gathering_twice_is_refused():
    with pytest.raises(ValueError, match="use one of them"):
        compiled(optimizer=optimizers.SGD(gradient_accumulation_steps=2), accumulate_steps=2)


def test_members_that_gather_differently_are_refused():
    parts = optimizers.OptimizerMap(
        optimizers.SGD(), {"0/.*": optimizers.SGD(gradient_accumulation_steps=2)}
    )
    with pytest.raises(ValueError, match="same gradient_accumulation_steps, got 1, 2"):
        optimizers.MultiOptimizer(parts)


def test_gathered_gradients_fit_into_half_precision_as_those_of_one_batch_do():
    # An activation's gradient of a mean: 0.4 / 400 times the scale of 2**16 fits, the sum does not.
    x = torch.rand(400, 4)
    gathering, plain = (
        compiled(
            kerasish.Sequential([kerasish.Input((4,)), layers.Dense(1), layers.Dense(1)]),
            loss="mse",
            precision="float16-mixed",
            accumulate_steps=steps,
        )
        for steps in (4, 1)
    )
    plain.set_weights(gathering.get_weights())
    before = gathering.get_weights()[0].copy()

    gathering.fit(x, x[:, :1] * 0.1, batch_size=100, shuffle=False, verbose=0)
    plain.fit(x, x[:, :1] * 0.1, batch_size=400, shuffle=False, verbose=0)

    assert not np.array_equal(plain.get_weights()[0], before)
    assert_same_weights(gathering, plain, 1e-3)
