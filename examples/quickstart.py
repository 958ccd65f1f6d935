"""Train a small convolutional network on real handwritten digits, save it, and load it back.

You will see the table of layers, a progress bar, the accuracy on digits the network has not seen
(0.97 or better), and that the reloaded model predicts exactly the same. Takes about ten seconds on
a CPU. The 1 797 images of 8×8 pixels ship with the package; nothing is downloaded.
"""

import tempfile
import time
from pathlib import Path

import numpy as np

import kerasish
from kerasish import layers
from kerasish.datasets import digits

kerasish.config.set_random_seed(0)
(x_train, y_train), (x_test, y_test) = digits.load_data()
x_train, x_test = x_train[:, None], x_test[:, None]  # one channel: (n, 1, 8, 8)

model = kerasish.Sequential(
    [
        layers.Input((1, 8, 8)),
        layers.Rescaling(1 / 16),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(64, activation="relu"),
        layers.Dense(10, activation="softmax"),
    ]
)
model.summary()
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

start = time.perf_counter()
model.fit(x_train, y_train, epochs=15, batch_size=32, validation_split=0.1)
loss, accuracy = model.evaluate(x_test, y_test)
print(f"Accuracy on {len(x_test)} digits it has not seen: {accuracy:.4f}")
print(f"Training and evaluation took {time.perf_counter() - start:.1f} s.")

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.kerasish"
    model.save(path)
    reloaded = kerasish.load_model(path)

before = model.predict(x_test, verbose=0)
after = reloaded.predict(x_test, verbose=0)
print(f"Predictions identical after saving and loading: {np.array_equal(before, after)}")

assert accuracy >= 0.97
assert np.array_equal(before, after)
