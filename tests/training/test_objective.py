"""Losses, metrics and weights of several outputs, against Keras."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import layers, losses, metrics, optimizers
from kerasish.training.objective import Objective
from kerasish.training.recipe import Recipe
from tests.training.twins import PLAIN, assert_same_training, rows

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

X, LABELS, REALS = rows()
Y = REALS[:, :1]
W, V = np.random.default_rng(1).random((2, 50)).astype("float32")
FORMS = ["list", "tuple", "dict"]


def logits_loss(lib):
    return lib.losses.SparseCategoricalCrossentropy(from_logits=True)


def two_outputs(lib, form="list"):
    x = lib.Input((4,), name="x")
    hidden = lib.layers.Dense(8, "tanh")(x)
    a, b = lib.layers.Dense(3, name="a")(hidden), lib.layers.Dense(1, name="b")(hidden)
    return lib.Model(x, arranged(form, a, b))


def arranged(form, a, b):
    return {"list": [a, b], "tuple": (a, b), "dict": {"a": a, "b": b}}[form]


def settings(**given):
    """The arguments of `compile` from a library; functions are called on the library."""

    def of(lib):
        made = {key: value(lib) if callable(value) else value for key, value in given.items()}
        return {"optimizer": lib.optimizers.SGD(0.1), **made}

    return of


BY_NAME = {
    "loss": lambda lib: {"a": logits_loss(lib), "b": "mse"},
    "metrics": {"a": "accuracy", "b": ["mae", "mse"]},
}


@pytest.mark.parametrize("form", FORMS)
def test_losses_and_metrics_follow_the_structure_of_the_outputs(form):
    keep = "dict" if form == "dict" else "list"
    compile_with = settings(
        loss=lambda lib: arranged(keep, logits_loss(lib), "mse"),
        metrics=arranged(keep, ["accuracy"], ["mae"]),
    )

    assert_same_training(
        lambda lib: two_outputs(lib, form), compile_with, X, arranged(keep, LABELS, Y)
    )


@pytest.mark.parametrize("form", FORMS)
def test_losses_metrics_and_targets_may_be_given_by_name(form):
    compile_with = settings(**BY_NAME, loss_weights={"a": 0.5, "b": 2.0})

    assert_same_training(
        lambda lib: two_outputs(lib, form),
        compile_with,
        X,
        {"a": LABELS, "b": Y},
        validation_split=0.2,
    )


@pytest.mark.parametrize("form", FORMS)
def test_each_output_has_its_sample_weights(form):
    keep = "dict" if form == "dict" else "list"
    compile_with = settings(
        loss=lambda lib: arranged(keep, logits_loss(lib), "mse"),
        metrics=arranged(keep, ["accuracy"], ["mae"]),
        weighted_metrics=arranged(keep, ["accuracy"], ["mae"]),
    )

    assert_same_training(
        lambda lib: two_outputs(lib, form),
        compile_with,
        X,
        arranged(keep, LABELS, Y),
        sample_weight=arranged(keep, W, V),
    )


def test_one_weight_for_each_row_serves_all_outputs():
    models = [compiled(two_outputs(kerasish)) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())

    a = models[0].fit(X, [LABELS, Y], sample_weight=W, **PLAIN).history
    b = models[1].fit(X, [LABELS, Y], sample_weight=[W, W], **PLAIN).history

    assert a == b


@pytest.mark.parametrize("loss_weights", [[0.3, 2], {"a": 0.3, "b": 2}])
def test_loss_weights_are_those_of_keras(loss_weights):
    if isinstance(loss_weights, dict):
        compile_with = settings(loss=BY_NAME["loss"], loss_weights=loss_weights)
        y = {"a": LABELS, "b": Y}
        assert_same_training(lambda lib: two_outputs(lib, "dict"), compile_with, X, y)
    else:
        compile_with = settings(
            loss=lambda lib: [logits_loss(lib), "mse"], loss_weights=loss_weights
        )
        assert_same_training(two_outputs, compile_with, X, [LABELS, Y])


def test_one_loss_serves_all_outputs():
    assert_same_training(two_outputs, settings(loss="mse"), X, [REALS, Y])


@pytest.mark.parametrize("form", ["list", "dict"])
def test_an_output_may_have_no_loss(form):
    loss = {
        "list": lambda lib: [logits_loss(lib), None],
        "dict": lambda lib: {"a": logits_loss(lib)},
    }[form]
    y = [LABELS, Y] if form == "list" else {"a": LABELS}

    ours, _ = assert_same_training(lambda lib: two_outputs(lib, form), settings(loss=loss), X, y)

    assert list(ours.history.history) == ["loss"]


@pytest.mark.parametrize("loss", [["mse", None], {"a": "mse"}], ids=["list", "dict"])
@pytest.mark.parametrize("form", ["tensor", "with_none"])
def test_targets_may_be_left_out_for_outputs_that_nothing_compares(loss, form):
    inputs = kerasish.Input((4,))
    a, b = layers.Dense(3, name="a")(inputs), layers.Dense(2, name="b")(inputs)
    model = kerasish.Model(inputs, [a, b])
    model.compile("sgd", loss=loss)
    x, y = torch.randn(6, 4), torch.randn(6, 3)
    given = y if form == "tensor" else [y, None]

    history = model.fit(x, given, batch_size=4, verbose=0)
    value = model.evaluate(x, given, verbose=0)

    assert list(history.history) == ["loss"]
    assert value == pytest.approx(float((model(x)[0].detach() - y).square().mean()), rel=1e-5)
    with pytest.raises(ValueError, match=r"2 output\(s\) \(a, b\), but `y`"):
        model.fit(x, [y, y, y], verbose=0)


def test_repeated_metrics_are_told_apart_as_in_keras():
    compile_with = settings(
        loss=["mse", "mse"],
        metrics={"a": ["mae"], "b": ["mae", "mse"]},
        weighted_metrics={"a": ["mae"], "b": ["mae", "mse", "mae"]},
    )

    ours, _ = assert_same_training(two_outputs, compile_with, X, [REALS, Y], sample_weight=[W, V])

    assert list(ours.history.history) == [
        "loss",
        "a_loss",
        "b_loss",
        "a_mae",
        "b_mae",
        "b_mse",
        "a_weighted_mae",
        "b_weighted_mae",
        "b_weighted_mse",
        "b_weighted_mae_1",
    ]


def compiled(model, **more):
    given = {
        "optimizer": optimizers.SGD(0.1),
        "loss": [logits_loss(kerasish), "mse"],
        "device": "cpu",
        **more,
    }
    model.compile(**given)
    return model


def test_the_names_of_metric_objects_stay_as_they_are():
    mae = metrics.MeanAbsoluteError(name="error")
    model = compiled(two_outputs(kerasish), metrics=[[], [mae]])

    for _ in range(2):
        history = model.fit(X, [LABELS, Y], verbose=0).history
        compiled(model, metrics=[[], [mae]])

    assert mae.name == "error"
    assert list(history)[-1] == "b_error"


def test_class_weights_are_given_by_output():
    table = np.array([1.0, 2.0, 0.5], "float32")
    models = [compiled(two_outputs(kerasish)) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())

    a = models[0].fit(X, [LABELS, Y], class_weight={"a": dict(enumerate(table))}, **PLAIN)
    ones = np.ones(50, "float32")
    b = models[1].fit(X, [LABELS, Y], sample_weight=[table[LABELS], ones], **PLAIN)

    assert a.history == b.history


def test_a_subclass_with_unnamed_outputs_has_them_numbered():
    class Two(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(3), layers.Dense(1)

        def call(self, inputs):
            return self.a(inputs), self.b(inputs)

    model = compiled(Two(), metrics=[["accuracy"], ["mae"]])

    history = model.fit(X, [LABELS, Y], verbose=0).history

    assert list(history) == [
        "loss",
        "output_1_loss",
        "output_2_loss",
        "output_1_accuracy",
        "output_2_mae",
    ]


def test_a_subclass_with_a_dict_of_outputs_has_their_names():
    class Two(kerasish.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(3), layers.Dense(1)

        def call(self, inputs):
            return {"kind": self.a(inputs), "size": self.b(inputs)}

    loss = {"size": "mse", "kind": logits_loss(kerasish)}
    model = compiled(Two(), loss=loss, metrics={"kind": "accuracy"})

    history = model.fit(X, {"size": Y, "kind": LABELS}, verbose=0).history

    assert list(history) == ["loss", "kind_loss", "size_loss", "kind_accuracy"]


def test_the_total_is_the_weighted_sum_of_the_outputs_losses():
    model = compiled(two_outputs(kerasish), loss_weights=[0.5, 3.0])

    logs = model.evaluate(X, [LABELS, Y], batch_size=7, verbose=0, return_dict=True)

    assert logs["loss"] == pytest.approx(0.5 * logs["a_loss"] + 3 * logs["b_loss"], rel=1e-5)
    a, b = (torch.tensor(p) for p in model.predict(X, verbose=0))
    expected = torch.nn.functional.cross_entropy(a, torch.tensor(LABELS))
    assert logs["a_loss"] == pytest.approx(float(expected), rel=1e-5)
    assert logs["b_loss"] == pytest.approx(float(((b - torch.tensor(Y)) ** 2).mean()), rel=1e-5)


def test_torch_losses_mix_with_ours():
    models = [
        compiled(two_outputs(kerasish), loss=loss)
        for loss in (
            [torch.nn.CrossEntropyLoss(), torch.nn.functional.mse_loss],
            [logits_loss(kerasish), losses.MeanSquaredError()],
        )
    ]
    models[1].set_weights(models[0].get_weights())

    a, b = (m.fit(X, [LABELS, Y], sample_weight=[W, V], **PLAIN).history for m in models)

    assert list(a) == list(b)
    for name in a:
        assert a[name] == pytest.approx(b[name], rel=1e-5)


@pytest.mark.parametrize("word", ["crossentropy", "ce"])
def test_the_word_crossentropy_is_resolved_by_the_shapes(word):
    x = kerasish.Input((4,))
    model = kerasish.Model(x, layers.Dense(3, "softmax")(x))
    model.compile("sgd", word, metrics=[word, "accuracy"], device="cpu")

    logs = model.evaluate(X, LABELS, verbose=0, return_dict=True)

    expected = -np.log(model.predict(X, verbose=0)[np.arange(50), LABELS]).mean()
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert [value for name, value in logs.items() if "entropy" in name or name == "ce"] == [
        pytest.approx(expected, rel=1e-5)
    ]


def test_a_metric_with_several_results_spreads_them_out():
    class Range(metrics.Metric):
        def __init__(self, name="range"):
            super().__init__(name=name)
            self.low = self.add_variable((), "zeros")
            self.high = self.add_variable((), "zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.low.assign(torch.minimum(self.low, y_pred.min()))
            self.high.assign(torch.maximum(self.high, y_pred.max()))

        def result(self):
            return {"low": self.low, "high": self.high}

    x = kerasish.Input((4,))
    model = kerasish.Model(x, layers.Dense(3)(x))
    model.compile("sgd", "mse", metrics=[Range()], device="cpu")

    logs = model.evaluate(X, REALS, verbose=0, return_dict=True)

    y = model.predict(X, verbose=0)
    assert list(logs) == ["loss", "low", "high"]
    assert_close((logs["low"], logs["high"]), (float(y.min()), float(y.max())))


def test_metrics_by_name_know_that_a_loss_of_two_classes_takes_logits():
    names = ["accuracy", "binary_accuracy", "AUC", "Precision", "recall", "bce", "true_positives"]
    x = torch.randn(60, 3)
    y = (x[:, 0] + 0.5 * torch.randn(60) > 0.3).float()

    def logged(activation, loss):
        model = kerasish.Sequential([layers.Input((3,)), layers.Dense(1, activation)])
        model.set_weights([np.array([[2.0], [0.5], [0.0]]), np.array([0.4])])
        model.compile("sgd", loss, metrics=names)
        return model.evaluate(x, y, verbose=0, return_dict=True)

    from_logits = logged(None, losses.BinaryCrossentropy(from_logits=True))

    assert from_logits == pytest.approx(logged("sigmoid", "bce"), abs=1e-6)
    assert from_logits == pytest.approx(logged(None, torch.nn.BCEWithLogitsLoss()), abs=1e-6)


def test_no_metric_in_a_list_is_none():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[None, "mae"])

    assert list(model.fit(X, Y, verbose=0).history) == ["loss", "mae"]


@pytest.mark.parametrize("count", [1, 2], ids=["one output", "two outputs"])
def test_a_loss_may_have_keras_s_call_without_a_mask(count):
    class Distance(losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return (y_pred - 1).abs().mean()

    recipe = Recipe(optimizer=optimizers.SGD(), loss=Distance())
    y = [torch.zeros(3, 2)] * count if count > 1 else torch.zeros(3, 2)
    objective = Objective(recipe, ["a", "b"][:count], y, y)

    assert objective.loss_function()(y, y, None, None) == count
