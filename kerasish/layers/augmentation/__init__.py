"""Layers that change images at random in training."""

from kerasish.layers.augmentation.base import AugmentationLayer
from kerasish.layers.augmentation.color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
    RandomSharpness,
)
from kerasish.layers.augmentation.cropping import RandomCrop, RandomResizedCrop, RandomShortSide
from kerasish.layers.augmentation.draws import Draws, sample_context
from kerasish.layers.augmentation.geometry import (
    GeometricLayer,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from kerasish.layers.augmentation.jitter import PCAColorJitter, RandomColorJitter
from kerasish.layers.augmentation.tone import (
    RandomErasing,
    RandomGaussianBlur,
    RandomInvert,
    RandomPosterization,
)

__all__ = [
    "AugmentationLayer",
    "Draws",
    "GeometricLayer",
    "PCAColorJitter",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomShortSide",
    "RandomTranslation",
    "RandomZoom",
    "sample_context",
]
