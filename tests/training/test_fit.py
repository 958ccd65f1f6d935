"""fit against Keras, against a loop written by hand, and its own promises."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import callbacks, layers
from tests.training.twins import (
    PLAIN,
    assert_same_training,
    classifier,
    rows,
)

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
ONE_HOT = np.eye(3, dtype="float32")[LABELS]
YES_NO = (LABELS > 0).astype("float32")
WEIGHTS = np.random.default_rng(1).random(50).astype("float32")


def logits_loss(lib):
    return lib.losses.SparseCategoricalCrossentropy(from_logits=True)


def settings(loss=logits_loss, metrics=("accuracy",), **more):
    """The arguments of `compile` from a library; what is callable is called on it."""

    def of(lib):
        made = {"loss": loss, "metrics": list(metrics), **more}
        made = {k: v(lib) if callable(v) else v for k, v in made.items()}
        made["metrics"] = [m(lib) if callable(m) else m for m in made["metrics"]]
        return {"optimizer": lib.optimizers.SGD(0.1), **made}

    return of


def softmax(lib):
    return classifier(lib, activation="softmax")


def one_unit(lib):
    return classifier(lib, units=1, activation="sigmoid")


LOSSES = {
    "logits": (classifier, settings(), LABELS),
    "indices": (softmax, settings("sparse_categorical_crossentropy"), LABELS),
    "one_hot": (softmax, settings("categorical_crossentropy", ("acc", "mse")), ONE_HOT),
    "regression": (classifier, settings("mse", ("mae", "mse")), REALS),
    "yes_no": (
        one_unit,
        settings(
            "binary_crossentropy",
            ("accuracy", lambda lib: lib.metrics.AUC(), lambda lib: lib.metrics.Precision()),
        ),
        YES_NO,
    ),
    "yes_no_integers": (one_unit, settings("binary_crossentropy"), (LABELS > 0).astype("int32")),
}


@pytest.mark.parametrize("case", LOSSES)
def test_loss_and_metrics_are_those_of_keras(case):
    build, compile_with, y = LOSSES[case]

    assert_same_training(build, compile_with, X, y)


VALIDATION = (X[:21], LABELS[:21])
OPTIONS = {
    "sample_weight": {"sample_weight": WEIGHTS},
    "class_weight": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
    "class_weight_for_one_class": {"class_weight": {1: 2.0}},
    "validation_split": {"validation_split": 0.3},
    "validation_split_with_weights": {"validation_split": 0.3, "sample_weight": WEIGHTS},
    "validation_data": {"validation_data": VALIDATION},
    "validation_data_with_weights": {"validation_data": (*VALIDATION, WEIGHTS[:21])},
    "validation_batch_size": {"validation_data": VALIDATION, "validation_batch_size": 5},
    "validation_steps": {
        "validation_data": VALIDATION,
        "validation_batch_size": 5,
        "validation_steps": 2,
    },
    "validation_freq": {"validation_data": VALIDATION, "epochs": 5, "validation_freq": 2},
    "validation_freq_list": {"validation_data": VALIDATION, "epochs": 5, "validation_freq": [1, 4]},
    "initial_epoch": {"initial_epoch": 2, "epochs": 5},
    "steps_per_epoch": {"steps_per_epoch": 2, "epochs": 4},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_of_fit_are_those_of_keras(option):
    compile_with = settings(weighted_metrics=["accuracy"])

    assert_same_training(classifier, compile_with, X, LABELS, **OPTIONS[option])


def test_class_weights_of_one_hot_targets_are_those_of_keras():
    weights = {0: 1.0, 1: 2.0, 2: 0.5}

    assert_same_training(
        softmax, settings("categorical_crossentropy"), X, ONE_HOT, class_weight=weights
    )


def test_class_weight_and_sample_weight_multiply():
    table = np.array([1.0, 2.0, 0.5], "float32")
    both, product = (compiled(classifier(kerasish)) for _ in range(2))
    product.set_weights(both.get_weights())

    a = both.fit(X, LABELS, class_weight=dict(enumerate(table)), sample_weight=WEIGHTS, **PLAIN)
    b = product.fit(X, LABELS, sample_weight=table[LABELS] * WEIGHTS, **PLAIN)

    assert a.history == b.history


def regularised(lib):
    return lib.Sequential(
        [
            lib.layers.Input((4,)),
            lib.layers.Dense(
                8,
                "tanh",
                kernel_regularizer=lib.regularizers.L2(0.01),
                bias_regularizer="l1",
                activity_regularizer=lib.regularizers.L1(0.02),
            ),
            lib.layers.Dense(3),
        ]
    )


def test_penalties_on_weights_and_outputs_are_those_of_keras():
    assert_same_training(regularised, settings(), X, LABELS, validation_split=0.2)


def constrained(lib):
    bound = lib.constraints.MaxNorm(0.1)
    return lib.Sequential(
        [
            lib.layers.Input((4,)),
            lib.layers.Dense(8, "tanh", kernel_constraint="non_neg", bias_constraint=bound),
            lib.layers.Dense(3, kernel_constraint=lib.constraints.UnitNorm(axis=0)),
        ]
    )


def test_constraints_hold_after_each_update_as_in_keras():
    ours, _ = assert_same_training(constrained, settings(), X, LABELS)

    kernel, _, last, _ = ours.get_weights()
    assert kernel.min() >= 0
    assert_close(np.linalg.norm(last, axis=0), np.ones(3, "float32"))


def half_frozen(lib):
    model = classifier(lib)
    model.layers[0].trainable = False
    return model


def test_a_frozen_layer_stays_as_it_is_as_in_keras():
    assert_same_training(half_frozen, settings(), X, LABELS)


@pytest.mark.parametrize("name", ["adam", "adamw", "adagrad", "nadam"])
def test_optimizers_by_name_are_those_of_keras(name):
    assert_same_training(
        classifier, lambda lib: {"optimizer": name, "loss": logits_loss(lib)}, X, LABELS
    )


def two_inputs(lib):
    p, q = lib.Input((4,), name="p"), lib.Input((4,), name="q")
    return lib.Model([p, q], lib.layers.Dense(3)(lib.layers.Concatenate()([p, q])))


@pytest.mark.parametrize("form", ["list", "tuple", "dict"])
def test_several_inputs_are_given_as_in_keras(form):
    a, b = X, X[::-1].copy()
    x = {"list": [a, b], "tuple": (a, b), "dict": {"q": b, "p": a}}[form]

    assert_same_training(two_inputs, settings(), x, LABELS)


TOKENS = np.random.default_rng(3).integers(1, 5, (50, 6))
TOKENS[::2, 3:] = 0
STEPS = np.random.default_rng(4).integers(0, 3, (50, 6))


def tagger(lib, recurrent=False):
    middle = [lib.layers.LSTM(5, return_sequences=True)] if recurrent else []
    return lib.Sequential(
        [
            lib.layers.Input((6,), dtype="int32"),
            lib.layers.Embedding(5, 4, mask_zero=True),
            *middle,
            lib.layers.Dense(3),
        ]
    )


@pytest.mark.parametrize("recurrent", [False, True])
def test_masks_reach_losses_and_weighted_metrics_as_in_keras(recurrent):
    assert_same_training(
        lambda lib: tagger(lib, recurrent),
        settings(weighted_metrics=["accuracy"]),
        TOKENS,
        STEPS,
    )


def test_masked_steps_do_not_count():
    model = compiled(tagger(kerasish), weighted_metrics=["accuracy"])
    weights = np.random.default_rng(5).random((50, 6)).astype("float32")

    logs = model.evaluate(TOKENS, STEPS, sample_weight=weights, verbose=0, return_dict=True)

    counted = torch.tensor(TOKENS != 0)
    logits = torch.tensor(model.predict(TOKENS, verbose=0))
    each = functional.cross_entropy(
        logits.permute(0, 2, 1), torch.tensor(STEPS), reduction="none"
    ) * torch.tensor(weights)
    # Epoch values are means of the batches' values, weighted by rows.
    parts = [
        (e[c].sum() / c.sum(), len(c))
        for e, c in zip(each.split(32), counted.split(32), strict=True)
    ]
    assert logs["loss"] == pytest.approx(sum(float(v) * n for v, n in parts) / 50, rel=1e-5)
    right = (logits.argmax(-1) == torch.tensor(STEPS)).float()
    w = torch.tensor(weights) * counted
    assert logs["weighted_accuracy" if "weighted_accuracy" in logs else "accuracy"] == (
        pytest.approx(float((right * w).sum() / w.sum()), rel=1e-5)
    )


# Against a loop written by hand


def compiled(model, loss=None, optimizer=None, metrics=(), **more):
    model.compile(
        optimizer or kerasish.optimizers.SGD(0.1),
        loss or logits_loss(kerasish),
        metrics=list(metrics),
        device="cpu",
        **more,
    )
    return model


def plain_torch():
    return torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))


class WithCall(kerasish.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = layers.Dense(8, "tanh"), layers.Dense(3)

    def call(self, inputs):
        return self.last(self.first(inputs))


class WithForward(kerasish.Model):
    def __init__(self):
        super().__init__()
        self.first, self.last = torch.nn.Linear(4, 8), torch.nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.first(x).tanh())


def functional_model():
    x = kerasish.Input((4,))
    return kerasish.Model(x, layers.Dense(3)(layers.Dense(8, "tanh")(x)))


KINDS = {
    "sequential": lambda: classifier(kerasish),
    "sequential_without_input": lambda: kerasish.Sequential(
        [layers.Dense(8, "tanh"), layers.Dense(3)]
    ),
    "functional": functional_model,
    "call": WithCall,
    "forward": WithForward,
    "module": lambda: kerasish.Model(plain_torch()),
    "torch_layers": lambda: kerasish.Sequential([layers.Input((4,)), *plain_torch()]),
}
OPTIMIZERS = {
    "name": lambda model: "sgd",
    "partial": lambda model: functools.partial(torch.optim.SGD, lr=0.01),
    "instance": lambda model: torch.optim.SGD(model.parameters(), lr=0.01),
    "kerasish": lambda model: kerasish.optimizers.SGD(0.01),
}
CRITERIA = {
    "kerasish": lambda: logits_loss(kerasish),
    "module": torch.nn.CrossEntropyLoss,
    "function": lambda: functional.cross_entropy,
}


def hand_loop(weights, batch_size, epochs):
    """The losses of each epoch, and the weights, of a loop in plain torch."""
    net = plain_torch()
    with torch.no_grad():
        for p, w in zip(net.parameters(), weights, strict=True):
            p.copy_(torch.tensor(w.T))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x, y = torch.tensor(X), torch.tensor(LABELS)
    means = []
    for _ in range(epochs):
        total = 0.0
        for i in range(0, len(x), batch_size):
            loss = functional.cross_entropy(net(x[i : i + batch_size]), y[i : i + batch_size])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x[i : i + batch_size])
        means.append(total / len(x))
    return means, [p.detach().numpy().T for p in net.parameters()]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", KINDS)
def test_training_is_that_of_a_loop_by_hand(kind, optimizer, criterion):
    model = KINDS[kind]()
    model(torch.tensor(X[:2]))
    start = as_keras_lays_them_out(model)
    model.compile(OPTIMIZERS[optimizer](model), CRITERIA[criterion](), device="cpu")

    history = model.fit(X, LABELS, batch_size=16, epochs=3, **PLAIN)

    losses, weights = hand_loop(start, 16, 3)
    assert history.history["loss"] == pytest.approx(losses, rel=1e-5)
    for one, other in zip(as_keras_lays_them_out(model), weights, strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)


def as_keras_lays_them_out(model):
    return [p.detach().numpy().T.copy() for p in model.parameters()]


def test_a_torch_optimizer_class_has_its_own_defaults():
    model = compiled(classifier(kerasish), optimizer=torch.optim.SGD)
    model.fit(X, LABELS, verbose=0)

    assert model.optimizer.learning_rate == 0.001


def test_torchmetrics_objects_are_taken():
    torchmetrics = pytest.importorskip("torchmetrics")
    theirs = torchmetrics.Accuracy(task="multiclass", num_classes=3)
    model = compiled(classifier(kerasish), metrics=["accuracy", theirs])

    history = model.fit(X, LABELS, epochs=2, validation_split=0.3, verbose=0).history

    other = next(name for name in history if name not in ("loss", "accuracy", "val_loss"))
    assert history[other] == pytest.approx(history["accuracy"])
    assert history[f"val_{other}"] == pytest.approx(history["val_accuracy"])


# Its own promises


def test_the_epoch_loss_is_weighted_by_the_rows_of_each_batch():
    model = compiled(
        classifier(kerasish), optimizer=kerasish.optimizers.SGD(0.0), metrics=["accuracy"]
    )

    whole = model.evaluate(X, LABELS, batch_size=50, verbose=0)
    ragged = model.fit(X, LABELS, batch_size=16, verbose=0).history

    assert ragged["loss"][0] == pytest.approx(whole[0], rel=1e-6)
    assert ragged["accuracy"][0] == pytest.approx(whole[1], rel=1e-6)


class Seen(callbacks.Callback):
    """Keeps the inputs of every training batch by a hook on the model."""

    def on_train_begin(self, logs=None):
        self.rows = []
        self.hook = self.model.register_forward_pre_hook(self.keep)

    def keep(self, module, args):
        if module.training:
            self.rows.append(args[0].flatten().tolist())

    def on_train_end(self, logs=None):
        self.hook.remove()


def flat(batches):
    return [row for batch in batches for row in batch]


def numbered(count=12, **fit):
    """The rows that each batch held when fitting on the numbers 0, 1, 2 ..."""
    x = torch.arange(float(count)).unsqueeze(1)
    seen = Seen()
    model = compiled(kerasish.Sequential([layers.Input((1,)), layers.Dense(1)]), loss="mse")
    fit = {"batch_size": 5, **fit}
    model.fit(fit.pop("x", x), fit.pop("y", x), verbose=0, callbacks=[seen], **fit)
    return seen.rows


def test_without_shuffling_rows_come_in_order():
    assert numbered(shuffle=False) == [
        [0.0, 1.0, 2.0, 3.0, 4.0],
        [5.0, 6.0, 7.0, 8.0, 9.0],
        [10.0, 11.0],
    ]


def test_shuffling_draws_a_new_order_each_epoch_with_every_row_once():
    batches = numbered(epochs=2)

    epochs = [flat(batches[:3]), flat(batches[3:])]
    assert [len(b) for b in batches] == [5, 5, 2, 5, 5, 2]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))


def test_shuffling_by_batch_keeps_batches_together():
    batches = numbered(epochs=4, shuffle="batch")

    in_order = {(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (10, 11)}
    assert all({tuple(b) for b in batches[i : i + 3]} == in_order for i in range(0, 12, 3))
    assert len({tuple(map(tuple, batches[i : i + 3])) for i in range(0, 12, 3)}) > 1


def test_the_order_follows_the_seed_and_differs_between_fits():
    def orders():
        kerasish.utils.set_random_seed(7)
        return numbered(), numbered()

    first, second = orders()

    assert (first, second) == orders()
    assert first != second


def test_steps_longer_than_the_data_begin_it_again_and_keep_the_place():
    batches = numbered(shuffle=False, steps_per_epoch=4, epochs=2)

    assert flat(batches) == [*map(float, range(12))] * 2 + [
        0.0,
        1.0,
        2.0,
        3.0,
        4.0,
        5.0,
        6.0,
        7.0,
        8.0,
        9.0,
    ]


def test_steps_shorter_than_the_data_keep_the_place():
    batches = numbered(shuffle=False, steps_per_epoch=1, epochs=4)

    assert [b[0] for b in batches] == [0, 5, 10, 0]


def test_fit_leaves_the_model_in_evaluation_mode():
    model = compiled(classifier(kerasish))

    model.fit(X, LABELS, verbose=0)
    assert not any(module.training for module in model.modules())
    model.train_on_batch(X, LABELS)
    assert not any(module.training for module in model.modules())


def test_frozen_parts_keep_parameters_and_buffers_to_the_bit():
    frozen = kerasish.Sequential(
        [layers.Dense(8), layers.BatchNormalization(), layers.Dropout(0.5)], name="frozen"
    )
    model = compiled(kerasish.Sequential([layers.Input((4,)), frozen, layers.Dense(3)]))
    model.fit(X, LABELS, verbose=0)
    frozen.trainable = False
    before = {k: v.clone() for k, v in model.state_dict().items()}

    model.fit(X, LABELS, epochs=2, verbose=0)

    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith("frozen"), key


def test_thawing_takes_effect_at_the_next_fit_without_compiling_again():
    model = compiled(half_frozen(kerasish))
    model.fit(X, LABELS, verbose=0)
    before = model.get_weights()

    model.layers[0].trainable = True
    model.fit(X, LABELS, verbose=0)

    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_history_goes_on_only_within_one_fit():
    model = compiled(classifier(kerasish))

    first = model.fit(X, LABELS, epochs=2, verbose=0)
    second = model.fit(X, LABELS, epochs=3, verbose=0)

    assert [len(h.history["loss"]) for h in (first, second)] == [2, 3]
    assert second.epoch == [0, 1, 2]
    assert model.history is second


def test_zero_epochs_change_nothing():
    model = compiled(classifier(kerasish))
    before = model.get_weights()

    history = model.fit(X, LABELS, epochs=0, verbose=0)

    assert history.history == {}
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_stopping_in_the_middle_of_an_epoch_says_nothing_about_missing_data():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    model = compiled(classifier(kerasish))
    history = model.fit(
        X, LABELS, epochs=3, steps_per_epoch=2, batch_size=8, callbacks=[Stop()], verbose=0
    )

    assert len(history.history["loss"]) == 1


def test_the_same_validation_rows_are_seen_after_every_epoch():
    held = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(LABELS)), batch_size=8)
    model = compiled(classifier(kerasish), optimizer=kerasish.optimizers.SGD(0.0))

    history = model.fit(
        X, LABELS, epochs=3, validation_data=held, validation_steps=2, verbose=0
    ).history

    assert len(set(history["val_loss"])) == 1
    assert history["val_loss"][0] == pytest.approx(
        model.evaluate(X[:16], LABELS[:16], verbose=0), rel=1e-6
    )


class AddsLoss(layers.Layer):
    def call(self, inputs):
        self.add_loss(inputs.square().mean())
        return inputs


def test_added_losses_join_the_loss_once_each_step():
    plain = compiled(classifier(kerasish), optimizer=kerasish.optimizers.SGD(0.0))
    model = kerasish.Sequential([layers.Input((4,)), AddsLoss(), *plain.layers])
    compiled(model, optimizer=kerasish.optimizers.SGD(0.0))

    history = model.fit(X, LABELS, batch_size=10, epochs=2, verbose=0).history

    expected = plain.evaluate(X, LABELS, verbose=0) + float(np.square(X).mean())
    assert history["loss"] == pytest.approx([expected] * 2, rel=1e-5)
    assert model.evaluate(X, LABELS, batch_size=10, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_added_losses_are_forgotten_at_the_next_call():
    model = kerasish.Sequential([layers.Input((4,)), AddsLoss(), AddsLoss()])

    for _ in range(3):
        model(torch.tensor(X))

    assert len(model.losses) == 2


def test_a_model_may_train_on_added_losses_alone():
    class Shrinks(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2, use_bias=False)

        def call(self, inputs):
            y = self.dense(inputs)
            self.add_loss(y.square().mean())
            return y

    model = Shrinks()
    model.compile(kerasish.optimizers.SGD(0.1), device="cpu")

    losses = model.fit(X, epochs=5, verbose=0).history["loss"]

    assert losses[-1] < 0.5 * losses[0]


def test_an_added_loss_for_each_row_counts_as_their_sum():
    class ByRow(layers.Layer):
        def call(self, inputs):
            self.add_loss(inputs.abs().sum(-1, keepdim=True))
            return inputs

    model = kerasish.Sequential([ByRow()])
    model.compile("sgd", device="cpu")
    rows = np.array([[1.0, -2.0], [3.0, 0.5], [0.0, 4.0]], "float32")

    # Of batches of two rows and of one: their sums, by their numbers of rows.
    assert model.evaluate(rows, batch_size=2, verbose=0) == pytest.approx((2 * 6.5 + 4.0) / 3)


@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2])
def test_every_verbosity_trains(verbose, capsys):
    model = compiled(classifier(kerasish))

    model.fit(X, LABELS, verbose=verbose, validation_split=0.2)

    assert bool(capsys.readouterr().out) == (verbose != 0)


def test_an_interrupt_keeps_the_history_and_a_usable_model():
    class Interrupt(callbacks.Callback):
        ended = 0

        def on_train_batch_end(self, batch, logs=None):
            if self.epoch == 1 and batch == 1:
                raise KeyboardInterrupt

        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_end(self, logs=None):
            self.ended += 1

    model, interrupt = compiled(classifier(kerasish)), Interrupt()

    with pytest.raises(KeyboardInterrupt):
        model.fit(X, LABELS, epochs=3, batch_size=16, callbacks=[interrupt], verbose=0)

    assert interrupt.ended == 1
    assert len(model.history.history["loss"]) == 1
    assert not model.training
    assert len(model.fit(X, LABELS, epochs=2, verbose=0).history["loss"]) == 2


def pieces(count=3):
    for i in range(count):
        yield X[10 * i : 10 * i + 10], LABELS[10 * i : 10 * i + 10]


def test_validation_data_that_can_be_read_once_is_used_once_with_a_warning():
    model = compiled(classifier(kerasish))

    with pytest.warns(UserWarning, match="validation_data has run out"):
        history = model.fit(X, LABELS, epochs=3, validation_data=pieces(), verbose=0).history

    assert {name: len(values) for name, values in history.items()} == {"loss": 3, "val_loss": 1}


def test_validation_steps_of_a_generator_go_on_without_losing_a_batch():
    model = compiled(classifier(kerasish), optimizer=kerasish.optimizers.SGD(0.0))

    history = model.fit(
        X, LABELS, epochs=2, validation_data=pieces(4), validation_steps=2, verbose=0
    ).history

    expected = [model.evaluate(X[a : a + 20], LABELS[a : a + 20], verbose=0) for a in (0, 20)]
    assert history["val_loss"] == pytest.approx(expected, rel=1e-6)


def test_a_model_may_change_its_layers_between_fits():
    model = compiled(classifier(kerasish))
    model.fit(X, LABELS, verbose=0)
    first = model.layers[0].kernel.detach().clone()

    model.add(layers.Dense(5))
    model.fit(X, LABELS + 2, verbose=0)

    assert model.output_shape == (None, 5)
    assert not torch.equal(model.layers[0].kernel, first)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("copied", ["deepcopy", "pickle"])
def test_a_copy_of_a_fitted_model_trains_by_itself(copied):
    model = compiled(classifier(kerasish), optimizer=kerasish.optimizers.Adam(0.01))
    model.fit(X, LABELS, verbose=0)
    copy_of = {"deepcopy": copy.deepcopy, "pickle": lambda m: pickle.loads(pickle.dumps(m))}
    before = model.get_weights()

    twin = copy_of[copied](model)
    a = twin.fit(X, LABELS, shuffle=False, verbose=0).history

    assert all((b == w).all() for b, w in zip(before, model.get_weights(), strict=True))
    assert a == model.fit(X, LABELS, shuffle=False, verbose=0).history


def test_calling_a_part_in_inference_mode_keeps_its_statistics_while_its_weights_train():
    base = kerasish.Sequential([layers.Input((4,)), layers.Dense(4), layers.BatchNormalization()])
    x = kerasish.Input((4,))
    model = compiled(kerasish.Model(x, layers.Dense(3)(base(x, training=False))))
    statistics = {name: value.clone() for name, value in base.named_buffers()}
    kernel = base.layers[0].kernel.detach().clone()

    model.fit(X, LABELS, verbose=0)

    assert all(torch.equal(value, statistics[name]) for name, value in base.named_buffers())
    assert not torch.equal(base.layers[0].kernel, kernel)


# Inputs as people have them


def line():
    return compiled(kerasish.Sequential([layers.Dense(1, input_shape=[1])]), loss="mse")


@pytest.mark.parametrize("form", ["list", "array", "column", "loader"])
def test_a_row_of_one_number_may_come_without_its_axis(form):
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0, 3.0, 4.0])
    data = {
        "list": lambda: (x.tolist(), (2 * x - 1).tolist()),
        "array": lambda: (x.numpy(), (2 * x - 1).numpy()),
        "column": lambda: (x[:, None], 2 * x - 1),
        "loader": lambda: (DataLoader(TensorDataset(x, 2 * x - 1), batch_size=2),),
    }
    model = line()

    model.fit(*data[form](), epochs=300, verbose=0)

    assert model.predict(np.array([10.0]), verbose=0) == pytest.approx(np.array([[19.0]]), abs=0.1)
    assert model.evaluate(*data[form](), verbose=0) < 0.01
    assert model(torch.tensor([10.0])).shape == (1, 1)


@pytest.mark.parametrize("form", ["dict", "list", "tuple"])
def test_one_input_may_be_named_or_in_a_list(form):
    x = {"dict": {"features": X}, "list": [X], "tuple": (X,)}[form]
    start = layers.Input((4,), name="features")
    model = compiled(kerasish.Sequential([start, layers.Dense(3)]))
    plain = compiled(kerasish.Sequential([layers.Input((4,)), layers.Dense(3)]))
    plain.set_weights(model.get_weights())

    a = model.fit(x, LABELS, validation_data=(x, LABELS), **PLAIN).history
    b = plain.fit(X, LABELS, validation_data=(X, LABELS), **PLAIN).history

    assert a == b
    assert_close(model.predict(x, verbose=0), plain.predict(X, verbose=0))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "uint8", "bool"])
@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_any_number_type_are_taken(kind, dtype):
    x = (3 * X).clip(0).astype(dtype)
    model, plain = (compiled(KINDS[kind]()) for _ in range(2))
    for each in (model, plain):
        each(torch.tensor(X[:2]))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))

    a = model.fit(x, LABELS, **PLAIN).history
    b = plain.fit(x.astype("float32"), LABELS, **PLAIN).history

    assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)


def test_metrics_that_a_model_and_its_layers_keep_are_logged_as_in_keras():
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    y = x[:, :1]

    def logs(lib):
        class Watched(lib.layers.Layer):
            def __init__(self):
                super().__init__()
                self.level = lib.metrics.Mean(name="level")

            def call(self, x):
                self.level.update_state(lib.ops.mean(x))
                return x

        class Own(lib.Model):
            def __init__(self):
                super().__init__()
                self.watched = Watched()
                self.dense = lib.layers.Dense(1, kernel_initializer="ones")
                self.size = lib.metrics.Mean(name="size")

            def call(self, x):
                y = self.dense(self.watched(x))
                self.size.update_state(lib.ops.abs(y))
                return y

        model = Own()
        model.compile(lib.optimizers.SGD(0.05), "mse", metrics=["mae"])
        options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
        history = model.fit(x, y, validation_data=(x[:20], y[:20]), **options).history
        return history, model.evaluate(x, y, verbose=0, return_dict=True)

    (history, held), (wanted, wanted_held) = logs(kerasish), logs(keras)

    assert history.keys() == wanted.keys()
    for name, values in wanted.items():
        assert history[name] == pytest.approx([float(v) for v in values], abs=1e-5), name
    assert held == pytest.approx({k: float(v) for k, v in wanted_held.items()}, abs=1e-5)


def test_a_monitored_metric_may_be_the_models_own():
    class Own(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)
            self.size = kerasish.metrics.Mean(name="size")

        def call(self, x):
            y = self.dense(x)
            self.size.update_state(y.abs())
            return y

    model = compiled(Own(), loss="mse")
    stop = callbacks.EarlyStopping(monitor="val_size", mode="min", patience=5)
    x = torch.randn(20, 3)
    history = model.fit(x, x[:, :1], validation_split=0.5, verbose=0, callbacks=[stop]).history

    assert {"size", "val_size"} < set(history)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation_steps": 3}, "validation_steps=3: there is no validation_data"),
        ({"validation_batch_size": 3}, "validation_batch_size=3: there is no"),
        ({"initial_epoch": 3, "epochs": 2}, "begins with initial_epoch=3"),
        (
            {"validation_split": 0.5, "validation_data": (np.zeros((4, 4)), np.ones((4, 1)))},
            "validation_split=0.5: validation_data is given",
        ),
    ],
)
def test_a_setting_without_effect_is_said(options, message):
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((8, 4))

    with pytest.warns(UserWarning, match=message):
        model.fit(x, x[:, :1], verbose=0, **options)


def test_settings_of_compile_that_exclude_each_other_are_said():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(1)])

    with pytest.warns(UserWarning, match="jit_compile has no effect with debug_nans"):
        model.compile("sgd", "mse", jit_compile=True, debug_nans=True)
    with pytest.warns(UserWarning, match="auto_scale_loss=False has no effect"):
        model.compile("sgd", "mse", precision="float16-mixed", auto_scale_loss=False)
    with pytest.raises(ValueError, match="did you mean 'bfloat16-mixed'"):
        model.compile("sgd", "mse", precision="mixed_bfloat16")
