"""Layer: a torch module that knows its configuration, and its input shape from its first call."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from kerasish import regularizers
from kerasish.config import as_policy
from kerasish.describe import describe, suggest
from kerasish.devices import as_torch_takes
from kerasish.graph.symbolic import (
    Node,
    SymbolicTensor,
    expansion,
    is_symbolic,
    map_nested,
    record,
    symbolic_input,
    symbolic_leaves,
)
from kerasish.layers.arguments import ShownSignature, constructor_signature, texts_in
from kerasish.layers.children import adopt
from kerasish.layers.holder import WeightHolder, added_losses
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.naming import snake_case, unique_name
from kerasish.layers.saved import SavingHooks
from kerasish.layers.structure import map_shapes, note_zeros, shape_of, tensors_in, zeros_like
from kerasish.modes import kept_modes
from kerasish.registry import deserialize

_ages = itertools.count()  # layers are numbered as they are made, for the order of children

# One number stands for all axes; the configuration has each, as Keras's does.
_SIZES = frozenset({"kernel_size", "strides", "dilation_rate", "pool_size"})


class Layer(WeightHolder, SavingHooks):
    """A torch module with Keras's manners: lazy building, configuration, Keras-ordered weights.

    Write a subclass the torch way or the Keras way:

    - `forward(self, x)`, with children made in `__init__` or, where the input shape matters, in
      `build(self, input_shape)`;
    - `call(self, inputs, training=None, mask=None)` with `add_weight` in `build`.

    `training` follows `module.training` unless a caller gives it. Constructor arguments are kept,
    so `get_config()` needs no code.

    Args:
        activity_regularizer: Adds a penalty on the output, divided by the batch size.
        trainable: `False` freezes the layer: its weights, its buffers and everything inside it.
        dtype: A type name or policy such as `"mixed_bfloat16"`. `None` takes the current policy.
        autocast: Whether floating-point inputs are cast to the policy's compute type.
        name: A name without dots. `None` makes one from the class name.
        input_shape: The shape of one sample, for the first layer of a Sequential.

    Raises:
        TypeError: If an argument is unknown.
        ValueError: If the name cannot name a child of a torch module.
    """

    __signature__ = ShownSignature()

    supports_masking: bool = False
    _init_arguments: tuple[tuple, dict]
    # Whether integers are indices or categories to this layer, rather than numbers to compute with.
    takes_integers: bool = False

    # Whether forward() is straight-line code, whatever the mode and the input's shape, so that a
    # model may call what it calls instead of the layer.
    is_transparent: ClassVar[bool] = False
    casts_outputs: ClassVar[bool] = True  # to the compute type of a mixed policy

    _call_parameters: ClassVar[frozenset[str]] = frozenset()
    _adds_losses: ClassVar[bool] = False  # as far as the code of `call` or `forward` tells

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "call" in own and "forward" not in own:
            cls.forward = Layer.forward
        elif "forward" in own and "call" not in own:
            cls.call = own["forward"]
        if "call" in cls.__dict__:
            cls._call_parameters = frozenset(inspect.signature(cls.__dict__["call"]).parameters)
        if "__init__" in own:
            cls.__init__ = _adopting(own["__init__"])
        if "build" in own:
            cls.build = _finishing(own["build"])
        codes = [getattr(own.get(name), "__code__", None) for name in ("call", "forward")]
        if any(code is not None and "add_loss" in code.co_names for code in codes):
            cls._adds_losses = True
        if ("forward" in own or "call" in own) and "is_transparent" not in own:
            cls.is_transparent = False  # new code: its author has not said so

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Keep the constructor's arguments, for `get_config`."""
        self = super().__new__(cls)
        # Before nn.Module.__init__, whose attribute rules do not hold yet.
        object.__setattr__(self, "_init_arguments", (args, kwargs))
        object.__setattr__(self, "_age", next(_ages))
        return self

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: tuple[int | None, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        if not self.__dict__.pop("_is_begun", False):
            super().__init__()
        if "input_dim" in kwargs and input_shape is None:
            input_shape = (kwargs.pop("input_dim"),)
        if kwargs:
            unknown = next(iter(kwargs))
            known = [p for p in constructor_signature(type(self)).parameters if p != "kwargs"]
            known += ["name", "trainable", "dtype", "activity_regularizer", "input_shape"]
            names = list(dict.fromkeys(known))
            raise TypeError(
                f"{type(self).__name__} has no argument '{unknown}'{suggest(unknown, names)}."
            )
        if name is not None and (not isinstance(name, str) or "." in name or not name):
            raise ValueError(
                f"{type(self).__name__}: `name` must be a non-empty string without dots, "
                f"got {describe(name)}."
            )
        self.name = name or unique_name(snake_case(type(self).__name__.lstrip("_")))
        self.dtype_policy = as_policy(dtype)
        self.autocast = autocast
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if self._adds_losses or self.activity_regularizer is not None:
            added_losses.any = True  # before the first call, which is outermost to others inside it
        self.input_spec: InputSpec | None = None
        self.built = False
        self.sample_shape = None if input_shape is None else tuple(input_shape)
        self._trainable = trainable
        self._direct = False  # whether a plain call may go straight to forward()
        self._takes_half = False  # whether inputs come in a half type that must be widened
        self._ranks = range(64)  # the numbers of axes that a straight call may have
        self._version = 0  # counts changes of attributes, after which expanded code is stale
        self._build_depth = 0
        self._added: dict[str, dict] = {}
        self._losses: list[Tensor] = []
        self._nodes: list[Node] = []

    # Building

    def build(self, input_shape: Any) -> None:
        """Make the weights. Subclasses override this; it runs once, before the first call.

        Args:
            input_shape: The input's shape, batch axis included, `None` where unknown; a list or
                dict of shapes where the layer takes several tensors.
        """
        self._built_on = input_shape
        self._finish_build()

    def _finish_build(self) -> None:
        """Settle what depends on the weights: their first values, freezing, the straight path."""
        for weight in self.own_weights():
            weight.initialize()
        if not self._trainable:
            self.requires_grad_(False)
        self.built = True
        self._ranks = range(64) if self.input_spec is None else self.input_spec.ranks
        self.set_policy(self.dtype_policy)

    def set_policy(self, policy: Any) -> None:
        """Compute under another policy from now on; the weights stay as they are."""
        self.dtype_policy = policy
        is_plain = policy.name == "float32" and self.activity_regularizer is None
        self._direct = is_plain and not self._takes_half

    # Calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer on tensors, arrays or symbolic tensors."""
        if added_losses.any and self._starts_afresh():
            return self._call_afresh(args, kwargs)
        if self._direct and len(args) == 1 and not kwargs:
            x = args[0]
            if type(x) is Tensor and x.dim() in self._ranks:
                try:
                    return super().__call__(x)
                except Exception as error:
                    if x.is_floating_point() and x.dtype is not torch.float32:
                        return self._call_in_full(args, kwargs)  # which casts
                    self._explain(error, args)
                    raise
        return self._call_in_full(args, kwargs)

    def _starts_afresh(self) -> bool:
        """Whether this call is no part of another layer's, and what earlier ones added is past.

        A model's step calls the layers of its graph one by one, and a shared one several times.
        """
        is_shared = len(self._nodes) > 1
        return not (added_losses.collecting or is_shared or torch.compiler.is_compiling())

    def _call_afresh(self, args: tuple, kwargs: dict) -> Any:
        self.clear_losses()
        added_losses.collecting = True
        try:
            return self(*args, **kwargs)
        finally:
            added_losses.collecting = False

    def _call_in_full(self, args: tuple, kwargs: dict) -> Any:
        """The long way: symbolic inputs, building, checks, casts, modes."""
        if is_symbolic(args) or is_symbolic(kwargs):
            return self._call_symbolically(args, kwargs)
        args = map_nested(self._as_input, args)
        self._build_for(args, kwargs)
        self._check(args)
        if "mask" in kwargs and "mask" not in self._call_parameters:
            kwargs.pop("mask")
        training = kwargs.get("training")
        if "training" not in self._call_parameters:
            kwargs.pop("training", None)
        # Contexts only where they act, and apart from the `try`: torch.compile cannot follow a
        # `with` round an empty context, nor a `try` inside a `with`.
        if training not in (None, self.training):
            with self._mode(bool(training)):
                outputs = self._call_forward(args, kwargs)
        else:
            outputs = self._call_forward(args, kwargs)
        if self.activity_regularizer is not None:
            for output in tensors_in(outputs):
                self.add_loss(self.activity_regularizer(output) / output.shape[0])
        return outputs

    def _call_forward(self, args: tuple, kwargs: dict) -> Any:
        if self.dtype_policy.compute_dtype == self.dtype_policy.variable_dtype:
            return self._run_explained(args, kwargs)
        first = next(iter(tensors_in(args)), None)
        device = "cpu" if first is None else first.device.type
        with torch.autocast(device, dtype=self.compute_dtype):
            outputs = self._run_explained(args, kwargs)
        # Of what autocast leaves in single precision, such as embeddings.
        return map_nested(self._as_output, outputs) if self.casts_outputs else outputs

    def _as_output(self, value: Any) -> Any:
        is_wide = isinstance(value, Tensor) and value.dtype is torch.float32
        return value.to(self.compute_dtype) if is_wide else value

    def _as_own_type(self, value: Any) -> Any:
        is_float = isinstance(value, Tensor) and value.is_floating_point()
        return value.to(self.compute_dtype) if is_float else value

    def _run_explained(self, args: tuple, kwargs: dict) -> Any:
        # A method of its own: torch.compile does not follow a `try` inside a `with`.
        try:
            return super().__call__(*args, **kwargs)
        except Exception as error:
            self._explain(error, args)
            raise

    def _as_input(self, value: Any) -> Any:
        if isinstance(value, (np.ndarray, np.generic)):
            value = torch.as_tensor(as_torch_takes(value))
            if value.dtype == torch.float64:
                value = value.to(self.compute_dtype)
        if not isinstance(value, Tensor) or not self.autocast or not value.is_floating_point():
            return value
        if self.dtype_policy.name != "float32" or value.dtype == torch.float64:
            return value.to(self.compute_dtype)
        # Inside torch.autocast a half-precision input is as intended.
        if value.dtype == torch.float32 or (
            not value.is_meta and torch.is_autocast_enabled(value.device.type)
        ):
            return value
        self._expect_half()
        return value.to(torch.float32)

    def _expect_half(self) -> None:
        """From now on take the long way, which casts: a half-precision layer comes before."""
        self._takes_half, self._direct = True, False

    @contextmanager
    def _mode(self, training: bool) -> Iterator[None]:
        with kept_modes(self):
            self.train(training)
            yield

    def _build_for(self, args: tuple, kwargs: dict) -> None:
        if self.built:
            return
        first = next(iter(tensors_in(args)), None)
        device = torch.get_default_device() if first is None else first.device
        self._check(args)
        self._has_run = True
        with torch.device(device):
            self._build_for_shapes(map_nested(shape_of, args), map_nested(shape_of, kwargs))

    def _build_for_shapes(self, shapes: tuple, named_shapes: dict) -> None:
        parameters = inspect.signature(self.build).parameters
        if not parameters:
            self.build()  # type: ignore[call-arg]
            return
        names = [name for name in parameters if name.endswith("_shape")]
        if len(names) < 2:
            self.build(shapes[0] if shapes else next(iter(named_shapes.values()), None))
            return
        call_names = [p for p in inspect.signature(self.call).parameters if p != "self"]
        given = {**dict(zip(call_names, shapes, strict=False)), **named_shapes}
        given = {f"{key}_shape": value for key, value in given.items()}
        self.build(**{name: given.get(name) for name in names})

    def _check(self, args: tuple) -> None:
        if self.input_spec is not None and args:
            self.input_spec.check(args[0], f'{type(self).__name__} "{self.name}"')

    def _explain(self, error: Exception, args: tuple) -> None:
        """Say which layer failed, and raise a clearer error if the input was at fault."""
        if self.input_spec is not None:
            try:
                self._check(args)
            except ValueError as clearer:
                raise clearer from error
        shapes = ", ".join(str(tuple(t.shape)) for t in tensors_in(args))
        if hasattr(error, "add_note"):
            error.add_note(f'in {type(self).__name__} "{self.name}", called on shape {shapes}')
            never_built = self.built and self._built_on is None and not self.keras_weights()
            if isinstance(error, AttributeError) and never_built:
                error.add_note(
                    "its `built` was set by hand, so that build() did not run and made no weights: "
                    "call build(input_shape), and compute with weights from elsewhere by "
                    "layer.stateless_call(...)"
                )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run `call`, telling it the mode if it asks."""
        if "training" in self._call_parameters and kwargs.get("training") is None:
            kwargs["training"] = self.training
        return self.call(*args, **kwargs)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes, in Keras's style. A subclass defines this or `forward`."""
        raise NotImplementedError(
            f"{type(self).__name__} must define forward(self, x) or call(self, inputs)."
        )

    def stateless_call(
        self,
        trainable_variables: Sequence[Tensor],
        non_trainable_variables: Sequence[Tensor],
        *args: Any,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Call the layer with these values in the place of its weights, which stay as they are.

        A function of its arguments alone, as `torch.func.grad` and `vmap` want it.

        Args:
            trainable_variables: In the order and the shapes of `layer.trainable_variables`.
            non_trainable_variables: In those of `layer.non_trainable_variables`.
            *args: What the layer is called on.
            return_losses: Whether to give the losses of the call, too.
            **kwargs: Other arguments of the call, such as `training`.

        Returns:
            The outputs, the non-trainable variables after the call, and the losses if asked for.

        Raises:
            ValueError: If numbers or shapes of variables differ.

        Example:
            >>> from kerasish.layers import Dense
            >>> layer = Dense(2)
            >>> layer.build((None, 3))
            >>> outputs, _ = layer.stateless_call(
            ...     [torch.ones(2, 3), torch.zeros(2)], [], torch.ones(1, 3)
            ... )
            >>> outputs
            tensor([[3., 3.]])
        """
        from kerasish.layers.stateless import stateless_call

        given = trainable_variables, non_trainable_variables, args, kwargs
        return stateless_call(self, *given, return_losses=return_losses)

    # Symbolic calls

    def _call_symbolically(self, args: tuple, kwargs: dict) -> Any:
        training = kwargs.get("training")
        if training is None:  # the mode that the model is in
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        if self.built and expansion.covers(self, training):
            return self.forward(
                *args, **{key: value for key, value in kwargs.items() if key != "training"}
            )
        self._check(args)
        masks = [leaf.mask for leaf in symbolic_leaves(args) if isinstance(leaf, SymbolicTensor)]
        mask = masks if args and isinstance(args[0], (list, tuple)) else (masks or [None])[0]
        has_mask = any(m is not None for m in masks)
        if "mask" in kwargs:
            mask, has_mask = kwargs["mask"], kwargs["mask"] is not None
            if "mask" not in self._call_parameters:
                kwargs = {key: value for key, value in kwargs.items() if key != "mask"}
        elif has_mask and "mask" in self._call_parameters:
            kwargs = {**kwargs, "mask": mask}
        self._build_symbolically(args, kwargs)
        if self.dtype_policy.name == "float32" and self.autocast:
            halves = (torch.float16, torch.bfloat16)
            if any(getattr(leaf, "dtype", None) in halves for leaf in symbolic_leaves(args)):
                self._expect_half()
        outputs = record(self, args, kwargs)
        first = next(iter(symbolic_leaves(outputs)), None)
        if first is None:
            raise ValueError(
                f'{type(self).__name__} "{self.name}" returned {describe(outputs)}, which holds no '
                "tensor. Does its call() end with `return`?"
            )
        self._nodes.append(first.node)
        if has_mask or self.makes_mask:
            self._attach_mask(args, mask, outputs)
        return outputs

    @property
    def makes_mask(self) -> bool:
        """Whether the output may have a mask even where the input has none (Embedding, Masking).

        So it may where a subclass has a `compute_mask` of its own: that is asked.
        """
        return type(self).compute_mask is not Layer.compute_mask

    def _attach_mask(self, args: tuple, mask: Any, outputs: Any) -> None:
        new = self.compute_mask(args[0] if args else None, mask)
        leaves = [leaf for leaf in symbolic_leaves(outputs) if isinstance(leaf, SymbolicTensor)]
        new = list(new) if isinstance(new, (list, tuple)) else [new]
        for leaf, item in zip(leaves, new, strict=False):
            leaf.mask = item

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, from the inputs and their mask.

        Args:
            inputs: What the layer was called on.
            mask: Boolean, (batch, time), true where a step counts; or `None`.

        Returns:
            `mask` where `supports_masking`, else `None`.
        """
        return mask if self.supports_masking else None

    def _build_symbolically(self, args: tuple, kwargs: dict) -> None:
        if not self.built:
            self._build_for_shapes(map_nested(shape_of, args), map_nested(shape_of, kwargs))
        if all(child.built for child in self.sublayers()):
            return
        # Sublayers learn their shapes by a trial run of forward(), first on symbolic tensors, then,
        # where the code needs numbers, on zeros.
        self.trial_run(args, kwargs)

    def trial_run(self, args: tuple, kwargs: dict) -> None:
        """Run forward() once so that every sublayer is built; outputs are thrown away."""
        if "training" not in self._call_parameters:
            kwargs = {key: value for key, value in kwargs.items() if key != "training"}
        was, self.training = self.training, False
        nodes = {id(layer): len(layer._nodes) for layer in self.sublayers()}
        try:
            self.forward(*args, **kwargs)
        except Exception:
            zeros, named_zeros = map_nested(zeros_like, args), map_nested(zeros_like, kwargs)
            try:
                with torch.no_grad(), self._mode(False):
                    self.forward(*zeros, **named_zeros)
            except Exception as error:
                note_zeros(error, args)
                raise
        finally:
            self.training = was
            self._has_run = True
            for layer in self.sublayers():
                del layer._nodes[nodes.get(id(layer), 0) :]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the output for an input shape, batch axis included, `None` where unknown."""
        dtype = torch.int64 if self.takes_integers else self.compute_dtype
        inputs = map_shapes(lambda shape: symbolic_input(shape, dtype), input_shape)
        count = len(self._nodes)
        outputs = self(inputs)
        del self._nodes[count:]
        return map_nested(shape_of, outputs)

    @property
    def input(self) -> Any:
        """What the layer was first called on, symbolically."""
        node = self._first_node()
        return node.args[0] if len(node.args) == 1 else list(node.args)

    @property
    def output(self) -> Any:
        """What its first symbolic call gave."""
        return self._first_node().outputs

    def _first_node(self) -> Node:
        for node in self._nodes:
            # A layer with several outputs is reached through the items of its result.
            while node.target is not self:
                node = node.args[0].node
            return node
        raise AttributeError(
            f'Layer "{self.name}" has not been called on a symbolic tensor yet, so it has no '
            "input or output."
        )

    # Types and configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again, without its weights.

        A subclass whose constructor keeps its arguments need not override this.
        """
        args, kwargs = self._init_arguments
        signature = constructor_signature(type(self))
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        config: dict[str, Any] = {}
        takes_any = False
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                takes_any = True
                config.update(bound.arguments[name])
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                config[name] = bound.arguments[name]
        for name in self._written_elsewhere() & config.keys():
            del config[name]
        for name in self.__dict__.get("_reassigned", set()) & config.keys():
            config[name] = getattr(self, name)
        for name in _SIZES & config.keys():
            size = getattr(self, name, None)
            config[name] = size if isinstance(size, tuple) else config[name]
        base = {"name": self.name, "trainable": self._trainable, "dtype": self.dtype_policy.name}
        accepted = base if takes_any else {k: v for k, v in base.items() if k in bound.arguments}
        return {**config, **accepted}

    def _written_elsewhere(self) -> set[str]:
        """The arguments that a `get_config` of the user's own, on top of this one, names itself.

        As in Keras, what it gets from here is without them: `dict(units=..., **config)` takes no
        name twice. A subclass of a ready-made layer gets all, since there it may change them.
        """
        own = type(self).get_config
        above = type(self).__mro__[: type(self).__mro__.index(Layer)]
        if any(cls.__module__.startswith("kerasish.") for cls in above):
            return set()
        return texts_in(own) if own is not Layer.get_config else set()

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Layer:
        """Make the layer that `get_config` described, with new weights."""
        return cls(**{key: deserialize(value, custom_objects) for key, value in config.items()})

    def __getstate__(self) -> dict[str, Any]:
        # A copy of a layer is no part of the graphs that the layer is in; a model's copy makes its
        # own graph again.
        return {**self.__dict__, "_nodes": []}

    def extra_repr(self) -> str:
        """What `print(layer)` shows of it."""
        return f"name={self.name!r}" if self.built else f"name={self.name!r}, not built yet"


def _adopting(init: Callable) -> Callable:
    """Wrap a class's `__init__`: layers in lists and dicts become children at its end."""

    @functools.wraps(init)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if type(self).__init__ is wrapper:  # not yet, where a subclass goes on
            adopt(self)

    return wrapper


def _finishing(build: Callable) -> Callable:
    """Wrap a class's `build`: weights are initialised once after it, however it is called."""

    @functools.wraps(build)
    def wrapper(self: Layer, *args: Any, **kwargs: Any) -> None:
        self._build_depth += 1
        try:
            build(self, *args, **kwargs)
        finally:
            self._build_depth -= 1
        if self._build_depth == 0:
            self._built_on = args[0] if args else next(iter(kwargs.values()), None)
            adopt(self)
            self._finish_build()

    return wrapper
