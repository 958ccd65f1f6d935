"""The way out: a model and its training as a script that needs torch alone."""

from kerasish.models.eject.eject import eject as eject
