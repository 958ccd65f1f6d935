"""What a layer holds: weights in Keras's order, their share of the loss, and whether they learn."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from kerasish import activations, constraints, initializers, regularizers
from kerasish.config import DTypePolicy, as_dtype
from kerasish.layers.children import CONTAINERS, as_child, forget, modules_in
from kerasish.layers.weights import KerasWeight
from kerasish.random import SeedGenerator
from kerasish.variables import Variable, give_words, is_wordless, with_words


class _AddedLosses:
    """Whether any layer has ever called `add_loss`: until then, nobody needs to look for losses."""

    any = False


class _Collecting(threading.local):
    """Whether a model's call is under way in this thread, from whose start losses count."""

    now = False


added_losses, collecting = _AddedLosses(), _Collecting()


_ACTIVATIONS = ("activation", "recurrent_activation")
_PLAIN = frozenset({bool, int, float, str, type(None)})


class WeightHolder(nn.Module):
    """The half of a layer that owns weights; `Layer` adds building and calling."""

    name: str
    built: bool
    _has_run = False  # whether it was called, if but on trial; what is unbuilt then is unused
    dtype_policy: DTypePolicy
    _trainable: bool
    _added: dict[str, dict]
    _losses: list[Tensor]
    draws_by_sample = False  # whether random numbers follow from which samples a batch holds
    _is_looking = False  # whether an attribute is being looked for among the weights

    def add_weight(
        self,
        shape: Sequence[int] | int | None = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: str = "none",
        name: str | None = None,
    ) -> Variable:
        """Make a weight of this layer's own: a parameter, or a buffer when not trainable.

        Args:
            shape: Its shape; `()` or `None` for a scalar.
            initializer: Glorot-uniform by default for floats, zeros for integers.
            dtype: Its type, by default the policy's variable type.
            trainable: `False` makes a buffer, which training leaves alone.
            autocast: Accepted for Keras's sake.
            regularizer: A penalty added to the loss.
            constraint: Applied after each update.
            aggregation: Accepted for Keras's sake.
            name: Its name in `state_dict()`. An attribute it is assigned to takes precedence.

        Returns:
            The parameter or buffer itself, a `Variable`.
        """
        shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
        kind = as_dtype(dtype) if dtype is not None else self.variable_dtype
        if initializer is None:
            initializer = "glorot_uniform" if kind.is_floating_point else "zeros"
        make = initializers.get(initializer)
        assert make is not None
        tensor = make(shape, dtype=kind)
        label = (name or "variable").replace("/", "_").replace(".", "_")
        taken = self._parameters.keys() | self._buffers.keys() | self._modules.keys()
        key = label
        while key in taken or hasattr(type(self), key) or hasattr(self, key):
            key = f"{label}_{sum(k.startswith(label) for k in taken) + 1}"
            taken = taken | {key[:-1]}
        variable = Variable.of(
            tensor,
            name or key,
            path=f"{self.name}/{name or key}",
            trainable=trainable and self._trainable,
            is_parameter=trainable,
        )
        register: Any = self.register_parameter if trainable else self.register_buffer
        register(key, variable)
        self._added[key] = {
            "name": name or key,
            "regularizer": regularizers.get(regularizer),
            "constraint": constraints.get(constraint),
        }
        return variable

    def __getattr__(self, name: str) -> Any:
        modules = self.__dict__.get("_modules")
        if modules is not None and name in modules:
            return modules[name]
        attribute = getattr(type(self), name, None)
        if isinstance(attribute, property) and attribute.fget is not None:
            # It raised AttributeError, which brought us here: let it say why once more.
            return attribute.fget(self)
        try:
            found = super().__getattr__(name)
            is_state = name in self.__dict__.get("_added", ()) and name in self._buffers
            return with_words(found) if is_state else found
        except AttributeError:
            if name[0] == "_" or self._is_looking or not self.__dict__.get("built"):
                raise
            found = self._weight_named(name)
            if found is None and self.__dict__.get(f"use_{name}") is not False:
                raise
            return found

    def __dir__(self) -> list[str]:
        """Attributes, with the weights under Keras's names, for completion in notebooks."""
        names = [weight.name for weight in self.own_weights()] if self.__dict__.get("built") else []
        return [*super().__dir__(), *(name for name in names if name.isidentifier())]

    def _weight_named(self, name: str) -> Tensor | None:
        """The weight that Keras has as an attribute of this name: `kernel`, `moving_mean`, ...."""
        self.__dict__["_is_looking"] = True  # what own_weights() misses must not lead back here
        try:
            return next((w.view(self.name) for w in self.own_weights() if w.name == name), None)
        finally:
            self.__dict__["_is_looking"] = False

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if name != "training" and name[0] != "_":
            own["_version"] = own.get("_version", 0) + 1
        if type(value) in _PLAIN and name not in _ACTIVATIONS and not _is_kept(own, name):
            object.__setattr__(self, name, value)  # the most of them: torch takes longer
            return
        if "_modules" not in own and modules_in(value):
            # Keras lets children be made before `super().__init__()`, which then keeps them.
            nn.Module.__init__(self)
            own["_is_begun"] = True
        elif "_adopted" in own:
            forget(self, name)
        self._refuse_other_weight(name, value)
        if name in _ACTIVATIONS and callable(getattr(self, name, None)):
            value = self._other_activation(name, value)
        # `self.kernel = self.add_weight(name="w")`: the attribute's name becomes the weight's key.
        if type(value) is Variable and "_added" in own:
            store = self._parameters if isinstance(value, nn.Parameter) else self._buffers
            key = next((key for key in self._added if store.get(key) is value), name)
            if key != name:
                del store[key]
                self._added[name] = self._added.pop(key)
                if store is self._buffers:
                    self.register_buffer(name, value)
                    return
        elif type(value) in CONTAINERS:
            value = as_child(self, name, value)
        if name in own.get("_modules", ()):
            own.pop(name, None)
        super().__setattr__(name, value)
        if name in own.get("_modules", ()) and hasattr(type(self), name):
            # Somebody's part called as a method of ours is: Python looks where torch keeps modules
            # after it has looked at the class.
            own[name] = value

    def _other_activation(self, name: str, value: Any) -> Any:
        """A layer's new activation: a function, a name, or `None`, which is linear as in Keras."""
        self._modules.pop(name, None)  # torch takes no function for what was a module
        self.__dict__.setdefault("_reassigned", set()).add(name)
        return activations.get(value)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        with self._keeping_variables():
            return super()._apply(fn, recurse)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        with self._keeping_variables():
            super()._load_from_state_dict(*args, **kwargs)

    @contextmanager
    def _keeping_variables(self) -> Iterator[None]:
        """Make variables again of the tensors that torch puts in their place meanwhile."""
        stores: Any = self._parameters, self._buffers
        before = [(s, key, t) for s in stores for key, t in s.items() if type(t) is Variable]
        yield
        for store, key, variable in before:
            if type(store[key]) is not Variable:
                store[key] = variable.like_me(store[key].detach())

    # Weights

    def sublayers(self) -> list[Any]:
        """All layers inside this one, at any depth."""
        return [m for m in self.modules() if isinstance(m, WeightHolder) and m is not self]

    def own_weights(self) -> list[KerasWeight]:
        """The weights that this layer holds itself, as Keras names and orders them.

        A layer made of torch modules overrides this; then those modules' other tensors do not
        count as weights. By default: what `add_weight` made, then every parameter and buffer of
        its own and of plain torch modules inside it.
        """
        weights = []
        for key, tensor in (*self._parameters.items(), *self._buffers.items()):
            if tensor is not None:
                made = self._added.get(key, {})
                regularizer, constraint = made.get("regularizer"), made.get("constraint")
                name = made.get("name", key)
                weights.append(KerasWeight(name, tensor, None, regularizer, constraint))
        for key, module in self._modules.items():
            if module is not None and not isinstance(module, WeightHolder):
                weights += _plain_weights(module, key)
        return weights

    def _refuse_other_weight(self, name: str, value: Any) -> None:
        """Raise if an attribute would hide a weight that lives in a torch module of the layer."""
        is_other = isinstance(value, (Tensor, np.ndarray)) and type(value) is not Variable
        if not is_other or not self.__dict__.get("built"):
            return
        known = self.__dict__.keys() | self._parameters.keys() | self._buffers.keys()
        if name not in known and any(w.name == name for w in self.own_weights()):
            raise AttributeError(
                f'{type(self).__name__} "{self.name}": computing would go on with the {name} it '
                f"has. Change its numbers with layer.{name}.assign(...) or set_weights(...), use a "
                "layer in two places to share weights, or compute with other tensors by "
                "layer.stateless_call(...)."
            )

    def held_weights(self) -> list[KerasWeight]:
        """`own_weights`, then what a subclass of a ready-made layer has added to them."""
        found = list(self.own_weights())
        if type(self).own_weights is WeightHolder.own_weights:
            return found
        known = {id(tensor) for weight in found for tensor in weight.tensors}
        added = [w for w in WeightHolder.own_weights(self) if id(w.tensor) not in known]
        return found + [w for w in added if isinstance(w.tensor, (nn.Parameter, Variable))]

    def keras_weights(self) -> list[KerasWeight]:
        """The weights of this layer and then of the layers inside it, each once."""
        found = self.held_weights()
        for module in nearest_layers(self):
            found += module.keras_weights()
        return list({id(weight.tensor): weight for weight in found}.values())

    @property
    def weights(self) -> list[Tensor]:
        """Parameters and buffers in Keras's order, in torch's layout, with a `Variable`'s words."""
        return self._worded(self.keras_weights())

    variables = weights

    @property
    def trainable_weights(self) -> list[Tensor]:
        """The parameters that training changes."""
        return self._worded(weight for weight in self.keras_weights() if weight.trainable)

    trainable_variables = trainable_weights

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        """Frozen parameters and buffers."""
        return self._worded(weight for weight in self.keras_weights() if not weight.trainable)

    non_trainable_variables = non_trainable_weights

    def _worded(self, weights: Iterable[KerasWeight]) -> list[Tensor]:
        """The tensors behind weights, each with a name and a path from now on."""
        tensors = tensors_of(weights)
        if any(is_wordless(tensor) for tensor in tensors):
            for layer in (self, *self.sublayers()):
                for weight in layer.held_weights():
                    for tensor in weight.tensors:
                        give_words(tensor, weight.name, f"{layer.name}/{weight.name}")
        return tensors

    def count_params(self) -> int:
        """How many numbers the weights hold."""
        self._require_built("count_params")
        return sum(math.prod(weight.shape) for weight in self.keras_weights())

    def get_weights(self) -> list[np.ndarray]:
        """The weights as arrays, in Keras's order and layout."""
        self._require_built("get_weights")
        return [weight.read().cpu().numpy().copy() for weight in self.keras_weights()]

    def set_weights(self, weights: list) -> None:
        """Set the weights from arrays in Keras's order and layout.

        Raises:
            ValueError: If their number or shapes do not fit; nothing is changed then.
        """
        self._require_built("set_weights")
        own = self.keras_weights()
        want, got = [w.shape for w in own], [tuple(np.shape(w)) for w in weights]
        if want != got:
            names = ", ".join(f"{w.name} {w.shape}" for w in own)
            raise ValueError(
                f'{type(self).__name__} "{self.name}".set_weights expects {len(own)} arrays '
                f"({names}), got {len(got)} of shapes {got}."
            )
        for weight, value in zip(own, weights, strict=True):
            weight.write(value)

    def _require_built(self, action: str) -> None:
        unbuilt = next(self._unbuilt(), None)
        if unbuilt is not None:
            raise ValueError(
                f'{action}: {type(unbuilt).__name__} "{unbuilt.name}" has no weights yet. '
                "Call it on data, or build(input_shape) first."
            )

    def _unbuilt(self) -> Iterator[Any]:
        """The layers without weights; not those that a call passed by, which need none."""
        if not self.built:
            yield self
        elif not self._has_run:
            for layer in nearest_layers(self):
                yield from layer._unbuilt()

    # Losses

    def add_loss(self, loss: Tensor) -> None:
        """Add to the training loss, from inside `forward`; forgotten at the model's next call.

        Args:
            loss: A number, or several: a list, or a tensor of any shape. They are summed.
        """
        for value in loss if isinstance(loss, (list, tuple)) else [loss]:
            if not (isinstance(value, Tensor) and value.is_meta):
                many = isinstance(value, Tensor) and value.dim() > 0
                self._losses.append(value.sum() if many else value)
                added_losses.any = True

    @property
    def losses(self) -> list[Tensor]:
        """What `add_loss` added in the last call, then the weights' penalties."""
        layers = (self, *self.sublayers())
        added = [loss for layer in layers for loss in layer._losses]
        penalties = [weight.penalty() for weight in self.keras_weights()]
        return added + [penalty for penalty in penalties if penalty is not None]

    def clear_losses(self) -> None:
        """Forget what `add_loss` added, here and in all layers inside."""
        for layer in (self, *self.sublayers()):
            layer._losses.clear()

    def _replicate_for_data_parallel(self) -> Self:
        """A copy for another GPU, which adds losses and draws random numbers of its own."""
        copy = super()._replicate_for_data_parallel()
        copy._losses = []
        if self.training and not self.draws_by_sample:
            for name, value in vars(self).items():
                if isinstance(value, SeedGenerator):
                    copy.__dict__[name] = SeedGenerator(value.next())
        return copy

    # Freezing and modes

    @property
    def trainable(self) -> bool:
        """Whether training changes this layer. Setting it reaches everything inside."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = bool(value)
        self.requires_grad_(value)
        for layer in (self, *self.sublayers()):
            layer._trainable = value
        if not value:
            self.train(False)

    def fixed_parameters(self) -> list[nn.Parameter]:
        """Parameters of its own that stay as they are, whatever thaws the layer."""
        return []

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Let all parameters learn or none, but for those that never do."""
        super().requires_grad_(requires_grad)
        for layer in (self, *self.sublayers()):
            for parameter in layer.fixed_parameters():
                parameter.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> Any:
        """Set training or evaluation mode; what is frozen stays in evaluation mode."""
        super().train(mode and self._trainable)
        if self.training:
            for child in self.children():
                _keep_frozen(child)
        return self

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type it computes in."""
        return self.dtype_policy.compute_dtype

    @property
    def variable_dtype(self) -> torch.dtype:
        """The type of its weights."""
        return self.dtype_policy.variable_dtype

    dtype = variable_dtype


def tensors_of(weights: Iterable[KerasWeight]) -> list[Tensor]:
    """The tensors behind weights: one each, or two where Keras stacks them in one array."""
    return [tensor for weight in weights for tensor in weight.tensors]


def nearest_layers(module: nn.Module) -> Iterator[Any]:
    """The layers inside a module, not those inside other layers."""
    for child in module.children():
        if isinstance(child, WeightHolder):
            yield child
        else:
            yield from nearest_layers(child)


def _is_kept(attributes: dict[str, Any], name: str) -> bool:
    """Whether a module keeps something of this name apart from plain attributes."""
    return (
        name in attributes.get("_modules", ())
        or name in attributes.get("_parameters", ())
        or name in attributes.get("_buffers", ())
        or name in attributes.get("_adopted", ())
    )


def _keep_frozen(module: nn.Module) -> None:
    """Put the wholly frozen parts of a plain torch module into evaluation mode."""
    if isinstance(module, WeightHolder):
        return  # it knows by itself
    learns = [parameter.requires_grad for parameter in module.parameters()]
    # What has only statistics is marked when its stage is frozen; see kerasish.models.freezing.
    is_frozen = not any(learns) if learns else vars(module).get("_is_frozen", False)
    if is_frozen:
        module.eval()
        return
    for child in module.children():
        _keep_frozen(child)


def _plain_weights(module: nn.Module, prefix: str) -> list[KerasWeight]:
    """The parameters and buffers of a plain torch module, but not of layers inside it."""
    own = (*module._parameters.items(), *module._buffers.items())
    # Torch's batch normalisation counts its batches in a buffer; Keras has no such weight.
    counted = [(key, t) for key, t in own if t is not None and key != "num_batches_tracked"]
    weights = [KerasWeight(f"{prefix}.{key}", tensor) for key, tensor in counted]
    for key, child in module._modules.items():
        if child is not None and not isinstance(child, WeightHolder):
            weights += _plain_weights(child, f"{prefix}.{key}")
    return weights
