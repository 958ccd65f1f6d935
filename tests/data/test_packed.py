"""Packed images: what is stored, what survives a kill, what is refused, and how fit takes them."""

import copy
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader, random_split

import kerasish
from kerasish import data, layers
from kerasish.data.pack_part import PartFile
from kerasish.saving.files import ArchiveError

pytest.importorskip("PIL")
tv = pytest.importorskip("torchvision.transforms.v2.functional")

SIZES = [(40, 60), (60, 40), (50, 50), (37, 81), (90, 41), (64, 48)]


def decoded(path):
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


def write_jpeg(image, path):
    from PIL import Image

    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path, quality=90)


def photo(height, width, seed):
    """Smooth colours with some noise, as photographs have."""
    generator = torch.Generator().manual_seed(seed)
    colors = torch.rand(1, 3, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(colors, (height, width), mode="bilinear")[0]
    noisy = smooth * 255 + torch.randn(3, height, width, generator=generator) * 4
    return noisy.clamp(0, 255).to(torch.uint8)


@pytest.fixture
def photos(tmp_path):
    """Two classes of three JPEG files each."""
    for number, size in enumerate(SIZES):
        folder = tmp_path / "photos" / ("ant", "bee")[number // 3]
        folder.mkdir(parents=True, exist_ok=True)
        write_jpeg(photo(*size, number), folder / f"{number}.jpg")
    return tmp_path / "photos"


@pytest.fixture
def packed(photos, tmp_path):
    return data.pack(photos, tmp_path / "photos.kpk", 32, verbose=False)


# What is in the file


def test_packed_image_is_the_decoded_file_resized(photos, packed):
    for number, name in enumerate(packed.paths):
        whole = decoded(photos / name)
        expected = tv.resize(whole, [32], antialias=True)
        image, label = packed[number]

        assert image.dtype == torch.uint8
        assert min(image.shape[1:]) == 32
        assert_close(image, expected, rtol=0, atol=0)
        assert int(label) == number // 3


def test_packed_images_keep_their_size_where_no_short_side_is_given(photos, tmp_path):
    packed = data.pack(photos, tmp_path / "whole.kpk", None, verbose=False)

    assert [tuple(packed[i][0].shape[1:]) for i in range(6)] == SIZES
    assert torch.equal(packed[3][0], decoded(photos / packed.paths[3]))


def test_packed_data_set_tells_classes_paths_and_sizes(packed):
    assert len(packed) == 6
    assert packed.class_names == ["ant", "bee"]
    assert packed.paths == [f"{('ant', 'bee')[i // 3]}{os.sep}{i}.jpg" for i in range(6)]
    assert packed.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert packed.heights.tolist()[:3] == [32, 48, 32]
    assert "6 images, 2 classes" in repr(packed)


def test_packed_image_is_a_view_of_the_map(packed):
    first, again = packed[1][0], packed[1][0]

    assert first.data_ptr() == again.data_ptr()


def test_packed_file_opens_with_safetensors(packed):
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = numpy.load_file(packed.path)
    begin, end = tensors["offsets"][2:4]
    size = tensors["heights"][2], tensors["widths"][2], 3

    image = tensors["pixels"][begin:end].reshape(size)
    assert np.array_equal(image, packed[2][0].permute(1, 2, 0).numpy())
    assert zlib.crc32(image) == tensors["checksums"][2]


def test_channels_may_come_last(packed):
    last = data.open_packed(packed.path, data_format="channels_last")

    assert torch.equal(last[4][0].permute(2, 0, 1), packed[4][0])


@pytest.mark.parametrize(("mode", "channels"), [("grayscale", 1), ("rgba", 4)])
def test_color_mode_decides_the_channels(photos, tmp_path, mode, channels):
    from PIL import Image

    packed = data.pack(photos, tmp_path / "x.kpk", None, color_mode=mode, verbose=False)
    pil = Image.open(photos / packed.paths[0]).convert({1: "L", 4: "RGBA"}[channels])

    expected = torch.from_numpy(np.array(pil).reshape(*SIZES[0], channels)).permute(2, 0, 1)
    assert_close(packed[0][0], expected, rtol=0, atol=1)


def test_folder_without_classes_gives_images_alone(photos, tmp_path):
    packed = data.pack(photos, tmp_path / "x.kpk", 32, labels=None, verbose=False)

    assert packed.class_names is None
    assert packed[0].shape == (3, 32, 48)


def test_other_kinds_of_files_are_packed_too(tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    (tmp_path / "in" / "a").mkdir(parents=True)
    for ending in ("png", "bmp"):
        Image.fromarray(pixels).save(tmp_path / "in" / "a" / f"x.{ending}")

    packed = data.pack(tmp_path / "in", tmp_path / "x.kpk", None, verbose=False)

    for image, _ in (packed[0], packed[1]):
        assert np.array_equal(image.permute(1, 2, 0).numpy(), pixels)


# Packing again, and after a kill


def test_packing_again_has_nothing_to_do(photos, packed, capsys):
    before = packed.path.stat()
    again = data.pack(photos, packed.path, 32)

    assert "holds 6 images" in capsys.readouterr().out
    assert packed.path.stat().st_mtime_ns == before.st_mtime_ns
    assert len(again) == 6


def test_packing_a_changed_folder_makes_a_new_file(photos, packed):
    (photos / "ant" / "0.jpg").unlink()

    assert len(data.pack(photos, packed.path, 32, verbose=False)) == 5


def test_other_settings_make_a_new_file(photos, packed):
    assert data.pack(photos, packed.path, 16, verbose=False)[0][0].shape == (3, 16, 24)


def test_interrupted_packing_goes_on_and_gives_the_same_file(
    photos, packed, tmp_path, monkeypatch, capsys
):
    expected = packed.path.read_bytes()
    target, add = tmp_path / "again.kpk", PartFile.add

    def stop_at_the_fourth(self, image, signature):
        if len(self.rows) == 3:
            raise KeyboardInterrupt
        add(self, image, signature)

    monkeypatch.setattr(PartFile, "add", stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        data.pack(photos, target, 32, verbose=False)
    assert not target.exists()
    monkeypatch.setattr(PartFile, "add", add)

    data.pack(photos, target, 32)

    assert "Going on after 3 files" in capsys.readouterr().out
    assert target.read_bytes() == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.kpk", "photos", "photos.kpk"]


def test_what_was_not_recorded_is_written_again(photos, packed, tmp_path, monkeypatch):
    expected = packed.path.read_bytes()
    target, add = tmp_path / "again.kpk", PartFile.add

    def stop_at_the_fifth(self, image, signature):
        if len(self.rows) == 4:
            raise KeyboardInterrupt
        add(self, image, signature)

    monkeypatch.setattr(PartFile, "add", stop_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        data.pack(photos, target, 32, verbose=False)
    monkeypatch.setattr(PartFile, "add", add)
    # As a power failure leaves it: half a line of the record, and fewer pixels than it speaks of.
    record, part = tmp_path / "again.kpk.part.record", tmp_path / "again.kpk.part"
    record.write_bytes(record.read_bytes() + b'["half a li')
    part.write_bytes(part.read_bytes()[:-100])

    data.pack(photos, target, 32, verbose=False)

    assert target.read_bytes() == expected


def test_record_of_a_file_changed_meanwhile_is_not_trusted(photos, tmp_path, monkeypatch):
    target, add = tmp_path / "x.kpk", PartFile.add

    def stop_at_the_third(self, image, signature):
        if len(self.rows) == 2:
            raise KeyboardInterrupt
        add(self, image, signature)

    monkeypatch.setattr(PartFile, "add", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        data.pack(photos, target, 32, verbose=False)
    monkeypatch.setattr(PartFile, "add", add)
    write_jpeg(photo(70, 50, 99), photos / "ant" / "0.jpg")

    packed = data.pack(photos, target, 32, verbose=False)

    whole = decoded(photos / "ant" / "0.jpg")
    assert torch.equal(packed[0][0], tv.resize(whole, [32], antialias=True))


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_process_leaves_no_file_but_what_to_go_on_from(photos, packed, tmp_path):
    target = tmp_path / "killed.kpk"
    script = (
        "import time, kerasish.data.pack_part as part\n"
        "from kerasish import data\n"
        "part._SECONDS, add = 0.0, part.PartFile.add\n"
        "def slow(self, image, signature):\n"
        "    add(self, image, signature); time.sleep(60 if len(self.rows) == 4 else 0)\n"
        "part.PartFile.add = slow\n"
        f"data.pack({str(photos)!r}, {str(target)!r}, 32, verbose=False)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    record, until = Path(f"{target}.part.record"), time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if record.exists() and record.read_bytes().count(b"\n") == 5:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not target.exists()
    lines = record.read_text().splitlines()
    assert len(lines) == 5, "the settings and four files"
    data.pack(photos, target, 32, verbose=False)
    assert target.read_bytes() == packed.path.read_bytes()


# Broken files


def test_broken_file_is_an_error_that_names_it(photos, tmp_path):
    (photos / "ant" / "1.jpg").write_bytes(b"no image at all")

    with pytest.raises(ValueError, match=r"Cannot read the image .*1\.jpg") as caught:
        data.pack(photos, tmp_path / "x.kpk", verbose=False)
    assert "goes on here" in caught.value.__notes__[0]
    (photos / "ant" / "1.jpg").unlink()
    assert len(data.pack(photos, tmp_path / "x.kpk", verbose=False)) == 5


def test_truncated_jpeg_is_noticed(photos, tmp_path):
    file = photos / "ant" / "0.jpg"
    file.write_bytes(file.read_bytes()[:-200])

    with pytest.raises(ValueError, match=r"Cannot read the image .*0\.jpg"):
        data.pack(photos, tmp_path / "x.kpk", verbose=False)


def test_broken_files_are_left_out_where_asked(photos, tmp_path):
    (photos / "ant" / "1.jpg").write_bytes(b"")

    with pytest.warns(UserWarning, match=r"Skipped: Cannot read the image .*1\.jpg"):
        packed = data.pack(photos, tmp_path / "x.kpk", 32, broken="skip", verbose=False)

    assert packed.labels.tolist() == [0, 0, 1, 1, 1]
    packed.verify()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"short_side": 0}, "`short_side` must be a positive integer or None"),
        ({"color_mode": "rgbb"}, "did you mean 'rgb'"),
        ({"broken": "ignore"}, "`broken` must be 'error' or 'skip'"),
        ({"labels": [1]}, "6 files but 1 label"),
    ],
)
def test_wrong_options_are_errors(photos, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        data.pack(photos, tmp_path / "x.kpk", **options)


def test_folder_in_the_place_of_the_file_is_an_error(photos, tmp_path):
    (tmp_path / "x.kpk").mkdir()

    with pytest.raises(IsADirectoryError, match="it is a folder"):
        data.pack(photos, tmp_path / "x.kpk", verbose=False)


# Damaged files are refused


def test_truncated_file_is_refused(packed, tmp_path):
    whole = packed.path.read_bytes()

    for size in (0, 7, 100, 4096, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.kpk").write_bytes(whole[:size])
        with pytest.raises(ArchiveError, match=r"Cannot read .*cut\.kpk"):
            data.open_packed(tmp_path / "cut.kpk")


def test_damaged_index_is_refused(packed, tmp_path):
    whole = bytearray(packed.path.read_bytes())
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    begin, _ = header["labels"]["data_offsets"]
    whole[8 + int.from_bytes(whole[:8], "little") + begin] ^= 1
    (tmp_path / "bad.kpk").write_bytes(whole)

    with pytest.raises(ArchiveError, match="its index is damaged"):
        data.open_packed(tmp_path / "bad.kpk")


def test_damaged_pixel_is_found_by_verify(packed, tmp_path):
    packed.verify()
    whole = bytearray(packed.path.read_bytes())
    whole[5000] ^= 1
    (tmp_path / "bad.kpk").write_bytes(whole)

    with pytest.raises(ArchiveError, match=r"the pixels of ant.0\.jpg \(image 0\) have changed"):
        data.open_packed(tmp_path / "bad.kpk").verify()


def test_other_files_are_refused(tmp_path):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file({"x": torch.ones(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.kpk").write_text("nothing of the kind, but long enough for a header")

    with pytest.raises(ArchiveError, match="not of packed images"):
        data.open_packed(tmp_path / "other.safetensors")
    with pytest.raises(ArchiveError, match=r"Cannot read .*text\.kpk"):
        data.open_packed(tmp_path / "text.kpk")
    with pytest.raises(FileNotFoundError, match="no such file"):
        data.open_packed(tmp_path / "missing.kpk")


# Reading


def recipe():
    return layers.Pipeline(
        [layers.RandomShortSide((20, 36), 16), layers.RandomFlip("horizontal")], seed=5
    )


def test_images_of_different_sizes_need_layers_that_make_them_alike(packed):
    with pytest.raises(ValueError, match=r"different sizes.*\[Resizing\(224, 224\)\]"):
        packed.batch([0, 1])


def test_own_loader_sees_what_fit_sees(packed):
    own = data.open_packed(packed.path, augment=recipe())
    own.set_epoch(3)

    for workers in (0, 2):
        loader = DataLoader(own, batch_size=4, num_workers=workers)
        x, y = (torch.cat(parts) for parts in zip(*loader, strict=True))
        expected, labels = own.batch(range(6), 3)
        assert torch.equal(x, expected), workers
        assert torch.equal(y, labels)


def test_selected_images_are_what_they_are_in_the_whole(packed):
    whole = data.open_packed(packed.path, augment=recipe())

    part = whole.select([4, 1])

    assert torch.equal(part.batch([0, 1], 2)[0], whole.batch([4, 1], 2)[0])
    assert part.labels.tolist() == [1, 0]
    assert part.paths == [whole.paths[4], whole.paths[1]]
    assert packed.select(packed.labels == 1).paths == packed.paths[3:]
    validation = part.select([1], training=False)
    middle = layers.RandomShortSide((20, 36), 16).eval()(packed[1][0])
    assert torch.equal(validation[0][0], middle)


class Seen(kerasish.Model):
    """Keeps what it is shown."""

    def __init__(self):
        super().__init__()
        self.dense = torch.nn.Linear(3, 2)
        self.batches = []

    def forward(self, x):
        if self.training:
            self.batches.append(x.detach().clone())
        return self.dense(x.float().mean((2, 3)) / 255)


def seen_by_fit(dataset, **options):
    model = Seen()
    model.compile("sgd", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(dataset, verbose=0, shuffle=False, **options)
    return torch.cat(model.batches)  # after what pre-flight looked at


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [2, 3])
def test_fit_shows_each_image_what_its_number_and_epoch_decide(packed, threads, batch_size):
    dataset = data.open_packed(packed.path, augment=recipe(), threads=threads)
    plain = data.open_packed(packed.path, augment=recipe(), threads=1)

    seen = seen_by_fit(dataset, batch_size=batch_size, epochs=2)

    expected = torch.cat([plain.batch([i], epoch)[0] for epoch in (0, 1) for i in range(6)])
    assert torch.equal(seen[-12:], expected)
    assert not torch.equal(expected[:6], expected[6:])


def test_fit_that_begins_at_a_later_epoch_sees_what_it_would_have_seen(packed):
    dataset = data.open_packed(packed.path, augment=recipe())

    seen = seen_by_fit(dataset, batch_size=4, epochs=3, initial_epoch=2)

    assert torch.equal(seen[-6:], dataset.batch(range(6), 2)[0])


def test_subsets_are_batched_as_their_whole(packed):
    dataset = data.open_packed(packed.path, augment=recipe())
    part, _ = random_split(dataset, [4, 2], generator=torch.Generator().manual_seed(0))

    seen = seen_by_fit(part, batch_size=4, epochs=1)

    assert torch.equal(seen[-4:], dataset.batch(part.indices, 0)[0])


def test_fit_learns_from_packed_images(packed):
    dataset = data.open_packed(packed.path, augment=[layers.Resizing(8, 8)])
    model = kerasish.Sequential([layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2)])
    model.compile("adam", kerasish.losses.SparseCategoricalCrossentropy(from_logits=True))

    history = model.fit(dataset, batch_size=3, epochs=20, validation_data=dataset, verbose=0)

    assert history.history["loss"][-1] < history.history["loss"][0]
    assert model.predict(dataset, verbose=0).shape == (6, 2)


def test_pass_resumed_in_its_middle_goes_on_with_the_same_pixels(packed):
    def feed():
        dataset = data.open_packed(packed.path, augment=recipe())
        return data.make_feed(dataset, batch_size=2, shuffle=True, seed=3)

    whole = feed()
    epochs = [[x.clone() for x, _, _ in whole.batches(epoch)] for epoch in (0, 1)]
    stopped = feed()
    list(stopped.batches(0))
    next(stopped.batches(1))
    state = stopped.state_dict()

    again = feed()
    again.resume(1, 1, state)

    rest = [x.clone() for x, _, _ in again.batches(1)]
    assert len(rest) == 2
    for x, expected in zip(rest, epochs[1][1:], strict=True):
        assert torch.equal(x, expected)


def test_copies_and_pickled_data_sets_give_the_same(packed):
    dataset = data.open_packed(packed.path, augment=recipe(), threads=2).select([5, 0, 3])
    expected = dataset.batch([0, 1, 2], 4)

    for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
        images, labels = other.batch([0, 1, 2], 4)
        assert torch.equal(images, expected[0])
        assert torch.equal(labels, expected[1])


def test_a_pipeline_may_be_shared_by_training_and_validation(packed):
    shared = recipe()
    train = data.open_packed(packed.path, augment=shared)
    validation = data.open_packed(packed.path, augment=shared, training=False)

    first, middle = train.batch(range(6), 0)[0].clone(), validation.batch(range(6), 0)[0].clone()

    assert torch.equal(train.batch(range(6), 0)[0], first)
    assert torch.equal(validation.batch(range(6), 1)[0], middle)
    assert not torch.equal(first, middle)
