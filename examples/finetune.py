"""Fine-tune a pretrained network on a folder of images, one sub-folder for each class.

    python finetune.py --data FOLDER --backbone ResNet50 --weights imagenet

Three phases: the new head alone, then the last stage with it at small learning rates, then all. You
will see the accuracy on images held out, a confusion matrix, and the saved model's name.

Without arguments it runs offline: some of the handwritten digits that ship with the package are
written as image files, and a small network learns them from scratch. About half a minute on a CPU.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import kerasish
from kerasish import applications, transfer
from kerasish.datasets import digits
from kerasish.utils import image_dataset_from_directory


def write_digits(folder, classes=3, size=32):
    """Some of the digits that ship with kerasish as image files."""
    (images, labels), _ = digits.load_data()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        if label < classes:
            path = folder / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image * 15.9).astype("uint8")).resize((size, size)).save(path)
    return folder


def read_folder(folder, size, batch_size):
    """Images for training and, one in five, for testing; their class names."""
    common = {
        "image_size": (size, size),
        "batch_size": batch_size,
        "validation_split": 0.2,
        "seed": 0,
        "verbose": False,
    }
    train = image_dataset_from_directory(folder, subset="training", **common)
    test = image_dataset_from_directory(folder, subset="validation", **common)
    return train, test, train.class_names


def confusion_matrix(model, test, count):
    """How often each class (row) was taken for each class (column)."""
    matrix = np.zeros((count, count), int)
    for images, labels in test:
        guesses = model.predict(images, verbose=0).argmax(-1)
        np.add.at(matrix, (np.asarray(labels), guesses), 1)
    return matrix


def train_in_phases(model, train, test, epochs, rate):
    """The head, then the last stage too at smaller rates, then everything."""
    phases = [
        ("the head", lambda: model.freeze(), rate, None),
        ("the last stage", lambda: model.unfreeze(last=2), rate, transfer.discriminative(model)),
        ("everything", lambda: model.unfreeze(), rate, transfer.discriminative(model)),
    ]
    for what, act, learning_rate, multipliers in phases:
        print(f"\nTraining {what}")
        act()
        model.compile(
            kerasish.optimizers.Adam(learning_rate),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            lr_multipliers=multipliers,
        )
        model.fit(train, validation_data=test, epochs=epochs)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, help="a folder with a sub-folder for each class")
parser.add_argument("--backbone", default="ShuffleNetV2_x0_5", help="see applications.list()")
parser.add_argument("--weights", default="none", help="imagenet, none, or a file")
parser.add_argument("--size", type=int, help="pixels on each side")
parser.add_argument("--epochs", type=int, default=6, help="of each phase")
parser.add_argument("--rate", type=float, default=1e-3, help="of the head, in the first phase")
parser.add_argument("--save", type=Path, help="where to write the model")
options = parser.parse_args()

kerasish.config.set_random_seed(0)
is_pretrained = options.weights != "none"
size = options.size or (224 if is_pretrained else 32)
with tempfile.TemporaryDirectory() as scratch:
    folder = options.data or write_digits(Path(scratch))
    train, test, names = read_folder(folder, size, batch_size=32)
    model = applications.get(options.backbone)(
        weights=options.weights if is_pretrained else None,
        classes=len(names),
        input_shape=(3, size, size),
        include_preprocessing=True,  # raw pixels in, from 0 to 255
    )
    model.summary()
    print(*model.stages(), sep="\n")
    if is_pretrained:
        train_in_phases(model, train, test, options.epochs, options.rate)
    else:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(train, validation_data=test, epochs=options.epochs)

    matrix = confusion_matrix(model, test, len(names))
    print("\nTrue class, then how often it was taken for each class:")
    for name, row in zip(names, matrix, strict=True):
        print(f"{name:>12}", *(f"{count:5d}" for count in row))
    path = options.save or Path(scratch) / "finetuned.kerasish"
    model.save(path)
    again = kerasish.load_model(path)
    images, _ = next(iter(test))
    assert np.array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))

accuracy = np.trace(matrix) / matrix.sum()
print(f"\nAccuracy on held-out images: {accuracy:.3f}")
assert options.data or accuracy > 0.7, "three digits are easier than that"
