"""TransferModel: a pretrained network with a new head for classes of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from kerasish import applications, layers
from kerasish.applications import Application
from kerasish.describe import describe, suggest
from kerasish.graph.symbolic import is_symbolic
from kerasish.layers import Layer
from kerasish.layers.foreign import as_layer
from kerasish.models import Model
from kerasish.models.freezing import Stage, stages
from kerasish.models.graph_model import GraphModel

_POOLINGS = (None, "avg", "max")


def TransferModel(  # noqa: N802  (it makes a model, as Model(...) does)
    backbone: Any,
    classes: int | Sequence[str] | None = None,
    *,
    head: Any = None,
    features: str | None = None,
    pooling: str | None = None,
    classifier_activation: Any = "softmax",
    input_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    **options: Any,
) -> Any:
    """Put a new head on a network: a functional model of the network's own layers.

    A network that ends in a classifier is cut before it. The layers are shared with the network
    they come from, not copied. The model knows how the network's images are made ready, and
    `model.freeze()` freezes everything but the new head.

    Args:
        backbone: A name of `applications.list()` or such an application; a model; or any layer or
            torch module, used as it is, which needs an `input_shape`.
        classes: How many there are, or their names.
        head: A layer, torch module or function, or a list of them, in place of the single Dense
            layer `"head"`; it gets the features as they are, and `classes` only checks its size.
        features: The layer of a model whose output the head gets. By default what the classifier
            got, or the output of a model without one.
        pooling: `"avg"` or `"max"` over the positions of a map. By default average pooling before
            a Dense head, none before a `head` of one's own.
        classifier_activation: That of the Dense head; `None` gives logits.
        input_shape: What the network sees, for names, layers and torch modules.
        name: The model's name.
        **options: For a name, arguments of the application, such as `weights`.

    Raises:
        TypeError: If an argument does not go with the kind of backbone.
        ValueError: If neither `classes` nor `head` is given, or the head has another size.

    Example:
        >>> from kerasish import Input, Sequential, layers
        >>> old = Sequential([Input((4,)), layers.Dense(3, name="body"), layers.Dense(9)])
        >>> TransferModel(old, classes=2).output_shape
        (None, 2)
    """
    if classes is None and head is None:
        raise ValueError("TransferModel: give the number of `classes`, or a `head`.")
    if pooling not in _POOLINGS:
        raise ValueError(f"TransferModel: `pooling` must be one of {_POOLINGS}, got {pooling!r}.")
    names = None if isinstance(classes, int) else classes
    count = classes if isinstance(classes, int) or classes is None else len(classes)
    source, inputs, outputs = _features(backbone, features, input_shape, options)
    if head is None:
        assert count is not None
        if count == 1 and classifier_activation == "softmax":
            raise ValueError(
                "TransferModel: softmax of a single number is always 1. Pass 2 classes, or "
                "classifier_activation='sigmoid' for the probability of one."
            )
        head = [layers.Dense(count, activation=classifier_activation, name="head")]
        pooling = pooling or "avg"
    parts = [as_layer(part) for part in (head if isinstance(head, (list, tuple)) else [head])]
    outputs = _pooled(outputs, pooling)
    for part in parts:
        outputs = part(outputs)
    if count is not None and (not is_symbolic(outputs) or outputs.shape[-1] != count):
        raise ValueError(
            f"TransferModel: the head gives {describe(outputs)} for {count} classes; let its last "
            f"layer have {count} units."
        )
    model = Model(inputs, outputs, name=name)
    if isinstance(source, GraphModel) and hasattr(source.preprocessing, "arrange"):
        model.preprocessing = source.preprocessing
    model.class_names, model.freeze_point = names, _last_before(model, parts)
    return model


def _features(
    backbone: Any, features: str | None, input_shape: Any, options: dict[str, Any]
) -> tuple[Any, Any, Any]:
    """Where the features come from: the network, its inputs, and what the head gets."""
    if isinstance(backbone, (str, Application)):
        given = {} if input_shape is None else {"input_shape": input_shape}
        backbone = applications.get(backbone)(**given, **options)  # type: ignore[arg-type]
    elif options or (input_shape is not None and isinstance(backbone, GraphModel)):
        wrong = next(iter(options), "input_shape")
        raise TypeError(
            f"TransferModel: '{wrong}' goes with the name of a network, not with "
            f"{describe(backbone)}, which is made already."
        )
    if isinstance(backbone, GraphModel):
        backbone._require_built("TransferModel")
        return backbone, backbone.input, _output_for_head(backbone, features)
    if not isinstance(backbone, nn.Module):
        raise TypeError(
            "TransferModel: `backbone` must be a name of applications.list(), a model, a layer or "
            f"a torch module, got {describe(backbone)}."
        )
    if input_shape is None or features is not None:
        raise TypeError(
            "TransferModel: a layer or torch module needs an `input_shape`, and is used as it is, "
            "without `features`. Replace a classifier of its own by torch.nn.Identity() first."
        )
    image = layers.Input(tuple(input_shape))
    return backbone, image, as_layer(backbone)(image)


def _output_for_head(model: GraphModel, features: str | None) -> Any:
    """The output of the layer that is named; or what the classifier gets, where there is one."""
    if features is not None:
        return _node_of(model, features).outputs
    last = stages(model)[-1]
    top = next(iter(last.layers), None)
    knows_head = model.freeze_point is not None
    if top is None or (last.name == model.freeze_point if knows_head else not _is_dense(top)):
        return model._output_structure
    return _node_of(model, top.name).args[0]


def _is_dense(layer: Layer) -> bool:
    return isinstance(layer, layers.Dense)


def _node_of(model: GraphModel, name: str) -> Any:
    """The last call of a layer."""
    named = {getattr(node.target, "name", None): node for node in model.nodes}
    if name not in named:
        known = [layer.name for layer in model.layers]
        raise ValueError(
            f"TransferModel: \"{model.name}\" has no layer '{name}' of its own"
            f"{suggest(name, known)}. For a layer inside another one, pass that one."
        )
    return named[name]


def _pooled(features: Any, pooling: str | None) -> Any:
    if not is_symbolic(features):
        raise ValueError(
            f"TransferModel: the backbone gives {describe(features)}, not one tensor; name the "
            "layer to use in `features`, or pass a `head` that takes it."
        )
    rank = len(features.shape)
    if pooling is None or rank not in (3, 4):
        return features
    kinds: dict[tuple[int, str], Any] = {
        (4, "avg"): layers.GlobalAveragePooling2D,
        (4, "max"): layers.GlobalMaxPooling2D,
        (3, "avg"): layers.GlobalAveragePooling1D,
        (3, "max"): layers.GlobalMaxPooling1D,
    }
    return kinds[rank, pooling]()(features)


def _last_before(model: Any, parts: list[Layer]) -> str | None:
    """The stage before the head's first one."""
    own = {id(parameter) for part in parts for parameter in part.parameters()}

    def is_new(stage: Stage) -> bool:
        return any(id(parameter) in own for parameter in stage.parameters.values())

    before = [stage for stage in stages(model) if not is_new(stage)]
    return before[-1].name if before else None
