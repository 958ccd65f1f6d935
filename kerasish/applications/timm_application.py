"""TimmApplication: a network of the library timm, as a backbone with a head."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from torch import Tensor

from kerasish.applications.application import Application
from kerasish.applications.assembly import classified, furnish, pooled, prepare
from kerasish.applications.backbone import Backbone
from kerasish.applications.pretrained import load_backbone, read_file
from kerasish.applications.timm_models import check_name, pretrained_state, timm_weights
from kerasish.describe import describe
from kerasish.models import Model


class TimmApplication(Application):
    """A network of timm: `applications.get("timm/resnet18.a1_in1k")(classes=5)`.

    The arguments are those of `Application`. `weights="imagenet"` means those that timm has for the
    name, from whatever data; a `.pth` or `.safetensors` file of the network does as well. Further
    arguments, such as `drop_path_rate=0.1`, go to `timm.create_model`. timm downloads weights
    itself and keeps them where the Hugging Face hub does.

    Args:
        name: timm's name after `"timm/"`, with or without the weights' tag.

    Raises:
        ImportError: If timm is not installed.
        ValueError: If timm has no such network; the message suggests names.
    """

    def __init__(self, name: str) -> None:
        check_name(name)
        super().__init__(name, _layer_name(name))

    @property
    def weights(self) -> Any:
        """What is known of the weights, in the manner of torchvision's enums."""
        return SimpleNamespace(DEFAULT=timm_weights(self.name))

    def _assemble(
        self,
        include_top: bool = True,
        weights: Any = None,
        pooling: str | None = None,
        classifier_activation: Any = None,
        include_preprocessing: bool = False,
        options: dict[str, Any] | None = None,
        name: str | None = None,
        **shared: Any,
    ) -> Model:
        published = timm_weights(self.name)
        frame = prepare(
            self.name,
            published,
            include_top=include_top,
            weights=weights,
            pooling=pooling,
            needs_size=include_top or published.is_fixed,
            **shared,
        )
        if published.is_fixed and frame.size != published.transforms().crop_size * 2:
            options = {"img_size": tuple(frame.size), **(options or {})}
        transforms = published.transforms()
        backbone = Backbone(
            self.name,
            "vector" if include_top else "map",
            channels=frame.channels,
            options=options or {},
            mean=transforms.mean if include_preprocessing else None,
            std=transforms.std if include_preprocessing else None,
            name=self.architecture,
        )
        state = self._state(weights)
        head_state = {} if state is None else load_backbone(backbone, state)
        features = backbone(frame.x)
        if include_top:
            outputs = classified(
                backbone, features, frame.classes, classifier_activation, head_state
            )
        else:
            outputs = pooled(features, pooling)
        model = Model(frame.inputs, outputs, name=name or self.architecture)
        furnish(model, frame, published, include_top, state is not None, include_preprocessing)
        return model if state is None else model.eval()  # as a loaded model is

    def _state(self, weights: Any) -> dict[str, Tensor] | None:
        if weights is None:
            return None
        if isinstance(weights, str) and weights.lower() in ("imagenet", "default"):
            return pretrained_state(self.name)
        if isinstance(weights, (str, os.PathLike)) and Path(weights).suffix:
            return read_file(self.name, Path(weights))
        raise ValueError(
            f"{self.name}: `weights` must be 'imagenet' (timm's weights of this name), a .pth or "
            f".safetensors file, or None; got {describe(weights)}."
        )

    def __repr__(self) -> str:
        return f'applications.get("{self.name}")'


def _layer_name(name: str) -> str:
    return name.rpartition("/")[2].replace(".", "_")
