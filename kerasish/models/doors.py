"""The doors out of a model: files, a torch twin, a script, a program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from kerasish.describe import describe
from kerasish.models import saving


class Doors:
    """The part of a model that writes it down, and reads what was written."""

    name: str

    def save(self, filepath: str | Path, overwrite: bool = True, **kwargs: Any) -> None:
        """Write configuration, weights and optimizer state to one file.

        Args:
            filepath: Usually ends in `.kerasish`.
            overwrite: Whether an existing file may be replaced; a failure leaves it whole.
            **kwargs: `include_optimizer=False` leaves the optimizer's state out.

        Raises:
            FileExistsError: If the file exists and `overwrite` is false.
        """
        saving.save_model(self, filepath, overwrite=overwrite, **kwargs)

    def save_weights(self, filepath: str | Path, overwrite: bool = True) -> None:
        """Write `state_dict()` to a safetensors file."""
        saving.save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: str | Path, skip_mismatch: bool = False) -> None:
        """Read weights from a safetensors file or a saved model.

        Args:
            filepath: What `save_weights` or `save` wrote.
            skip_mismatch: Whether to skip, with a warning, what does not fit.

        Raises:
            ValueError: If names or shapes do not fit; nothing is changed then.
        """
        saving.load_weights(self, filepath, skip_mismatch=skip_mismatch)

    def to_json(self) -> str:
        """The configuration as JSON text."""
        return saving.to_json(self)

    def get_compile_config(self) -> dict[str, Any] | None:
        """How the model is compiled, by values that JSON can hold; `None` if it is not.

        Raises:
            TypeError: If a loss, metric or optimizer has no name that a file could give.
        """
        return saving.compile_config(self) if self.compiled else None  # type: ignore[attr-defined]

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config`, here or in Keras, describes it.

        Raises:
            ValueError: If it names what is neither kerasish's own nor registered.
        """
        saving.compile_from_config(self, config)

    def to_torch(self) -> nn.Module:
        """A twin made of nothing but `torch.nn`, with the same outputs and state_dict keys."""
        raise TypeError(
            f'"{self.name}" is an nn.Module of its own code; only models with a graph (Sequential, '
            "functional) have a twin. Use it as it is."
        )

    def eject(
        self,
        path: str | Path,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        *,
        seed: int = 0,
    ) -> None:
        """Write the model and its training as a short script of plain PyTorch.

        `python train.py` then does what `fit` would do now with the same arguments, after
        `kerasish.utils.set_random_seed(seed)`: the same orders of rows, the same losses. The
        present weights go to `train_weights.pt` beside the script, the data to `train_data.pt`;
        without data, the script has a `load_data()` to fill in.

        Args:
            path: The script, such as `train.py`.
            x: Inputs in memory, as for `fit`.
            y: Targets in memory, as for `fit`.
            batch_size: Rows in a batch, 32 by default.
            epochs: How many passes to make.
            validation_split: The share of rows, from the end, to evaluate on after each epoch.
            validation_data: `(x, y)` to evaluate on after each epoch.
            shuffle: Whether to draw a new order each epoch.
            seed: What the script seeds its random numbers with.

        Raises:
            RuntimeError: If the model is not compiled.
            ValueError: If something cannot be written plainly; no file is written then, and the
                message says which part and what to do.
        """
        from kerasish.models.eject import eject as write_script  # only who leaves needs it

        data = x, y, batch_size, epochs, validation_split, validation_data
        write_script(self, path, *data, shuffle, seed)

    def export(
        self,
        filepath: str | Path,
        format: str | None = None,
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Write what the model computes to a file that runs without the code it was made by.

        `"torch"` is a program of `torch.export`: `torch.export.load(path).module()` runs it in a
        process that has torch and nothing else. `"onnx"` takes the packages onnx and onnxscript to
        write. Batches may have any number of rows, and axes of unknown size any size where torch
        can keep them open; a dict or list of inputs stays one in a program, and becomes inputs by
        name in ONNX. The program computes as in `predict`, on the device that the model is on.

        Args:
            filepath: Where to write; `.pt2` and `.onnx` are usual.
            format: `"torch"` or `"onnx"`; by default what the file's ending says, else `"torch"`.
            verbose: Whether to print a line about what was written.
            input_signature: For other inputs than the model declares: a list of
                `InputSpec(shape, dtype)`, `None` for sizes that stay open. With the dtype
                `"uint8"`, a model with `preprocessing` takes raw images.
            **kwargs: Given to `torch.export.export` or `torch.onnx.export`, such as
                `opset_version`.

        Raises:
            ValueError: If the format is another one, or the network cannot be written so; the
                message says what to do. An old file stays as it was.
            ImportError: If a package for `"onnx"` is missing.
        """
        from kerasish.models.export import export_model  # only who leaves needs it

        export_model(self, filepath, format, verbose, input_signature, **kwargs)

    def quantize(self, mode: Any = None, **kwargs: Any) -> None:
        """Keras's name for what torchao does here.

        Raises:
            NotImplementedError: Always; it says what to write.
        """
        raise NotImplementedError(
            f"quantize: kerasish does not compute in {describe(mode)}. Save the model and use "
            "torchao, which works on it in place: `from torchao.quantization import quantize_, "
            "Int8DynamicActivationInt8WeightConfig as Config`, then `quantize_(model, Config())`. "
            'For training in half precision: compile(precision="bfloat16-mixed").'
        )
