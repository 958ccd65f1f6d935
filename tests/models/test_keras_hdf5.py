"""Files of Keras's that point elsewhere or claim more than they hold."""

import zipfile

import numpy as np
import pytest

from kerasish import Sequential, layers
from kerasish.models import load_model

h5py = pytest.importorskip("h5py")


def model():
    return Sequential([layers.Input((3,)), layers.Dense(2, use_bias=False, name="dense")])


def soft(variables, other):
    variables["0"] = h5py.SoftLink("/else")
    variables.file["else"] = np.zeros((3, 2), "float32")


def linked(variables, other):
    variables["0"] = h5py.ExternalLink(str(other), "secret")


def stored(variables, other):
    place = [(str(other), 0, 24)]
    variables.create_dataset("0", (3, 2), "float32", external=place)


def virtual(variables, other):
    layout = h5py.VirtualLayout((3, 2), "float32")
    layout[:] = h5py.VirtualSource(str(other), "secret", (3, 2))
    variables.create_virtual_dataset("0", layout)


def circular(variables, other):
    variables["0"] = variables.parent


@pytest.mark.parametrize("point", [soft, linked, stored, virtual, circular])
def test_arrays_from_elsewhere_are_refused(point, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.full((3, 2), 7, "float32")
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        point(file.create_group("layers/dense/vars"), tmp_path / "other.h5")

    with pytest.raises(
        ValueError, match=r"Cannot read .*model\.weights\.h5: its part '0' .*elsewhere"
    ):
        model().load_weights(tmp_path / "model.weights.h5")


def test_arrays_that_unfold_are_refused(tmp_path):
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        variables = file.create_group("layers/dense/vars")
        variables.create_dataset("0", (2**20, 2**20), "float32", chunks=(64, 64))

    with pytest.raises(ValueError, match=r"its arrays would unfold into 4,398,046,511,104 bytes"):
        model().load_weights(tmp_path / "model.weights.h5")


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
def test_members_that_unfold_are_refused(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "big.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for member in ("config.json", "model.weights.h5"):
            archive.writestr(member, bytes(80 * 2**20) if member == name else b"{}")

    read = load_model if name == "config.json" else model().load_weights
    with pytest.raises(ValueError, match=rf"its {name} would unfold into 83,886,080 bytes"):
        read(tmp_path / "big.keras")
