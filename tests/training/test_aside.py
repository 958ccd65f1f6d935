"""A callback may evaluate and predict in the middle of training, which goes on as before."""

import numpy as np
import pytest
import torch

import kerasish
from kerasish import layers

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(48, 4)).astype("float32")
Y = DRAW.integers(0, 3, 48)


def history(callbacks):
    kerasish.utils.set_random_seed(0)
    model = kerasish.Sequential(
        [
            layers.Input((4,)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    found = model.fit(X, Y, 8, 3, verbose=0, callbacks=callbacks, validation_split=0.25)
    return found.history, model.get_weights()


class Asks(kerasish.callbacks.Callback):
    def __init__(self, what):
        super().__init__()
        self.what = what

    def ask(self, number, logs=None):
        if self.what == "evaluate":
            self.model.evaluate(X[:9], Y[:9], verbose=0)
        else:
            self.model.predict(X[:9], verbose=0)


@pytest.mark.parametrize("what", ["evaluate", "predict"])
@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"])
def test_training_goes_on_as_if_nothing_had_been_asked(what, hook):
    class Here(Asks):
        pass

    setattr(Here, hook, Asks.ask)
    plain, weights = history(None)
    asked, same_weights = history([Here(what)])
    assert asked == plain
    assert all(map(np.array_equal, weights, same_weights))


def test_a_model_is_in_evaluation_mode_after_evaluate_and_predict():
    model = kerasish.Sequential([layers.Input((4,)), layers.Dropout(0.5)])
    model.train()
    model.predict(X, verbose=0)
    assert not model.training
    assert not any(module.training for module in model.modules())
    assert isinstance(model(torch.ones(1, 4)), torch.Tensor)
