"""Losses: values against Keras and by hand, weights, masks, reductions, shapes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish import losses, registry

rng = np.random.default_rng(0)


def numbers(*shape):
    return rng.normal(size=shape).astype("float32")


def probabilities(*shape):
    p = rng.uniform(0.05, 1.0, size=shape).astype("float32")
    return p / p.sum(-1, keepdims=True)


def unit(*shape):
    x = numbers(*shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def chances(*shape):
    return rng.uniform(0.02, 0.98, size=shape).astype("float32")


def bits(*shape):
    return rng.integers(0, 2, size=shape).astype("float32")


def one_hot(*shape, classes=4):
    return np.eye(classes, dtype="float32")[rng.integers(0, classes, size=shape)]


def indices(*shape, classes=4):
    return rng.integers(0, classes, size=shape)


CASES = {
    "mse": ("MeanSquaredError", {}, numbers(6, 3), numbers(6, 3)),
    "mse, sequence": ("MeanSquaredError", {}, numbers(6, 5, 3), numbers(6, 5, 3)),
    "mse, squeezed": ("MeanSquaredError", {}, numbers(6), numbers(6, 1)),
    "mse, squeezed sequence": ("MeanSquaredError", {}, numbers(6, 5, 1), numbers(6, 5)),
    "mae": ("MeanAbsoluteError", {}, numbers(6, 3), numbers(6, 3)),
    "mape": ("MeanAbsolutePercentageError", {}, numbers(6, 3), numbers(6, 3)),
    "msle": ("MeanSquaredLogarithmicError", {}, numbers(6, 3), numbers(6, 3)),
    "huber": ("Huber", {"delta": 0.7}, numbers(6, 3), numbers(6, 3)),
    "log_cosh": ("LogCosh", {}, numbers(6, 3), numbers(6, 3) * 30),
    "poisson": ("Poisson", {}, chances(6, 3), chances(6, 3)),
    "kl": ("KLDivergence", {}, probabilities(6, 3), probabilities(6, 3)),
    "cosine": ("CosineSimilarity", {}, numbers(6, 3), numbers(6, 3)),
    "cosine, axis": ("CosineSimilarity", {"axis": 1}, numbers(6, 3, 2), numbers(6, 3, 2)),
    "hinge": ("Hinge", {}, bits(6, 3), numbers(6, 3)),
    "hinge, signs": ("Hinge", {}, bits(6, 3) * 2 - 1, numbers(6, 3)),
    "squared_hinge": ("SquaredHinge", {}, bits(6, 3), numbers(6, 3)),
    "categorical_hinge": ("CategoricalHinge", {}, one_hot(6), numbers(6, 4)),
    "bce": ("BinaryCrossentropy", {}, bits(6, 3), chances(6, 3)),
    "bce, edges": ("BinaryCrossentropy", {}, bits(6, 3), bits(6, 3)),
    "bce, logits": ("BinaryCrossentropy", {"from_logits": True}, bits(6, 3), numbers(6, 3)),
    "bce, smooth": ("BinaryCrossentropy", {"label_smoothing": 0.1}, bits(6, 3), chances(6, 3)),
    "bce, axis": ("BinaryCrossentropy", {"axis": 1}, bits(6, 3, 2), chances(6, 3, 2)),
    "focal": ("BinaryFocalCrossentropy", {"gamma": 1.5}, bits(6, 3), chances(6, 3)),
    "focal, logits": (
        "BinaryFocalCrossentropy",
        {"from_logits": True, "apply_class_balancing": True, "label_smoothing": 0.2},
        bits(6, 3),
        numbers(6, 3),
    ),
    "ce": ("CategoricalCrossentropy", {}, one_hot(6), chances(6, 4)),
    "ce, sequence": ("CategoricalCrossentropy", {}, one_hot(6, 5), chances(6, 5, 4)),
    "ce, logits": (
        "CategoricalCrossentropy",
        {"from_logits": True, "label_smoothing": 0.1},
        one_hot(6),
        numbers(6, 4),
    ),
    "ce, axis": (
        "CategoricalCrossentropy",
        {"from_logits": True, "axis": 1},
        one_hot(6, 5).swapaxes(1, 2),
        numbers(6, 4, 5),
    ),
    "focal ce": ("CategoricalFocalCrossentropy", {}, one_hot(6), chances(6, 4)),
    "focal ce, logits": (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "alpha": 0.5, "gamma": 1.0, "label_smoothing": 0.1},
        one_hot(6),
        numbers(6, 4),
    ),
    "sparse": ("SparseCategoricalCrossentropy", {}, indices(6), chances(6, 4)),
    "sparse, column": ("SparseCategoricalCrossentropy", {}, indices(6, 1), chances(6, 4)),
    "sparse, logits": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        indices(6),
        numbers(6, 4),
    ),
    "sparse, sequence": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True},
        indices(6, 5),
        numbers(6, 5, 4),
    ),
    "sparse, axis": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "axis": 1},
        indices(6, 5),
        numbers(6, 4, 5),
    ),
    "sparse, ignored": (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "ignore_class": 2},
        np.array([0, 1, 2, 3, 2, 1]),
        numbers(6, 4),
    ),
    "sparse, all ignored": (
        "SparseCategoricalCrossentropy",
        {"ignore_class": -1},
        np.full(6, -1),
        chances(6, 4),
    ),
    "generalized": ("CategoricalGeneralizedCrossEntropy", {"q": 0.3}, indices(6), chances(6, 4)),
    "dice": ("Dice", {}, bits(6, 4, 4), chances(6, 4, 4)),
    "dice, axis": ("Dice", {"axis": (1, 2)}, bits(6, 4, 4), chances(6, 4, 4)),
    "tversky": ("Tversky", {"alpha": 0.3, "beta": 0.9}, bits(6, 4, 4), chances(6, 4, 4)),
    "tversky, axis": ("Tversky", {"axis": (1, 2)}, bits(6, 4, 4), chances(6, 4, 4)),
    "ctc": ("CTC", {}, np.array([[1, 2, 0], [3, 0, 0]]), numbers(2, 7, 4)),
    "circle": ("Circle", {}, indices(6, classes=2), unit(6, 5)),
    "circle, options": (
        "Circle",
        {"gamma": 10.0, "margin": 0.2, "remove_diagonal": False},
        indices(6, classes=2),
        unit(6, 5),
    ),
}


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def to_torch(*arrays):
    return [torch.as_tensor(array) for array in arrays]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "mean", "sum", "none", None])
def test_values_are_those_of_keras(keras, case, reduction):
    name, options, y_true, y_pred = CASES[case]
    expected = getattr(keras.losses, name)(reduction=reduction, **options)(y_true, y_pred)

    loss = getattr(losses, name)(reduction=reduction, **options)(*to_torch(y_true, y_pred))

    assert_close(loss.double(), expected.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][3].ndim == 2])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weight", ["ones", "mixed", "zeros"])
def test_weighted_values_are_those_of_keras(keras, case, reduction, weight):
    name, options, y_true, y_pred = CASES[case]
    rows = len(y_true)
    kinds = {"ones": np.ones(rows), "mixed": np.arange(rows) / 2, "zeros": np.zeros(rows)}
    weights = kinds[weight].astype("float32")
    oracle = getattr(keras.losses, name)(reduction=reduction, **options)
    expected = oracle(y_true, y_pred, sample_weight=weights)

    loss = getattr(losses, name)(reduction=reduction, **options)
    ours = loss(*to_torch(y_true, y_pred), sample_weight=weights)

    assert_close(ours.double(), expected.double(), rtol=1e-5, atol=1e-5)


PER_TIMESTEP = {
    "mse, sequence": CASES["mse, sequence"],
    "ce, sequence": CASES["ce, sequence"],
    "sparse, sequence": CASES["sparse, sequence"],
    "sparse, axis": CASES["sparse, axis"],
}


@pytest.mark.parametrize("case", PER_TIMESTEP)
@pytest.mark.parametrize("columns", [1, 5], ids=["per row", "per step"])
def test_sequences_take_weights_per_row_and_per_step_as_in_keras(keras, case, columns):
    name, options, y_true, y_pred = PER_TIMESTEP[case]
    weights = chances(6, columns)
    expected = getattr(keras.losses, name)(**options)(y_true, y_pred, sample_weight=weights)

    loss = getattr(losses, name)(**options)(*to_torch(y_true, y_pred), sample_weight=weights)

    assert_close(loss, expected)
    if columns == 1:  # Keras would broadcast (N,) along the wrong axis here
        flat = getattr(losses, name)(**options)(*to_torch(y_true, y_pred), weights[:, 0])
        assert_close(flat, expected)


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", ["some", "all"])
def test_masked_values_are_those_of_keras(keras, reduction, weighted, masked):
    from keras.src.backend import set_keras_mask

    y_true, y_pred = numbers(6, 5, 3), numbers(6, 5, 3)
    mask = np.zeros((6, 5), bool) if masked == "all" else rng.uniform(size=(6, 5)) < 0.6
    weights = chances(6, 1) if weighted else None
    marked = torch.tensor(y_pred)
    set_keras_mask(marked, torch.tensor(mask))
    spread = np.repeat(weights, 5, 1) if weighted else None  # Keras does not spread them itself
    expected = keras.losses.MeanSquaredError(reduction=reduction)(y_true, marked, spread)

    loss = losses.MeanSquaredError(reduction=reduction)(
        *to_torch(y_true, y_pred), sample_weight=weights, mask=torch.tensor(mask)
    )

    assert_close(loss.double(), expected.double(), rtol=1e-5, atol=1e-6)


def test_not_a_number_under_the_mask_does_not_leak():
    y_pred = torch.tensor([[1.0], [math.nan]], requires_grad=True)

    loss = losses.MeanSquaredError()(torch.zeros(2, 1), y_pred, mask=torch.tensor([True, False]))

    assert loss.item() == 1.0


def test_hand_computed_values():
    y_true, y_pred = [[0.0, 1.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]
    assert losses.MeanSquaredError()(y_true, y_pred).item() == 0.5
    assert losses.MeanSquaredError()(y_true, y_pred, sample_weight=[0.7, 0.3]).item() == 0.25
    assert losses.MeanSquaredError(reduction="sum")(y_true, y_pred).item() == 1.0
    assert losses.Huber(delta=1.0)([[0.0]], [[3.0]]).item() == 2.5
    assert losses.LogCosh()([[0.0]], [[100.0]]).item() == pytest.approx(100 - math.log(2))
    assert losses.Hinge()([[0.0, 1.0]], [[0.5, 0.5]]).item() == pytest.approx((1.5 + 0.5) / 2)
    assert losses.CosineSimilarity()([[3.0, 4.0]], [[6.0, 8.0]]).item() == pytest.approx(-1.0)
    third = losses.SparseCategoricalCrossentropy()([0], [[1.0, 1.0, 1.0]])
    assert third.item() == pytest.approx(math.log(3))
    dice = losses.Dice()([[1.0, 0.0]], [[1.0, 1.0]])
    assert dice.item() == pytest.approx(1 - 2 * 1 / 3)


LOSS_NAMES = sorted(
    name
    for name, value in vars(losses).items()
    if isinstance(value, type) and name not in ("Loss", "LossFunctionWrapper", "TorchLoss")
)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_empty_batches_give_zero(name):
    shapes = {
        "CTC": (torch.zeros(0, 2), torch.zeros(0, 5, 3)),
        "SparseCategoricalCrossentropy": (torch.zeros(0).long(), torch.zeros(0, 3)),
        "CategoricalGeneralizedCrossEntropy": (torch.zeros(0).long(), torch.zeros(0, 3)),
        "Circle": (torch.zeros(0).long(), torch.zeros(0, 3)),
    }
    if name == "CTC":
        pytest.skip("torch's ctc_loss takes no empty batch")
    y_true, y_pred = shapes.get(name, (torch.zeros(0, 3), torch.zeros(0, 3)))

    loss = getattr(losses, name)()(y_true, y_pred.requires_grad_())

    assert loss.shape == ()
    assert loss.item() == (1.0 if name in ("Dice", "Tversky") else 0.0)


WEIGHABLE = {
    name: case
    for name, case in CASES.items()
    if case[0] not in ("Dice", "Tversky", "Circle", "CTC") and "ignored" not in name
}


@pytest.mark.parametrize("case", WEIGHABLE)
def test_weight_two_equals_the_row_twice(case):
    name, options, y_true, y_pred = WEIGHABLE[case]
    y_true, y_pred = to_torch(y_true, y_pred)
    weights = torch.tensor([2.0, 1.0, 0.0, 1.0, 2.0, 3.0])
    repeated = weights.long()
    loss = getattr(losses, name)(reduction="sum", **options)

    weighted = loss(y_true, y_pred, sample_weight=weights)

    twice = loss(y_true.repeat_interleave(repeated, 0), y_pred.repeat_interleave(repeated, 0))
    assert_close(weighted, twice)


@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 4),
    weighted=st.booleans(),
    name=st.sampled_from(["MeanSquaredError", "BinaryCrossentropy", "Huber", "KLDivergence"]),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=50, deadline=None)
def test_the_sum_over_rows_does_not_depend_on_the_split(rows, columns, weighted, name, seed):
    torch.manual_seed(seed)
    y_true, y_pred = torch.rand(rows, columns), torch.rand(rows, columns)
    weights = torch.rand(rows) if weighted else torch.ones(rows)
    loss = getattr(losses, name)(reduction="sum")

    whole = loss(y_true, y_pred, sample_weight=weights)

    one_by_one = sum(loss(y_true[i, None], y_pred[i, None], weights[i, None]) for i in range(rows))
    assert_close(whole, one_by_one)


@pytest.mark.parametrize(
    "name", ["MeanSquaredError", "BinaryCrossentropy", "Hinge", "KLDivergence"]
)
@pytest.mark.parametrize("shapes", [((4,), (4, 2)), ((4, 1), (4, 2)), ((4, 2), (2, 4))])
def test_shapes_that_would_broadcast_are_refused(name, shapes):
    y_true, y_pred = (torch.rand(shape) for shape in shapes)
    loss = getattr(losses, name)()

    with pytest.raises(
        ValueError, match=rf"{loss.name}: y_true and y_pred must have the same"
    ) as e:
        loss(y_true, y_pred)

    assert str(tuple(y_true.shape)) in str(e.value)
    assert str(tuple(y_pred.shape)) in str(e.value)


def test_rows_and_columns_of_one_are_aligned():
    flat, column = torch.rand(5), torch.rand(5, 1)

    loss = losses.MeanSquaredError()

    assert_close(loss(flat, column), F.mse_loss(column[:, 0], flat))
    assert_close(loss(column, flat), F.mse_loss(flat, column[:, 0]))
    assert_close(loss(flat, flat + 1, sample_weight=[1, 0, 0, 0, 0]), torch.tensor(0.2))


@pytest.mark.parametrize("sides", [(), (5,), (5, 4), (5, 4, 2)])
def test_probabilities_with_classes_last_have_the_gradient_of_their_logarithm(sides):
    p = torch.softmax(torch.randn(2, *sides, 3), dim=-1).clone().requires_grad_()
    y = torch.randint(3, (2, *sides))

    losses.SparseCategoricalCrossentropy()(y, p).backward()

    picked = p.detach().gather(-1, y[..., None])
    want = torch.zeros_like(p).scatter(-1, y[..., None], -1 / picked) / y.numel()
    want = want + 1 / y.numel()  # probabilities are divided by their sum, which is 1
    assert_close(p.grad, want)


def test_sparse_targets_of_the_wrong_shape_are_refused():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match="one-hot targets"):
        loss(torch.eye(3), torch.rand(3, 3))
    with pytest.raises(ValueError, match=r"sparse_categorical_crossentropy.*\(4,\).*\(3, 3\)"):
        loss(torch.zeros(4).long(), torch.rand(3, 3))


def test_weights_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match=r"sample_weight must have one value per row.*\(5,\)"):
        losses.MeanSquaredError()(torch.rand(4, 2), torch.rand(4, 2), sample_weight=torch.ones(5))


@pytest.mark.parametrize("case", ["sparse", "ce", "bce"])
def test_remembered_logits_make_probabilities_exact(case):
    logits = torch.tensor([[60.0, -60.0]], requires_grad=True)
    activation = torch.sigmoid if case == "bce" else torch.softmax
    y_pred = activation(logits) if case == "bce" else activation(logits, -1)
    y_pred._logits = logits
    loss, y_true = {
        "sparse": (losses.SparseCategoricalCrossentropy(), torch.tensor([1])),
        "ce": (losses.CategoricalCrossentropy(), torch.tensor([[0.0, 1.0]])),
        "bce": (losses.BinaryCrossentropy(), torch.tensor([[0.0, 1.0]])),
    }[case]

    for weight in (None, torch.ones(1)):
        assert loss(y_true, y_pred, sample_weight=weight).item() == pytest.approx(
            60 if case == "bce" else 120
        )


def test_logits_of_another_activation_are_not_taken():
    logits = torch.randn(3, 4)
    y_pred = logits.sigmoid()
    y_pred._logits, y_pred._logits_of = logits, "sigmoid"
    y_true = torch.eye(4)[:3]

    loss = losses.CategoricalCrossentropy()(y_true, y_pred)

    assert_close(loss, losses.CategoricalCrossentropy()(y_true, logits.sigmoid()))


@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "kernel"),
    [
        (
            losses.SparseCategoricalCrossentropy(from_logits=True),
            torch.tensor([0, 2]),
            torch.randn(2, 3),
            lambda y_true, y_pred: F.cross_entropy(y_pred, y_true),
        ),
        (
            losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
            torch.eye(3)[:2],
            torch.randn(2, 3),
            lambda y_true, y_pred: F.cross_entropy(y_pred, y_true, label_smoothing=0.1),
        ),
        (
            losses.BinaryCrossentropy(from_logits=True),
            torch.tensor([[0.0], [1.0]]),
            torch.randn(2, 1),
            lambda y_true, y_pred: F.binary_cross_entropy_with_logits(y_pred, y_true),
        ),
        (
            losses.MeanSquaredError(),
            torch.randn(2, 3),
            torch.randn(2, 3),
            lambda y_true, y_pred: F.mse_loss(y_pred, y_true),
        ),
    ],
    ids=["sparse", "categorical", "binary", "mse"],
)
def test_the_commonest_calls_are_one_kernel(loss, y_true, y_pred, kernel):
    from torch.utils._python_dispatch import TorchDispatchMode

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.ops.append(func)
            return func(*args, **kwargs or {})

    def record(call):
        with Recorder() as recorder:
            recorder.ops = []
            result = call(y_true, y_pred)
        return recorder.ops, result

    ours, theirs = record(loss), record(kernel)

    assert ours[0] == theirs[0]
    assert torch.equal(ours[1], theirs[1])


def test_half_types_are_widened_and_other_types_converted():
    y_pred = torch.randn(4, 3).bfloat16()
    loss = losses.MeanSquaredError()(torch.zeros(4, 3, dtype=torch.int32), y_pred)
    assert loss.dtype == torch.float32
    assert_close(loss, y_pred.float().square().mean())
    assert losses.MeanSquaredError(dtype="float64")([[1]], [[2]]).dtype == torch.float64
    assert losses.MeanSquaredError()(np.ones((2, 1)), np.zeros((2, 1), "float32")).item() == 1.0


def test_own_losses_take_weights_and_structures():
    class Pinball(losses.Loss):
        def call(self, y_true, y_pred):
            error = y_true - y_pred["median"]
            return torch.maximum(0.7 * error, -0.3 * error).mean(-1)

    loss = Pinball()(torch.zeros(2, 1), {"median": torch.tensor([[1.0], [2.0]])}, [1.0, 0.0])

    assert loss.item() == pytest.approx(0.15)


def test_overriding_call_turns_the_fused_kernel_off():
    class Doubled(losses.MeanSquaredError):
        def call(self, y_true, y_pred):
            return 2 * super().call(y_true, y_pred)

    assert Doubled()([[0.0]], [[1.0]]).item() == 2.0


def test_a_function_becomes_a_loss():
    def cubed(y_true, y_pred):
        return (y_true - y_pred).abs().pow(3).mean(-1)

    loss = losses.get(cubed)

    assert loss.name == "cubed"
    assert loss(torch.zeros(2), torch.full((2, 1), 2.0)).item() == 8.0


FUNCTIONS = [name for name in losses.__all__ if name[0].islower()]
NOT_FORMULAS = ("get", "serialize", "deserialize", "resolve_crossentropy")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in NOT_FORMULAS])
def test_functions_give_keras_values_per_sample(keras, name):
    function = getattr(losses, name)
    cls = next(cls for cls in LOSS_NAMES if type(losses.get(name)).__name__ == cls)
    _, _, y_true, y_pred = next(case for case in CASES.values() if case[0] == cls)
    options = {"q": 0.5} if name.startswith("categorical_general") else {}
    expected = getattr(keras.losses, name)(*to_torch(y_true, y_pred), **options)

    assert_close(function(*to_torch(y_true, y_pred), **options), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*LOSS_NAMES, "Loss", *FUNCTIONS])
def test_signatures_are_those_of_keras(keras, name):
    import inspect

    if not hasattr(keras.losses, name):
        assert name == "resolve_crossentropy"
        return

    def parameters(obj):
        return [(p.name, p.default) for p in inspect.signature(obj).parameters.values()]

    ours, theirs = parameters(getattr(losses, name)), parameters(getattr(keras.losses, name))
    if name == "deserialize":  # Keras calls its config "name" here
        ours[0] = theirs[0]
    if name == "serialize":
        assert len(ours) == len(theirs)
    else:
        assert ours == theirs


def test_every_public_name_of_keras_is_here(keras):
    public = {name for name in dir(keras.losses) if not name.startswith("_")}
    assert public <= set(losses.__all__)
    assert losses.__all__ == sorted(
        losses.__all__, key=lambda n: (not n.isupper(), n[0].islower(), n)
    )


@pytest.mark.parametrize(
    ("alias", "cls"),
    [
        ("mse", losses.MeanSquaredError),
        ("MAE", losses.MeanAbsoluteError),
        ("bce", losses.BinaryCrossentropy),
        ("kld", losses.KLDivergence),
        ("mean_squared_error", losses.MeanSquaredError),
        ("SparseCategoricalCrossentropy", losses.SparseCategoricalCrossentropy),
        (losses.huber, losses.Huber),
        (losses.Poisson, losses.Poisson),
    ],
)
def test_names_functions_and_classes_are_found(alias, cls):
    assert type(losses.get(alias)) is cls


def test_unknown_names_and_reductions_get_a_suggestion():
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        losses.get("mean_square_error")
    with pytest.raises(ValueError, match="unknown reduction 'avg'"):
        losses.MeanSquaredError(reduction="avg")
    with pytest.raises(TypeError, match="loss"):
        losses.get(3)
    assert losses.get(None) is None


@pytest.mark.parametrize(
    ("y_true", "y_pred", "cls"),
    [
        ((8,), (8, 1), losses.BinaryCrossentropy),
        ((8,), (8, 5), losses.SparseCategoricalCrossentropy),
        ((8, 1), (8, 5), losses.SparseCategoricalCrossentropy),
        ((8, 5), (8, 5), losses.CategoricalCrossentropy),
    ],
)
def test_crossentropy_means_what_the_shapes_say(y_true, y_pred, cls):
    loss = losses.resolve_crossentropy("crossentropy", y_true, y_pred)
    assert (type(loss), loss.name) == (cls, "crossentropy")


@pytest.mark.parametrize("case", CASES)
def test_configs_make_the_same_loss_again(case):
    name, options, y_true, y_pred = CASES[case]
    loss = getattr(losses, name)(reduction="sum", name="mine", **options)

    config = json.loads(json.dumps(losses.serialize(loss)))
    again = losses.deserialize(config)

    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert_close(again(*to_torch(y_true, y_pred)), loss(*to_torch(y_true, y_pred)))


def test_wrapped_functions_are_saved_by_their_registered_name():
    @registry.register(package="tests")
    def shifted(y_true, y_pred, by=0.0):
        return (y_true - y_pred + by).mean(-1)

    loss = losses.LossFunctionWrapper(shifted, by=2.0)

    again = losses.deserialize(losses.serialize(loss))

    assert again([[0.0]], [[0.0]]).item() == 2.0


def test_gradients_of_rows_without_partners_are_finite():
    embeddings = F.normalize(torch.randn(4, 3)).requires_grad_()

    losses.Circle()(torch.tensor([0, 1, 2, 3]), embeddings).backward()

    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("case", ["mse", "bce, logits", "sparse, logits", "ce, logits", "sparse"])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_compile_into_one_graph(case, weighted):
    name, options, y_true, y_pred = CASES[case]
    data = [*to_torch(y_true, y_pred), *([torch.rand(6)] if weighted else [])]
    loss = getattr(losses, name)(**options)
    torch.compiler.reset()

    compiled = torch.compile(loss, backend="eager", fullgraph=True)

    assert_close(compiled(*data), loss(*data))


@pytest.mark.parametrize(("shape", "axis"), [((6, 4), -1), ((6, 2, 4), -1), ((6, 4, 2), 1)])
def test_focal_crossentropy_takes_a_factor_for_each_class(shape, axis):
    p = torch.rand(shape).softmax(axis)
    y_true = torch.rand(shape).softmax(axis)
    factors = torch.tensor([0.1, 0.2, 0.3, 0.4])
    along = factors if axis == -1 else factors[:, None]

    loss = losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.2, 0.3, 0.4], axis=axis)

    by_hand = -(along * (1 - p) ** 2 * y_true * p.log()).sum(axis).mean()
    assert_close(loss(y_true, p), by_hand)
    again = losses.deserialize(json.loads(json.dumps(losses.serialize(loss))))
    assert_close(again(y_true, p), by_hand)


def test_focal_factors_of_another_number_than_classes_are_refused():
    loss = losses.CategoricalFocalCrossentropy(alpha=[0.1, 0.2])

    with pytest.raises(ValueError, match="one for each of the 3 classes"):
        loss(torch.eye(3), torch.full((3, 3), 1 / 3))


def test_lists_of_single_numbers_are_arrays():
    numbers = [np.float64(1), np.float64(2), np.float32(4)]
    loss = losses.MeanSquaredError()

    for y_true, y_pred in (
        (torch.ones(3), numbers),
        (numbers, torch.ones(3)),
        ([1, 1, 1], numbers),
    ):
        assert_close(float(loss(y_true, y_pred)), (0 + 1 + 9) / 3)
