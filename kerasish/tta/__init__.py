"""Test-time averaging: predictions of several views of each sample, made one."""

from kerasish.tta.bound import BoundViews, bind_views, views_of
from kerasish.tta.crops import Flips, MultiScaleTenCrop, TenCrop
from kerasish.tta.draws import Draws
from kerasish.tta.dropout import MonteCarloDropout
from kerasish.tta.mean import Mean, kinds_of
from kerasish.tta.views import Views

__all__ = [
    "BoundViews",
    "Draws",
    "Flips",
    "Mean",
    "MonteCarloDropout",
    "MultiScaleTenCrop",
    "TenCrop",
    "Views",
    "bind_views",
    "kinds_of",
    "views_of",
]
