"""Means of outputs, probabilities and logits, and their spread."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish import activations, losses
from kerasish.tta import Mean

LOGITS = [torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]]), torch.tensor([[-1.0, 4.0, 0.0]] * 2)]
SCORES = [torch.tensor([[2.0], [-3.0]]), torch.tensor([[-1.0], [0.5]])]


def mean_of(predictions, average="outputs", **kwargs):
    mean = Mean(average, **kwargs)
    for y_pred in predictions:
        mean.add(y_pred)
    return mean.result()


def test_outputs_are_averaged_as_they_are():
    assert_close(mean_of(LOGITS), (LOGITS[0] + LOGITS[1]) / 2)


def test_equal_predictions_have_themselves_as_mean_to_the_last_bit():
    y = torch.rand(4, 3)

    mean = Mean()
    for _ in range(7):
        mean.add(y)

    assert torch.equal(mean.result(), y)
    assert torch.equal(mean.spread(), torch.zeros(4, 3))


def test_weights_weigh():
    mean = Mean()
    mean.add(torch.tensor([0.0]), weight=1.0)
    mean.add(torch.tensor([4.0]), weight=3.0)

    assert float(mean.result()) == 3.0
    assert float(mean.spread()) == pytest.approx(np.sqrt((9 + 3 * 1) / 4))


def test_probabilities_behind_logits_come_back_as_logits():
    result = mean_of(LOGITS, "probabilities")

    wanted = (LOGITS[0].softmax(-1) + LOGITS[1].softmax(-1)) / 2
    assert_close(result.softmax(-1), wanted)
    y = torch.tensor([0, 1])
    from_logits = losses.SparseCategoricalCrossentropy(from_logits=True)
    assert_close(from_logits(y, result), -wanted[[0, 1], y].log().mean())


def test_logits_behind_probabilities_come_back_as_probabilities():
    remembered = mean_of([activations.softmax(x) for x in LOGITS], "logits")
    forgotten = mean_of([x.softmax(-1) for x in LOGITS], "logits")

    wanted = ((LOGITS[0] + LOGITS[1]) / 2).softmax(-1)
    assert_close(remembered, wanted)
    assert_close(forgotten, wanted)


def test_probabilities_are_averaged_where_the_model_gives_them():
    p = [activations.softmax(x) for x in LOGITS]

    assert_close(mean_of(p, "probabilities"), (p[0] + p[1]) / 2)
    assert_close(mean_of(LOGITS, "logits"), (LOGITS[0] + LOGITS[1]) / 2)


def test_answers_of_yes_or_no_have_a_sigmoid():
    from_logits = mean_of(SCORES, "probabilities")
    from_probabilities = mean_of([activations.sigmoid(x) for x in SCORES], "logits")

    assert_close(from_logits.sigmoid(), (SCORES[0].sigmoid() + SCORES[1].sigmoid()) / 2)
    assert_close(from_probabilities, ((SCORES[0] + SCORES[1]) / 2).sigmoid())


def test_maps_of_classes_are_normalised_along_their_own_axis():
    maps = [torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(s)) for s in (0, 1)]

    result = mean_of([activations.softmax(x, axis=1) for x in maps], "logits")

    assert_close(result, ((maps[0] + maps[1]) / 2).softmax(1))


def test_logits_of_saturated_probabilities_are_finite():
    certain = torch.tensor([[1.0, 0.0]])

    assert mean_of([certain, certain], "logits").isfinite().all()


def test_half_precision_is_averaged_in_float32_and_given_back_as_it_was():
    values = [torch.tensor([2048.0 + 2 * i], dtype=torch.float16) for i in range(3)]

    result = mean_of(values)

    assert result.dtype == torch.float16
    assert float(result) == 2050.0


def test_numbers_that_could_be_either_are_refused():
    with pytest.raises(ValueError, match="logits or probabilities cannot be told"):
        mean_of([torch.tensor([[0.2, 0.3]])], "logits")


def test_labels_have_no_mean():
    with pytest.raises(ValueError, match="have no mean"):
        mean_of([torch.tensor([1, 2])])


def test_unknown_averages_are_refused():
    with pytest.raises(ValueError, match=r"unknown `average` .*did you mean 'logits'"):
        Mean("logit")
