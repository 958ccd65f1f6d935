"""Data sets that load in one line, in Keras's form: `(x_train, y_train), (x_test, y_test)`."""

from kerasish.datasets import digits

__all__ = ["digits"]
