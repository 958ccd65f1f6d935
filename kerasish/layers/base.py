"""Layer: a torch module that knows its configuration, and its input shape from its first call."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from kerasish import regularizers
from kerasish.config import as_policy
from kerasish.describe import describe, suggest
from kerasish.devices import as_torch_takes
from kerasish.graph.symbolic import is_symbolic, map_nested
from kerasish.layers.arguments import ShownSignature, constructor_signature
from kerasish.layers.children import adopt
from kerasish.layers.configured import Configured
from kerasish.layers.holder import added_losses, collecting
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.naming import snake_case, unique_name
from kerasish.layers.saved import SavingHooks
from kerasish.layers.structure import shape_of, tensors_in
from kerasish.layers.symbolic_calls import SymbolicCalls
from kerasish.modes import kept_modes

_ages = itertools.count()  # layers are numbered as they are made, for the order of children


class Layer(SymbolicCalls, Configured, SavingHooks):
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

    # Whether forward() is straight-line code, whatever the mode and the input's shape, so that a
    # model may call what it calls instead of the layer.
    is_transparent: ClassVar[bool] = False
    casts_outputs: ClassVar[bool] = True  # to the compute type of a mixed policy

    _adds_losses: ClassVar[bool] = False  # as far as the code of `call` or `forward` tells

    # What a layer begins with.
    _direct = False  # whether a plain call may go straight to forward()
    _takes_half = False  # whether inputs come in a half type that must be widened
    _ranks: Container[int] = range(64)  # the numbers of axes that a straight call may have
    _version = 0  # counts changes of attributes, after which expanded code is stale
    _build_depth = 0

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__dict__
        if "call" in own and "forward" not in own:
            cls.forward = Layer.forward
        elif "forward" in own and "call" not in own:
            cls.call = own["forward"]
        if "call" in cls.__dict__:
            cls._call_parameters = frozenset(inspect.signature(cls.__dict__["call"]).parameters)
        is_mixed_in = cls.__init__ is not Layer.__init__ and not hasattr(cls.__init__, "adopts")
        if "__init__" in own or is_mixed_in:
            cls.__init__ = _adopting(cls.__init__)
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
        vars(self).update(_added={}, _losses=[], _nodes=[])  # no containers of layers

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
        adopt(self)
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
        return not (collecting.now or is_shared or torch.compiler.is_compiling())

    def _call_afresh(self, args: tuple, kwargs: dict) -> Any:
        self.clear_losses()
        collecting.now = True
        try:
            return self(*args, **kwargs)
        finally:
            collecting.now = False

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

    wrapper.adopts = True  # type: ignore[attr-defined]
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
            self._finish_build()

    return wrapper
