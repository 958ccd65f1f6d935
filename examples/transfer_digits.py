"""What a network learned from five digits helps it to tell five others apart.

    python transfer_digits.py [--seeds 5] [--epochs 8]

A small convolutional network learns the digits 0 to 4. Then it meets 5 to 9, of which there are
only 5, 10, 20 or 50 images each, in three ways: its convolutions frozen under a new last layer; all
of it fine-tuned from there; and a new network that starts from scratch. You will see a table of the
accuracies on images not seen before, mean and deviation over seeds, and a picture of it
(transfer_digits.png) where matplotlib is installed. About 15 seconds on a CPU.

What was learned before saves training: digits of 8x8 pixels are so simple that a network from
scratch catches up, and more, when it may train for longer. Try --epochs 60.
"""

import argparse
import statistics

import numpy as np

import kerasish
from kerasish import layers
from kerasish.datasets import digits

parser = argparse.ArgumentParser()
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=8)
settings = parser.parse_args()
COUNTS = (5, 10, 20, 50)

(x_train, y_train), (x_test, y_test) = digits.load_data()


def part(x, y, first):
    """Five digits from one on, as images of one channel with labels from 0 to 4."""
    rows = (y >= first) & (y < first + 5)
    return (x[rows] / 16).astype("float32")[:, None], y[rows] - first


def network():
    """Convolutions, named "body", and a last layer."""
    body = [
        layers.Input((1, 8, 8)),
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"),
        layers.Flatten(),
    ]
    body = kerasish.Sequential(body, name="body")
    return kerasish.Sequential([body, layers.Dropout(0.3), layers.Dense(5, name="head")])


def train(model, x, y, rate, epochs):
    """Train, and return the accuracy on the test images of 5 to 9, in percent."""
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0)
    return 100 * model.evaluate(*part(x_test, y_test, 5), batch_size=512, verbose=0)[1]


def with_new_head(model):
    """The same body, copied, under a last layer that knows nothing yet."""
    new = network()
    new.get_layer("body").set_weights(model.get_layer("body").get_weights())
    return new


def accuracies(seed):
    """By number of images and way: the accuracy for one seed."""
    kerasish.utils.set_random_seed(seed)
    pretrained = network()
    train(pretrained, *part(x_train, y_train, 0), rate=1e-3, epochs=20)
    x, y = part(x_train, y_train, 5)
    order = np.random.default_rng(seed).permutation(len(y))
    found = {}
    for count in COUNTS:
        rows = np.concatenate([order[y[order] == label][:count] for label in range(5)])
        few, epochs = (x[rows], y[rows]), settings.epochs
        model = with_new_head(pretrained)
        model.freeze("body*")
        found[count, "frozen"] = train(model, *few, rate=1e-2, epochs=epochs)
        model.unfreeze()
        found[count, "fine-tuned"] = train(model, *few, rate=1e-3, epochs=epochs)
        found[count, "scratch"] = train(network(), *few, rate=1e-3, epochs=epochs)
    return found


WAYS = ("frozen", "fine-tuned", "scratch")
runs = [accuracies(seed) for seed in range(settings.seeds)]
mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
deviation = {key: statistics.pstdev(run[key] for run in runs) for key in runs[0]}

print(f"Accuracy on digits 5 to 9 in percent, {settings.seeds} seeds:\n")
print("images a class" + "".join(f"{way:>16}" for way in WAYS))
for count in COUNTS:
    cells = [f"{mean[count, way]:.1f} ± {deviation[count, way]:.1f}" for way in WAYS]
    print(f"{count:14}" + "".join(f"{cell:>16}" for cell in cells))

try:
    import matplotlib as mpl
except ImportError:
    print("\nInstall matplotlib for a picture.")
else:
    mpl.use("Agg")
    from matplotlib import pyplot

    for way in WAYS:
        values, spread = ([table[count, way] for count in COUNTS] for table in (mean, deviation))
        pyplot.errorbar(COUNTS, values, spread, marker="o", capsize=3, label=way)
    pyplot.xscale("log")
    pyplot.xticks(COUNTS, COUNTS)
    pyplot.xlabel("images of each class")
    pyplot.ylabel("accuracy in percent")
    pyplot.legend()
    pyplot.savefig("transfer_digits.png", dpi=120)
    print("\nPicture: transfer_digits.png")

assert settings.epochs > 8 or mean[5, "fine-tuned"] > mean[5, "scratch"]
assert mean[50, "fine-tuned"] > 90
