"""torchmetrics and torch objects as kerasish metrics, and the state of several processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from kerasish import metrics

SCORES = torch.rand(8, 3, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])


def test_torchmetrics_objects_drop_in():
    torchmetrics = pytest.importorskip("torchmetrics")
    foreign = torchmetrics.classification.MulticlassAccuracy(3, average="micro")
    metric, ours = metrics.get(foreign), metrics.SparseCategoricalAccuracy()
    for part in (slice(3), slice(3, 8)):
        for each in (metric, ours):
            each.update_state(CLASSES[part], SCORES[part])

    assert isinstance(metric, metrics.TorchMetric)
    assert (metric.name, metric.direction) == ("multiclass_accuracy", "up")
    assert_close(metric.result(), ours.result())
    metric.reset_state()
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_torchmetrics_gets_the_ranks_and_types_it_wants(shape):
    torchmetrics = pytest.importorskip("torchmetrics")
    y_pred, y_true = SCORES[:, :1], (SCORES[:, 0] > 0.3).float().reshape(shape)
    binary = metrics.get(torchmetrics.classification.BinaryAccuracy())
    many = metrics.get(torchmetrics.classification.MulticlassF1Score(3))
    error = metrics.get(torchmetrics.MeanSquaredError())

    assert_close(binary(y_true, y_pred), metrics.BinaryAccuracy()(y_true, y_pred))
    assert_close(error(y_true, y_pred), metrics.MeanSquaredError()(y_true, y_pred))
    assert many(CLASSES.float().reshape(shape), SCORES).shape == ()


def test_weights_without_effect_are_said():
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = metrics.get(torchmetrics.MeanSquaredError())
    with pytest.warns(UserWarning, match="take no sample_weight"):
        metric.update_state(SCORES, SCORES, sample_weight=torch.ones(8))


def test_torchmetrics_functions_get_predictions_first():
    functional = pytest.importorskip("torchmetrics.functional")
    metric = metrics.get(functional.mean_absolute_percentage_error)

    y_true = SCORES + 1
    expected = ((SCORES - y_true).abs() / y_true).mean()
    assert metric.name == "mean_absolute_percentage_error"
    assert_close(metric(y_true, SCORES), expected)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), F.cross_entropy, nn.CrossEntropyLoss])
def test_torch_losses_become_means_over_samples(loss):
    metric = metrics.get(loss)
    for part in (slice(3), slice(3, 8)):
        metric.update_state(CLASSES[part], SCORES[part])

    assert metric.direction == "down"
    assert_close(metric.result(), F.cross_entropy(SCORES, CLASSES))


def test_importing_metrics_does_not_import_torchmetrics():
    code = "import sys, kerasish.metrics; sys.exit('torchmetrics' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _count_a_part(rank, address, results):
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    metric = metrics.SparseCategoricalAccuracy()
    part = slice(3) if rank == 0 else slice(3, 8)
    metric.update_state(CLASSES[part], SCORES[part])
    metric.merge_processes()
    results[rank] = float(metric.result())
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_processes_add_up_to_one(tmp_path):
    expected = float(metrics.SparseCategoricalAccuracy()(CLASSES, SCORES))
    with torch.multiprocessing.Manager() as manager:
        results = manager.dict()
        address = f"file://{tmp_path}/meet"
        torch.multiprocessing.spawn(_count_a_part, (address, results), nprocs=2)
        assert dict(results) == pytest.approx({0: expected, 1: expected})


def test_one_process_has_nothing_to_merge():
    metric = metrics.Mean()
    metric.update_state([2.0])
    metric.merge_processes()
    assert float(metric.result()) == 2.0


def test_functions_are_logged_in_snake_case_as_in_keras():
    def meanIoU(y_true, y_pred):
        return (y_true == y_pred).float().mean()

    names = [metrics.get(function).name for function in (meanIoU, lambda t, p: p)]

    assert names == ["mean_io_u", "lambda"]


def test_one_hot_targets_count_as_their_classes_in_torchmetrics():
    torchmetrics = pytest.importorskip("torchmetrics")
    y_pred = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).softmax(-1)
    classes = torch.arange(50) % 3
    metric = metrics.get(torchmetrics.Accuracy(task="multiclass", num_classes=3, average="micro"))

    found = metric(F.one_hot(classes, 3).float(), y_pred)

    assert_close(found, (y_pred.argmax(-1) == classes).float().mean())
