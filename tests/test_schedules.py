"""Schedules: the values of Keras and torch, plain floats, and configs that come back."""

import json

import numpy as np
import pytest
import torch

from kerasish import registry, schedules

STEPS = [0, 1, 2, 5, 9, 10, 11, 19, 20, 21, 30, 45, 100, 1000]

CASES = [
    ("ExponentialDecay", (0.1, 10, 0.9), {}),
    ("ExponentialDecay", (0.1, 10, 0.9), {"staircase": True}),
    ("PiecewiseConstantDecay", ([10, 20], [0.1, 0.05, 0.01]), {}),
    ("PolynomialDecay", (0.1, 20), {}),
    ("PolynomialDecay", (0.1, 20, 0.01), {"power": 2.0, "cycle": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("CosineDecay", (0.1, 20), {}),
    ("CosineDecay", (0.01, 20, 0.1), {"warmup_target": 0.1, "warmup_steps": 10}),
    ("CosineDecayRestarts", (0.1, 9), {}),
    ("CosineDecayRestarts", (0.1, 9), {"t_mul": 1.0, "m_mul": 0.5, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.5, "m_mul": 0.9}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES)
def test_values_and_configs_are_those_of_keras(name, args, kwargs):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers.schedules, name)(*args, **kwargs)
    ours = getattr(schedules, name)(*args, **kwargs)

    for step in STEPS:
        value = ours(step)
        assert type(value) is float
        assert value == pytest.approx(float(theirs(step)), rel=2e-5, abs=1e-8)
    assert ours.get_config() == theirs.get_config()


def test_numbers_of_numpy_and_torch_become_pythons():
    plain = schedules.CosineDecay(0.1, 20, warmup_target=0.2, warmup_steps=5)
    given = schedules.CosineDecay(
        torch.tensor(0.1, dtype=torch.float64),
        np.int64(20),
        warmup_target=np.float64(0.2),
        warmup_steps=np.int64(5),
    )
    steps = schedules.PiecewiseConstantDecay(np.array([3, 7]), [1.0, np.float32(0.5), 0.25])

    assert [given(step) for step in STEPS] == [plain(step) for step in STEPS]
    assert json.dumps(given.get_config()) == json.dumps(plain.get_config())
    assert json.loads(json.dumps(steps.get_config()))["boundaries"] == [3, 7]
    assert [type(steps(step)) for step in (0, 5, 9)] == [float] * 3


def test_restarts_whose_periods_shrink_are_refused():
    with pytest.raises(ValueError, match="`t_mul` must be at least 1"):
        schedules.CosineDecayRestarts(0.1, 4, t_mul=0.5)


def test_one_cycle_has_the_values_of_torch():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight])
    reference = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20)
    schedule = schedules.OneCycle(0.1, 20)

    for step in range(20):
        assert schedule(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 19:
            reference.step()
    assert schedule(1000) == schedule(19)


def test_warmup_rises_to_the_schedule_and_then_follows_it():
    after = schedules.ExponentialDecay(0.1, 10, 0.5)
    schedule = schedules.Warmup(after, 5, initial_learning_rate=0.05)

    assert [schedule(step) for step in (0, 1, 5, 15)] == pytest.approx([0.05, 0.06, 0.1, 0.05])


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.CosineDecay(0.1, 20, warmup_target=0.2, warmup_steps=3),
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
        schedules.Warmup(schedules.OneCycle(0.1, 10), 5),
    ],
)
def test_a_schedule_comes_back_from_its_config(schedule):
    again = schedules.deserialize(schedules.serialize(schedule))

    assert again == schedule


def test_an_own_schedule_comes_back_when_registered():
    @registry.register
    class Fixed(schedules.LearningRateSchedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate

        def get_config(self):
            return {"rate": self.rate}

    again = schedules.deserialize(schedules.serialize(Fixed(0.3)))

    assert again(7) == 0.3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "`decay_steps` must be a positive"),
        (lambda: schedules.CosineDecay(0.1, "20"), r"got '20' \(str\)"),
        (lambda: schedules.PiecewiseConstantDecay([1], [0.1]), "one number more"),
        (lambda: schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "must rise"),
        (lambda: schedules.OneCycle(0.1, 10, warmup_fraction=2), "from 0 to 1"),
        (lambda: schedules.CosineDecayRestarts(0.1, 10, t_mul=0.0), "`t_mul`"),
    ],
)
def test_wrong_settings_are_explained(make, message):
    with pytest.raises(ValueError, match=message):
        make()
