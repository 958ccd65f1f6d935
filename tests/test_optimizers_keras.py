"""Optimizers against Keras: the same weights after a run of the same gradients."""

import copy

import numpy as np
import pytest
import torch

from kerasish import optimizers
from kerasish.optimizers import schedules as schedule

keras = pytest.importorskip("keras")

# Keras's variables speak NumPy 1's protocol.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SHAPES = {"dense.kernel": (6, 4), "dense.bias": (4,), "embedding.table": (5, 3), "scale": (3,)}
NUM_STEPS = 20

# With the relative tolerance that torch's own formula leaves on gradients of order 1.
CASES = [
    ("SGD", {"learning_rate": 0.1}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1}, 1e-5),
    ("Adam", {"learning_rate": 0.05}, 1e-4),
    ("Adam", {"learning_rate": 0.05, "amsgrad": True, "beta_2": 0.9}, 1e-4),
    ("Adam", {"learning_rate": 0.05, "weight_decay": 0.1}, 1e-4),
    ("AdamW", {"learning_rate": 0.05}, 1e-4),
    ("RMSprop", {"learning_rate": 0.05}, 1e-5),
    ("RMSprop", {"learning_rate": 0.05, "momentum": 0.5}, 1e-5),
    ("RMSprop", {"learning_rate": 0.05, "centered": True}, 1e-4),
    ("RMSprop", {"learning_rate": 0.05, "momentum": 0.5, "centered": True}, 1e-4),
    ("RMSprop", {"learning_rate": 0.05, "weight_decay": 0.1, "epsilon": 0.01}, 1e-5),
    ("Adagrad", {"learning_rate": 0.5}, 1e-5),
    ("Adadelta", {"learning_rate": 1.0}, 1e-4),
    ("Adamax", {"learning_rate": 0.05}, 1e-4),
    ("Nadam", {"learning_rate": 0.05}, 1e-4),
    ("Nadam", {"learning_rate": 0.05, "weight_decay": 0.1}, 1e-4),
    ("Adafactor", {"learning_rate": 0.1}, 1e-4),
    ("Adafactor", {"learning_rate": 0.9, "clip_threshold": 2.0, "weight_decay": 0.01}, 1e-4),
    ("Lion", {"learning_rate": 0.01}, 1e-5),
    ("Lamb", {"learning_rate": 0.05}, 1e-4),
    ("Ftrl", {"learning_rate": 0.1}, 1e-4),
    (
        "Ftrl",
        {
            "learning_rate": 0.1,
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.03,
            "beta": 0.1,
        },
        1e-4,
    ),
    ("Muon", {"learning_rate": 0.05}, 1e-3),
    (
        "Muon",
        {"nesterov": False, "rms_rate": None, "exclude_embeddings": False, "adam_lr_ratio": 0.5},
        1e-3,
    ),
    ("Adam", {"learning_rate": 0.05, "clipnorm": 0.5}, 3e-4),
    ("SGD", {"learning_rate": 0.1, "clipnorm": 0.5}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 1.5}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "global_clipnorm": 1e4}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.8}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_overwrite_frequency": 4}, 1e-5),
    ("SGD", {"learning_rate": 0.1, "loss_scale_factor": 8.0}, 1e-5),
    ("Adam", {"learning_rate": 0.1, "gradient_accumulation_steps": 3, "clipnorm": 1.0}, 3e-4),
]


def label_of_settings(settings):
    return "-".join(key for key in settings if key != "learning_rate") or "plain"


def label(case):
    return f"{case[0]}-{label_of_settings(case[1])}"


def starting_weights():
    random = np.random.default_rng(0)
    return {name: random.normal(size=shape).astype("float32") for name, shape in SHAPES.items()}


def gradients(step):
    random = np.random.default_rng(100 + step)
    return [random.normal(size=shape).astype("float32") for shape in SHAPES.values()]


@pytest.mark.parametrize(("name", "settings", "tolerance"), CASES, ids=[label(c) for c in CASES])
def test_weights_after_some_updates_are_those_of_keras(name, settings, tolerance):
    start = starting_weights()
    theirs = getattr(keras.optimizers, name)(**settings)
    variables = [keras.Variable(value, name=key) for key, value in start.items()]
    parameters = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start.items()}
    ours = getattr(optimizers, name)(**settings).bind(parameters.items())

    for step in range(NUM_STEPS):
        with torch.no_grad():
            theirs.apply([torch.tensor(g) for g in gradients(step)], variables)
        ours.apply([torch.tensor(g) for g in gradients(step)])
        # torch's epsilon weighs less than Keras's in Adam's first steps.
        assert_same_weights(parameters, variables, start, tolerance * (30 if "Adam" in name else 1))
    assert_same_weights(parameters, variables, start, tolerance)
    if settings.get("use_ema"):
        theirs.finalize_variable_values(variables)
        ours.finalize_variable_values()
        assert_same_weights(parameters, variables, start, tolerance)
    assert ours.iterations == int(theirs.iterations)


def assert_same_weights(parameters, variables, start, tolerance):
    """Equal, relative to the way that the weights of each tensor have gone."""
    for variable, (key, parameter) in zip(variables, parameters.items(), strict=True):
        expected = keras.ops.convert_to_numpy(variable)
        slack = tolerance * np.abs(expected - start[key]).max() + 1e-7
        np.testing.assert_allclose(parameter.detach().numpy(), expected, atol=slack, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-3, 1e-5])
@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"centered": True}, {"momentum": 0.5, "centered": True}],
    ids=label_of_settings,
)
def test_rmsprop_equals_keras_on_small_gradients_while_the_rate_falls(settings, size):
    start = starting_weights()
    schedules = [m.ExponentialDecay(0.05, 3, 0.5) for m in (keras.optimizers.schedules, schedule)]
    theirs = keras.optimizers.RMSprop(schedules[0], **settings)
    variables = [keras.Variable(value, name=key) for key, value in start.items()]
    parameters = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start.items()}
    ours = optimizers.RMSprop(schedules[1], **settings).bind(parameters.items())

    for step in range(NUM_STEPS):
        with torch.no_grad():
            theirs.apply([torch.tensor(size * g) for g in gradients(step)], variables)
        ours.apply([torch.tensor(size * g) for g in gradients(step)])
        assert_same_weights(parameters, variables, start, 1e-4)


def test_rmsprop_goes_on_from_the_state_of_torch():
    start = torch.linspace(-1, 1, 6)
    parameters = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    grads = [torch.tensor(gradients(step)[0].ravel()[:6]) for step in range(8)]
    plain = torch.optim.RMSprop(parameters[:1], 0.05, alpha=0.9, eps=0.0, momentum=0.9)
    ours = optimizers.RMSprop(0.05, epsilon=0.0, momentum=0.9).bind([("w", parameters[1])])

    for step, grad in enumerate(grads):
        if step == 4:
            ours.load_state_dict(copy.deepcopy(plain.state_dict()))
            with torch.no_grad():
                parameters[1].copy_(parameters[0])
        parameters[0].grad = grad.clone()
        plain.step()
        if step >= 4:
            ours.apply([grad.clone()])

    torch.testing.assert_close(*parameters)


def test_a_schedule_is_read_as_keras_reads_it():
    start = starting_weights()
    variables = [keras.Variable(value, name=key) for key, value in start.items()]
    parameters = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start.items()}
    theirs = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5))
    ours = optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 3, 0.5))
    ours.bind(parameters.items())

    for step in range(NUM_STEPS):
        assert ours.learning_rate == pytest.approx(float(theirs.learning_rate))
        with torch.no_grad():
            theirs.apply([torch.tensor(g) for g in gradients(step)], variables)
        ours.apply([torch.tensor(g) for g in gradients(step)])

    for variable, parameter in zip(variables, parameters.values(), strict=True):
        expected = keras.ops.convert_to_numpy(variable)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("warmup_steps", [0, 5])
def test_schedule_free_adamw_follows_its_formula(warmup_steps):
    # Worked in NumPy: under Keras's torch backend the old fast point is overwritten before its use.
    start = starting_weights()["dense.kernel"].astype("float64")
    parameter = torch.nn.Parameter(torch.tensor(start))
    ours = optimizers.ScheduleFreeAdamW(0.05, warmup_steps=warmup_steps)
    ours.bind([("kernel", parameter)])
    fast, average, square = start.copy(), start.copy(), np.zeros_like(start)

    for step in range(1, NUM_STEPS + 1):
        grad = gradients(step)[0].astype("float64")
        rate = 0.05 * min(step / warmup_steps, 1) if warmup_steps else 0.05
        square = 0.999 * square + 0.001 * grad**2
        fast -= rate * grad / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
        average += (fast - average) / step
        ours.apply([torch.tensor(grad)])

        weights = 0.9 * average + 0.1 * fast
        np.testing.assert_allclose(parameter.detach().numpy(), weights, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", sorted({case[0] for case in CASES} | {"ScheduleFreeAdamW"}))
def test_arguments_and_defaults_are_those_of_keras(name):
    theirs = getattr(keras.optimizers, name)()
    ours = getattr(optimizers, name)()

    expected = {key: value for key, value in theirs.get_config().items() if key != "name"}
    got = {key: value for key, value in ours.get_config().items() if key != "name"}
    expected["learning_rate"] = pytest.approx(expected["learning_rate"])
    assert got == expected
