"""EinsumDense: a dense layer whose product is any Einstein summation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

import torch
from torch import Tensor

from kerasish import activations, constraints, initializers, regularizers
from kerasish.describe import describe
from kerasish.layers.checks import not_quantized
from kerasish.layers.lora import LoraLayer
from kerasish.layers.weights import KerasWeight
from kerasish.variables import Variable

_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]*)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]*)(\.\.\.)?")


class EinsumDense(LoraLayer):
    """`activation(einsum(equation, x, kernel) + bias)`.

    Shapes:
        input: as on the left of the equation
        kernel: as between comma and arrow
        bias: the sizes of `bias_axes`, with ones so that it broadcasts to the output
        output: as on the right of the equation

    Args:
        equation: Such as `"abc,cd->abd"` or `"...x,xy->...y"`: input, kernel, output.
        output_shape: The output's sizes without the batch axis, and without axes that an ellipsis
            stands for; `None` where the input decides.
        activation: Applied to the result. `None` keeps it linear.
        bias_axes: The output axes that the bias has, such as `"d"`. `None` means no bias.
        kernel_initializer: Fills the kernel, Glorot-uniform by default.
        bias_initializer: Fills the bias, zeros by default.
        kernel_regularizer: A penalty on the kernel.
        bias_regularizer: A penalty on the bias.
        kernel_constraint: Applied to the kernel after each update.
        bias_constraint: Applied to the bias after each update.
        lora_rank: Trains two tensors of this rank in place of the kernel; see `enable_lora`.
        lora_alpha: What their product counts, times `lora_rank`; by default `lora_rank`.
        gptq_unpacked_column_size: Must be `None`, as must `quantization_config`: torch quantises
            finished models.
        quantization_config: The same.
        **kwargs: Those of `Layer`.

    Raises:
        ValueError: If the equation cannot be read, or does not fit the shapes.

    Example:
        >>> layer = EinsumDense("abc,cd->abd", output_shape=(None, 4), bias_axes="d")
        >>> layer(torch.ones(2, 3, 5)).shape
        torch.Size([2, 3, 4])
    """

    kernel: Variable
    bias: Variable | None
    lora_scale: float

    is_transparent = True

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: None = None,
        quantization_config: None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(lora_rank=lora_rank, lora_alpha=lora_alpha, **kwargs)
        not_quantized(
            self,
            gptq_unpacked_column_size=gptq_unpacked_column_size,
            quantization_config=quantization_config,
        )
        match = _EQUATION.fullmatch(equation.replace(" ", ""))
        if match is None:
            raise ValueError(
                f"EinsumDense: cannot read the equation {describe(equation)}; write it as "
                "'input,kernel->output', such as 'abc,cd->abd'."
            )
        self.equation = equation.replace(" ", "")
        before, self._input, _, self._kernel, _, self._output, after = match.groups()
        self._leading = before is not None
        self._trailing = after is not None
        sizes = (output_shape,) if isinstance(output_shape, int) else output_shape
        self.partial_output_shape = tuple(sizes)
        self.activation = activations.get(activation)
        self.bias_axes = bias_axes
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Find the kernel's and the bias's shape from the equation."""
        sizes = self._sizes(input_shape)
        kernel_shape = [self._known(label, sizes) for label in self._kernel]
        self.kernel = self.add_weight(kernel_shape, "zeros", name="kernel")
        if not self.bias_axes:
            self.register_parameter("bias", None)
            return
        unknown = set(self.bias_axes) - set(self._output)
        if unknown:
            raise ValueError(
                f'EinsumDense "{self.name}": the bias axes {sorted(unknown)} are not in the output '
                f"'{self._output}'."
            )
        first = min(self._output.index(label) for label in self.bias_axes)
        bias_shape = [
            self._known(label, sizes) if label in self.bias_axes else 1
            for label in self._output[first:]
        ]
        if self._trailing:
            bias_shape += [1] * (len(input_shape) - len(self._input))
        self.bias = self.add_weight(bias_shape, "zeros", name="bias")

    def _sizes(self, input_shape: tuple[int | None, ...]) -> dict[str, int | None]:
        """The size of each label, from the input and from the wanted output."""
        elided = len(input_shape) - len(self._input)
        if elided < 0 or (elided > 0 and "..." not in self.equation):
            raise ValueError(
                f"EinsumDense \"{self.name}\" expects an input '{self._input}', got shape "
                f"{tuple(input_shape)}."
            )
        shown = input_shape[elided:] if self._leading else input_shape[: len(self._input)]
        sizes = dict(zip(self._input, shown, strict=True))
        labels = self._output if self._leading else self._output[1:]
        if len(labels) != len(self.partial_output_shape):
            raise ValueError(
                f"EinsumDense \"{self.name}\": output_shape names the axes '{labels}', got "
                f"{self.partial_output_shape}."
            )
        for label, size in zip(labels, self.partial_output_shape, strict=True):
            known = sizes.get(label)
            if None not in (known, size) and known != size:
                raise ValueError(
                    f"EinsumDense \"{self.name}\": axis '{label}' has size {known} in the input "
                    f"and {size} in output_shape."
                )
            sizes[label] = known if size is None else size
        return sizes

    def _known(self, label: str, sizes: dict[str, int | None]) -> int:
        size = sizes.get(label)
        if size is None:
            raise ValueError(
                f"EinsumDense \"{self.name}\" needs to know the size of axis '{label}' of "
                f"'{self.equation}'; give it in output_shape or in the input."
            )
        return size

    def own_weights(self) -> list[KerasWeight]:
        """Kernel and bias."""
        if "kernel" not in self._parameters:
            return []
        weights = [self.adapted()[1]]
        if self.bias is not None:
            rules = self.bias_initializer, self.bias_regularizer, self.bias_constraint
            weights.append(KerasWeight("bias", self.bias, *rules))
        return weights + self.lora_weights()

    def adapted(self) -> tuple[Any, KerasWeight]:
        """The layer itself and its kernel."""
        rules = self.kernel_initializer, self.kernel_regularizer, self.kernel_constraint
        return self, KerasWeight("kernel", self.kernel, *rules)

    def merged(self) -> Tensor:
        """The kernel with what LoRA adds. `kernel` itself is the parameter, as it was."""
        delta = self.lora_kernel_a @ self.lora_kernel_b * self.lora_scale
        return (self.kernel + delta).to(self.kernel.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Sum, add the bias, apply the activation."""
        y = (
            self._adapted_sum(x)
            if self.lora_enabled
            else torch.einsum(self.equation, x, self.kernel)
        )
        return self.activation(y if self.bias is None else y + self.bias)

    def _adapted_sum(self, x: Tensor) -> Tensor:
        """The sum with the kernel, and that with A and B, through an axis as long as the rank."""
        y = torch.einsum(self.equation, x, self.kernel)
        a, b = self.lora_kernel_a.to(x.dtype), self.lora_kernel_b.to(x.dtype)
        rank = next(label for label in ascii_letters if label not in self.equation)
        head, last = self._kernel[:-1], self._kernel[-1]
        factors = {f"{head}{rank}": a, f"{rank}{last}": b}
        # What is summed away goes first, so that little is left to multiply by.
        names = sorted(factors, key=lambda name: last in name, reverse=last not in self._output)
        given, result = self.equation.split("->")[0].split(",")[0], self.equation.split("->")[1]
        low = torch.einsum(f"{given},{','.join(names)}->{result}", x, *(factors[n] for n in names))
        return torch.add(y, low, alpha=self.lora_scale)
