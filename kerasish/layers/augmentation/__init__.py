"""Layers that change images at random in training."""

from kerasish.layers.augmentation.base import AugmentationLayer
from kerasish.layers.augmentation.box_count import MaxNumBoundingBoxes
from kerasish.layers.augmentation.clahe import ContrastLimitedAdaptiveHistogramEqualization
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
from kerasish.layers.augmentation.distortion import RandomElasticTransform, RandomLensDistortion
from kerasish.layers.augmentation.draws import Draws, sample_context
from kerasish.layers.augmentation.foreign import TorchTransform
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
from kerasish.layers.augmentation.mixing import CutMix, MixUp
from kerasish.layers.augmentation.pipeline import Pipeline, RandomApply, RandomChoice
from kerasish.layers.augmentation.policies import AugMix, AutoAugment, RandAugment, TrivialAugment
from kerasish.layers.augmentation.preview import preview
from kerasish.layers.augmentation.recipes import cifar_recipe, resnet_recipe
from kerasish.layers.augmentation.tone import (
    AutoContrast,
    Equalization,
    RandomErasing,
    RandomGaussianBlur,
    RandomInvert,
    RandomPosterization,
    Solarization,
)

__all__ = [
    "AugMix",
    "AugmentationLayer",
    "AutoAugment",
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "CutMix",
    "Draws",
    "Equalization",
    "GeometricLayer",
    "MaxNumBoundingBoxes",
    "MixUp",
    "PCAColorJitter",
    "Pipeline",
    "RandAugment",
    "RandomApply",
    "RandomBrightness",
    "RandomChoice",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomLensDistortion",
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
    "Solarization",
    "TorchTransform",
    "TrivialAugment",
    "cifar_recipe",
    "preview",
    "resnet_recipe",
    "sample_context",
]
