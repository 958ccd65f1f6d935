"""Callbacks: watch, save, steer and end training."""

from kerasish.callbacks.base import Callback, CallbackList
from kerasish.callbacks.checkpoint import ModelCheckpoint
from kerasish.callbacks.csv_logger import CSVLogger
from kerasish.callbacks.early_stopping import EarlyStopping
from kerasish.callbacks.history import History
from kerasish.callbacks.lambda_callback import LambdaCallback
from kerasish.callbacks.progress import ProgressBar
from kerasish.callbacks.progress import ProgressBar as ProgbarLogger

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ProgressBar",
]
