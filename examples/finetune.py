"""Fine-tune a pretrained network on a folder of images, one sub-folder for each class.

    python finetune.py --data FOLDER --backbone ResNet50 --weights imagenet

The new head learns first, then the last stages with it at small rates. You will see the plan, the
scores of each class on images held out, and two files: the model, and a picture of which classes it
mistook for which.

Without arguments it runs offline: some of the handwritten digits that ship with the package are
written as image files, and a small network learns them from scratch. About half a minute on a CPU.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import kerasish
from kerasish import applications, report, transfer
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


def train(model, data, test, options):
    """In phases if the network knows something already, else all of it at once."""
    if options.weights != "none":
        transfer.fine_tune(model, data, validation_data=test, epochs=options.epochs)
        return
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data, validation_data=test, epochs=options.epochs)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", type=Path, help="a folder with a sub-folder for each class")
parser.add_argument("--backbone", default="ShuffleNetV2_x0_5", help="see applications.list()")
parser.add_argument("--weights", default="none", help="imagenet, none, or a file")
parser.add_argument("--size", type=int, help="pixels on each side")
parser.add_argument("--epochs", type=int, default=8, help="of each phase, at most")
parser.add_argument("--save", type=Path, default="finetuned.kerasish", help="the model's file")
parser.add_argument("--plot", type=Path, default="confusion.png", help="the picture's file")
options = parser.parse_args()

kerasish.config.set_random_seed(0)
size = options.size or (32 if options.weights == "none" else 224)
with tempfile.TemporaryDirectory() as scratch:
    data, test = image_dataset_from_directory(
        options.data or write_digits(Path(scratch)),
        image_size=(size, size),
        validation_split=0.2,
        subset="both",
        seed=0,
    )
    model = applications.get(options.backbone)(
        weights=None if options.weights == "none" else options.weights,
        classes=data.class_names,
        input_shape=(3, size, size),
    )
    model.summary()
    print(*model.stages(), sep="\n")
    train(model, data, test, options)
    found = report.predictions(model, test)
    model.save(options.save)
    again = kerasish.load_model(options.save)
    assert np.array_equal(report.predictions(again, test).y_pred, found.y_pred)

scores = report.classification_report(*found)
print(scores)
print(report.confusion_matrix(*found, plot=options.plot))
is_own = options.data or options.weights != "none"
assert is_own or scores.accuracy > 0.7, "three digits are easier than that"
