"""A layer and a model of your own, in Keras's style and in torch's, trained side by side.

`call` with `build` and `add_weight`, or `forward` with torch modules made in `__init__`: both are
ordinary torch modules to the rest of the world. Takes about two seconds.
"""

import torch
from torch import nn

import kerasish
from kerasish import layers


class Scale(layers.Layer):
    """Multiplies each feature by a learned number (Keras's style)."""

    def build(self, input_shape):
        """Make one weight for each feature."""
        self.scale = self.add_weight((input_shape[-1],), initializer="ones", name="scale")

    def call(self, inputs):
        """Scale the features."""
        return inputs * self.scale


class KerasStyle(kerasish.Model):
    """Written as in Keras: layers know their input sizes from their first call."""

    def __init__(self, units):
        super().__init__()
        self.scale = Scale()
        self.hidden = layers.Dense(units, activation="tanh")
        self.dropout = layers.Dropout(0.1)
        self.head = layers.Dense(1)

    def call(self, inputs, training=None):
        """Map features to one number."""
        x = self.hidden(self.scale(inputs))
        return self.head(self.dropout(x, training=training))


class TorchStyle(kerasish.Model):
    """Written as in torch: plain modules, `forward`."""

    def __init__(self, features, units):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(features, units), nn.Tanh(), nn.Linear(units, 1))

    def forward(self, x):
        """Map features to one number."""
        return self.net(x)


kerasish.config.set_random_seed(0)
x = torch.randn(1000, 4)
y = torch.sin(x[:, 0]) + x[:, 1] * x[:, 2]
for model in (KerasStyle(32), TorchStyle(4, 32)):
    model.compile("adam", "mse")
    history = model.fit(x, y, epochs=40, verbose=0)
    losses = history.history["loss"]
    print(f"{model.name}: loss {losses[0]:.3f} -> {losses[-1]:.3f}")
    print("  state_dict:", ", ".join(model.state_dict()))
    assert losses[-1] < 0.5 * losses[0]
