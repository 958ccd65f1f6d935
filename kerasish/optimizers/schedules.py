"""The learning-rate schedules under the name that Keras gives their module."""

from kerasish.schedules import CosineDecay as CosineDecay
from kerasish.schedules import CosineDecayRestarts as CosineDecayRestarts
from kerasish.schedules import ExponentialDecay as ExponentialDecay
from kerasish.schedules import InverseTimeDecay as InverseTimeDecay
from kerasish.schedules import LearningRateSchedule as LearningRateSchedule
from kerasish.schedules import OneCycle as OneCycle
from kerasish.schedules import PiecewiseConstantDecay as PiecewiseConstantDecay
from kerasish.schedules import PolynomialDecay as PolynomialDecay
from kerasish.schedules import Warmup as Warmup
from kerasish.schedules import deserialize as deserialize
from kerasish.schedules import serialize as serialize
