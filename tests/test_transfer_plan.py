"""Phases, and the plan that suits the amount and the kind of the data."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, transfer
from kerasish.transfer import Phase, Plan

NAMES = ["one", "two", "three", "head"]


def model(units=3):
    return kerasish.Sequential(
        [layers.Input((5,))]
        + [layers.Dense(5, activation="relu", name=name) for name in NAMES[:3]]
        + [layers.Dense(units, activation="softmax", name="head")]
    )


def rows(each, classes=3):
    """Rows whose classes show in their numbers."""
    y = np.arange(each * classes) % classes
    x = np.random.default_rng(0).normal(size=(each * classes, 5)).astype("float32")
    x[:, 0] = y
    return x, y


def spoilt(model):
    """A network whose later stages lose what tells the classes apart."""
    with torch.no_grad():
        for name in NAMES[:2]:
            model.get_layer(name).linear.weight.copy_(torch.eye(5))
        model.get_layer("three").linear.weight.fill_(0)
    return model


def learning(model):
    return [stage.name for stage in model.stages() if stage.trainable]


# What K19 says


@pytest.mark.parametrize("similar", [True, False])
def test_with_little_data_the_head_alone_learns(similar):
    plan = transfer.make_plan(model(), *rows(99), similar=similar)

    assert [phase.train for phase in plan] == ["head"]
    assert "297 rows of 3 classes: little" in plan.reason
    assert ("earlier stage may serve better" in plan.reason) is not similar


def test_with_more_data_that_are_alike_the_last_stages_learn_too():
    plan = transfer.make_plan(model(), *rows(100), similar=True)

    assert [(phase.name, phase.train) for phase in plan] == [("head", "head"), ("last stages", 2)]
    assert [phase.lr_multipliers for phase in plan] == [None, "discriminative"]


@pytest.mark.parametrize(("each", "similar"), [(100, False), (1000, True)])
def test_with_other_data_or_much_of_them_all_learns_in_the_end(each, similar):
    plan = transfer.make_plan(model(), *rows(each), similar=similar)

    assert [phase.train for phase in plan] == ["head", 2, "all"]


def test_likeness_is_measured_where_nobody_tells():
    plan = transfer.make_plan(spoilt(model()), *rows(100))
    assert "seem unlike" in plan.reason
    assert "'three' is right on" in plan.reason
    assert len(plan) == 3

    alike = model()
    with torch.no_grad():
        for name in NAMES[:3]:
            alike.get_layer(name).linear.weight.copy_(torch.eye(5))
    plan = transfer.make_plan(alike, *rows(100))
    assert "seem like" in plan.reason
    assert len(plan) == 2


def test_one_hot_targets_are_measured_too():
    x, y = rows(100)

    plan = transfer.make_plan(spoilt(model()), x, np.eye(3, dtype="float32")[y])

    assert "seem unlike" in plan.reason


@pytest.mark.parametrize("kind", ["dataset", "loader"])
def test_data_sets_are_counted_and_measured(kind):
    x, y = rows(100)
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    data = DataLoader(data, batch_size=50) if kind == "loader" else data

    plan = transfer.make_plan(spoilt(model()), data)

    assert plan.reason.startswith("300 rows of 3 classes. They seem unlike")


def test_a_generator_is_not_used_up():
    x, y = rows(10)
    data = iter([(x, y)])

    plan = transfer.make_plan(model(), data)

    assert next(data)[0] is x
    assert "do not tell how many rows" in plan.reason
    assert "is not known" in plan.reason
    assert [phase.name for phase in plan] == ["head", "last stages"]


def test_a_sample_of_one_class_tells_nothing():
    x, _ = rows(100)
    data = TensorDataset(torch.from_numpy(x), torch.zeros(300, dtype=torch.int64))

    plan = transfer.make_plan(model(), DataLoader(data, batch_size=50))

    assert "could not be measured" in plan.reason


def test_the_last_stages_are_the_head_and_a_quarter_of_the_rest():
    body = [layers.Dense(4, name=f"d{n}") for n in range(8)]
    deep = kerasish.Sequential([layers.Input((5,)), *body, layers.Dense(3, name="head")])

    plan = transfer.make_plan(deep, *rows(100), similar=True)
    assert plan[1].train == 3

    deep.freeze_point = "d6"  # the head has two layers
    assert transfer.make_plan(deep, *rows(100), similar=True)[1].train == 4


def test_a_gradual_plan_thaws_one_stage_after_the_other():
    (phase,) = transfer.gradual_plan(model(), epochs=8)

    assert (phase.epochs, phase.callbacks[0].every) == (8, 2)


# Phases


@pytest.mark.parametrize(
    ("train", "want"),
    [
        ("head", ["head"]),
        ("all", NAMES),
        (1, ["head"]),
        (3, ["two", "three", "head"]),
        (["two", "head"], ["two", "head"]),
        (0.5, ["three", "head"]),
    ],
    ids=str,
)
def test_a_phase_lets_its_part_learn_whatever_was_frozen_before(train, want):
    for before in itertools.product([True, False], repeat=2):
        net = model()
        net.freeze(["one", "head"] if before[0] else "two")
        if before[1]:
            net.trainable = False
        Phase("p", train).freeze(net)
        assert learning(net) == want


def test_phases_of_several_head_layers_follow_the_freeze_point():
    net = model()
    net.freeze_point = "two"
    Phase("p", "head").freeze(net)

    assert learning(net) == ["three", "head"]


def test_plans_are_printed_in_words():
    plan = Plan(
        [
            Phase("head", epochs=1),
            Phase("more", 2, 5, 1e-2, {"head": 0.1, "layer4.*": 0.01}),
            Phase("named", ["a", "b"], lr_multipliers="discriminative"),
            Phase("all", "all", learning_rate=kerasish.schedules.CosineDecay(0.1, 5)),
            transfer.gradual_plan(model())[0],
        ],
        "Because.",
    )

    assert str(plan).splitlines() == [
        "Because.",
        "1. head: the head alone, up to 1 epoch at rate 0.001",
        "2. more: the last 2 stages, up to 5 epochs at rate 0.01 (head x 0.1, layer4.* x 0.01)",
        "3. named: a, b, up to 10 epochs at rate 0.001 "
        "(a tenth of it for the head, a hundredth below)",
        "4. all: all stages, up to 10 epochs at rate CosineDecay",
        "5. gradual: the head, then stage after stage, up to 10 epochs at rate 0.001 "
        "(a tenth of it for the head, a hundredth below), with GradualUnfreezing",
    ]


def test_a_plan_is_a_list_that_can_be_changed():
    plan = transfer.make_plan(model(), *rows(100), similar=True, epochs=4, learning_rate=0.1)
    plan[1].epochs = 2
    plan.append(Phase("all", "all"))

    assert [phase.epochs for phase in plan] == [4, 2, 10]
    assert plan[0].learning_rate == 0.1
    assert isinstance(plan, list)


def test_plans_suit_plain_torch_modules():
    net = nn.Sequential()
    net.add_module("layer1", nn.Linear(5, 4))
    net.add_module("layer2", nn.Linear(4, 4))
    wrapped = transfer.TransferModel(net, classes=3, input_shape=(5,))

    plan = transfer.make_plan(wrapped, *rows(100))

    plan[1].freeze(wrapped)
    assert learning(wrapped) == ["layer2", "head"]
