"""What augmentation is worth when there is little data.

    python augment.py

The handwritten digits that ship with the package are written as a folder of JPEG files and packed
into one file. Six small networks learn from five images of each class as they are, six more from
images that are turned, moved and stretched at random. You will see the accuracy of both on 500
other images, and a picture of what the networks were shown (augment.png). About half a minute on a
CPU.
"""

import statistics
import tempfile
from pathlib import Path

from PIL import Image

import kerasish
from kerasish import layers
from kerasish.data import open_packed, pack
from kerasish.datasets import digits

SIZE, EACH, SEEDS, EPOCHS = 16, 5, 6, 100


def write_folder(folder):
    """The shipped digits as JPEG files, one sub-folder for each class."""
    (images, labels), _ = digits.load_data()
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / str(label) / f"{number:04}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray((image * 15.9).astype("uint8")).resize((SIZE, SIZE))
        picture.save(path, quality=95)


def choose_rows(packed, seed):
    """Rows of `EACH` images of each class to learn from, and of 500 others to test on."""
    kerasish.utils.set_random_seed(seed)
    order = kerasish.random.shuffle(list(range(len(packed)))).tolist()
    by_class = {label: [r for r in order if packed.labels[r] == label] for label in range(10)}
    train = [row for rows in by_class.values() for row in rows[:EACH]]
    chosen = set(train)
    return train, [row for row in order if row not in chosen][:500]


def make_augmentation(seed):
    """Small turns, shifts and changes of size, drawn anew for each image in each epoch."""
    return layers.Pipeline(
        [
            layers.RandomRotation(0.04, fill_mode="constant"),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
            layers.RandomZoom(0.15, 0.15, fill_mode="constant"),
        ],
        seed=seed,
    )


def accuracy(file, augment, seed):
    """The accuracy of a network that learned from a few images."""
    packed = open_packed(file, augment=augment, threads=1)
    train, test = choose_rows(packed, seed)
    model = kerasish.Sequential(
        [
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(packed.select(train), batch_size=20, epochs=EPOCHS, verbose=0)
    held = packed.select(test, training=False)
    return model.evaluate(held, batch_size=250, verbose=0, return_dict=True)["accuracy"]


def main():
    """Train all networks, and say what augmentation gained."""
    kerasish.config.set_image_data_format("channels_first")
    with tempfile.TemporaryDirectory() as folder:
        write_folder(Path(folder, "digits"))
        file = Path(folder, "digits.kpk")
        packed = pack(Path(folder, "digits"), file, short_side=SIZE, color_mode="grayscale")
        shown = [packed[number][0] for number in range(0, len(packed), 300)]
        make_augmentation(seed=0).preview(shown, "augment.png")

        print(f"{EACH} images of each class; accuracy on 500 others")
        gains = []
        for seed in range(SEEDS):
            plain = accuracy(file, None, seed)
            augmented = accuracy(file, make_augmentation(seed), seed)
            gains.append(augmented - plain)
            print(f"seed {seed}:  as they are {plain:.3f}   augmented {augmented:.3f}")
    mean, spread = statistics.mean(gains), statistics.stdev(gains)
    print(f"Augmentation gained {mean:+.3f} ± {spread:.3f} (mean and deviation of {SEEDS} seeds)")
    assert mean > 0


if __name__ == "__main__":
    main()
