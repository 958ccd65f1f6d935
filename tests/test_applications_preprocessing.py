"""Raw images made ready for a network, in fit and predict, in this process and after loading."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import kerasish
from kerasish import applications, layers
from kerasish.applications import ImagePreprocessing
from kerasish.utils import image_dataset_from_directory

torchvision = pytest.importorskip("torchvision")
Image = pytest.importorskip("PIL.Image")

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def pictures(rows=4, size=(40, 52), seed=0):
    """Smooth pictures, as (rows, height, width, 3) bytes: noise would not survive resizing."""
    noise = torch.rand(rows, 3, 5, 6, generator=torch.Generator().manual_seed(seed))
    big = torch.nn.functional.interpolate(noise, size, mode="bicubic").clamp(0, 1)
    return (big * 255).byte().permute(0, 2, 3, 1).numpy()


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path, pixels in zip(paths, pictures(), strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@pytest.fixture
def folder(tmp_path):
    for number, pixels in enumerate(pictures(12, (32, 32))):
        path = tmp_path / "data" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "data"


def small(name="ShuffleNetV2_x0_5", **kwargs):
    kerasish.config.set_random_seed(0)
    given = {"weights": None, "classes": ["a", "b", "c"], "input_shape": (3, 32, 32), **kwargs}
    return applications.get(name)(**given)


def tiny():
    """A network of three layers that is told how its images are made ready."""
    kerasish.config.set_random_seed(0)
    model = kerasish.Sequential(
        [
            layers.Input((3, 32, 32)),
            layers.Conv2D(4, 5, strides=4, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.preprocessing = ImagePreprocessing((32, 32), **IMAGENET, crop_fraction=0.875)
    model.class_names = ["a", "b", "c"]
    return model


def predict(model, x):
    return model.predict(x, verbose=0)


# What it computes


def test_files_become_what_torchvisions_own_transforms_make_of_them(files):
    transforms = torchvision.transforms._presets.ImageClassification(crop_size=28, resize_size=32)
    images = ImagePreprocessing((28, 28), **IMAGENET, crop_fraction=28 / 32)

    got = images(images.open([str(path) for path in files]))

    want = torch.stack([transforms(Image.open(path)) for path in files])
    assert_close(got, want)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_arrays_are_resized_as_files_are_but_for_rounding(interpolation):
    images = ImagePreprocessing((28, 28), interpolation=interpolation, crop_fraction=0.875)
    pixels = pictures()

    one_by_one = images.open(list(pixels))
    together = images.arrange(torch.from_numpy(pixels))

    assert together.dtype == torch.uint8
    differences = (one_by_one.int() - together.int()).abs()
    assert differences.max() <= (60 if interpolation == "nearest" else 2)
    assert (differences > 0).float().mean() < (1 if interpolation == "nearest" else 0.1)
    assert_close(images.arrange(torch.from_numpy(pixels).float()), together.float(), rtol=0, atol=3)


def test_many_arrays_are_resized_in_parts():
    images = ImagePreprocessing((8, 8))
    pixels = torch.from_numpy(pictures(1, (12, 16))).expand(300, -1, -1, -1)

    many = images.arrange(pixels)

    assert many.shape == (300, 3, 8, 8)
    assert (many == images.arrange(pixels[:1])).all()


def test_the_middle_of_a_wide_image_is_cut_out():
    pixels = np.zeros((1, 8, 24, 3), "uint8")
    pixels[:, :, 8:16] = 200
    images = ImagePreprocessing((8, 8))

    assert (images.arrange(torch.from_numpy(pixels)) == 200).all()
    assert (images.open(pixels[0]) == 200).all()


def test_an_image_of_the_right_size_is_not_cut():
    images = ImagePreprocessing((32, 32), crop_fraction=0.5)
    x = torch.from_numpy(pictures(2, (32, 32))).permute(0, 3, 1, 2)

    assert images.arrange(x) is x
    assert torch.equal(images.open(list(pictures(2, (32, 32)))), x)


def test_without_a_size_images_stay_as_they_are_and_must_be_alike(files):
    images = ImagePreprocessing(None, **IMAGENET)

    assert images.open(files).shape == (4, 3, 40, 52)
    with pytest.raises(ValueError, match="differ in size"):
        images.open([files[0], pictures(1, (20, 20))[0]])


def test_normalisation_is_that_of_preprocess_input():
    images = ImagePreprocessing((8, 8), **IMAGENET)
    x = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)

    assert_close(images(x), applications.ResNet50.preprocess_input(x))
    assert_close(images(x.float()), images(x))


def test_channels_may_be_in_caffes_order_and_come_last():
    x = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    images = ImagePreprocessing(
        mean=[0.1, 0.2, 0.3], std=[1, 1, 1], channel_order="bgr", data_format="channels_last"
    )

    assert_close(images(x), x.flip(-1) / 255 - torch.tensor([0.1, 0.2, 0.3]))


def test_without_mean_pixels_become_floats_from_0_to_255():
    x = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)

    assert torch.equal(ImagePreprocessing()(x), x.float())


def test_grey_images_go_to_a_network_of_colours_and_the_other_way_round():
    grey = np.full((6, 6), 9, "uint8")

    assert (ImagePreprocessing((6, 6)).open(grey) == 9).all()
    assert ImagePreprocessing((6, 6)).arrange(torch.ones(2, 1, 6, 6)).shape == (2, 3, 6, 6)
    assert ImagePreprocessing((6, 6), channels=1).open(pictures(1, (6, 6))[0]).shape == (1, 1, 6, 6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"interpolation": "bilinar"}, "did you mean 'bilinear'"),
        ({"channel_order": "gbr"}, "unknown channel order 'gbr'"),
        ({"channels": 2}, "1, 3 or 4 channels"),
        ({"crop_fraction": 0}, r"in \(0, 1\]"),
        ({"mean": [0, 0, 0]}, "go together"),
        ({"size": (1, 2, 3)}, "`size` has a wrong length"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ImagePreprocessing(**settings)


# In a model


def test_predict_takes_paths_pil_images_and_bytes_in_either_order(files):
    model = tiny()
    want = predict(model, files)

    assert want.shape == (4, 3)
    assert np.array_equal(predict(model, [str(path) for path in files]), want)
    assert np.array_equal(predict(model, [Image.open(path) for path in files]), want)
    assert np.array_equal(predict(model, list(pictures())), want)
    assert_close(predict(model, pictures()), want, atol=2e-2, rtol=0)
    swapped = np.ascontiguousarray(pictures().transpose(0, 3, 1, 2))
    assert np.array_equal(predict(model, swapped), predict(model, pictures()))
    assert_close(predict(model, files[1]), want[1:2])


def test_raw_images_give_what_images_made_ready_by_hand_give():
    model = small()
    raw = pictures(3, (32, 32)).transpose(0, 3, 1, 2)
    ready = applications.ShuffleNetV2_x0_5.preprocess_input(raw)

    want = model.eval()(torch.from_numpy(ready)).detach().numpy()

    assert_close(predict(model, ready), want)
    assert_close(predict(model, raw), want)
    assert_close(model(torch.from_numpy(raw.copy())).detach().numpy(), want)


def test_with_preprocessing_inside_images_are_not_normalised_twice():
    plain, inside = small(), small(include_preprocessing=True)
    raw = pictures(3, (32, 32)).transpose(0, 3, 1, 2)

    assert_close(predict(inside, raw), predict(plain, raw))
    assert_close(predict(inside, raw.astype("float32")), predict(plain, raw))


def test_channels_last_networks_take_raw_images(files):
    kerasish.config.set_image_data_format("channels_last")
    try:
        last = small(input_shape=(32, 32, 3))
        got = predict(last, files)
    finally:
        kerasish.config.set_image_data_format("channels_first")

    assert_close(got, predict(small(), files))


@pytest.mark.parametrize("size", [(32, 32), (36, 40)], ids=["fitting", "other"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
def test_an_image_folder_is_normalised_once_in_fit(folder, size, dtype, inside):
    data = image_dataset_from_directory(
        folder, image_size=size, dtype=dtype, shuffle=False, verbose=False
    )
    model, by_hand = tiny(), tiny()
    images = by_hand.preprocessing
    if inside:
        scale = [1 / (255 * std) for std in IMAGENET["std"]]
        offset = [-m / s for m, s in zip(IMAGENET["mean"], IMAGENET["std"], strict=True)]
        column = (3, 1, 1)
        model = kerasish.Sequential(
            [
                layers.Input((3, 32, 32)),
                layers.Rescaling(np.reshape(scale, column), np.reshape(offset, column)),
                *model.layers,
            ]
        )
        model.preprocessing = ImagePreprocessing((32, 32), crop_fraction=0.875)
    for each in (model, by_hand):
        each.compile("sgd", "sparse_categorical_crossentropy")

    losses = model.fit(data, epochs=2, verbose=0, validation_data=data).history
    ready = data.map(lambda x, y: (images(images.arrange(x)), y))
    want = by_hand.fit(ready, epochs=2, verbose=0, validation_data=ready).history

    assert_close(losses["loss"], want["loss"], rtol=1e-4, atol=1e-5)
    assert_close(losses["val_loss"], want["val_loss"], rtol=1e-4, atol=1e-5)
    assert_close(model.evaluate(data, verbose=0), want["val_loss"][-1], rtol=1e-4, atol=1e-5)


def test_images_that_somebody_maps_are_taken_as_they_are(folder):
    data = image_dataset_from_directory(folder, image_size=(32, 32), verbose=False)

    assert data.holds_pixels
    assert data.take(1).holds_pixels
    assert not data.map(lambda x, y: (x / 255, y)).holds_pixels


def test_augmented_folders_are_raw_unless_their_layers_change_the_range(folder):
    def read(augment):
        whole = [layers.Resizing(32, 32), *augment]
        return image_dataset_from_directory(folder, verbose=False, augment=whole)

    assert read([layers.RandomFlip(), layers.Pipeline([layers.RandomRotation(0.1)])]).holds_pixels
    assert not read([layers.RandomFlip(), layers.Rescaling(1 / 255)]).holds_pixels
    assert not read([lambda x: x / 255]).holds_pixels
    v2 = pytest.importorskip("torchvision.transforms.v2")
    assert not read([v2.Normalize([0.5], [0.5])]).holds_pixels


def test_packed_images_are_normalised_in_fit(folder, tmp_path):
    packed = kerasish.data.pack(folder, tmp_path / "packed", None, verbose=False)
    flipped = kerasish.data.open_packed(packed.path, [layers.CenterCrop(32, 32)])
    model = tiny()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.freeze()
    for images in (packed, flipped):
        model.fit(images, verbose=0)  # pre-flight would speak of pixels
    ready = model.preprocessing(torch.stack([images[0] for images in packed]))

    want = predict(model, ready)

    assert_close(predict(model, packed), want)
    assert_close(predict(model, flipped), want)
    assert model.class_names == ["a", "b", "c"]


def test_fit_takes_paths_with_labels(files):
    model = tiny()
    model.compile("sgd", "sparse_categorical_crossentropy")

    history = model.fit(files, [0, 1, 2, 0], epochs=1, verbose=0, shuffle=False)

    other = tiny()
    other.compile("sgd", "sparse_categorical_crossentropy")
    want = other.fit(model.preprocessing.open(files), [0, 1, 2, 0], verbose=0, shuffle=False)
    assert history.history["loss"] == want.history["loss"]


def test_a_model_that_begins_with_one_sees_images_the_same_way(files):
    inner = tiny()
    outer = kerasish.Sequential([inner])
    image = kerasish.Input((3, 32, 32))

    assert outer.preprocessing is inner.preprocessing
    assert np.array_equal(predict(outer, files), predict(inner, files))
    assert kerasish.Model(image, inner(layers.RandomFlip()(image))).preprocessing is None


def test_the_numbers_are_those_of_the_weights_that_were_asked_for():
    enum = applications.ResNet50.weights
    first = applications.assembly._published("resnet50", "IMAGENET1K_V1")

    assert first is enum.IMAGENET1K_V1
    assert applications.assembly._published("resnet50", enum.IMAGENET1K_V1) is first
    assert applications.assembly._published("resnet50", "imagenet") is enum.DEFAULT


def test_features_come_from_raw_images_too(files):
    model = tiny()

    from_files = kerasish.transfer.extract_features(model, files)["features"]
    ready = model.preprocessing(model.preprocessing.open(files))

    assert_close(from_files, kerasish.transfer.extract_features(model, ready)["features"])


def test_batches_of_a_stream_may_differ_in_size_and_axis_order():
    model = tiny()
    sizes = [(32, 32), (40, 52), (30, 64)]
    batches = [pictures(2, size, seed=seed) for seed, size in enumerate(sizes)]
    batches[0] = np.ascontiguousarray(batches[0].transpose(0, 3, 1, 2))

    got = model.predict(iter(batches), verbose=0)

    assert_close(got, np.concatenate([predict(model, batch) for batch in batches]))


def test_single_batches_are_made_ready_too():
    model = tiny()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = pictures(), np.array([0, 1, 2, 0])

    assert_close(model.predict_on_batch(x), predict(model, x))
    assert_close(model.test_on_batch(x, y), model.evaluate(x, y, verbose=0))


def test_paths_are_evaluated_and_validated_on(files):
    model = tiny()
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = model.fit(files, [0, 1, 2, 0], verbose=0, validation_data=(files, [0, 1, 2, 0]))

    want = model.evaluate(model.preprocessing.open(files), [0, 1, 2, 0], verbose=0)

    assert model.evaluate(files, [0, 1, 2, 0], verbose=0) == want
    assert history.history["val_loss"] == [want]


@pytest.mark.parametrize("weights", ["imagenet", None])
def test_class_names_are_those_of_the_weights_while_the_head_is_theirs(
    weights, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    enum = applications.SqueezeNet1_1.weights.DEFAULT
    file = tmp_path / "checkpoints" / enum.url.rpartition("/")[2]
    file.parent.mkdir()
    torch.save(torchvision.models.squeezenet1_1(weights=None).state_dict(), file)

    whole = applications.SqueezeNet1_1(weights=weights)
    other = applications.SqueezeNet1_1(weights=weights, classes=5)

    assert whole.class_names == (enum.meta["categories"] if weights else None)
    assert other.class_names is None
    if weights:
        ((_, name, _),) = whole.classify(pictures(1), top=1)[0]
        assert name in enum.meta["categories"]


def test_a_missing_file_is_named(files):
    with pytest.raises(FileNotFoundError, match=r"nothing\.png"):
        predict(tiny(), "nothing.png")


# Copies


def test_copies_and_clones_have_the_same_bundle(files):
    model = tiny()
    for made in (pickle.loads(pickle.dumps(model)), kerasish.models.clone_model(model)):
        assert made.preprocessing == model.preprocessing
        assert made.class_names == ["a", "b", "c"]
        assert made.freeze_point == model.freeze_point


def test_a_new_process_gives_the_same_output_for_the_same_files(files, tmp_path):
    model = small("SqueezeNet1_1")
    model.save(tmp_path / "m.kerasish")
    want = predict(model, files)
    code = (
        "import sys, numpy, torch, kerasish; torch.set_num_threads(1);"
        "folder, *files = sys.argv[1:]; model = kerasish.load_model(folder + '/m.kerasish');"
        "numpy.save(folder + '/out.npy', model.predict(files, verbose=0));"
        "print(model.class_names, model.freeze_point, model.classify(files[0], top=1)[0][0][1])"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *map(str, files)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert np.array_equal(np.load(tmp_path / "out.npy"), want)
    name = "abc"[int(want[0].argmax())]
    assert done.stdout.split("\n")[0] == f"['a', 'b', 'c'] {model.freeze_point} {name}"
