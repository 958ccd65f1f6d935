"""Callbacks: watch, save, steer and end training."""

from kerasish.callbacks.backup import BackupAndRestore
from kerasish.callbacks.base import Callback, CallbackList
from kerasish.callbacks.checkpoint import ModelCheckpoint
from kerasish.callbacks.csv_logger import CSVLogger
from kerasish.callbacks.early_stopping import EarlyStopping
from kerasish.callbacks.gradient_monitor import GradientMonitor
from kerasish.callbacks.history import History
from kerasish.callbacks.json_logger import JSONLogger
from kerasish.callbacks.lambda_callback import LambdaCallback
from kerasish.callbacks.lr_finder import LearningRateFinder
from kerasish.callbacks.lr_scheduler import LearningRateScheduler
from kerasish.callbacks.profiler import Profiler
from kerasish.callbacks.progress import ProgressBar
from kerasish.callbacks.progress import ProgressBar as ProgbarLogger
from kerasish.callbacks.reduce_lr import ReduceLROnPlateau
from kerasish.callbacks.remote_monitor import RemoteMonitor
from kerasish.callbacks.swa import StochasticWeightAveraging
from kerasish.callbacks.swap_ema import SwapEMAWeights
from kerasish.callbacks.tensorboard import TensorBoard
from kerasish.callbacks.terminate_on_nan import TerminateOnNaN
from kerasish.callbacks.time_budget import TimeBudget
from kerasish.callbacks.unfreezing import GradualUnfreezing

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "GradientMonitor",
    "GradualUnfreezing",
    "History",
    "JSONLogger",
    "LambdaCallback",
    "LearningRateFinder",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "Profiler",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "StochasticWeightAveraging",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "TimeBudget",
]
