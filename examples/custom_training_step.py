"""Change what happens to a batch, and keep everything around it: `train_step`.

The model is trained on its inputs and on a copy nudged towards a higher loss (the fast gradient
sign method, Goodfellow and others, 2015), so that small attacks hurt it less. Takes about three
seconds.
"""

import torch

import kerasish
from kerasish import layers, losses
from kerasish.datasets import digits


class Robust(kerasish.Sequential):
    """Trains on clean and on attacked inputs."""

    strength: float = 0.1

    def attack(self, x, y):
        """Move each pixel a small step in the direction that raises the loss."""
        x = x.detach().requires_grad_()
        loss = self.compute_loss(x, y, self(x))
        (gradient,) = torch.autograd.grad(loss, x)
        return (x + Robust.strength * gradient.sign()).detach()

    def train_step(self, data):
        """Train on a batch and on its attacked copy."""
        x, y = data
        attacked = self.attack(x, y)
        y_pred = self(x)
        loss = self.compute_loss(x, y, y_pred) + self.compute_loss(attacked, y, self(attacked))
        loss.backward()
        self.optimizer.update()
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, y_pred)
        return self.get_metrics_result()


def make(cls):
    """The same small network as a plain or a robust model."""
    kerasish.config.set_random_seed(0)
    model = cls([layers.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(10)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


(x_train, y_train), (x_test, y_test) = digits.load_data()
x_train, x_test = (x.reshape(-1, 64).astype("float32") / 16 for x in (x_train, x_test))
scores = {}
for cls in (kerasish.Sequential, Robust):
    model = make(cls)
    model.fit(x_train, y_train, epochs=15, verbose=2)
    attacked = Robust.attack(model, torch.as_tensor(x_test), torch.as_tensor(y_test))
    scores[cls.__name__] = model.evaluate(attacked, y_test, verbose=0)[1]
    print(f"{cls.__name__}: accuracy on attacked digits {scores[cls.__name__]:.3f}")

assert scores["Robust"] > scores["Sequential"]
