"""Optimizers under Keras's names, with `torch.optim` doing the arithmetic."""

from kerasish.optimizers import schedules as schedules
from kerasish.optimizers.adafactor import Adafactor as Adafactor
from kerasish.optimizers.adagrad import Adadelta as Adadelta
from kerasish.optimizers.adagrad import Adagrad as Adagrad
from kerasish.optimizers.adam import Adam as Adam
from kerasish.optimizers.adam import AdamW as AdamW
from kerasish.optimizers.adam_relatives import Adamax as Adamax
from kerasish.optimizers.adam_relatives import Nadam as Nadam
from kerasish.optimizers.base import Optimizer as Optimizer
from kerasish.optimizers.foreign import TorchOptimizer as TorchOptimizer
from kerasish.optimizers.ftrl import Ftrl as Ftrl
from kerasish.optimizers.lamb import Lamb as Lamb
from kerasish.optimizers.lion import Lion as Lion
from kerasish.optimizers.lookup import deserialize as deserialize
from kerasish.optimizers.lookup import get as get
from kerasish.optimizers.lookup import serialize as serialize
from kerasish.optimizers.loss_scale import LossScaleOptimizer as LossScaleOptimizer
from kerasish.optimizers.multi import MultiOptimizer as MultiOptimizer
from kerasish.optimizers.multi import OptimizerMap as OptimizerMap
from kerasish.optimizers.muon import Muon as Muon
from kerasish.optimizers.rmsprop import RMSprop as RMSprop
from kerasish.optimizers.schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
from kerasish.optimizers.sgd import SGD as SGD
