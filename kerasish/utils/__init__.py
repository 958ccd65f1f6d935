"""Keras's small helpers: labels, sequences, images, folders, splits."""

from kerasish.config import set_random_seed
from kerasish.layers.feature_space import FeatureSpace
from kerasish.utils.batches import Batches
from kerasish.utils.image_folder import image_dataset_from_directory
from kerasish.utils.images import array_to_img, img_to_array, load_img, save_img
from kerasish.utils.labels import (
    normalize,
    pack_x_y_sample_weight,
    to_categorical,
    unpack_x_y_sample_weight,
)
from kerasish.utils.py_dataset import PyDataset
from kerasish.utils.sequences import pad_sequences, timeseries_dataset_from_array
from kerasish.utils.splitting import split_dataset
from kerasish.utils.text_folder import text_dataset_from_directory

Sequence = PyDataset

__all__ = [
    "Batches",
    "FeatureSpace",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "image_dataset_from_directory",
    "img_to_array",
    "load_img",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "save_img",
    "set_random_seed",
    "split_dataset",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
