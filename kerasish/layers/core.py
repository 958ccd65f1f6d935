"""The layers nearly every network uses: inputs, dense, embedding, and wrappers of plain code."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from kerasish import activations, constraints, initializers, regularizers
from kerasish.config import as_dtype, floatx
from kerasish.graph.symbolic import SymbolicTensor, symbolic_input
from kerasish.layers.base import Layer
from kerasish.layers.checks import not_quantized, positive_int
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.lora import LoraLayer
from kerasish.layers.weights import KerasWeight, permuted


class InputLayer(Layer):
    """The owner of a placeholder; it computes nothing.

    Args:
        shape: The shape of one sample, `None` where any size will do.
        batch_size: A fixed batch size, or `None`.
        dtype: The type of the data, float32 by default.
        sparse: Must be false or `None`, as must `ragged` and `optional`.
        ragged: The same.
        batch_shape: `shape` with the batch axis in front, instead of `shape`.
        input_tensor: A symbolic tensor to be like in shape and type, instead of a shape.
        optional: As `sparse`.
        name: The input's name, which dict inputs use.
        input_shape: An older word for `shape`.

    Raises:
        ValueError: If not just one of `shape`, `batch_shape` and `input_tensor` is given, or what
            torch models cannot take.
    """

    def __init__(
        self,
        shape: tuple[int | None, ...] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: tuple[int | None, ...] | None = None,
        input_tensor: SymbolicTensor | None = None,
        optional: bool = False,
        name: str | None = None,
        *,
        input_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        super().__init__(name=name)
        shape = input_shape if shape is None else shape
        for word, asked in (("sparse", sparse), ("ragged", ragged), ("optional", optional)):
            if asked:
                raise ValueError(
                    f"Input: {word} tensors are not supported; each input is dense and given."
                )
        if input_tensor is not None and batch_shape is None:
            batch_shape, dtype = input_tensor.shape, dtype or input_tensor.dtype
        if (shape is None) == (batch_shape is None):
            raise ValueError("Input: give either `shape` (of one sample) or `batch_shape`.")
        if isinstance(shape, int):
            shape = (shape,)
        self.batch_shape = tuple(batch_shape) if shape is None else (batch_size, *shape)  # type: ignore[arg-type]
        for size in self.batch_shape:
            if size is not None and (not isinstance(size, int) or size < 0):
                raise ValueError(
                    f"Input: a shape holds non-negative integers and None, got {self.batch_shape}."
                )
        _refuse_strings(dtype, name)
        self.input_dtype = as_dtype(dtype or floatx())
        self.tensor = symbolic_input(self.batch_shape, self.input_dtype, owner=self)
        self._nodes.append(self.tensor.node)
        self.built = True

    @property
    def output(self) -> SymbolicTensor:
        """The placeholder."""
        return self.tensor

    @property
    def input(self) -> SymbolicTensor:
        """The placeholder."""
        return self.tensor

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this input again."""
        return {"batch_shape": self.batch_shape, "dtype": self.input_dtype, "name": self.name}


def _refuse_strings(dtype: Any, name: str | None) -> None:
    if dtype is str or dtype is object or str(dtype) in ("string", "str", "object"):
        label = "" if name is None else f" {name!r}"
        raise ValueError(
            f"Input{label}: torch has no tensors of strings. Turn texts into numbers before the "
            "model: call the StringLookup, TextVectorization or Hashing layer on the data, or use "
            "`layer.map(dataset)`, and declare what it gives, such as "
            'Input(shape, dtype="int64").'
        )


def Input(  # noqa: N802  (Keras's name)
    shape: tuple[int | None, ...] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: tuple[int | None, ...] | None = None,
    name: str | None = None,
    tensor: SymbolicTensor | None = None,
    optional: bool = False,
) -> SymbolicTensor:
    """Start a functional model: a symbolic tensor of the given shape.

    Args:
        shape: The shape of one sample, `None` where any size will do; the batch axis is not named.
        batch_size: A fixed batch size, or `None`.
        dtype: The type of the data, float32 by default.
        sparse: Must be false or `None`, as must `ragged` and `optional`.
        ragged: The same.
        batch_shape: `shape` with the batch axis in front, instead of `shape`.
        name: The input's name, which dict inputs use.
        tensor: Returned as it is.
        optional: As `sparse`.

    Raises:
        ValueError: If neither or both of `shape` and `batch_shape` are given, or what torch models
            cannot take.

    Example:
        >>> Input((28, 28)).shape
        (None, 28, 28)
    """
    if tensor is not None:
        return tensor
    given = shape, batch_size, dtype, sparse, ragged, batch_shape
    return InputLayer(*given, optional=optional, name=name or None).tensor


class Dense(LoraLayer):
    """Fully connected layer: `activation(x @ kernel + bias)`.

    Shapes:
        input: `(batch, ..., in_features)`
        linear.weight: `(units, in_features)` in `state_dict`, transposed in `get_weights`
        linear.bias: `(units,)`
        output: `(batch, ..., units)`

    Args:
        units: Size of the last output axis. Positive.
        activation: Applied to the result. `None` keeps it linear.
        use_bias: Whether to add a learned offset.
        kernel_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        activity_regularizer: A penalty on the output.
        kernel_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        lora_rank: Trains two matrices of this rank in place of the kernel; see `enable_lora`.
        lora_alpha: What their product counts, times `lora_rank`; by default `lora_rank`.
        quantization_config: Must be `None`: torch quantises finished models.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If `units` is not a positive integer.

    Example:
        >>> import torch
        >>> Dense(4)(torch.ones(2, 3)).shape
        torch.Size([2, 4])
    """

    is_transparent = True
    linear: nn.Linear

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        lora = {"lora_rank": lora_rank, "lora_alpha": lora_alpha}
        super().__init__(activity_regularizer=activity_regularizer, **lora, **kwargs)
        not_quantized(self, quantization_config=quantization_config)
        self.units = positive_int(self, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.input_spec = InputSpec(min_ndim=2, hint="Add a batch axis.")
        self.supports_masking = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the `nn.Linear` for the input's last axis."""
        in_features = input_shape[-1]
        if in_features is None:
            raise ValueError(
                f'Dense "{self.name}" needs to know the size of the last input axis, got shape '
                f"{tuple(input_shape)}. Flatten over unknown sizes cannot feed a Dense layer; use "
                "global pooling, or give the size in Input(...)."
            )
        self.linear = nn.Linear(
            in_features, self.units, bias=self.use_bias, dtype=self.variable_dtype
        )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: in_features})

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias."""
        if not hasattr(self, "linear"):
            return []
        weights = [self.adapted()[1]]
        if self.use_bias:
            rules = (self.bias_initializer, self.bias_regularizer, self.bias_constraint)
            weights.append(KerasWeight("bias", self.linear.bias, *rules))
        return weights + self.lora_weights()

    def adapted(self) -> tuple[Any, KerasWeight]:
        """The `nn.Linear` and its kernel."""
        rules = (self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint)
        kernel = KerasWeight("kernel", self.linear.weight, *rules, **permuted([1, 0]))
        return self.linear, kernel

    def forward(self, x: Tensor) -> Tensor:
        """Map the last axis to `units` features."""
        return self.activation(self.linear(x))


class Embedding(LoraLayer):
    """A learned vector for each integer: `output = embeddings[x]`.

    Shapes:
        input: `(batch, ...)`, integers in `[0, input_dim)`
        embedding.weight: `(input_dim, output_dim)`
        output: `(batch, ..., output_dim)`

    Args:
        input_dim: The number of different integers. Positive.
        output_dim: The length of a vector. Positive.
        embeddings_initializer: Fills the vectors, uniform in ±0.05 by default.
        embeddings_regularizer: A penalty on the vectors.
        embeddings_constraint: Applied after each update.
        mask_zero: Whether 0 marks padding; layers that take masks then skip those steps.
        weights: First values, an array of the weight's shape.
        lora_rank: Trains two matrices of this rank in place of the vectors; see `enable_lora`.
        lora_alpha: What their product counts, times `lora_rank`; by default `lora_rank`.
        quantization_config: Must be `None`: torch quantises finished models.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If a size is not a positive integer.

    Example:
        >>> import torch
        >>> Embedding(10, 4)(torch.tensor([[1, 2, 3]])).shape
        torch.Size([1, 3, 4])
    """

    takes_integers = True
    is_transparent = True
    embedding: nn.Embedding

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("input_length", None)
        super().__init__(lora_rank=lora_rank, lora_alpha=lora_alpha, **kwargs)
        not_quantized(self, quantization_config=quantization_config)
        self.input_dim = positive_int(self, "input_dim", input_dim)
        self.output_dim = positive_int(self, "output_dim", output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)
        self.mask_zero = mask_zero
        self.supports_masking = mask_zero
        self._first_values = weights

    def build(self, input_shape: tuple[int | None, ...] | None = None) -> None:
        """Make the `nn.Embedding`."""
        self.embedding = nn.Embedding(self.input_dim, self.output_dim, dtype=self.variable_dtype)

    def _finish_build(self) -> None:
        super()._finish_build()
        if self._first_values is not None:
            values = self._first_values
            values = list(values) if isinstance(values, (list, tuple)) else [values]
            self.set_weights([*values, *self.get_weights()[len(values) :]])

    def own_weights(self) -> list[KerasWeight]:
        """The vectors."""
        if not hasattr(self, "embedding"):
            return []
        return [self.adapted()[1], *self.lora_weights()]

    def adapted(self) -> tuple[Any, KerasWeight]:
        """The `nn.Embedding` and its vectors."""
        rules = (
            self.embeddings_initializer,
            self.embeddings_regularizer,
            self.embeddings_constraint,
        )
        return self.embedding, KerasWeight("embeddings", self.embedding.weight, *rules)

    @property
    def makes_mask(self) -> bool:
        """Whether zeros mark padding."""
        return self.mask_zero

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where the integer is not zero, if `mask_zero`."""
        return inputs != 0 if self.mask_zero else None

    def forward(self, x: Tensor) -> Tensor:
        """Look the integers up."""
        if x.is_floating_point():
            x = x.long()
        return self.embedding(x)


class Activation(Layer):
    """An activation function as a layer, of its own.

    Args:
        activation: A name such as `"relu"`, or a function of a tensor.
        **kwargs: Those of `Layer`.

    Example:
        >>> import torch
        >>> Activation("relu")(torch.tensor([[-1.0, 2.0]]))
        tensor([[0., 2.]])
    """

    is_transparent = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation)
        self.supports_masking = True

    def forward(self, x: Tensor) -> Tensor:
        """Apply the function."""
        return self.activation(x)


class Identity(Layer):
    """Gives back its input."""

    is_transparent = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def forward(self, x: Any) -> Any:
        """Return the input."""
        return x


class Masking(Layer):
    """Marks time steps to skip: those whose features all equal `mask_value`.

    Shapes:
        input: `(batch, time, features)`
        output: the same, with the skipped steps set to zero

    Args:
        mask_value: The value that marks padding.
        **kwargs: Those of `Layer`.
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = mask_value
        self.supports_masking = True

    @property
    def makes_mask(self) -> bool:
        """Always."""
        return True

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where a step has any feature that differs from `mask_value`."""
        return (inputs != self.mask_value).any(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """Zero the skipped steps."""
        keep = (x != self.mask_value).any(dim=-1, keepdim=True)
        return x * keep.to(x.dtype)
