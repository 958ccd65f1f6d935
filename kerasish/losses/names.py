"""What a loss may be called: names, aliases, configs, functions and torch's own losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from kerasish import registry
from kerasish.losses import binary, categorical, margin, regression, segmentation, structured
from kerasish.losses.base import Loss, LossFunctionWrapper
from kerasish.losses.foreign import TorchLoss, is_torch_loss

_CLASSES: dict[Any, type[Loss]] = {
    binary.binary_crossentropy: binary.BinaryCrossentropy,
    binary.binary_focal_crossentropy: binary.BinaryFocalCrossentropy,
    categorical.categorical_crossentropy: categorical.CategoricalCrossentropy,
    categorical.categorical_focal_crossentropy: categorical.CategoricalFocalCrossentropy,
    categorical.categorical_generalized_cross_entropy: (
        categorical.CategoricalGeneralizedCrossEntropy
    ),
    categorical.sparse_categorical_crossentropy: categorical.SparseCategoricalCrossentropy,
    margin.categorical_hinge: margin.CategoricalHinge,
    margin.hinge: margin.Hinge,
    margin.squared_hinge: margin.SquaredHinge,
    regression.cosine_similarity: regression.CosineSimilarity,
    regression.huber: regression.Huber,
    regression.kl_divergence: regression.KLDivergence,
    regression.log_cosh: regression.LogCosh,
    regression.mean_absolute_error: regression.MeanAbsoluteError,
    regression.mean_absolute_percentage_error: regression.MeanAbsolutePercentageError,
    regression.mean_squared_error: regression.MeanSquaredError,
    regression.mean_squared_logarithmic_error: regression.MeanSquaredLogarithmicError,
    regression.poisson: regression.Poisson,
    segmentation.dice: segmentation.Dice,
    segmentation.tversky: segmentation.Tversky,
    structured.circle: structured.Circle,
    structured.ctc: structured.CTC,
}

_ALIASES = {
    "bce": binary.BinaryCrossentropy,
    "kld": regression.KLDivergence,
    "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError,
    "mse": regression.MeanSquaredError,
    "msle": regression.MeanSquaredLogarithmicError,
}

NAMES: dict[str, type[Loss]] = (
    {function.__name__: loss for function, loss in _CLASSES.items()}
    | {loss.__name__: loss for loss in _CLASSES.values()}
    | _ALIASES
    | {alias.upper(): loss for alias, loss in _ALIASES.items()}
    | {
        "logcosh": regression.LogCosh,
        "huber_loss": regression.Huber,
        "kullback_leibler_divergence": regression.KLDivergence,
    }
)


def get(identifier: Any) -> Loss | None:
    """Find the loss that a user means.

    Args:
        identifier: A name or alias (`"mse"`), a config, a `Loss` class or instance, a function
            `fn(y_true, y_pred)`, or a torch loss: a module, its class, or a function of
            `torch.nn.functional`, taken in torch's argument order. `None` gives `None`.

    Returns:
        A `Loss`; functions and torch losses are wrapped in one.

    Raises:
        ValueError: If the name is unknown.
        TypeError: If the identifier is nothing that can be a loss.

    Example:
        >>> get("mse").name
        'mean_squared_error'
    """
    found = registry.resolve(identifier, NAMES, "loss")
    if found is None or isinstance(found, Loss):
        return found
    try:
        if found in _CLASSES:
            return _CLASSES[found]()
    except TypeError:  # unhashable callables are none of ours
        pass
    return TorchLoss(found) if is_torch_loss(found) else LossFunctionWrapper(found)


def resolve_crossentropy(
    name: str, y_true_shape: Sequence[int], y_pred_shape: Sequence[int]
) -> Loss:
    """Find the cross-entropy that `"crossentropy"` or `"ce"` means for these shapes.

    One output is binary; class indices, of lower rank or with a last axis of size 1, are sparse.

    Example:
        >>> resolve_crossentropy("ce", (32,), (32, 10)).name
        'ce'
    """
    kind = target_kind(y_true_shape, y_pred_shape)
    cls = {
        "binary": binary.BinaryCrossentropy,
        "sparse": categorical.SparseCategoricalCrossentropy,
        "categorical": categorical.CategoricalCrossentropy,
    }[kind]
    return cls(name=name)


def target_kind(y_true_shape: Sequence[int], y_pred_shape: Sequence[int]) -> str:
    """Whether targets of this shape are `"binary"`, `"sparse"` or `"categorical"`."""
    if not y_pred_shape or y_pred_shape[-1] == 1 or len(y_pred_shape) == 1:
        return "binary"
    if len(y_true_shape) < len(y_pred_shape) or y_true_shape[-1] == 1:
        return "sparse"
    return "categorical"


def serialize(loss: Any) -> Any:
    """Describe a loss by values that JSON can hold; `deserialize` is the way back."""
    if isinstance(loss, nn.Module):
        loss = TorchLoss(loss)
    return registry.serialize(loss)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make the loss that `serialize` described, or that a name stands for."""
    if isinstance(config, str):
        return registry.resolve(config, NAMES | dict(custom_objects or {}), "loss")
    return registry.deserialize(config, custom_objects)
