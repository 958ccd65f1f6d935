"""Images and texts from folders that the tests write."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from kerasish import config, utils
from kerasish.data import make_feed
from kerasish.data.folder_index import index_folder
from kerasish.utils.folders import split_index

COLORS = {"ant": (200, 0, 0), "bee": (0, 200, 0), "cat": (0, 0, 200)}
COUNTS = {"ant": 5, "bee": 3, "cat": 2}


@pytest.fixture
def photos(tmp_path):
    """Ten images of one colour each, which tells the class; a note and a hidden folder."""
    root = tmp_path / "photos"
    for name, color in COLORS.items():
        for i in range(COUNTS[name]):
            place = root / name / ("deeper" if i == 1 else "")
            place.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (12 + i, 9), color).save(place / f"{i}.{'png' if i % 2 else 'bmp'}")
    (root / "ant" / "notes.txt").write_text("not an image")
    (root / ".cache").mkdir()
    return root


def load(root, **options):
    options = {"image_size": (4, 6), "verbose": False, **options}
    return utils.image_dataset_from_directory(root, **options)


def all_labels(batches):
    return torch.cat([labels for _, labels in batches])


def test_images_come_in_batches_with_their_classes(photos):
    batches = load(photos, batch_size=4, shuffle=False)

    seen = list(batches)

    assert batches.class_names == ["ant", "bee", "cat"]
    assert batches.class_counts == COUNTS
    assert [tuple(x.shape) for x, _ in seen] == [(4, 3, 4, 6), (4, 3, 4, 6), (2, 3, 4, 6)]
    assert len(batches) == 3
    assert seen[0][0].dtype == torch.float32
    assert all_labels(batches).tolist() == [0] * 5 + [1] * 3 + [2] * 2
    for images, labels in seen:
        expected = torch.zeros(len(labels), 3).scatter_(1, labels[:, None], 200)
        assert torch.equal(images.amax((2, 3)), expected)


def test_shuffled_images_keep_their_labels_and_change_order_each_epoch(photos):
    batches = load(photos, batch_size=3, seed=1)

    epochs = [list(batches) for _ in range(3)]

    for epoch in epochs:
        labels = torch.cat([y for _, y in epoch])
        assert torch.bincount(labels).tolist() == [5, 3, 2]
        assert all((x.amax((2, 3)).argmax(1) == y).all() for x, y in epoch)
    orders = [tuple(torch.cat([y for _, y in epoch]).tolist()) for epoch in epochs]
    assert len(set(orders)) > 1
    again = load(photos, batch_size=3, seed=1)
    assert tuple(all_labels(again).tolist()) == orders[0]


@pytest.mark.parametrize(
    ("label_mode", "first"),
    [("int", 0), ("categorical", [1.0, 0.0, 0.0])],
)
def test_labels_take_the_form_asked_for(photos, label_mode, first):
    _, labels = next(iter(load(photos, label_mode=label_mode, shuffle=False)))

    assert labels[0].tolist() == first


def test_binary_labels_are_a_column_of_floats(photos):
    names = ["bee", "ant"]
    with pytest.raises(ValueError, match="needs two classes"):
        load(photos, label_mode="binary")
    for path in (photos / "cat").iterdir():
        if path.is_file():
            path.unlink()
    for path in sorted((photos / "cat").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (photos / "cat").rmdir()

    _, labels = next(iter(load(photos, label_mode="binary", class_names=names, shuffle=False)))

    assert labels.dtype == torch.float32
    assert labels.tolist() == [[0.0]] * 3 + [[1.0]] * 5


def test_no_labels_give_images_alone(photos):
    for options in ({"labels": None}, {"label_mode": None}):
        images = next(iter(load(photos, **options)))
        assert images.shape == (10, 3, 4, 6)


def test_given_labels_follow_the_sorted_paths(photos):
    batches = load(photos, labels=list(range(10)), shuffle=False)

    assert all_labels(batches).tolist() == list(range(10))
    assert batches.file_paths == sorted(batches.file_paths)
    with pytest.raises(ValueError, match="10 files but 3 labels"):
        load(photos, labels=[1, 2, 3])


def test_class_names_decide_the_numbers(photos):
    batches = load(photos, class_names=["cat", "bee", "ant"], shuffle=False)

    assert all_labels(batches).tolist() == [0] * 2 + [1] * 3 + [2] * 5
    with pytest.raises(ValueError, match="must be the names of the sub-folders"):
        load(photos, class_names=["cat", "dog"])


def test_parts_of_a_split_share_no_file(photos):
    options = {"validation_split": 0.3, "seed": 5}
    training = load(photos, subset="training", **options)
    validation = load(photos, subset="validation", **options)
    both = load(photos, subset="both", **options)

    paths = [training.file_paths, validation.file_paths]
    assert [part.file_paths for part in both] == paths
    assert [len(part) for part in paths] == [7, 3]
    assert len(set(paths[0]) | set(paths[1])) == 10


def test_validation_part_keeps_one_order(photos):
    validation = load(photos, validation_split=0.5, subset="validation", seed=1)

    assert all_labels(validation).tolist() == all_labels(validation).tolist()


@pytest.mark.parametrize("seed", [1, 77])
def test_files_and_their_order_are_those_of_keras(photos, seed):
    pytest.importorskip("keras")
    dataset_utils = pytest.importorskip("keras.src.utils.dataset_utils")
    index = getattr(dataset_utils, "index_directory", None)
    if index is None:
        pytest.skip("this Keras has its folder index elsewhere")
    paths, labels, names = index(
        str(photos), "inferred", (".png", ".bmp"), seed=seed, verbose=False
    )

    ours = index_folder(photos, "inferred", None, (".png", ".bmp"))
    (shuffled,) = split_index(ours, True, seed, None, None)

    assert shuffled.paths == list(paths)
    assert shuffled.labels == [int(label) for label in labels]
    assert shuffled.class_names == list(names)


BAD_SPLITS = {
    "alone": ({"validation_split": 0.2}, "go together"),
    "without a share": ({"subset": "training"}, "go together"),
    "unknown": ({"subset": "test", "validation_split": 0.2}, "`subset` must be one of"),
    "too large": ({"subset": "training", "validation_split": 1.2, "seed": 1}, r"in \(0, 1\)"),
    "no seed": ({"subset": "training", "validation_split": 0.2}, "give `seed` too"),
    "empty": ({"subset": "validation", "validation_split": 0.01, "seed": 1}, "nothing to validate"),
    "crop and pad": ({"crop_to_aspect_ratio": True, "pad_to_aspect_ratio": True}, "Choose one"),
    "label mode": ({"label_mode": "onehot"}, "`label_mode` must be one of"),
    "labels": ({"labels": "guessed"}, "`labels` must be"),
    "broken": ({"broken": "ignore"}, "`broken` must be one of"),
}


@pytest.mark.parametrize("case", BAD_SPLITS)
def test_contradicting_options_are_refused(photos, case):
    options, words = BAD_SPLITS[case]

    with pytest.raises(ValueError, match=words):
        load(photos, **options)


def test_missing_folder_and_folder_without_images_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        load(tmp_path / "none")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(ValueError, match="There are no files ending in"):
        load(tmp_path / "empty")


def test_broken_file_is_an_error_that_names_it(photos):
    (photos / "bee" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")

    with pytest.raises(ValueError, match=r"Cannot read the image .*torn\.png") as caught:
        list(load(photos))

    assert "broken='skip'" in caught.value.__notes__[0]


def test_broken_files_are_left_out_with_one_warning_each(photos):
    (photos / "bee" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    batches = load(photos, broken="skip", batch_size=2)

    with pytest.warns(UserWarning, match=r"Skipped: .*torn\.png"):
        assert len(all_labels(batches)) == 10
    assert len(all_labels(batches)) == 10


def test_batch_of_nothing_but_broken_files_is_left_out(photos):
    (photos / "cat" / "z.png").write_bytes(b"nothing")

    for batch_size in (10, None):
        with pytest.warns(UserWarning, match="Skipped"):
            seen = list(load(photos, broken="skip", batch_size=batch_size, shuffle=False))
        assert sum(len(y) if batch_size else 1 for _, y in seen) == 10


@pytest.mark.parametrize(("color_mode", "channels"), [("grayscale", 1), ("rgb", 3), ("rgba", 4)])
def test_color_mode_decides_the_channels(photos, color_mode, channels):
    images, _ = next(iter(load(photos, color_mode=color_mode)))

    assert images.shape[1] == channels


def test_channels_may_come_last(photos):
    config.set_image_data_format("channels_last")
    images, _ = next(iter(load(photos)))

    assert images.shape == (10, 4, 6, 3)
    assert images.is_contiguous()


def test_images_may_stay_bytes(photos):
    images, _ = next(iter(load(photos, dtype="uint8")))

    assert images.dtype == torch.uint8


@pytest.fixture
def stripes(tmp_path):
    """One image of 8 × 4 pixels whose left half is white."""
    (tmp_path / "stripes" / "only").mkdir(parents=True)
    pixels = np.zeros((4, 8), dtype=np.uint8)
    pixels[:, :4] = 255
    Image.fromarray(pixels).save(tmp_path / "stripes" / "only" / "a.png")
    return tmp_path / "stripes"


def test_images_are_squeezed_cut_or_padded_to_their_shape(stripes):
    def only(**options):
        options = {
            "image_size": (4, 4),
            "color_mode": "grayscale",
            "interpolation": "box",
            **options,
        }
        return load(stripes, labels=None, **options).dataset[0][0].tolist()

    assert only() == [[255, 255, 0, 0]] * 4
    assert only(crop_to_aspect_ratio=True) == [[255, 255, 0, 0]] * 4
    padded = only(pad_to_aspect_ratio=True)
    assert padded == [[0] * 4, [255, 255, 0, 0], [255, 255, 0, 0], [0] * 4]


def test_cut_takes_the_middle(stripes):
    images = load(stripes, labels=None, image_size=(4, 2), crop_to_aspect_ratio=True)

    # Columns 3 and 4 of eight: the last white one and the first black one.
    assert next(iter(images))[0, 0].tolist() == [[255, 0]] * 4


def test_what_was_found_is_told(photos, capsys):
    load(photos, verbose=True, validation_split=0.2, subset="both", seed=1)

    told = capsys.readouterr().out
    assert "Found 10 files belonging to 3 classes: ant 5, bee 3, cat 2" in told
    assert re.search(r"Left aside 1 file: .*notes\.txt", told)
    assert "Using 8 files for training\nUsing 2 files for validation" in told


def test_batches_map_and_take_as_in_keras_scripts(photos):
    batches = load(photos, batch_size=4, shuffle=False)

    halves = batches.map(lambda x, y: (x / 2, y)).take(2).cache().prefetch(1)

    assert len(halves) == halves.cardinality() == 2
    assert [len(y) for _, y in halves] == [4, 4]
    assert next(iter(halves))[0].max() == 100
    assert next(iter(batches))[0].max() == 200
    assert halves.class_names == batches.class_names


def test_batches_feed_the_training_loop_in_an_order_by_epoch(photos):
    feed = make_feed(load(photos, batch_size=4, seed=3))

    orders = [torch.cat([y for _, y, _ in feed.batches(epoch)]).tolist() for epoch in (0, 1, 0)]

    assert orders[0] == orders[2]
    assert orders[0] != orders[1]
    assert feed.num_batches == 3


# Texts


@pytest.fixture
def reviews(tmp_path):
    for name, texts in {"bad": ["dull", "long, so long"], "good": ["bright ü"]}.items():
        (tmp_path / "reviews" / name).mkdir(parents=True)
        for i, text in enumerate(texts):
            (tmp_path / "reviews" / name / f"{i}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "reviews"


def test_texts_come_in_batches_with_their_classes(reviews):
    batches = utils.text_dataset_from_directory(reviews, shuffle=False, verbose=False)

    ((texts, labels),) = list(batches)

    assert texts == ["dull", "long, so long", "bright ü"]
    assert labels.tolist() == [0, 0, 1]
    assert batches.class_names == ["bad", "good"]


def test_texts_are_cut_and_come_alone_or_one_by_one(reviews):
    (texts,) = utils.text_dataset_from_directory(
        reviews, labels=None, max_length=4, shuffle=False, verbose=False
    )
    single = utils.text_dataset_from_directory(
        reviews, label_mode="binary", batch_size=None, shuffle=False, verbose=False
    )

    assert texts == ["dull", "long", "brig"]
    assert [(text, label.tolist()) for text, label in single][2] == ("bright ü", [1.0])


def test_choice_of_a_data_set_library_for_texts_is_without_effect(reviews):
    settings = "inferred", "int", None, 32, None, False, None, None, None, False
    with pytest.warns(UserWarning, match="format='tf' has no effect"):
        batches = utils.text_dataset_from_directory(reviews, *settings, "tf", False)

    assert len(next(iter(batches))[0]) == 3


def test_text_that_is_not_utf8_is_an_error_that_names_it(reviews):
    (reviews / "bad" / "latin.txt").write_bytes("über".encode("latin-1"))

    with pytest.raises(ValueError, match=r"Cannot read the text .*latin\.txt: it is not UTF-8"):
        list(utils.text_dataset_from_directory(reviews, verbose=False))


def test_batches_refuses_data_sets_that_make_no_batches():
    with pytest.raises(TypeError, match=r"Batches: .*makes? batches.*DataLoader"):
        utils.Batches([(1, 2)], batch_size=2)
