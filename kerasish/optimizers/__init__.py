"""Optimizers under Keras's names, with `torch.optim` doing the arithmetic."""

from kerasish.optimizers.adam import Adam as Adam
from kerasish.optimizers.adam import AdamW as AdamW
from kerasish.optimizers.base import Optimizer as Optimizer
from kerasish.optimizers.rmsprop import RMSprop as RMSprop
from kerasish.optimizers.sgd import SGD as SGD
