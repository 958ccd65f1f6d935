"""Grad-CAM: where in an image a network sees the class that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from kerasish.data import make_feed
from kerasish.describe import describe
from kerasish.hooks import removed_after
from kerasish.modes import evaluating
from kerasish.optimizers import SGD
from kerasish.report.drawing import grid, save_figure, show_image, without_preprocessing
from kerasish.report.map_layers import channels_first, find_layer
from kerasish.report.predictions import as_model, names_of
from kerasish.training.placement import autocast, device_of, place_model
from kerasish.training.plan import StepPlan
from kerasish.training.planned import fit_inputs
from kerasish.training.recipe import Recipe
from kerasish.training.session import as_numpy
from kerasish.tta.crops import format_of


@dataclass(eq=False)
class GradCam:
    """Where the network sees a class; `plot` lays it over the images.

    Attributes:
        heat: `(rows, height, width)` of the images: from 0 to 1, the greatest value of each image
            being 1; all 0 where nothing speaks for the class.
        maps: `(rows, height, width)` of the layer: the same before enlarging and scaling.
        class_indices: The class of each map.
        scores: The score that was explained: the class's output before softmax or sigmoid.
        images: The images; bytes again where the model's `preprocessing` made floats of them.
        layer: The path of the layer in the model.
        class_names: The names of the classes, where the model knows them.
        data_format: Where the images have their channels.
    """

    heat: np.ndarray
    maps: np.ndarray
    class_indices: np.ndarray
    scores: np.ndarray
    images: np.ndarray
    layer: str
    class_names: list[str] | None
    data_format: str

    def plot(
        self,
        path: str | Path | None = None,
        *,
        alpha: float = 0.45,
        columns: int = 5,
        size: float = 2.2,
    ) -> Any:
        """Draw the heat over the images.

        Args:
            path: Where to save the picture; by default only the figure is made.
            alpha: How much the heat covers, from 0 to 1.
            columns: The most images in a row.
            size: The width of one image in inches.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: If matplotlib is missing.
        """
        figure, axes = grid(len(self.images), columns, size)
        for i, axis in enumerate(axes):
            show_image(axis, self.images[i], self.data_format)
            axis.imshow(self.heat[i], cmap="inferno", alpha=alpha, vmin=0, vmax=1)
            number = int(self.class_indices[i])
            axis.set_title(self.class_names[number] if self.class_names else number, fontsize=8)
        return save_figure(figure, path)


def grad_cam(
    model: Any,
    images: Any,
    class_index: int | Sequence[int] | None = None,
    layer: str | nn.Module | None = None,
    *,
    batch_size: int | None = None,
    plot: str | Path | None = None,
) -> GradCam:
    """Draw a map of what speaks for a class: `relu(sum_k alpha_k A_k)`.

    `A` is what a layer gives, and `alpha_k` the mean over all places of the derivative of the
    class's score by `A_k`. The score is taken before a softmax or sigmoid of kerasish, where the
    model ends in one. The model and its gradients are left as they are.

    Shapes:
        images: `(rows, channels, height, width)`, with the channels last, or one image
        result: see `GradCam`

    Args:
        model: A model, or a torch module.
        images: Images as the model takes them, or anything that `predict` takes.
        class_index: The class to explain, or one for each image; by default the one that the model
            names. Where there is one output, 1 speaks for it and 0 against it.
        layer: Whose maps to look at, by name, path, or the module itself; by default the last one
            whose output has several places.
        batch_size: Images in a batch, 32 by default.
        plot: Where to save a picture of images and heat.

    Raises:
        ValueError: If there is no such layer, if it gives no maps, or has no influence on the
            score; if a class does not exist.

    Reference: Selvaraju et al. (2017), "Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization".
    """
    model = as_model(model)
    with evaluating(model), torch.inference_mode(False), torch.enable_grad():
        found = _explained(model, images, class_index, layer, batch_size)
    if plot is not None:
        found.plot(plot)
    return found


def _explained(
    model: Any, images: Any, class_index: Any, layer: str | nn.Module | None, batch_size: int | None
) -> GradCam:
    recipe = model._recipe or Recipe(optimizer=SGD(), device=device_of(model))
    device = place_model(model, recipe)
    source = model._open_inputs(images, lazily=True)
    if isinstance(source, (np.ndarray, Tensor)) and source.ndim == 3:
        source = source[None]
    feed = make_feed(source, batch_size=batch_size, device=device, floats=recipe.floats)
    fit_inputs(model, feed)
    explainer: _Explainer | None = None
    parts, shown = [], []
    for x, _, _ in feed.batches(0):
        explainer = explainer or _Explainer(StepPlan(model, recipe, None, device), x, layer)
        parts.append(explainer.maps(x, class_index))
        shown.append(as_numpy(x))
    assert explainer is not None
    maps, classes, scores = (torch.cat(column) for column in zip(*parts, strict=True))
    photos = np.concatenate(shown)
    data_format = format_of(model)
    last = data_format == "channels_last"
    names = names_of(model, images)
    return GradCam(
        heat=as_numpy(_enlarged(maps, photos.shape[1:3] if last else photos.shape[2:])),
        maps=as_numpy(maps),
        class_indices=as_numpy(classes),
        scores=as_numpy(scores),
        images=without_preprocessing(photos, getattr(model, "preprocessing", None)),
        layer=explainer.path,
        class_names=names if names and len(names) > int(classes.max()) else None,
        data_format=data_format,
    )


class _Explainer:
    """A model and the layer in it that is looked at."""

    def __init__(self, plan: StepPlan, x: Any, layer: str | nn.Module | None) -> None:
        if not isinstance(x, Tensor) or x.dim() != 4:
            raise ValueError(f"grad_cam: expected images of 4 axes, got {describe(x)}.")
        self.plan, self.model = plan, plan.model
        self.path, self.module = find_layer(plan.model, layer, plan.cast(x))
        self.seen = 0  # images so far

    def maps(self, x: Any, class_index: Any) -> tuple[Tensor, Tensor, Tensor]:
        """The map, the class and the score of each image of a batch."""
        leaf, y_pred = self._run(self.plan.cast(x))
        scores, classes = self._scores(y_pred, self._asked(class_index, len(x)))
        self.seen += len(x)
        gradient = None
        if scores.requires_grad:
            (gradient,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
        if gradient is None:
            raise ValueError(
                f"grad_cam: the score does not depend on what '{self.path}' gives; choose a layer "
                "on the way to the output."
            )
        activation = channels_first(leaf.detach(), self.module, self.model)
        alpha = channels_first(gradient, self.module, self.model).mean((2, 3), keepdim=True)
        return (alpha * activation).sum(1).relu(), classes, scores.detach()

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the layer gives, and the outputs that depend on it."""
        kept: list[Tensor] = []

        def keep(module: nn.Module, args: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor) or output.dim() != 4:
                raise ValueError(
                    f"grad_cam: '{self.path}' gives {describe(output)}, not maps of 4 axes."
                )
            # A leaf of its own: frozen parameters need no gradient, and nothing before it does.
            kept[:] = [output.detach().requires_grad_()]
            return kept[0].clone()  # what follows may work in place

        handle = self.module.register_forward_hook(keep)
        with removed_after([handle]), autocast(self.plan.recipe, self.plan.device):
            y_pred = self.model(x)
        if not kept:
            raise ValueError(f"grad_cam: '{self.path}' did not run when the model was called.")
        return kept[0], y_pred

    def _asked(self, class_index: Any, rows: int) -> Tensor | None:
        if class_index is None:
            return None
        numbers = np.asarray(
            as_numpy(class_index) if isinstance(class_index, Tensor) else class_index
        )
        asked = numbers if numbers.ndim == 0 else numbers[self.seen : self.seen + rows]
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or asked.size not in (1, rows):
            raise ValueError(
                "grad_cam: `class_index` must be one class number, or one for each image, "
                f"got {describe(class_index)}."
            )
        return torch.as_tensor(asked.astype(np.int64), device=self.plan.device).expand(rows)

    def _scores(self, y_pred: Any, asked: Tensor | None) -> tuple[Tensor, Tensor]:
        """The score of the asked class of each image, or of the one that wins; and that class."""
        if not isinstance(y_pred, Tensor) or y_pred.dim() != 2:
            raise ValueError(
                f"grad_cam: expected one row of scores an image, got {describe(y_pred)}."
            )
        logits = getattr(y_pred, "_logits", None)
        scores = y_pred if logits is None else logits
        count = max(2, scores.shape[1])
        if asked is not None and not bool(((asked >= 0) & (asked < count)).all()):
            raise ValueError(
                f"grad_cam: classes go from 0 to {count - 1}, got {asked.tolist()} as class_index."
            )
        if scores.shape[1] > 1:
            classes = y_pred.argmax(1) if asked is None else asked
            return scores.gather(1, classes[:, None])[:, 0], classes
        is_probability = logits is None and bool(((scores >= 0) & (scores <= 1)).all())
        classes = (
            (scores[:, 0] > (0.5 if is_probability else 0.0)).long() if asked is None else asked
        )
        return scores[:, 0] * (2 * classes - 1), classes


def _enlarged(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps in the images' size, the greatest value of each being 1."""
    heat = F.interpolate(maps[:, None], tuple(size), mode="bilinear")[:, 0]
    top = heat.amax((1, 2), keepdim=True)
    return torch.where(top > 0, heat / top.clamp(min=torch.finfo(heat.dtype).tiny), heat)
