"""Stages that thaw one after the other while a network is trained."""

import copy

import pytest
import torch

import kerasish
from kerasish import callbacks, layers, optimizers
from kerasish.callbacks import Callback, GradualUnfreezing

ROWS, BATCH = 12, 4


def made(optimizer="adam", **kwargs):
    kerasish.config.set_random_seed(3)
    names = ("one", "two", "three", "head")
    model = kerasish.Sequential(
        [layers.Input((5,))]
        + [
            part
            for name in names[:3]
            for part in (
                layers.Dense(4, activation="relu", name=name),
                layers.BatchNormalization(name=f"{name}_norm"),
            )
        ]
        + [layers.Dense(3, name="head")]
    )
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, **kwargs)
    return model


def data():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(ROWS, 5, generator=generator), torch.arange(ROWS) % 3


def fit(model, epochs, *more, **kwargs):
    return model.fit(*data(), batch_size=BATCH, epochs=epochs, verbose=0, callbacks=more, **kwargs)


class Watch(Callback):
    """Notes which stages learn in each epoch, and the weights before and after."""

    def __init__(self):
        self.learning, self.states, self.steps = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.learning.append([stage.name for stage in self.model.stages() if stage.trainable])
        self.states.append(copy.deepcopy(self.model.state_dict()))
        moments = self.model.optimizer.torch.state
        names = {p: name for name, p in self.model.named_parameters()}
        self.steps.append({names[p]: int(state["step"]) for p, state in moments.items()})


@pytest.mark.parametrize(
    ("settings", "counts"),
    [
        ({}, [1, 2, 3, 4, 4]),
        ({"every": 2}, [1, 1, 2, 2, 3]),
        ({"start": 2}, [2, 3, 4, 4, 4]),
        ({"until": "three"}, [1, 2, 2, 2, 2]),
    ],
    ids=str,
)
def test_each_epoch_the_next_stage_below_learns_too(settings, counts):
    watch = Watch()
    fit(made(), 5, GradualUnfreezing(**settings), watch)

    names = ["one", "two", "three", "head"]
    assert watch.learning == [names[-count:] for count in counts]


def test_what_is_still_frozen_is_byte_equal_statistics_too():
    model, watch = made(), Watch()
    before = copy.deepcopy(model.state_dict())
    fit(model, 3, GradualUnfreezing(), watch)

    first, second, third = watch.states
    changed = [key.split(".")[0] for key in first if not torch.equal(before[key], first[key])]
    assert set(changed) == {"head"}
    changed = [key.split(".")[0] for key in first if not torch.equal(second[key], first[key])]
    assert set(changed) == {"three", "three_norm", "head"}
    changed = [key.split(".")[0] for key in first if not torch.equal(third[key], before[key])]
    assert set(changed) == {"two", "two_norm", "three", "three_norm", "head"}


def test_the_optimizer_takes_up_what_thaws_and_keeps_the_moments_of_the_rest():
    watch = Watch()
    fit(made(), 3, GradualUnfreezing(), watch)

    steps = [
        {name: n for name, n in s.items() if name.endswith("linear.weight")} for s in watch.steps
    ]
    assert steps == [
        {"head.linear.weight": 3},
        {"three.linear.weight": 3, "head.linear.weight": 6},
        {"two.linear.weight": 3, "three.linear.weight": 6, "head.linear.weight": 9},
    ]


def test_it_is_what_freezing_between_fits_gives():
    model, by_hand = made("sgd"), made("sgd")
    fit(model, 3, GradualUnfreezing(), shuffle=False)
    for epoch in range(3):
        by_hand.freeze()
        by_hand.unfreeze(last=epoch + 1)
        fit(by_hand, epoch + 1, initial_epoch=epoch, shuffle=False)

    for a, b in zip(model.state_dict().values(), by_hand.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_rates_by_stage_and_schedules_hold_for_what_thaws():
    schedule = kerasish.schedules.ExponentialDecay(0.1, 1, 0.5)
    model = made(optimizers.SGD(schedule), lr_multipliers={"head": 1.0, "three*": 0.1})
    fit(model, 2, GradualUnfreezing())

    rates = {g["lr_scale"]: g["lr"] for g in model.optimizer.torch.param_groups}
    assert set(rates) == {1.0, 0.1}
    assert rates[0.1] == pytest.approx(rates[1.0] / 10)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 * 0.5**6)


def test_several_optimizers_each_take_up_their_part():
    parts = optimizers.OptimizerMap(optimizers.SGD(0.1), {"head/.*": optimizers.Adam()})
    model, watch = made(optimizers.MultiOptimizer(parts)), Watch()
    watch.on_epoch_end = lambda epoch, logs=None: watch.states.append(
        copy.deepcopy(watch.model.state_dict())
    )
    fit(model, 2, GradualUnfreezing(), watch)

    first, second = (state["three.linear.weight"] for state in watch.states)
    assert not torch.equal(first, second)


def test_penalties_of_what_thaws_count_from_then_on():
    def build():
        kerasish.config.set_random_seed(0)
        first = layers.Dense(4, kernel_regularizer=kerasish.regularizers.L2(1.0), name="one")
        model = kerasish.Sequential([layers.Input((5,)), first, layers.Dense(3, name="head")])
        loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizers.SGD(1e-30), loss)
        return model

    model = build()
    losses = fit(model, 2, GradualUnfreezing()).history["loss"]

    penalty = float((model.get_layer("one").linear.weight.detach() ** 2).sum())
    assert losses[1] - losses[0] == pytest.approx(penalty, rel=1e-4)


class Stopped(Exception):
    pass


class StopAt(Callback):
    def __init__(self, batches):
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Stopped


@pytest.mark.parametrize("batches", [3, 4, 6, 8, 10], ids=lambda n: f"after {n} batches")
def test_an_interrupted_run_goes_on_with_the_stages_of_its_epoch(batches, tmp_path):
    whole, rest = made(), made()
    fit(whole, 4, GradualUnfreezing())
    backup = [
        callbacks.BackupAndRestore(tmp_path, save_freq=1, delete_checkpoint=False) for _ in range(2)
    ]
    with pytest.raises(Stopped):
        fit(made(), 4, GradualUnfreezing(), backup[0], StopAt(batches))

    watch = Watch()
    fit(rest, 4, GradualUnfreezing(), watch, backup[1])

    assert watch.learning[-1] == ["one", "two", "three", "head"]
    for a, b in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_second_fit_begins_with_the_head_again():
    model, watch = made(), Watch()
    callback = GradualUnfreezing()
    fit(model, 2, callback, watch)
    fit(model, 4, callback, watch, initial_epoch=2)

    assert [len(names) for names in watch.learning] == [1, 2, 1, 2]


def test_it_says_what_learns(capsys):
    fit(made(), 2, GradualUnfreezing(verbose=1))

    assert capsys.readouterr().out.splitlines() == [
        "GradualUnfreezing: from epoch 1 on 1 stage of 4 learns: head.",
        "GradualUnfreezing: from epoch 2 on 2 stages of 4 learn: three, head.",
    ]


def test_a_callback_of_ones_own_may_thaw_too():
    class Thaw(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.unfreeze("three*")

    model, watch = made(), Watch()
    model.freeze()
    fit(model, 2, Thaw(), watch)

    assert not torch.equal(
        watch.states[0]["three.linear.weight"], watch.states[1]["three.linear.weight"]
    )


def test_wrong_settings_are_explained():
    with pytest.raises(ValueError, match="`every` must be a positive number, got 0"):
        GradualUnfreezing(every=0)
    with pytest.raises(ValueError, match="no stage 'tree'; did you mean 'three'"):
        fit(made(), 1, GradualUnfreezing(until="tree"))
