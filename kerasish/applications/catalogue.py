"""The names of the networks: Keras's where Keras has one, torchvision's otherwise."""

from __future__ import annotations

import builtins
import functools
import importlib
from fnmatch import fnmatchcase

from kerasish.applications.application import Application
from kerasish.applications.timm_models import PREFIX, library
from kerasish.describe import describe, suggest

# Name in kerasish = torchvision's function.
_TABLE = """
AlexNet=alexnet
ConvNeXtTiny=convnext_tiny ConvNeXtSmall=convnext_small
ConvNeXtBase=convnext_base ConvNeXtLarge=convnext_large
DenseNet121=densenet121 DenseNet161=densenet161 DenseNet169=densenet169 DenseNet201=densenet201
EfficientNetB0=efficientnet_b0 EfficientNetB1=efficientnet_b1 EfficientNetB2=efficientnet_b2
EfficientNetB3=efficientnet_b3 EfficientNetB4=efficientnet_b4 EfficientNetB5=efficientnet_b5
EfficientNetB6=efficientnet_b6 EfficientNetB7=efficientnet_b7
EfficientNetV2S=efficientnet_v2_s EfficientNetV2M=efficientnet_v2_m
EfficientNetV2L=efficientnet_v2_l
GoogLeNet=googlenet InceptionV3=inception_v3
MNASNet0_5=mnasnet0_5 MNASNet0_75=mnasnet0_75 MNASNet1_0=mnasnet1_0 MNASNet1_3=mnasnet1_3
MaxViT_T=maxvit_t
MobileNetV2=mobilenet_v2 MobileNetV3Large=mobilenet_v3_large MobileNetV3Small=mobilenet_v3_small
RegNetX_400MF=regnet_x_400mf RegNetX_800MF=regnet_x_800mf RegNetX_1_6GF=regnet_x_1_6gf
RegNetX_3_2GF=regnet_x_3_2gf RegNetX_8GF=regnet_x_8gf RegNetX_16GF=regnet_x_16gf
RegNetX_32GF=regnet_x_32gf
RegNetY_400MF=regnet_y_400mf RegNetY_800MF=regnet_y_800mf RegNetY_1_6GF=regnet_y_1_6gf
RegNetY_3_2GF=regnet_y_3_2gf RegNetY_8GF=regnet_y_8gf RegNetY_16GF=regnet_y_16gf
RegNetY_32GF=regnet_y_32gf RegNetY_128GF=regnet_y_128gf
ResNeXt50_32x4d=resnext50_32x4d ResNeXt101_32x8d=resnext101_32x8d
ResNeXt101_64x4d=resnext101_64x4d
ResNet18=resnet18 ResNet34=resnet34 ResNet50=resnet50 ResNet101=resnet101 ResNet152=resnet152
ShuffleNetV2_x0_5=shufflenet_v2_x0_5 ShuffleNetV2_x1_0=shufflenet_v2_x1_0
ShuffleNetV2_x1_5=shufflenet_v2_x1_5 ShuffleNetV2_x2_0=shufflenet_v2_x2_0
SqueezeNet1_0=squeezenet1_0 SqueezeNet1_1=squeezenet1_1
SwinT=swin_t SwinS=swin_s SwinB=swin_b SwinV2T=swin_v2_t SwinV2S=swin_v2_s SwinV2B=swin_v2_b
VGG11=vgg11 VGG13=vgg13 VGG16=vgg16 VGG19=vgg19
VGG11BN=vgg11_bn VGG13BN=vgg13_bn VGG16BN=vgg16_bn VGG19BN=vgg19_bn
ViT_B_16=vit_b_16 ViT_B_32=vit_b_32 ViT_L_16=vit_l_16 ViT_L_32=vit_l_32 ViT_H_14=vit_h_14
WideResNet50_2=wide_resnet50_2 WideResNet101_2=wide_resnet101_2
"""

_PAIRS = [entry.partition("=") for entry in _TABLE.split()]
NAMES = {name: torch_name for name, _, torch_name in _PAIRS}

# Networks that only Keras has, and the file of kerasish layers that each is in. Those of a family
# whose other networks are torchvision's are in a file `keras_` and the family's name.
_MODULES = {
    "inception_resnet_v2": "InceptionResNetV2",
    "keras_convnext": "ConvNeXtXLarge",
    "keras_efficientnet_v2": "EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 EfficientNetV2B3",
    "mobilenet": "MobileNet",
    "nasnet": "NASNetMobile NASNetLarge",
    "resnet_v2": "ResNet50V2 ResNet101V2 ResNet152V2",
    "xception": "Xception",
}
LAYERED = {name: module for module, names in _MODULES.items() for name in names.split()}
ALL = {**NAMES, **LAYERED}


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


_BY_PLAIN_NAME = {
    _plain(spelling): name for name, torch_name in NAMES.items() for spelling in (name, torch_name)
} | {_plain(name): name for name in LAYERED}


def list(pattern: str = "*") -> builtins.list[str]:
    """The names of the networks, in alphabetical order.

    Args:
        pattern: A glob pattern; case does not matter. `"timm/*"` is for the networks of timm that
            have weights.

    Raises:
        ImportError: If they are timm's and timm is not installed.

    Example:
        >>> list("resnet1*")
        ['ResNet101', 'ResNet101V2', 'ResNet152', 'ResNet152V2', 'ResNet18']
    """
    if pattern.startswith(PREFIX):
        names = library().list_models(pattern.removeprefix(PREFIX), pretrained=True)
        return [PREFIX + name for name in names]
    return sorted(name for name in ALL if fnmatchcase(name.lower(), pattern.lower()))


def find(name: str) -> str | None:
    """The catalogue's spelling of a name, whatever its case and underscores; `None` if unknown."""
    return _BY_PLAIN_NAME.get(_plain(name))


def get(name: str) -> Application:
    """The network of a name; call it to make a model.

    Args:
        name: One of `list()`, or torchvision's name; case and underscores do not matter. With
            timm installed also `"timm/"` and a name of timm's.

    Raises:
        ImportError: If it is timm's and timm is not installed.
        TypeError: If it is not a string.
        ValueError: If there is no such network; the message suggests names.

    Example:
        >>> get("resnet50")
        applications.ResNet50
    """
    if isinstance(name, Application):
        return name
    if not isinstance(name, str):
        raise TypeError(f"applications.get: expected a name, got {describe(name)}.")
    if name.startswith(PREFIX):
        return _from_timm(name)
    found = find(name)
    if found is None:
        raise ValueError(f"applications: unknown network '{name}'{suggest(name, ALL)}.")
    return _made(found)


@functools.cache
def _made(name: str) -> Application:
    if name in LAYERED:
        return getattr(importlib.import_module(f"kerasish.applications.{LAYERED[name]}"), name)
    return Application(name, NAMES[name])


@functools.cache
def _from_timm(name: str) -> Application:
    # Imported here since it makes models, and most people have no timm.
    from kerasish.applications.timm_application import TimmApplication

    return TimmApplication(name)
