"""Pre-flight: broken scripts are reported by code, good ones are left alone, nothing is changed."""

import functools
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import kerasish
from kerasish import layers, losses
from kerasish.data import ArrayFeed
from kerasish.layers import Dense, Input
from kerasish.training import preflight
from kerasish.training.objective import Objective
from kerasish.training.plan import StepPlan
from kerasish.training.preflight import AdviceWarning
from kerasish.training.targets import target_preparer

ROWS = 128
DOCUMENT = Path(__file__).parents[2] / "docs" / "preflight.md"
SOURCE = Path(kerasish.__file__).parent / "training"


def numbers(*shape):
    return torch.randn(ROWS, *shape)


def labels(classes=3):
    return torch.arange(ROWS) % classes


def stack(*items, shape=(4,)):
    return kerasish.Sequential([Input(shape), *items])


def fit(model, loss, x, y, *, optimizer="adam", metrics=None, compile=None, **options):
    options = {"epochs": 1, "verbose": 0, **options}
    model.compile(optimizer, loss, metrics=metrics, **(compile or {}))
    return model.fit(x, y, **options)


def classifier(activation=None, units=3, **kwargs):
    return stack(Dense(8, "relu"), Dense(units, activation, name="scores"), **kwargs)


def regressor(activation=None, **kwargs):
    return stack(Dense(8, "relu"), Dense(1, activation, name="price"), **kwargs)


SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


class Detached(kerasish.Model):
    """A model that forgets how its outputs came about."""

    def __init__(self):
        super().__init__()
        self.dense = Dense(1)

    def forward(self, x):
        return self.dense(x).detach()


class Disconnected(kerasish.Model):
    """A model with a layer that nothing uses."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = Dense(1), Dense(5, name="idle")

    def forward(self, x):
        self.idle(x)
        return self.used(x)


def broadcasting(y_true, y_pred):
    return ((y_true.squeeze(-1) - y_pred) ** 2).mean()


def pinball(y_true, y_pred):
    """Three quantiles of one target: of equal rank, rows stay by themselves."""
    error = y_true - y_pred
    return torch.maximum(error * 0.5, -error * 0.5).mean()


def other_parameters():
    return torch.optim.Adam(nn.Linear(3, 2).parameters())


def used_optimizer():
    optimizer = kerasish.optimizers.Adam()
    fit(regressor(), "mse", numbers(4), numbers(1), optimizer=optimizer)
    return optimizer


def fit_with_torch_scheduler(model, told):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    given = kerasish.optimizers.TorchOptimizer(optimizer, scheduler) if told else optimizer
    return fit(model, "mse", numbers(4), numbers(1), optimizer=given)


def frozen(model):
    model.trainable = False
    return model


def with_nan(tensor):
    tensor = tensor.clone()
    tensor[3] = torch.nan
    return tensor


def frozen_bottom(model):
    model.layers[0].trainable = False
    return model


def pixels(*shape):
    return torch.randint(0, 256, (ROWS, *shape)).float()


def with_infinite_weight(model):
    nn.init.constant_(model.layers[0].linear.weight, torch.inf)
    return model


def pretrained_module():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())
    net.requires_grad_(False)
    return kerasish.Model(nn.Sequential(*net, nn.Linear(144, 3)))


class Scaling(kerasish.Model):
    """Scales its input in code of its own, then calls a plain module."""

    def __init__(self, factor):
        super().__init__()
        self.factor, self.linear = factor, nn.Linear(4, 1)

    def forward(self, x):
        return self.linear(x * self.factor)


def images_model(*first):
    return stack(
        *first,
        layers.Conv2D(4, 3, name="first_conv"),
        layers.GlobalAveragePooling2D(),
        Dense(3),
        shape=(1, 8, 8),
    )


def one_left_over():
    norm = layers.TorchModule(nn.BatchNorm1d(8), name="norm")
    model = stack(Dense(8), norm, Dense(1))
    fit(model, "mse", numbers(4)[:65], numbers(1)[:65], batch_size=32)


def tail_of(classes):
    y = torch.arange(ROWS) * classes // ROWS
    return lambda: fit(classifier(units=classes), SPARSE, numbers(4), y, validation_split=0.2)


def held_out(y, y_held):
    held = (torch.randn(len(y_held), 4), y_held)
    fit(classifier(), SPARSE, numbers(4), y, validation_data=held)


def words(rows):
    table = layers.Embedding(rows, 4, name="words")
    return stack(table, layers.Flatten(), Dense(1), shape=(3,))


def torch_words(rows):
    return kerasish.Model(nn.Sequential(nn.Embedding(rows, 4), nn.Flatten(), nn.Linear(12, 1)))


def users_and_items():
    user, item = Input((), dtype="int32"), Input((), dtype="int32")
    parts = [layers.Embedding(9, 4, name="users")(user), layers.Embedding(5, 4, name="items")(item)]
    return kerasish.Model([user, item], Dense(1)(layers.concatenate(parts)))


# Each script with the code it gets, a word that names the culprit, and words of the remedy.
ERRORS = {
    "K105": (lambda: fit(regressor(), SPARSE, numbers(4), labels(2)), "'price'", "binary_cross"),
    "K110": (lambda: fit(classifier(), SPARSE, numbers(4), labels(3) + 1), "'scores'", "from 0"),
    "K110 negative": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels(3) - 1),
        "[-1, 1]",
        "Number the classes from 0",
    ),
    "K110 torch": (
        lambda: fit(classifier(), nn.CrossEntropyLoss(), numbers(4), labels(4)),
        "3 outputs",
        "4 units",
    ),
    "K111": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels() / 2),
        "'scores'",
        "whole class numbers",
    ),
    "K111 NaN": (
        lambda: fit(classifier(), SPARSE, numbers(4), with_nan(labels().float())),
        "'scores'",
        "NaN",
    ),
    "K112": (
        lambda: fit(classifier(), SPARSE, numbers(4), F.one_hot(labels(), 3)),
        "'scores'",
        'loss="categorical_crossentropy"',
    ),
    "K113": (
        lambda: fit(classifier("softmax"), "categorical_crossentropy", numbers(4), labels()),
        "'scores'",
        'loss="sparse_categorical_crossentropy"',
    ),
    "K114": (
        lambda: fit(regressor(), "mse", numbers(4), with_nan(numbers(1))),
        "'price'",
        "Remove",
    ),
    "K115": (lambda: fit(regressor(), "mse", numbers(4), numbers(2)), "'price'", "Reshape"),
    "K115 torch": (
        lambda: fit(classifier(), nn.MSELoss(), numbers(4), numbers()),
        "'scores'",
        "Reshape",
    ),
    "K115 function": (
        lambda: fit(classifier(), F.l1_loss, numbers(4), numbers(1)),
        "'l1_loss'",
        "last layer",
    ),
    "K115 places": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels().repeat(2, 1).T),
        "'scores'",
        "Reshape",
    ),
    "K117": (
        lambda: fit(regressor("sigmoid"), "binary_crossentropy", numbers(4), labels(2) * 2 - 1),
        "'price'",
        "0 and 1",
    ),
    "K121": (lambda: fit(regressor(), "mse", with_nan(numbers(4)), numbers(1)), "x", "nan_to_num"),
    "K121 of two": (
        lambda: fit(two_inputs(), "mse", [numbers(4), numbers(4) / 0], numbers(1)),
        "x[1]",
        "Remove",
    ),
    "K121 of validation": (
        lambda: fit(
            regressor(),
            "mse",
            numbers(4),
            numbers(1),
            validation_data=(with_nan(numbers(4)), numbers(1)),
        ),
        "rows looked at in x",
        "nan_to_num",
    ),
    "K128": (
        lambda: fit(words(10), "mse", torch.arange(3 * ROWS).view(ROWS, 3) % 11, numbers(1)),
        "'words'",
        "input_dim 11",
    ),
    "K128 first rows": (
        lambda: fit(words(10), "mse", torch.full((ROWS, 3), 12), numbers(1)),
        "'words'",
        "input_dim 13",
    ),
    "K128 negative": (
        lambda: fit(words(10), "mse", torch.arange(3 * ROWS).view(ROWS, 3) % 9 - 1, numbers(1)),
        "is given -1",
        "from 0",
    ),
    "K128 of two": (
        lambda: fit(users_and_items(), "mse", [labels(9), labels(6)], numbers(1)),
        "'items'",
        "input_dim 6",
    ),
    "K128 torch": (
        lambda: fit(torch_words(5), "mse", torch.arange(3 * ROWS).view(ROWS, 3) % 6, numbers(1)),
        "is given 5",
        "input_dim 6",
    ),
    "K138": (
        lambda: fit(regressor("softmax"), "binary_crossentropy", numbers(4), labels(2)),
        "'price'",
        "sigmoid",
    ),
    "K138 of numbers": (
        lambda: fit(regressor("softmax"), "mse", numbers(4), numbers(1)),
        "'price'",
        "no activation",
    ),
    "K126 within": (
        lambda: fit(
            stack(Dense(4), layers.Lambda(lambda t: (-1 - t**2).log(), name="logarithm"), Dense(1)),
            "mse",
            numbers(4),
            numbers(1),
        ),
        "'logarithm' (Lambda)",
        "logarithms, roots",
    ),
    "K126": (
        lambda: fit(with_infinite_weight(regressor()), "mse", numbers(4), numbers(1)),
        "'price'",
        "weights",
    ),
    "K130": (
        lambda: fit(frozen(regressor()), "mse", numbers(4), numbers(1)),
        "every parameter is frozen",
        "trainable = True",
    ),
    "K130 none": (
        lambda: fit(stack(layers.Flatten()), "mse", numbers(4), numbers(4)),
        "no parameters",
        "evaluate()",
    ),
    "K131": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1), optimizer=other_parameters()),
        "Adam",
        "model.parameters()",
    ),
    "K134": (lambda: fit(Detached(), "mse", numbers(4), numbers(1)), "'output'", "detach()"),
    "K135": (one_left_over, "norm", "batch_size=33"),
}


def two_inputs():
    a, b = Input((4,)), Input((4,))
    return kerasish.Model([a, b], Dense(1)(layers.Concatenate()([a, b])))


ADVICE = {
    "K101": (
        lambda: fit(classifier("softmax"), SPARSE, numbers(4), labels()),
        "'scores'",
        "Remove the softmax",
    ),
    "K101 torch": (
        lambda: fit(classifier("softmax"), nn.CrossEntropyLoss(), numbers(4), labels()),
        "'cross_entropy_loss'",
        "Remove the softmax",
    ),
    "K101 sigmoid": (
        lambda: fit(
            kerasish.Model(nn.Sequential(nn.Linear(4, 1), nn.Sigmoid())),
            nn.BCEWithLogitsLoss(),
            numbers(4),
            labels(2),
        ),
        "'output'",
        "Remove the sigmoid",
    ),
    "K102": (
        lambda: fit(classifier(), "sparse_categorical_crossentropy", numbers(4), labels()),
        "'scores'",
        'activation="softmax"',
    ),
    "K102 binary": (
        lambda: fit(regressor(), "binary_crossentropy", numbers(4), labels(2)),
        "'price'",
        'activation="sigmoid"',
    ),
    "K103": (
        lambda: fit(classifier("softmax"), "bce", numbers(4), F.one_hot(labels(), 3)),
        "'scores'",
        "categorical",
    ),
    "K104": (
        lambda: fit(classifier("sigmoid"), "sparse_categorical_crossentropy", numbers(4), labels()),
        "'scores'",
        "End the model with softmax",
    ),
    "K106": (
        lambda: fit(classifier("softmax"), nn.NLLLoss(), numbers(4), labels()),
        "'nll_loss'",
        'activation="log_softmax"',
    ),
    "K107": (
        lambda: fit(classifier("relu"), SPARSE, numbers(4), labels()),
        "'scores'",
        "Remove that activation",
    ),
    "K108": (lambda: fit(regressor("relu"), "mse", numbers(4), numbers(1)), "'price'", "Remove"),
    "K109": (
        lambda: fit(regressor("sigmoid"), "mae", numbers(4), numbers(1) * 9),
        "'price'",
        "scale the targets",
    ),
    "K109 tanh": (
        lambda: fit(regressor("tanh"), nn.MSELoss(), numbers(4), numbers(1) + 3),
        "'price'",
        "scale the targets",
    ),
    "K116": (
        lambda: fit(regressor(), broadcasting, numbers(4), numbers(1)),
        "'broadcasting'",
        "Reshape",
    ),
    "K118": (
        lambda: fit(
            classifier("softmax"), "categorical_crossentropy", numbers(4), (numbers(3) > 0).float()
        ),
        "'scores'",
        "binary_crossentropy",
    ),
    "K119": (lambda: fit(regressor(), "mse", numbers(4), torch.ones(ROWS)), "'price'", "how y was"),
    "K119 class": (
        lambda: fit(classifier(), SPARSE, numbers(4), torch.ones(ROWS).long()),
        "'scores'",
        "how y was",
    ),
    "K120": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1) * 1e5 + 3e5),
        "'price'",
        "y.std()",
    ),
    "K122": (
        lambda: fit(regressor(), "mse", numbers(4) * 1e5, numbers(1)),
        "'dense",
        "Standardise",
    ),
    "K123": (lambda: fit(regressor(), "mse", torch.ones(ROWS, 4), numbers(1)), "x", "how x was"),
    "K124": (
        lambda: fit(images_model(), SPARSE, pixels(1, 8, 8), labels()),
        "'first_conv'",
        "Rescaling(1 / 255)",
    ),
    "K124 bytes": (
        lambda: fit(classifier(shape=(784,)), SPARSE, pixels(784).byte().numpy(), labels()),
        "'dense",
        "Rescaling(1 / 255)",
    ),
    "K125": (
        lambda: fit(frozen_bottom(images_model()), SPARSE, pixels(1, 8, 8), labels()),
        "'first_conv'",
        "preprocessing",
    ),
    "K125 plain": (
        lambda: fit(pretrained_module(), nn.CrossEntropyLoss(), pixels(1, 8, 8).byte(), labels()),
        "'0'",
        "preprocessing",
    ),
    "K122 own code": (
        lambda: fit(Scaling(1.0), "mse", numbers(4) * 1e5, numbers(1)),
        "'linear'",
        "Standardise",
    ),
    "K127": (
        lambda: fit(regressor(), lambda t, p: (p - p - 1).log().mean(), numbers(4), numbers(1)),
        "'price'",
        "logarithms",
    ),
    "K132": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1), optimizer=used_optimizer()),
        "'adam'",
        "of its own",
    ),
    "K133": (
        lambda: fit(Disconnected(), "mse", numbers(4), numbers(1)),
        "idle.linear.weight",
        "Connect",
    ),
    "K102 divergence": (
        lambda: fit(
            classifier(), "kl_divergence", numbers(4), torch.eye(3)[labels()], metrics=None
        ),
        "'scores'",
        "softmax",
    ),
    "K129": (
        lambda: fit(words(10), "mse", torch.rand(ROWS, 3), numbers(1)),
        "'words'",
        "Dense",
    ),
    "K148": (
        lambda: padded(Padded(handed_on=False)),
        "Embedding 'words'",
        "compute_mask(x)",
    ),
    "K148 in a layer": (
        lambda: padded(stack(Deaf(), layers.LSTM(3), Dense(1), shape=(6,))),
        "'deaf.words'",
        "compute_mask(x)",
    ),
    "K139": (
        lambda: fit(
            regressor(),
            "mse",
            numbers(4),
            numbers(1),
            compile={"lr_multipliers": {"backbone.*": 0.1, "price": 0.5}},
        ),
        "'backbone.*'",
        "named_parameters",
    ),
    "K147": (
        lambda: fit_with_torch_scheduler(regressor(), told=False),
        "SGD",
        "scheduler=scheduler",
    ),
    "K137": (
        lambda: fit(
            regressor(), "mse", numbers(4), numbers(1), optimizer=kerasish.optimizers.SGD(0.0)
        ),
        "SGD",
        "0.001",
    ),
    "K136": (
        lambda: fit(
            regressor(), "mse", numbers(4), numbers(1), optimizer=kerasish.optimizers.Adam(3.0)
        ),
        "Adam",
        "0.001",
    ),
    "K136 torch": (
        lambda: fit(
            regressor(),
            "mse",
            numbers(4),
            numbers(1),
            optimizer=functools.partial(torch.optim.SGD, lr=30),
        ),
        "SGD",
        "0.01",
    ),
    "K140": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1), batch_size=1024),
        "batch_size=1024",
        "such as 32",
    ),
    "K141": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels().sort()[0], shuffle=False),
        "'scores'",
        "shuffle=True",
    ),
    "K141 loader": (
        lambda: fit(
            classifier(units=6),
            SPARSE,
            DataLoader(TensorDataset(numbers(4), labels(2).sort()[0]), batch_size=32),
            None,
        ),
        "class 0",
        "DataLoader(shuffle=True)",
    ),
    "K142": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels(2), class_weight={1: 1.0, 2: 9.0}),
        "classes 2",
        "keys",
    ),
    "K143": (
        lambda: fit(classifier(), SPARSE, numbers(4), labels(), class_weight={1: 1.0, 2: 9.0}),
        "classes 0",
        "every class",
    ),
    "K144": (tail_of(4), "classes 0, 1, 2", "Shuffle x and y"),
    "K145": (lambda: held_out(labels(2), labels(3)), "classes 2", "both have all"),
    "K146": (lambda: held_out(labels(3), labels(1)), "class 0", "both have all"),
    "K150": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1), metrics=["mae", "mae"]),
        "'price'",
        "Leave one out",
    ),
    "K151": (
        lambda: fit(regressor(), "mse", numbers(4), numbers(1), metrics=["accuracy"]),
        "accuracy'",
        '["mae"]',
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_a_wrong_script_is_refused_with_its_code_culprit_and_remedy(case):
    script, culprit, remedy = ERRORS[case]

    with pytest.raises(ValueError, match=f"^{case[:4]}: ") as caught:
        script()

    assert culprit in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("case", ADVICE)
def test_a_poor_script_gets_one_line_of_advice(case):
    script, culprit, remedy = ADVICE[case]

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        script()

    found = [w for w in caught if issubclass(w.category, AdviceWarning)]
    assert [str(w.message)[:4] for w in found] == [case[:4]]
    assert culprit in str(found[0].message)
    assert remedy in str(found[0].message)
    assert "\n" not in str(found[0].message)
    assert found[0].filename == __file__  # shown at the user's line


# Scripts of all kinds that nothing is wrong with.


class Pairs(kerasish.Model):
    """Two outputs, one of them made in training only through add_loss."""

    def __init__(self):
        super().__init__()
        self.base, self.side = Dense(8, "relu"), Dense(1)

    def forward(self, x):
        h = self.base(x)
        if self.training:
            self.add_loss(self.side(h).square().mean())
        return h[:, :1]


class WithAuxiliaryHead(nn.Module):
    """As Inception has it: a second head that is used in training only."""

    def __init__(self):
        super().__init__()
        self.main, self.auxiliary = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.main(x) + self.auxiliary(x) if self.training else self.main(x)


def autoencoder():
    x = torch.rand(ROWS, 6)
    fit(stack(Dense(2, "relu"), Dense(6, "sigmoid"), shape=(6,)), "binary_crossentropy", x, x)


def multi_label():
    y = torch.randint(0, 2, (ROWS, 5))
    model = classifier("sigmoid", units=5)
    fit(model, "binary_crossentropy", numbers(4), y, metrics=["binary_accuracy"])


class Padded(kerasish.Model):
    """Text whose zeros are padding, in code of one's own."""

    def __init__(self, *, handed_on):
        super().__init__()
        self.words = layers.Embedding(9, 4, mask_zero=True)
        self.lstm, self.price = layers.LSTM(3), Dense(1, name="price")
        self.handed_on = handed_on

    def call(self, x):
        mask = self.words.compute_mask(x) if self.handed_on else None
        return self.price(self.lstm(self.words(x), mask=mask))


class Deaf(layers.Layer):
    """Has an embedding with a mask, and no mask of its own."""

    def __init__(self):
        super().__init__(name="deaf")
        self.words = layers.Embedding(9, 4, mask_zero=True)

    def call(self, x):
        return self.words(x)


class Telling(Deaf):
    """The same, with the mask."""

    def compute_mask(self, inputs, mask=None):
        return self.words.compute_mask(inputs)


def padded(model):
    fit(model, "mse", torch.randint(0, 9, (ROWS, 6)), numbers(1))


def masks_that_are_handed_on():
    padded(Padded(handed_on=True))
    padded(stack(Telling(), layers.LSTM(3), Dense(1), shape=(6,)))


def text_model():
    model = stack(
        layers.Embedding(200, 8, mask_zero=True), layers.LSTM(8), Dense(1, "sigmoid"), shape=(12,)
    )
    fit(model, "bce", torch.randint(0, 200, (ROWS, 12)), labels(2), metrics=["accuracy"])


def two_outputs():
    x = Input((4,))
    h = Dense(8, "relu")(x)
    model = kerasish.Model(x, {"a": Dense(1, name="a")(h), "b": Dense(3, "softmax", name="b")(h)})
    fit(
        model,
        {"a": "mse", "b": "sparse_categorical_crossentropy"},
        numbers(4),
        {"a": numbers(1), "b": labels()},
        metrics={"a": ["mae", "mse"], "b": ["accuracy"]},
    )


def images_with_rescaling():
    fit(images_model(layers.Rescaling(1 / 255)), SPARSE, pixels(1, 8, 8), labels())


def images_with_adapted_normalisation():
    x = pixels(1, 8, 8)
    first = layers.Normalization()
    first.adapt(x)
    fit(images_model(first), SPARSE, x, labels())


def images_with_batch_normalisation():
    model = stack(
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.GlobalAveragePooling2D(),
        Dense(3),
        shape=(1, 8, 8),
    )
    fit(model, SPARSE, pixels(1, 8, 8)[:65], labels()[:65], batch_size=32)


def images_scaled_in_the_graph():
    x = Input((1, 8, 8))
    y = Dense(3)(layers.Flatten()(layers.Conv2D(2, 3)(x / 255)))
    fit(kerasish.Model(x, y), SPARSE, pixels(1, 8, 8), labels())


def segmentation():
    y = torch.randint(0, 3, (ROWS, 8, 8))
    model = kerasish.Model(nn.Sequential(nn.Conv2d(1, 3, 3, padding=1)))
    fit(model, nn.CrossEntropyLoss(ignore_index=255), numbers(1, 8, 8), y)


def fine_tuning():
    model = frozen_bottom(classifier())
    fit(model, SPARSE, numbers(4), labels(), optimizer=torch.optim.AdamW)


def soft_targets():
    y = torch.rand(ROWS, 3)
    y = y / y.sum(1, keepdim=True)
    fit(classifier("softmax"), "categorical_crossentropy", numbers(4), y, metrics=["accuracy"])
    fit(classifier(), nn.CrossEntropyLoss(), numbers(4), y)


def masked_binary_targets():
    y = torch.randint(-1, 2, (ROWS, 1)).float()
    weight = (y[:, 0] >= 0).float()
    fit(regressor("sigmoid"), "bce", numbers(4), y, sample_weight=weight)


def contrastive():
    def pairwise(y_true, y_pred):
        same = (y_true.reshape(-1, 1) == y_true.reshape(1, -1)).float()
        distance = (y_pred.unsqueeze(1) - y_pred.unsqueeze(0)).square().sum(-1)
        return (same * distance + (1 - same) * F.relu(1 - distance)).mean()

    fit(classifier(), pairwise, numbers(4), labels())


def class_numbers_in_a_plain_function():
    def loss(y_true, y_pred):
        return F.cross_entropy(y_pred, y_true.long().reshape(-1))

    fit(classifier(), loss, numbers(4), labels())


def generator():
    def batches():
        while True:
            yield torch.randn(32, 4).numpy(), np.random.default_rng(0).integers(0, 3, 32)

    fit(classifier(), SPARSE, batches(), None, steps_per_epoch=3)


def loader_with_validation():
    data = TensorDataset(numbers(4), labels())
    fit(
        classifier(),
        SPARSE,
        DataLoader(data, batch_size=32, shuffle=True),
        None,
        validation_data=DataLoader(data, batch_size=32),
    )


def small_tail():
    y = torch.randint(0, 10, (ROWS,))  # the tail of 12 rows lacks a class or two by chance
    fit(classifier(units=10), SPARSE, numbers(4), y, validation_split=0.1)


def weighted_classes():
    fit(classifier(units=2), SPARSE, numbers(4), labels(2), class_weight={1: 5.0})


def time_series():
    y = torch.linspace(0, 1, ROWS)
    fit(regressor(), "mae", numbers(4), y, shuffle=False, validation_split=0.25)


def two_phases():
    model, optimizer = classifier(), kerasish.optimizers.Adam()
    model.layers[0].trainable = False
    fit(model, SPARSE, numbers(4), labels(), optimizer=optimizer)
    model.layers[0].trainable, model.layers[1].trainable = True, False
    model.fit(numbers(4), labels(), verbose=0)


def standardised_inside():
    model = stack(layers.BatchNormalization(), Dense(1))
    fit(model, "mse", numbers(4) * 1e5, numbers(1))


def missing_values_handled():
    model = stack(layers.Lambda(torch.nan_to_num), Dense(1))
    fit(model, "mse", with_nan(numbers(4)), numbers(1))


def ordinary_module():
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(net.parameters())
    fit(kerasish.Model(net), nn.BCELoss(), numbers(4), labels(2), optimizer=optimizer)


def trained_by_add_loss():
    fit(Pairs(), None, numbers(4), None)


def stateful_recurrence():
    model = stack(layers.LSTM(4, stateful=True, name="lstm"), Dense(1), shape=(5, 2))
    fit(model, "mse", numbers(5, 2), numbers(1), batch_size=32, shuffle=False)
    states = [state.clone() for state in model.get_layer("lstm").states]
    model.fit(numbers(5, 2), numbers(1), batch_size=32, epochs=0, verbose=0)
    after = model.get_layer("lstm").states
    assert all(torch.equal(a, b) for a, b in zip(states, after, strict=True))


def torchmetrics_of_one_class():
    torchmetrics = pytest.importorskip("torchmetrics.classification")
    both = [torchmetrics.MulticlassAccuracy(3, average=a) for a in ("micro", "macro")]
    fit(classifier(), SPARSE, numbers(4), labels(), metrics=both)


def ruled_out_classes():
    model = stack(Dense(3), layers.Lambda(lambda x: x + torch.tensor([0.0, 0.0, -torch.inf])))
    fit(model, SPARSE, numbers(4), labels(2))


def counts_of_classes():
    y = torch.randint(0, 4, (ROWS, 3)).float()
    fit(kerasish.Model(nn.Linear(4, 3)), nn.CrossEntropyLoss(), numbers(4), y)


def every_precision():
    for precision in ("bfloat16-mixed", "float64"):
        model = classifier("softmax")
        fit(
            model,
            "sparse_categorical_crossentropy",
            numbers(4),
            labels(),
            compile={"precision": precision},
        )


def words_at_the_edges():
    fit(words(10), "mse", torch.arange(3 * ROWS).view(ROWS, 3) % 10, numbers(1))
    fit(words(10), "mse", (torch.arange(3 * ROWS).view(ROWS, 3) % 10).float(), numbers(1))
    fit(users_and_items(), "mse", [labels(9), labels(5)], numbers(1))


def torch_words_in_range():
    fit(torch_words(6), "mse", torch.arange(3 * ROWS).view(ROWS, 3) % 6, numbers(1))


def attention_over_places():
    x = Input((5, 4))
    weights = layers.Softmax(axis=1)(Dense(1)(x))
    y = torch.full((ROWS, 5, 1), 0.1) + 0.2 * torch.rand(ROWS, 5, 1)
    fit(kerasish.Model(x, weights), "mse", numbers(5, 4), y)


def a_rate_on_a_schedule():
    rising = kerasish.schedules.PolynomialDecay(0.0, 10, 0.1)
    fit(regressor(), "mse", numbers(4), numbers(1), optimizer=kerasish.optimizers.SGD(rising))


GOOD = [
    lambda: fit(
        classifier("softmax"),
        "sparse_categorical_crossentropy",
        numbers(4),
        labels(),
        metrics=["accuracy"],
        validation_split=0.2,
    ),
    lambda: fit(classifier(), SPARSE, numbers(4).numpy(), labels().int().numpy()),
    lambda: fit(regressor(), "mse", numbers(4), numbers(), metrics=["mae", "mse"]),
    lambda: fit(regressor("softplus"), "mse", numbers(4), numbers(1).abs()),
    lambda: fit(regressor("sigmoid"), "bce", numbers(4), labels(2), metrics=["accuracy"]),
    lambda: fit(classifier("tanh"), "hinge", numbers(4), numbers(3).sign()),
    lambda: fit(classifier("log_softmax"), nn.NLLLoss(), numbers(4), labels()),
    lambda: fit(classifier("log_softmax"), nn.CrossEntropyLoss(), numbers(4), labels()),
    lambda: fit(regressor("exponential"), "poisson", numbers(4), labels(5)),
    lambda: fit(regressor(), nn.HuberLoss(), numbers(4), numbers(1)),
    lambda: fit(Pairs(), "mse", numbers(4), numbers(1)),
    lambda: fit(Scaling(1e-5), "mse", numbers(4) * 1e5, numbers(1)),
    lambda: fit(kerasish.Model(WithAuxiliaryHead()), SPARSE, numbers(4), labels()),
    lambda: fit(two_inputs(), "mse", [numbers(4), torch.zeros(ROWS, 4)], numbers(1)),
    lambda: fit(regressor(), "mse", torch.ones(4, 4), torch.zeros(4), epochs=2),
    lambda: fit_with_torch_scheduler(regressor(), told=True),
    autoencoder,
    multi_label,
    text_model,
    masks_that_are_handed_on,
    two_outputs,
    images_with_rescaling,
    images_with_adapted_normalisation,
    images_with_batch_normalisation,
    images_scaled_in_the_graph,
    segmentation,
    fine_tuning,
    soft_targets,
    masked_binary_targets,
    contrastive,
    class_numbers_in_a_plain_function,
    generator,
    loader_with_validation,
    small_tail,
    weighted_classes,
    time_series,
    two_phases,
    standardised_inside,
    missing_values_handled,
    ordinary_module,
    trained_by_add_loss,
    stateful_recurrence,
    torchmetrics_of_one_class,
    ruled_out_classes,
    counts_of_classes,
    every_precision,
    words_at_the_edges,
    attention_over_places,
    a_rate_on_a_schedule,
    torch_words_in_range,
]


@pytest.mark.parametrize("script", GOOD, ids=lambda script: script.__name__.strip("<>"))
def test_a_good_script_gets_no_report(script):
    script()  # warnings are errors here


# What it leaves as it was


class Counting(nn.Module):
    """A model with everything that a probe could disturb."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.linear = nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3)
        self.idle = nn.Linear(2, 2)  # makes the pre-flight run in training mode too
        self.register_buffer("calls", torch.zeros(()))
        self.modes = []

    def forward(self, x):
        self.calls += 1
        self.modes.append(self.training)
        random.random()
        np.random.rand()  # noqa: NPY002
        return self.linear(self.drop(self.norm(x + 0 * torch.randn_like(x))))


def preflight_alone(model, x, y):
    """What `fit` does before it binds the optimizer, and nothing else."""
    feed, recipe, device = ArrayFeed(x, y), model._recipe, torch.device("cpu")
    y_pred, y_first = preflight.probe(StepPlan(model, recipe, None, device), feed, graph=True)
    objective = Objective(recipe, [], y_first, y_pred)
    feed.prepare(target_preparer(objective, y_pred))
    plan = StepPlan(model, recipe, objective, device)
    preflight.check_before_training(plan, feed, y_pred, [None])


def test_the_checks_change_nothing():
    net = Counting()
    net.linear.weight.grad = torch.ones(3, 4)
    model = kerasish.Model(net)
    model.compile("sgd", SPARSE)
    model.train()
    net.norm.eval()
    net.drop.p = 0.25
    x, y = torch.randint(0, 256, (ROWS, 784))[:, :4].float() * 1e4, labels()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), random.getstate()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002

    with pytest.warns(AdviceWarning, match="K133"):
        preflight_alone(model, x, y)

    assert net.modes.count(True) == 1  # the disconnected layer was looked for in training mode
    assert len(net.modes) >= 3  # and the scale of x at the first layer
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert torch.equal(net.linear.weight.grad, torch.ones(3, 4))
    assert net.idle.weight.grad is None
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert model.optimizer.torch is None


def test_an_error_leaves_weights_and_optimizer_untouched():
    model = classifier()
    model.compile("adam", SPARSE)
    before = [w.clone() for w in model.weights]

    with pytest.raises(ValueError, match="K110"):
        model.fit(numbers(4), labels(4), verbose=0)

    assert all(torch.equal(a, b) for a, b in zip(before, model.weights, strict=True))
    assert model.optimizer.torch is None


def test_one_row_batches_are_fine_where_nothing_normalises():
    fit(regressor(), "mse", numbers(4)[:65], numbers(1)[:65], batch_size=32)


# How advice is given


def poor_in_two_ways(epochs=3):
    return fit(classifier("relu"), SPARSE, numbers(4), labels(1), epochs=epochs)


def test_each_code_is_given_at_most_once_a_fit():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        poor_in_two_ways()

    assert sorted(str(w.message)[:4] for w in caught) == ["K107", "K119"]


def test_numbers_may_all_be_zero_as_what_an_equation_leaves_over():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(regressor(), "mae", numbers(4), torch.zeros(ROWS))


def test_a_code_can_be_switched_off():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="K107")
        warnings.filterwarnings("ignore", message="K119")

        history = poor_in_two_ways()

    assert len(history.epoch) == 3


def test_all_advice_can_be_switched_off():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AdviceWarning)

        poor_in_two_ways(epochs=1)


def codes_in_source():
    files = [*(SOURCE / "preflight").glob("*.py"), SOURCE / "targets.py"]
    text = "".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r'"(K\d{3})"|"(K\d{3}): ', text.replace('f"K', '"K')))


def test_every_code_is_tested_and_documented():
    codes = {a or b for a, b in codes_in_source()}
    documented = set(re.findall(r"^\| (K\d{3}) ", DOCUMENT.read_text(encoding="utf-8"), re.M))

    assert {case[:4] for case in [*ERRORS, *ADVICE]} == codes
    assert documented == codes


def test_losses_of_ones_own_may_meet_one_target_with_several_outputs():
    model = stack(Dense(8, "relu"), Dense(3, name="quantiles"))
    fit(model, pinball, numbers(4), numbers(1))  # advice would be an error here


class Mixture(layers.Layer):
    """Softmax rows weighted by softmax gates: probabilities, though the last step is a product."""

    def __init__(self):
        super().__init__()
        self.gates = Dense(2, "softmax")
        self.rows = self.add_weight((2, 3), "random_normal")

    def call(self, x):
        return torch.matmul(self.gates(x), torch.softmax(self.rows, -1))


def test_a_mixture_of_probabilities_is_taken_for_what_it_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(stack(Mixture()), "sparse_categorical_crossentropy", numbers(4), labels())
