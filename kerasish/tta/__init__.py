"""Test-time averaging: predictions of several views of each sample, made one."""

from kerasish.tta.crops import Flips, ImageViews, MultiScaleTenCrop, TenCrop
from kerasish.tta.draws import Draws
from kerasish.tta.dropout import MonteCarloDropout
from kerasish.tta.mean import Mean
from kerasish.tta.views import Views

__all__ = [
    "Draws",
    "Flips",
    "ImageViews",
    "Mean",
    "MonteCarloDropout",
    "MultiScaleTenCrop",
    "TenCrop",
    "Views",
]
