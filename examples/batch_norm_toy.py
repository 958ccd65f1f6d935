"""Batch normalisation makes deep networks indifferent to the scale of their first weights.

A network with 16 hidden layers of 32 units learns whether a point of the plane lies in a disc. Its
weights start as N(0, std). Without batch normalisation the signal dies or explodes on its way
through the layers, except for a narrow band of std; with it, every std from 0.001 to 10 will do.
You will see a table of test errors; chance is 50 %. Takes about 15 seconds on a CPU; `--full`
tries more values of std for longer, and takes several minutes.
"""

import argparse
import math

import torch

import kerasish
from kerasish import layers

parser = argparse.ArgumentParser()
parser.add_argument("--full", action="store_true", help="more values of std, more epochs")
full = parser.parse_args().full
stds = (
    [10 ** (power / 2) for power in range(-6, 3)] + [0.2, 0.25]
    if full
    else [0.001, 0.03, 0.25, 10.0]
)
epochs = 60 if full else 20

# Half of the square's area is in the disc, so that guessing is wrong half of the time.
kerasish.config.set_random_seed(0)
points = torch.rand(6000, 2) * 2 - 1
labels = (points.norm(dim=1) < math.sqrt(2 / math.pi)).long()


def make_network(std: float, batch_norm: bool) -> kerasish.Sequential:
    """16 hidden layers of 32, all weights drawn from N(0, std)."""
    model = kerasish.Sequential([layers.Input((2,))])
    for _ in range(16):
        model.add(layers.Dense(32, kernel_initializer=kerasish.initializers.RandomNormal(0, std)))
        if batch_norm:
            # Keras's epsilon, 0.001, would drown the variances of small weights.
            model.add(layers.BatchNormalization(epsilon=1e-5))
        model.add(layers.ReLU())
    model.add(layers.Dense(2, kernel_initializer=kerasish.initializers.RandomNormal(0, std)))
    return model


def test_error(std: float, batch_norm: bool) -> float:
    """Percent of wrong answers on points it has not seen."""
    kerasish.config.set_random_seed(1)
    model = make_network(std, batch_norm)
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    model.fit(points[:4000], labels[:4000], batch_size=100, epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(points[4000:], labels[4000:], batch_size=1000, verbose=0)
    return 100 * (1 - accuracy)


print("Test error in percent, 16 hidden layers of 32:\n")
print("     std   without batch norm   with batch norm")
errors = {}
for std in sorted(stds):
    errors[std] = test_error(std, batch_norm=False), test_error(std, batch_norm=True)
    print(f"{std:8.3f}   {errors[std][0]:18.1f}   {errors[std][1]:15.1f}")

assert max(error for _, error in errors.values()) < 20
assert errors[0.001][0] > 40
assert errors[10.0][0] > 40
