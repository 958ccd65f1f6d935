"""Model: a layer that can be compiled, fitted, evaluated, saved and looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from kerasish.describe import describe, suggest
from kerasish.graph.symbolic import map_nested, symbolic_input
from kerasish.layers.base import Layer
from kerasish.layers.foreign import unique_for
from kerasish.layers.holder import nearest_layers
from kerasish.layers.structure import map_shapes, shape_of, tensors_in
from kerasish.models import bundle, freezing, rates
from kerasish.models.doors import Doors
from kerasish.models.keras_graph import graph_from_keras, is_keras_graph
from kerasish.models.summary import model_html, print_summary
from kerasish.training.trainer import Trainer

# Which class a bare `Model(...)` makes, by its first argument; filled by the classes themselves.
_forms: list[tuple[Callable[[Any], bool], type]] = []

_SHAPES = (tuple, list, dict)  # of one tensor, or of a structure of them


def model_form(accepts: Callable[[Any], bool]) -> Callable[[type], type]:
    """Decorator: `Model(first, ...)` makes this class when `accepts(first)`."""

    def add(cls: type) -> type:
        _forms.append((accepts, cls))
        return cls

    return add


class Model(Doors, Trainer, Layer):
    """A network with `compile`, `fit`, `evaluate`, `predict`, `summary` and `save`.

    Three ways to make one:

    - `Model(inputs, outputs)` from symbolic tensors (see `Input`);
    - `Model(module)` round any `nn.Module`;
    - a subclass with `forward(self, x)` or `call(self, inputs, training=None)`.

    Args:
        *args: Symbolic inputs and outputs, or a torch module; nothing for a subclass.
        name: The model's name.
        trainable: `False` freezes it.
        **kwargs: `inputs=`, `outputs=` by name.

    Attributes:
        freeze_point: The last stage that `freeze()` freezes by default; `None` for the last but
            one.
    """

    casts_outputs = False  # what the layers inside give stays as they give it

    freeze_point: str | None = None
    _class_names: list[str] | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Choose the kind of model that fits the first argument."""
        first = args[0] if args else kwargs.get("inputs", kwargs.get("module"))
        if cls is Model and first is not None:
            for accepts, form in _forms:
                if accepts(first):
                    return super().__new__(form, *args, **kwargs)
            raise TypeError(
                "Model(...) takes symbolic inputs and outputs, or an nn.Module; "
                f"got {describe(first)}."
            )
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or "inputs" in kwargs:
            # A subclass that hands its graph to Model.__init__, as Keras allows.
            first = args[0] if args else kwargs["inputs"]
            form = next((form for accepts, form in _forms if accepts(first)), None)
            if form is None:
                raise TypeError(
                    f"{type(self).__name__}(...) takes symbolic inputs and outputs, or arguments "
                    f"of an __init__ of its own; got {describe(first)}."
                )
            cls = type(self)
            same = {"_written_as": cls, "__module__": cls.__module__, "__doc__": cls.__doc__}
            self.__class__ = type(cls.__name__, (cls, form), same)  # type: ignore[assignment]
            kwargs.pop("dtype", None)  # each layer of a graph has its own
            form.__init__(self, *args, **kwargs)
            return
        super().__init__(**kwargs)
        self._call_shapes: Any = None

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """Make the model that `get_config` described, with new weights."""
        if is_keras_graph(config):
            inputs, outputs = graph_from_keras(config, custom_objects)
        elif config.keys() >= {"nodes", "input_structure", "output_structure"}:
            from kerasish.models.graph_config import graph_from_config

            inputs, outputs = graph_from_config(config, custom_objects)
        else:
            return super().from_config(config, custom_objects)
        trainable = config.get("trainable", True)
        return cls(inputs, outputs, name=config["name"], trainable=trainable)

    def build(self, input_shape: Any) -> None:
        """Make all weights for an input shape, batch axis included, `None` where unknown."""
        if all(layer.built for layer in self.sublayers()):
            return
        dtype = torch.int64 if self.takes_integers else self.compute_dtype
        inputs = map_shapes(lambda shape: symbolic_input(shape, dtype), input_shape)
        self.trial_run((inputs,), {})
        self._call_shapes = (map_shapes(lambda s: (tuple(n or 1 for n in s), dtype), input_shape),)

    def _build_for(self, args: tuple, kwargs: dict) -> None:
        if self.built:
            return
        super()._build_for(args, kwargs)
        unbuilt = [layer for layer in self.sublayers() if not layer.built]
        if unbuilt:
            device = next((t.device for t in tensors_in(args)), torch.get_default_device())
            with torch.device(device):
                self.trial_run(args, kwargs)
        self._note_shapes(args)

    def _build_for_shapes(self, shapes: tuple, named_shapes: dict) -> None:
        values = (*shapes, *named_shapes.values())
        if type(self).build is Model.build and sum(isinstance(v, _SHAPES) for v in values) > 1:
            self._finish_build()  # its layers are built by the call on all of these that follows
        else:
            super()._build_for_shapes(shapes, named_shapes)

    def _note_shapes(self, args: tuple) -> None:
        """Remember what the model was first called on: a file or a summary calls it so again."""
        self._call_shapes = map_nested(
            lambda v: (shape_of(v), v.dtype) if isinstance(v, torch.Tensor) else v, args
        )

    @property
    def layers(self) -> list[Layer]:
        """The layers of the model, in order, not those inside other layers."""
        return list(dict.fromkeys(nearest_layers(self)))

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Find a layer by its name or its place.

        Raises:
            ValueError: If there is none; the message suggests names.
        """
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError("get_layer: give either a name or an index.")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"get_layer: index {index}, but there are {len(layers)} layers.")
            return layers[index]
        found = next((layer for layer in layers if layer.name == name), None)
        if found is None:
            names = suggest(name, [layer.name for layer in layers])
            raise ValueError(f"get_layer: no layer '{name}'{names}.{_parts_hint(layers)}")
        return found

    # What it knows of its data

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes; `fit` takes them from a data set that has them."""
        return self._class_names

    @class_names.setter
    def class_names(self, value: Any) -> None:
        self.__dict__["_class_names"] = bundle.checked_names(value)

    def decode_predictions(self, preds: Any, top: int = 5) -> bundle.Decoded:
        """The likeliest classes of each row of predictions, by their names.

        Args:
            preds: What `predict` gave: `(batch, classes)`, or `(batch, 1)` for two classes.
            top: How many classes to name.

        Returns:
            For each row a list of (index, name, score), best first.

        Raises:
            ValueError: If the model does not know its class names.
        """
        return bundle.decode(preds, self.class_names, top, "decode_predictions")

    def classify(self, x: Any, top: int = 5, batch_size: int | None = None) -> bundle.Decoded:
        """`decode_predictions(predict(x))`: images or other data to class names.

        Args:
            x: Anything that `predict` takes.
            top: How many classes to name.
            batch_size: Rows in a batch, 32 by default.

        Returns:
            For each row a list of (index, name, score), best first.

        Raises:
            ValueError: If the model does not know its class names.
        """
        bundle.decode(
            torch.zeros(0, len(self.class_names or ())), self.class_names, top, "classify"
        )
        return self.decode_predictions(self.predict(x, batch_size=batch_size, verbose=0), top)

    def _note_source(self, source: Any) -> None:
        bundle.note_classes(self, source)

    def stages(self) -> list[freezing.Stage]:
        """The parts of the network from generic to specific, the head last; see `freeze`."""
        return freezing.stages(self)

    def freeze(
        self, what: Any = None, *, until: str | None = None, first: int | None = None
    ) -> None:
        """Keep parts as they are, parameters and statistics, from the next `fit` on.

        Args:
            what: A glob pattern or a list of them over stages and parameters, such as
                `"layer[1-3].*"`; or a fraction of the stages. By default all up to `freeze_point`,
                or where there is none all but the last stage.
            until: The last stage to freeze, with all before it.
            first: How many stages to freeze.

        Raises:
            ValueError: If nothing fits; the message lists the stages.
        """
        freezing.freeze(self, what, until=until, first=first)

    def unfreeze(
        self, what: Any = None, *, since: str | None = None, last: int | None = None
    ) -> None:
        """Let parts learn again, from the next `fit` on; the others stay as they are.

        Args:
            what: As in `freeze`; a fraction counts from the end. By default everything.
            since: The first stage to thaw, with all after it.
            last: How many stages to thaw; the head is the last stage.

        Raises:
            ValueError: If nothing fits; the message lists the stages.
        """
        freezing.unfreeze(self, what, since=since, last=last)

    def _named_rates(self, name: str) -> dict[str, float]:
        return rates.named_rates(self, name)

    def summary(
        self,
        line_length: int | None = None,
        positions: list[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: tuple[str, str] | None = None,
        *,
        show_macs: bool = False,
        show_receptive_field: bool = False,
    ) -> None:
        """Print a table of the layers: name, type, output shape, parameters, connections.

        Args:
            line_length: The width in characters; the terminal's by default.
            positions: Accepted for Keras's sake.
            print_fn: Called with the text instead of printing it.
            expand_nested: Whether to list the layers of models used as layers.
            show_trainable: Whether to say which layers are trained.
            layer_range: Names of the first and last layer to show.
            show_macs: Whether to count multiply-adds per sample.
            show_receptive_field: Whether to show how many input pixels an output depends on.
        """
        print_summary(
            self,
            line_length=line_length,
            print_fn=print_fn,
            expand_nested=expand_nested,
            show_trainable=show_trainable,
            layer_range=layer_range,
            show_macs=show_macs,
            show_receptive_field=show_receptive_field,
        )

    def _repr_html_(self) -> str:
        return model_html(self)

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        return super().count_params()


@model_form(lambda first: isinstance(first, nn.Module))
class ModuleModel(Model):
    """A plain `nn.Module` that can be compiled and fitted; the module is `model.module`.

    Its `state_dict()` keys begin with `module.`; `model.module` is the way out.

    Args:
        module: Any `nn.Module`.
        name: The model's name; the module's class by default.
        trainable: `False` freezes it.
    """

    def __init__(self, module: nn.Module, name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name=name or unique_for(type(module)), trainable=trainable)
        self.module = module
        self.takes_integers = any(
            isinstance(m, (nn.Embedding, nn.EmbeddingBag)) for m in module.modules()
        )
        if self.sublayers() == [] and not any(map(torch.nn.parameter.is_lazy, module.parameters())):
            self._finish_build()  # its weights are there
            self._direct = False  # but its first call is to be seen

    def _build_for(self, args: tuple, kwargs: dict) -> None:
        super()._build_for(args, kwargs)
        if self._call_shapes is None:
            self._note_shapes(args)
            self.set_policy(self.dtype_policy)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self.module(*inputs, **kwargs)

    def to_torch(self) -> nn.Module:
        """The module itself."""
        return self.module


def _parts_hint(layers: list[Layer]) -> str:
    """Where the parts of a network are that is one layer of the model."""
    whole = next((x for x in layers if isinstance(x._modules.get("module"), nn.Module)), None)
    if whole is None:
        return ""
    return (
        f" '{whole.name}' is one layer round a torch module: its parts are in "
        f"get_layer('{whole.name}').module, and transfer.extract_features gives their outputs"
        f"{getattr(whole, 'way_inside', '')}."
    )
