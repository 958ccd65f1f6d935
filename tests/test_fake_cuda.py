"""What a GPU would refuse: tensors of two devices in one operation. And what it would wait for."""

from __future__ import annotations

import importlib
import inspect
import warnings
from pathlib import Path

import pytest
import torch

import kerasish
from kerasish import callbacks, layers, losses, metrics, optimizers
from kerasish.data.arrays import leaves
from kerasish.training.objective import Objective
from kerasish.training.placement import place_model
from kerasish.training.plan import StepPlan
from kerasish.training.step import make_predict_step, make_test_step, make_train_step
from kerasish.training.targets import target_preparer
from kerasish.training.tracker import Tracker
from tests import fake_cuda
from tests.fake_cuda import GPU, Watch, fake, put, put_metric
from tests.parity.case import in_library

TABLES = sorted(file.stem for file in Path(__file__).parent.glob("parity/cases_*.py"))
ROWS, CLASSES = 6, 4


@pytest.fixture
def mode(monkeypatch):
    return fake_cuda.start(monkeypatch)


@pytest.fixture(autouse=True)
def in_peace():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def devices_of(value):
    return {leaf.device for leaf in leaves(value) if isinstance(leaf, torch.Tensor)}


# Layers

# Lengths of sequences must be known to the host before torch packs them.
PACKS = {"LSTM"}


def some_of(cases):
    """Every eighth configuration, and the first of each layer."""
    seen = set()
    for number, case in enumerate(cases):
        if number % 8 == 0 or case.name not in seen:
            yield case
        seen.add(case.name)


@pytest.mark.parametrize("table", TABLES)
def test_every_layer_computes_on_the_device_of_its_input(table, mode, monkeypatch):
    kerasish.config.set_image_data_format("channels_last")
    for case in some_of(importlib.import_module(f"tests.parity.{table}").CASES):
        if case.name in PACKS and case.call and case.arguments.get("return_state"):
            continue
        layer = getattr(layers, case.name)(**in_library(case.arguments, layers))
        args, kwargs = case.make_inputs()
        layer(*args, training=False, **kwargs)
        put(mode, layer)
        args, kwargs = [fake(mode, x) for x in args], {k: fake(mode, v) for k, v in kwargs.items()}
        with mode, Watch() as watch:
            for training in (False, True):
                y = layer(*args, training=training, **kwargs)
                assert devices_of(y) == {GPU}, case
        assert not watch.waits, case


def named_in_tables():
    modules = [importlib.import_module(f"tests.parity.{table}") for table in TABLES]
    return {case.name for module in modules for case in module.CASES}


def test_layers_that_keras_lacks_compute_there_too(mode):
    sizes = [(4, 8), (4, 3, 12, 12), (4, 6, 8), (4, 160)]
    inputs = [*map(torch.rand, sizes), torch.randint(5, (4, 6)), [torch.rand(4, 8)] * 2]
    needed = {"units": 4, "filters": 4, "kernel_size": 3, "height": 8, "width": 8}
    others = classes_of(layers, layers.Layer, named_in_tables())
    tried = set()
    for kind in others:
        arguments = {name: needed.get(name, 0.2) for name in needs_of(kind)}
        for x in inputs:
            if not fits(lambda x, k=kind, a=arguments: k(**a)(x), x):
                continue
            layer = kind(**arguments)
            layer(x)
            x = fake(mode, x)
            put(mode, layer)
            with mode, Watch() as watch:
                y = [layer(x, training=training) for training in (False, True)]
            assert devices_of(y) == {GPU}, kind
            assert not watch.waits, kind
            tried.add(kind)
            break
    assert len(tried) > 40


def needs_of(kind):
    """The names of the arguments that have no default."""
    parameters = inspect.signature(kind).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


# Losses and metrics


def targets():
    """Pairs of targets and predictions, of which each loss takes some."""
    r = torch.rand
    classes = torch.randint(CLASSES, (ROWS,))
    return [
        (r(ROWS, CLASSES), r(ROWS, CLASSES)),
        (classes, r(ROWS, CLASSES)),
        (r(ROWS, 1), r(ROWS, 1)),
        (r(ROWS, 5, 5, CLASSES), r(ROWS, 5, 5, CLASSES)),
    ]


def fits(call, *args):
    try:
        call(*args)
    except Exception:
        return False
    return True


def classes_of(module, base, but):
    found = [getattr(module, name) for name in module.__all__ if name not in but]
    return [c for c in found if inspect.isclass(c) and issubclass(c, base) and c is not base]


VALUES = {"num_classes": CLASSES, "target_class_ids": [0, 1]}
OPTIONS = {
    "from_logits": True,
    "label_smoothing": 0.1,
    "ignore_class": 0,
    "alpha": [0.3] * CLASSES,
    "thresholds": [0.3, 0.4],
    "label_weights": [0.5] * CLASSES,
    "class_id": 1,
    "top_k": 2,
    "average": "macro",
    "curve": "PR",
}


def configurations(kind):
    """The arguments that a class needs, alone and with each option."""
    needed = {name: VALUES.get(name, 0.5) for name in needs_of(kind)}
    taken = inspect.signature(kind).parameters
    asked = [{}] + [{name: value} for name, value in OPTIONS.items() if name in taken]
    return [{**needed, **options} for options in asked]


# CTC reads lengths from the targets.
LOSSES = classes_of(losses, losses.Loss, {"TorchLoss", "LossFunctionWrapper", "CTC"})
METRICS = classes_of(
    metrics, metrics.Metric, {"TorchMetric", "MeanMetricWrapper", "LossMean", "Mean", "Sum"}
)


def test_every_loss_computes_without_waiting(mode):
    weight = torch.rand(ROWS)
    for kind in LOSSES:
        tried = 0
        for options in configurations(kind):
            for y, y_pred in targets():
                if not fits(lambda a, b, w, k=kind, o=options: k(**o)(a, b, w), y, y_pred, weight):
                    continue
                tried += 1
                loss, (one, other, w) = kind(**options), fake(mode, (y, y_pred, weight))
                with mode, Watch() as watch:
                    assert {loss(one, other).device, loss(one, other, w).device} == {GPU}
                assert not watch.waits, (kind, options)
        assert tried, kind


def updated(metric, *args):
    metric.update_state(*args)
    return metric.result()


def test_every_metric_counts_without_waiting(mode):
    weight = torch.rand(ROWS)
    for kind in METRICS:
        tried = 0
        for options in configurations(kind):
            for y, y_pred in targets():
                if not fits(
                    lambda a, b, w, k=kind, o=options: updated(k(**o), a, b, w), y, y_pred, weight
                ):
                    continue
                tried += 1
                with mode:
                    metric = kind(**options)
                one, other, w = fake(mode, (y, y_pred, weight))
                with mode, torch.no_grad():
                    metric.update_state(one, other)  # which takes its state there
                    with Watch() as watch:
                        metric.update_state(one, other, sample_weight=w)
                        metric.update_state(one, other)
                        assert devices_of(metric.result()) == {GPU}
                        metric.reset_state()
                assert not watch.waits, (kind, options)
        assert tried, kind


# Training

X, Y = torch.randn(8, 5), torch.randn(8, 1)
PICTURES = torch.randint(0, 256, (8, 3, 12, 12), dtype=torch.uint8)
LABELS = torch.randint(CLASSES, (8,))


def network(**options):
    hidden = layers.Dense(4, activation="relu", **options)
    return kerasish.Sequential([layers.Input((5,)), hidden, layers.Dense(1)])


def convolutional(*first):
    parts = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU()]
    ends = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(CLASSES)]
    return kerasish.Sequential([layers.Input((3, 12, 12)), *first, *parts, *ends])


def recurrent():
    parts = [layers.LSTM(4, return_sequences=True), layers.GRU(3), layers.Dense(1)]
    embedding = layers.Embedding(9, 4, mask_zero=True)
    return kerasish.Sequential([layers.Input((5,), dtype="int64"), embedding, *parts])


def waits_of(mode, model, x, y, weight=None, class_weight=None, **compiled):
    """Train, evaluate and predict some batches. Returns what the host waited for on the way."""
    model.compile(**{"optimizer": "adam", "loss": "mse", "metrics": ["mae"]} | compiled)
    recipe = model._recipe
    y_pred = model.eval()(x).detach()
    objective = model._objective = Objective(recipe, model.output_names, y, y_pred)
    batch = target_preparer(objective, y_pred, class_weight)(x, y, weight)
    put(mode, model)
    for metric in objective.all_metrics:
        put_metric(mode, metric)
    fake_cuda.no_backward.parameters = [p for p in model.parameters() if p.requires_grad]
    batch = fake(mode, batch)
    with mode:
        model._bind_optimizer()
        plan, tracker = StepPlan(model, recipe, objective, GPU), Tracker(objective)
        step, test = make_train_step(plan), make_test_step(plan)
        predict = make_predict_step(plan)
        with Watch():  # the optimizer's state is made, and metrics move
            tracker.kept.append(step(*batch))
            tracker.reduce()
        with Watch() as watch:
            model.train()
            tracker.kept += [step(*batch) for _ in range(4)]
            tracker.reduce()
            getattr(step, "finish", lambda: None)()
            model.eval()
            with torch.inference_mode():
                tracker.kept += [test(*batch) for _ in range(2)]
                tracker.reduce()
                assert devices_of(predict(batch[0])) == {GPU}
        found = tracker.results()
    assert devices_of(found) == {GPU}
    assert {p.device for p in model.parameters()} == {GPU}
    return watch.waits


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate_steps": 2},
        {"clip_norm": 1.0},
        {"precision": "bfloat16-mixed"},
        {"lr_multipliers": {"*0*": 0.1}},
        {"weighted_metrics": ["mse"], "weight": torch.arange(8.0)},
    ],
    ids=str,
)
def test_training_waits_for_nothing(options, mode):
    assert not waits_of(mode, network(), X, Y, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_regularizer": "l1_l2"},
        {"activity_regularizer": "l2"},
        {"kernel_constraint": "max_norm", "bias_constraint": "non_neg"},
        {"kernel_constraint": "unit_norm"},
    ],
    ids=str,
)
def test_penalties_and_constraints_wait_for_nothing(options, mode):
    assert not waits_of(mode, network(**options), X, Y)


# Adafactor's steps depend on norms that torch reads on the host; that of LossScaleOptimizer on
# whether the gradients are finite.
NAMES = ["SGD", "Adam", "AdamW", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Ftrl", "Lion", "Lamb"]
NAMES += ["Muon", "ScheduleFreeAdamW"]


@pytest.mark.parametrize(
    "make",
    [
        *(getattr(optimizers, name) for name in NAMES),
        lambda: optimizers.Adam(amsgrad=True, weight_decay=0.1),
        lambda: optimizers.RMSprop(centered=True, momentum=0.9),
        lambda: optimizers.SGD(weight_decay=0.1, clipvalue=1.0),
        lambda: optimizers.Adam(global_clipnorm=1.0, use_ema=True, ema_overwrite_frequency=2),
        lambda: optimizers.Adam(clipnorm=1.0, gradient_accumulation_steps=2),
        lambda: optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 10), loss_scale_factor=8.0),
    ],
)
def test_optimizers_wait_for_nothing(make, mode):
    assert not waits_of(mode, network(), X, Y, optimizer=make())


@pytest.mark.parametrize(
    "first",
    [
        (),
        (layers.RandomFlip, layers.RandomRotation),
        (layers.RandomZoom, layers.RandomTranslation, layers.RandomShear),
        (layers.RandomBrightness, layers.RandomContrast, layers.RandomHue),
        (layers.RandomErasing, layers.RandomPerspective),
        (layers.MixUp,),
    ],
    ids=lambda kinds: "-".join(kind.__name__ for kind in kinds),
)
def test_images_train_without_waiting(first, mode):
    made = [kind() if kind is layers.RandomFlip else _of(kind) for kind in first]
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    options = {"memory_format": "channels_last", "precision": "bfloat16-mixed"}
    given = {"loss": loss, "metrics": ["accuracy"], "class_weight": {0: 2.0}}
    waits = waits_of(mode, convolutional(*made), PICTURES, LABELS, **given, **options)
    assert not waits


def _of(kind):
    return kind(**dict.fromkeys(needs_of(kind), 0.2))


def test_sequences_with_masks_train_without_waiting(mode):
    assert not waits_of(mode, recurrent(), torch.randint(9, (8, 5)), Y)


# Placing


class OfDevice:
    """A recipe, as far as placing a model needs one."""

    precision = "float32"

    def __init__(self, name):
        self.name = name

    def torch_device(self):
        return torch.device(self.name)

    def torch_memory_format(self):
        return None


def placed(mode, monkeypatch, model, name):
    monkeypatch.setattr(type(model), "to", lambda model, device: put(mode, model, device))
    with mode:
        device = place_model(model, OfDevice(name))
    return device, {t.device for t in (*model.parameters(), *model.buffers())}


def test_a_new_layer_on_a_trained_one_moves_to_its_device(mode, monkeypatch):
    model = network()
    put(mode, model.layers[0])
    put(mode, model.layers[1], "cpu")

    assert placed(mode, monkeypatch, model, "cuda") == (GPU, {GPU})


def test_a_model_that_only_prepares_data_moves_too(mode, monkeypatch):
    model = kerasish.Sequential([layers.Input((3,)), layers.Rescaling([1.0, 2.0, 3.0])])

    assert placed(mode, monkeypatch, put(mode, model, "cpu"), "cuda") == (GPU, {GPU})


def test_a_model_on_the_second_gpu_stays_there_and_its_data_go_there(mode, monkeypatch):
    second = torch.device("cuda", 1)
    model = put(mode, network(), second)

    assert placed(mode, monkeypatch, model, "cuda") == (second, {second})
    assert placed(mode, monkeypatch, model, "cuda:0") == (GPU, {GPU})


def test_a_metric_that_has_seen_nothing_is_merged_on_the_gpu(mode, monkeypatch):
    merged = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_backend", lambda group: "nccl")
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda t, group: merged.append(t.device))
    metric = metrics.Mean()
    put_metric(mode, metric)

    with mode:
        metric.merge_processes()

    assert set(merged) == {GPU}


def test_generators_are_put_aside_without_a_warning_where_there_are_two_gpus(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.zeros(1))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)
    monkeypatch.setattr(torch.random, "_fork_rng_warned_already", False)
    model = network()
    model.compile("adam", "mse", device="cpu")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.to_torch()
        model.eject(tmp_path / "train.py", X, Y, batch_size=4)


def test_callbacks_follow_a_model_on_a_gpu(mode):
    model = put(mode, network())
    averaging, monitor = callbacks.StochasticWeightAveraging(0), callbacks.GradientMonitor(1)
    with mode:
        for callback in (averaging, monitor):
            callback.set_model(model)
            callback.on_train_begin()
        averaging.on_epoch_end(0)
        # A copy of the run is read on the CPU.
        averaging._means = {name: fake(mode, t, "cpu") for name, t in averaging._means.items()}
        averaging.on_epoch_end(1)
        monitor.on_train_batch_begin(0)
        with Watch() as watch:
            model(fake(mode, X))
            monitor.on_train_batch_end(0)

    assert devices_of(averaging._means) == devices_of(model.state_dict()) == {GPU}
    assert not watch.waits
