"""Keras's small helpers: labels, sequences, images, folders, splits."""

from kerasish.backend import clear_session, is_keras_tensor, standardize_dtype
from kerasish.config import set_random_seed
from kerasish.custom_objects import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from kerasish.layers.feature_space import FeatureSpace
from kerasish.models.diagram import model_to_dot, plot_model
from kerasish.utils.audio_folder import audio_dataset_from_directory
from kerasish.utils.batches import Batches
from kerasish.utils.cached_file import get_file
from kerasish.utils.image_folder import image_dataset_from_directory
from kerasish.utils.images import array_to_img, img_to_array, load_img, save_img
from kerasish.utils.labels import (
    normalize,
    pack_x_y_sample_weight,
    to_categorical,
    unpack_x_y_sample_weight,
)
from kerasish.utils.progbar import Progbar
from kerasish.utils.py_dataset import PyDataset
from kerasish.utils.sequences import pad_sequences, timeseries_dataset_from_array
from kerasish.utils.settings import Config
from kerasish.utils.splitting import split_dataset
from kerasish.utils.text_folder import text_dataset_from_directory

Sequence = PyDataset

__all__ = [
    "Batches",
    "Config",
    "CustomObjectScope",
    "FeatureSpace",
    "Progbar",
    "PyDataset",
    "Sequence",
    "array_to_img",
    "audio_dataset_from_directory",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "image_dataset_from_directory",
    "img_to_array",
    "is_keras_tensor",
    "load_img",
    "model_to_dot",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "plot_model",
    "register_keras_serializable",
    "save_img",
    "serialize_keras_object",
    "set_random_seed",
    "split_dataset",
    "standardize_dtype",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "to_categorical",
    "unpack_x_y_sample_weight",
]
