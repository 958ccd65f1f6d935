"""Mistakes are reported before anything changes, with what was expected and what to do."""

import numpy as np
import pytest
import torch

import kerasish
from kerasish import layers, losses, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::kerasish.training.preflight.AdviceWarning")

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(20, 4)).astype("float32")
Y = DRAW.integers(0, 3, 20)
R = DRAW.normal(size=(20, 3)).astype("float32")


def classifier(loss=None):
    model = kerasish.Sequential(
        [
            layers.Input((4,), name="features"),
            layers.Dense(8, "relu", name="hidden"),
            layers.Dense(3, name="scores"),
        ]
    )
    loss = loss or losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizers.Adam(), loss, metrics=["accuracy"], device="cpu")
    return model


def regressor():
    return classifier("mse")


def two_outputs():
    x = kerasish.Input((4,))
    outputs = [layers.Dense(3, name="kind")(x), layers.Dense(1, name="size")(x)]
    model = kerasish.Model(x, outputs)
    model.compile("sgd", ["mse", "mse"], device="cpu")
    return model


def two_inputs():
    p, q = kerasish.Input((4,), name="p"), kerasish.Input((4,), name="q")
    model = kerasish.Model([p, q], layers.Dense(3)(p + q))
    model.compile("sgd", "mse", device="cpu")
    return model


def assert_refused(model, action, message, error=ValueError):
    """The action raises `error` with `message`; weights, modes, random state stay; it trains on."""
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()

    with pytest.raises(error, match=message):
        action(model)

    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    optimizer = getattr(model.optimizer, "torch", None)
    assert optimizer is None or not optimizer.state


def replaced(array, value):
    array = array.astype("float32")
    array[3] = value
    return array


DATA = {
    "text": ([["a", "b", "c", "d"]] * 20, Y, TypeError, "x: expected numbers.*StringLookup"),
    "objects": ([[None, {}, 1, 2]] * 20, Y, TypeError, "x: expected numbers, got objects"),
    "text_targets": (X, ["cat"] * 20, TypeError, "y: expected numbers"),
    "ragged": ([[1.0, 2.0], [3.0]], Y[:2], ValueError, "rows differ in length; pad them"),
    "labels_too_big": (X, Y + 1, ValueError, r"lie in \[1, 3\].*classes 0 to 2.*4 units"),
    "labels_negative": (X, Y - 1, ValueError, r"lie in \[-1, 1\].*Number the classes from 0"),
    "labels_fractional": (X, Y + 0.5, ValueError, "whole class numbers"),
    "labels_nan": (X, replaced(Y, np.nan), ValueError, "fractions or are NaN"),
    "one_hot_labels": (X, np.eye(3)[Y], ValueError, "categorical_crossentropy"),
    "fewer_targets": (X, Y[:19], ValueError, r"same number of rows.*\(20, 4\).*\(19,\)"),
    "empty": (X[:0], Y[:0], ValueError, "no rows"),
    "empty_lists": ([], [], ValueError, "no rows"),
    "nothing": (None, Y, ValueError, "x is None"),
    "no_targets": (X, None, ValueError, "'scores' needs targets.*Pass y"),
    "features": (X[:, :3], Y, ValueError, r"expects size 4 on axis 1 but got shape \(4, 3\)"),
    "rank": (np.stack([X, X], -1), Y, ValueError, r"expects 2-D input.*\(4, 4, 2\)"),
    "scalar": (3.0, Y, TypeError, "x must be arrays"),
    "path": ("rows.csv", None, TypeError, "x must be arrays"),
    "input_name": ({"colour": X}, Y, ValueError, r"inputs named \['features'\].*\['colour'\]"),
    "four_parts": (iter([(X, Y, Y, Y)]), None, ValueError, r"\(x, y, sample_weight\)"),
    "no_batches": (iter([]), None, ValueError, "no batches"),
}


@pytest.mark.parametrize("case", DATA)
def test_data_that_does_not_fit(case):
    x, y, error, message = DATA[case]

    assert_refused(classifier(), lambda model: model.fit(x, y, verbose=0), message, error)


def test_the_text_in_a_frame_is_what_the_error_shows():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": [1.0, 2.0], "colour": ["red", "blue"]})

    with pytest.raises(TypeError, match=r"objects such as 'red'"):
        classifier().fit(frame, Y[:2], verbose=0)


def test_nan_targets():
    message = "targets of output 'scores' contain NaN.*sample_weight 0"

    assert_refused(regressor(), lambda model: model.fit(X, replaced(R, np.nan), verbose=0), message)


def test_targets_that_would_broadcast():
    message = r"same shape.*target has shape \(2,\) and one output \(3,\)"

    assert_refused(regressor(), lambda model: model.fit(X, R[:, :2], verbose=0), message)
    assert_refused(regressor(), lambda model: model.evaluate(X, R[:, :1], verbose=0), "same shape")


OPTIONS = {
    "batch_size_zero": ({"batch_size": 0}, "`batch_size` must be a positive integer, got 0"),
    "batch_size_negative": ({"batch_size": -1}, "`batch_size` must be"),
    "batch_size_float": ({"batch_size": 2.5}, r"got 2\.5 \(float\)"),
    "batch_size_text": ({"batch_size": "8"}, r"got '8' \(str\)"),
    "batch_size_bool": ({"batch_size": True}, "`batch_size` must be"),
    "epochs_negative": ({"epochs": -1}, "`epochs` must be a whole number"),
    "epochs_float": ({"epochs": 2.5}, "`epochs` must be a whole number"),
    "epochs_none": ({"epochs": None}, "`epochs` must be a whole number"),
    "initial_epoch": ({"initial_epoch": -1}, "`initial_epoch` must be"),
    "steps": ({"steps_per_epoch": 0}, "`steps_per_epoch` must be a whole number of at least 1"),
    "validation_steps": ({"validation_steps": 0}, "`validation_steps` must be"),
    "validation_batch_size": ({"validation_batch_size": 0}, "`validation_batch_size` must be"),
    "validation_freq": ({"validation_freq": 0}, "`validation_freq` must be"),
    "validation_freq_list": ({"validation_freq": [1, 0]}, "`validation_freq` must be"),
    "validation_freq_none": ({"validation_freq": None}, "`validation_freq` must be"),
    "split_negative": ({"validation_split": -0.1}, "`validation_split` must be between 0 and 1"),
    "split_whole": ({"validation_split": 1.0}, "`validation_split` must be between 0 and 1"),
    "split_text": ({"validation_split": "a"}, "`validation_split` must be between 0 and 1"),
    "split_all": ({"validation_split": 0.999}, "leaves nothing to train on"),
    "shuffle": ({"shuffle": "batches"}, '`shuffle` must be True, False or "batch"'),
    "verbose": ({"verbose": "loud"}, "`verbose` must be"),
    "class_weight_list": ({"class_weight": [1, 2, 3]}, "must be a dict of class index to weight"),
    "class_weight_name": ({"class_weight": {"cat": 2.0}}, "class numbers from 0.*'cat'"),
    "class_weight_negative": ({"class_weight": {-1: 2.0}}, "class numbers from 0.*-1"),
    "class_weight_nan": ({"class_weight": {0: np.nan}}, "weights of at least 0.*nan"),
    "weight_length": ({"sample_weight": np.ones(3)}, r"same number of rows.*\(3,\)"),
    "weight_nan": ({"sample_weight": np.full(20, np.nan)}, "`sample_weight` contains NaN"),
    "validation_features": ({"validation_data": (X[:, :2], Y)}, "expects size 4 on axis 1"),
    "validation_labels": ({"validation_data": (X, Y + 5)}, r"lie in \[5, 7\]"),
    "validation_targets": ({"validation_data": X}, "needs targets"),
    "validation_parts": ({"validation_data": (X, Y, Y, Y)}, "expects 1 inputs"),
    "validation_rows": ({"validation_data": (X, Y[:3])}, "same number of rows"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_make_no_sense(case):
    options, message = OPTIONS[case]

    assert_refused(
        classifier(), lambda model: model.fit(X, Y, **{"verbose": 0, **options}), message
    )


def test_callbacks_that_are_none():
    assert_refused(
        classifier(),
        lambda model: model.fit(X, Y, callbacks=[3], verbose=0),
        "expected Callback objects",
        TypeError,
    )


STRUCTURE = {
    "one_list_for_two_inputs": (two_inputs, [X], R, r"expects 2 inputs \(p, q\)"),
    "three_inputs": (two_inputs, [X, X, X], R, r"expects 2 inputs \(p, q\), got list of 3"),
    "one_array": (two_inputs, X, R, r"expects 2 inputs \(p, q\)"),
    "input_name": (two_inputs, {"p": X, "r": X}, R, r"missing: \['q'\]"),
    "one_target": (two_outputs, X, R, r"2 output\(s\) \(kind, size\)"),
    "targets": (two_outputs, X, [R, R, R], r"2 output\(s\) \(kind, size\).*list of 3"),
    "target_name": (two_outputs, X, {"kind": R, "sise": R}, "'sise'.*did you mean 'size'"),
    "missing_target": (two_outputs, X, {"kind": R}, r"'size' needs targets.*only \['kind'\]"),
}


@pytest.mark.parametrize("case", STRUCTURE)
def test_inputs_and_targets_in_another_structure(case):
    build, x, y, message = STRUCTURE[case]

    assert_refused(build(), lambda model: model.fit(x, y, verbose=0), message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": {"sise": np.ones(20)}}, "`sample_weight`.*did you mean 'size'"),
        ({"class_weight": {"sise": {0: 1.0}}}, "`class_weight`.*did you mean 'size'"),
        ({"class_weight": {0: 1.0}}, "by output name"),
    ],
)
def test_weights_for_outputs_that_do_not_exist(options, message):
    y = [R, R[:, :1]]

    assert_refused(two_outputs(), lambda model: model.fit(X, y, verbose=0, **options), message)


COMPILE = {
    "optimizer": ({"optimizer": "addam"}, ValueError, "did you mean 'adam'"),
    "optimizer_kind": ({"optimizer": 3}, TypeError, "optimizer"),
    "loss": ({"loss": "mean_squred_error"}, ValueError, "did you mean 'mean_squared_error'"),
    "loss_kind": ({"loss": 3}, TypeError, "loss"),
    "loss_in_dict": ({"loss": {"scores": "msee"}}, ValueError, "did you mean 'mse'"),
    "metric": ({"metrics": ["acuracy"]}, ValueError, "did you mean 'accuracy'"),
    "metric_kind": ({"metrics": [3]}, TypeError, "metric"),
    "weighted_metric": ({"weighted_metrics": ["acuracy"]}, ValueError, "'accuracy'"),
    "precision": ({"precision": "bfloat16"}, ValueError, "Names: float32, bfloat16-mixed"),
    "device": ({"device": "gpu9x"}, ValueError, "unknown device"),
    "memory_format": ({"memory_format": "channel_last"}, ValueError, "'channels_last'"),
    "accumulate_steps": ({"accumulate_steps": 0}, ValueError, "`accumulate_steps` must be"),
    "clip_norm": ({"clip_norm": -1.0}, ValueError, "`clip_norm` must be positive"),
    "unknown": ({"optimiser": "sgd"}, TypeError, "optimiser"),
}


@pytest.mark.parametrize("case", COMPILE)
def test_compile_refuses_and_keeps_what_was_compiled(case):
    options, error, message = COMPILE[case]
    model = classifier()
    optimizer = model.optimizer

    with pytest.raises(error, match=message):
        model.compile(**options)

    assert model.optimizer is optimizer
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": {"scoers": "mse"}}, "`loss`.*did you mean 'scores'"),
        ({"loss": ["mse", "mse"]}, r"1 output\(s\) \(scores\), but `loss` has 2"),
        ({"loss": "mse", "metrics": {"scoers": ["mae"]}}, "`metrics`.*did you mean 'scores'"),
        ({"loss": "mse", "loss_weights": {"a": 1.0}}, "`loss_weights`"),
        ({"loss": losses.MeanSquaredError(reduction=None)}, "number for each row.*reduction="),
        ({"loss": torch.nn.MSELoss(reduction="none")}, "number for each row.*reduction="),
    ],
)
def test_losses_and_metrics_of_outputs_that_do_not_exist(options, message):
    model = classifier()
    model.compile("sgd", device="cpu", **options)

    assert_refused(model, lambda model: model.fit(X, R, verbose=0), message)


@pytest.mark.parametrize("verb", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_verbs_before_compile(verb):
    model = kerasish.Sequential([layers.Input((4,)), layers.Dense(3)])

    with pytest.raises(RuntimeError, match=r"must be compiled first: model\.compile"):
        getattr(model, verb)(X, Y)


@pytest.mark.parametrize(
    "action",
    [
        lambda model: model.save("model.kerasish"),
        lambda model: model.save_weights("model.safetensors"),
        lambda model: model.load_weights("model.safetensors"),
        lambda model: model.get_weights(),
        lambda model: model.set_weights([]),
        lambda model: model.count_params(),
    ],
    ids=["save", "save_weights", "load_weights", "get_weights", "set_weights", "count_params"],
)
def test_a_model_without_weights(action, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = kerasish.Sequential([layers.Dense(3)])

    with pytest.raises(ValueError, match=r"no weights yet.*build\(input_shape\)"):
        action(model)

    assert list(tmp_path.iterdir()) == []


def test_everything_frozen():
    model = classifier()
    model.fit(X, Y, verbose=0)
    model.trainable = False
    model.compile("sgd", model.loss, device="cpu")

    assert_refused(
        model, lambda model: model.fit(X, Y, verbose=0), "every parameter is frozen.*trainable"
    )


def test_no_loss_at_all():
    model = classifier()
    model.compile("sgd", device="cpu")

    assert_refused(model, lambda model: model.fit(X, Y, verbose=0), "there is no loss")


LATER = {
    "features": ((X[:5, :3], Y[:5]), classifier, "expects size 4 on axis 1 but got shape"),
    "labels": ((X[:5], Y[:5] + 9), classifier, r"lie in \[9, 11\]"),
    "targets": ((X[:5], R[:5, :2]), regressor, r"target has shape \(2,\)"),
    "rows": ((X[:5], R[:4]), regressor, "same number of rows"),
}


@pytest.mark.parametrize("case", LATER)
def test_a_later_batch_that_does_not_fit(case):
    batch, build, message = LATER[case]
    first = (X[:5], Y[:5] if build is classifier else R[:5])
    model = build()

    with pytest.raises(ValueError, match=message):
        model.fit(iter([first, batch]), verbose=0)

    assert not model.training
    model.fit(X, first[1][[0] * 20], verbose=0)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.array([["a"]]), TypeError, "expected numbers"),
        (X[:0], ValueError, "no rows"),
        (X[:, :3], ValueError, r"expects size 4 on axis 1 but got shape \(20, 3\)"),
        (None, ValueError, "x is None"),
        (3.0, TypeError, "x must be arrays"),
    ],
    ids=["text", "empty", "features", "nothing", "scalar"],
)
def test_predict_refuses(x, error, message):
    model = classifier().eval()

    assert_refused(model, lambda model: model.predict(x, verbose=0), message, error)


def test_outputs_of_different_sizes_cannot_be_joined():
    model = kerasish.Sequential([layers.Input((None,)), layers.Activation("relu")])
    batches = iter([np.ones((2, 3), "float32"), np.ones((2, 4), "float32")])

    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\)"):
        model.predict(batches, verbose=0)


def test_sample_weights_of_a_shape_that_fits_nothing():
    model = classifier()
    before = model.get_weights()

    with pytest.raises(ValueError, match=r"sample_weight must have one value per row.*\(20, 3\)"):
        model.fit(X, Y, sample_weight=np.ones((20, 3)), verbose=0)

    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def test_numpy_integers_are_integers():
    history = classifier().fit(
        X, Y, batch_size=np.int64(5), epochs=np.int32(2), validation_freq=np.int64(1), verbose=0
    )

    assert len(history.history["loss"]) == 2


@pytest.mark.parametrize("call", ["fit", "predict", "__call__"])
def test_complex_inputs_do_not_lose_their_imaginary_part(call):
    model = kerasish.Sequential([kerasish.layers.Input((4,)), kerasish.layers.Dense(1)], name="net")
    model.compile("sgd", "mse")
    x = torch.ones(3, 4, dtype=torch.complex64)
    arguments = (x, torch.ones(3, 1)) if call == "fit" else (x,)
    with pytest.raises(ValueError, match=r'"net" takes float32, got complex.*two channels'):
        getattr(model, call)(*arguments)
