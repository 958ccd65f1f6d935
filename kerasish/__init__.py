"""Keras words, PyTorch substance."""

from kerasish import config
