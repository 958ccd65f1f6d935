"""Targets and weights as a loss is given them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish import Input, Model, layers, losses, optimizers
from kerasish.training.objective import Objective
from kerasish.training.recipe import Recipe
from kerasish.training.targets import target_preparer

SCORES = torch.zeros(6, 3)
SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


def prepared(y, y_pred=SCORES, loss=SPARSE, weight=None, class_weight=None, names=("scores",)):
    """What a feed makes of targets and weights for a model with these outputs."""
    recipe = Recipe(optimizer=optimizers.SGD(), loss=loss)
    objective = Objective(recipe, list(names), y, y_pred)
    _, y, weight = target_preparer(objective, y_pred, class_weight)(None, y, weight)
    return y, weight


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32, torch.int64])
@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_class_numbers_become_int64_of_one_rank(dtype, shape):
    y, weight = prepared(torch.tensor([0, 1, 2, 2, 1, 0]).to(dtype).reshape(shape))

    assert y.dtype == torch.int64
    assert y.tolist() == [0, 1, 2, 2, 1, 0]
    assert weight is None


@pytest.mark.parametrize(
    ("given_", "outputs"),
    [
        ((6,), (6, 1)),
        ((6, 1), (6,)),
        ((6, 1), (6, 1)),
        ((6, 2, 1), (6, 2)),
        ((6, 2), (6, 2, 1)),  # a number for each step
        ((6, 4, 5), (6, 4, 5, 1)),  # masks without their axis of channels
        ((6, 4, 5), (6, 1, 4, 5)),
    ],
)
def test_numbers_take_the_shape_and_type_of_the_outputs(given_, outputs):
    y, _ = prepared(torch.ones(given_, dtype=torch.int32), torch.zeros(outputs), "mse")

    assert y.shape == outputs
    assert y.dtype == torch.float32


@pytest.mark.parametrize("outputs", [(6, 2, 1), (6, 3, 4, 1), (6, 3, 4)])
def test_targets_that_lack_more_than_an_axis_of_one_are_refused(outputs):
    with pytest.raises(ValueError, match="K115"):
        prepared(torch.zeros(6, 3), torch.zeros(outputs), loss=losses.MeanSquaredError())


def test_a_mask_without_channels_has_the_loss_and_accuracy_of_one_with():
    masks = torch.tensor(np.random.default_rng(0).integers(0, 2, (6, 4, 4)), dtype=torch.float32)
    images = masks.unsqueeze(1) + 0.1
    inputs = Input((1, 4, 4))
    model = Model(inputs, layers.Conv2D(1, 3, padding="same", activation="sigmoid")(inputs))
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])

    without = model.evaluate(images, masks, verbose=0)

    assert without == model.evaluate(images, masks.unsqueeze(1), verbose=0)


def test_half_precision_outputs_do_not_narrow_class_numbers():
    y, _ = prepared(torch.tensor([0, 1, 2, 2, 1, 0]), SCORES.bfloat16())

    assert y.dtype == torch.int64


TABLE = {0: 1.0, 1: 2.0, 2: 0.5}


@pytest.mark.parametrize(
    ("y", "y_pred", "loss"),
    [
        (torch.tensor([0, 1, 2, 2]), torch.zeros(4, 3), SPARSE),
        (torch.tensor([[0], [1], [2], [2]]), torch.zeros(4, 3), SPARSE),
        (torch.eye(3)[[0, 1, 2, 2]], torch.ones(4, 3) / 3, "categorical_crossentropy"),
        (torch.eye(3).long()[[0, 1, 2, 2]], torch.ones(4, 3) / 3, "categorical_crossentropy"),
        (torch.tensor([0.0, 1.0, 2.0, 2.0]), torch.zeros(4, 1), "mse"),
    ],
    ids=["indices", "column", "one_hot", "one_hot_integers", "numbers"],
)
def test_each_row_has_the_weight_of_its_class(y, y_pred, loss):
    _, weight = prepared(y, y_pred, loss, class_weight=TABLE)

    assert weight.flatten().tolist() == [1.0, 2.0, 0.5, 0.5]


def test_each_step_of_a_sequence_has_the_weight_of_its_class():
    y = torch.tensor([[0, 1], [2, 2]])

    _, weight = prepared(y, torch.zeros(2, 2, 3), class_weight=TABLE)
    assert weight.tolist() == [[1.0, 2.0], [0.5, 0.5]]

    _, weight = prepared(
        y, torch.zeros(2, 2, 3), class_weight=TABLE, weight=torch.tensor([10.0, 1.0])
    )
    assert weight.tolist() == [[10.0, 20.0], [0.5, 0.5]]


def test_a_weight_for_each_step_multiplies_that_of_a_rows_class():
    steps = torch.arange(4.0).reshape(2, 2)

    _, weight = prepared(
        torch.eye(3)[[1, 2]], torch.ones(2, 3) / 3, "mse", class_weight=TABLE, weight=steps
    )

    assert weight.tolist() == [[0.0, 2.0], [1.0, 1.5]]


@settings(deadline=None)
@given(
    classes=st.lists(st.integers(0, 2), min_size=1, max_size=20),
    table=st.dictionaries(st.integers(0, 2), st.floats(0, 10, width=32)),
)
def test_class_weights_are_sample_weights(classes, table):
    y = torch.tensor(classes)

    _, weight = prepared(y, torch.zeros(len(y), 3), class_weight=table)

    assert_close(weight, torch.tensor([table.get(c, 1.0) for c in classes]))


def test_classes_that_the_loss_ignores_need_no_weight():
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)

    y, weight = prepared(
        torch.tensor([0, 255, 1]), torch.zeros(3, 3), loss, class_weight={0: 2.0, 1: 3.0}
    )

    assert y.tolist() == [0, 255, 1]
    assert weight.tolist() == [2.0, 1.0, 3.0]


def test_targets_by_name_stay_by_name_in_the_order_of_the_outputs():
    outputs = {"a": torch.zeros(2, 3), "b": torch.zeros(2, 1)}
    y = {"b": torch.ones(2), "a": torch.tensor([0, 1])}

    y, _ = prepared(y, outputs, {"a": SPARSE, "b": "mse"}, names=["a", "b"])

    assert list(y) == ["a", "b"]
    assert y["a"].dtype == torch.int64
    assert y["b"].shape == (2, 1)


def test_numpy_weights_of_one_output_among_several():
    outputs = [torch.zeros(2, 3), torch.zeros(2, 1)]
    y = [torch.tensor([0, 1]), torch.ones(2)]

    _, weights = prepared(
        y, outputs, [SPARSE, "mse"], names=["a", "b"], weight={"b": torch.tensor([1.0, 2.0])}
    )

    assert weights[0] is None
    assert weights[1].tolist() == [1.0, 2.0]


def test_weights_may_be_left_out_where_targets_are():
    outputs = [torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 1)]
    ones, twos = torch.ones(2), 2 * torch.ones(2)

    y, weights = prepared(
        [ones, ones], outputs, ["mse", None, "mse"], names=["a", "b", "c"], weight=[ones, twos]
    )

    assert y[1] is None
    assert weights[1] is None
    assert (weights[0].tolist(), weights[2].tolist()) == ([1, 1], [2, 2])


def test_torch_losses_take_class_numbers_or_probabilities():
    loss = torch.nn.CrossEntropyLoss()

    assert prepared(torch.tensor([0, 1], dtype=torch.int32), torch.zeros(2, 3), loss)[0].dtype == (
        torch.int64
    )
    assert prepared(torch.ones(2, 3) / 3, torch.zeros(2, 3), loss)[0].dtype == torch.float32


def test_images_of_class_numbers_are_checked_on_their_own_axis():
    y = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (2, 4, 5)))

    y, _ = prepared(y, torch.zeros(2, 3, 4, 5), torch.nn.CrossEntropyLoss())

    assert y.shape == (2, 4, 5)


def test_class_weights_of_measurements_are_refused():
    with pytest.raises(ValueError, match=r"'scores' needs class numbers.*such as 2\.5"):
        prepared(
            torch.tensor([[0.5], [2.5]]), torch.zeros(2, 1), losses.get("mse"), class_weight=TABLE
        )


def test_a_number_below_zero_is_no_class_from_the_end():
    _, weight = prepared(
        torch.tensor([[-1.0], [1.0]]),
        torch.zeros(2, 1),
        losses.get("hinge"),
        class_weight={0: 5.0, 1: 3.0},
    )

    assert_close(weight, torch.tensor([1.0, 3.0]))


class SumOverOutputs(Model):
    """Two outputs, and a `compute_loss` that takes the targets as the user gives them."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if isinstance(y, dict):
            return (y_pred[0] - y["anything"]).square().mean()
        return sum((part - y).abs().mean() for part in y_pred)


def two_outputs():
    x = Input((3,))
    return SumOverOutputs(x, [layers.Dense(1, name="a")(x), layers.Dense(1, name="b")(x)])


def test_one_target_serves_all_outputs_of_a_model_with_its_own_compute_loss():
    x, y = np.ones((6, 3), "float32"), np.zeros((6, 1), "float32")
    model = two_outputs()
    model.compile("sgd", metrics=[["mae"], ["mae"]])

    logs = model.evaluate(x, y, return_dict=True, verbose=0)

    parts = [float(np.abs(part - y).mean()) for part in model.predict(x, verbose=0)]
    assert logs["a_mae"] == pytest.approx(parts[0], rel=1e-5)
    assert logs["b_mae"] == pytest.approx(parts[1], rel=1e-5)
    assert logs["loss"] == pytest.approx(sum(parts), rel=1e-5)
    model.fit(x, y, batch_size=3, verbose=0)


def test_a_compute_loss_of_ones_own_gets_targets_of_any_structure():
    x, y = np.ones((6, 3), "float32"), np.zeros((6, 1), "float32")
    model = two_outputs()
    model.compile("sgd")

    loss = model.evaluate(x, {"anything": y}, verbose=0)

    assert loss == pytest.approx(np.square(model.predict(x, verbose=0)[0] - y).mean(), rel=1e-5)
    model.fit(x, {"anything": y}, batch_size=3, verbose=0)


def test_with_a_loss_targets_are_one_for_each_output():
    model = two_outputs()
    model.compile("sgd", loss="mse")

    with pytest.raises(ValueError, match=r"has 2 output\(s\) \(a, b\)"):
        model.fit(torch.randn(6, 3), torch.randn(6, 1), verbose=0)
