"""TensorBoard: curves, histograms, the graph and a profile, without TensorFlow."""

# Hooks are described in Callback.
# ruff: noqa: D102

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from kerasish.callbacks.base import Callback, is_main_process
from kerasish.callbacks.profiler import Profiler
from kerasish.callbacks.rates import rates_of
from kerasish.callbacks.taps import GradientTap
from kerasish.describe import describe


class TensorBoard(Callback):
    """Writes what TensorBoard shows, through `torch.utils.tensorboard`.

    Curves go to `log_dir/train` and `log_dir/validation` under the same names, so that they share a
    chart. Look at them with `tensorboard --logdir logs`.

    Args:
        log_dir: Folder, one a run.
        histogram_freq: Epochs between histograms of weights and gradients; 0 writes none.
        write_graph: Whether to write the graph, with a scope for every layer.
        write_images: Whether to write weights as pictures, at the same time as histograms.
        write_steps_per_second: Whether to write how fast training is.
        update_freq: `"epoch"`, `"batch"`, or batches between points of the `batch_` curves.
        profile_batch: A training step, or a pair (first, last), to profile; 0 profiles none.
        embeddings_freq: Epochs between copies of the embedding layers' weights; 0 writes none.
        embeddings_metadata: Layer name -> file with a label per line; or one such file.
        write_gradients: Whether histograms include gradients.

    Raises:
        ValueError: If `update_freq` is none of these.
        ImportError: When training begins, if `tensorboard` is not installed.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int | tuple[int, int] = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
        *,
        write_gradients: bool = True,
    ) -> None:
        if update_freq not in ("epoch", "batch") and not (
            isinstance(update_freq, int) and update_freq > 0
        ):
            raise ValueError(
                'TensorBoard: `update_freq` must be "epoch", "batch" or a positive number of '
                f"batches, got {describe(update_freq)}."
            )
        self.log_dir = Path(log_dir)
        self.histogram_freq = histogram_freq
        self.write_graph = write_graph
        self.write_images = write_images
        self.write_steps_per_second = write_steps_per_second
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq = embeddings_freq
        self.embeddings_metadata = embeddings_metadata
        self.write_gradients = write_gradients
        self._profiler = _profiler_for(profile_batch, self.log_dir)
        self._writers: dict[str, Any] = {}
        self._tap = GradientTap(self._see_gradient)
        self._sampling = False
        if (histogram_freq and write_gradients) or self._profiler:
            self.on_train_batch_begin = self._before_batch
        if (
            self.update_freq != "epoch"
            or write_steps_per_second
            or "on_train_batch_begin" in vars(self)
        ):
            self.on_train_batch_end = self._after_batch

    # Hooks

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._steps = 0
        self._last_batch = -1
        self._gradients: dict[str, Tensor] = {}
        self._example: tuple[Any, ...] | None = None
        self._handle: Any = None
        if not is_main_process():
            self._writers = {}
            return
        self._writer("train")
        if self._profiler is not None:
            self._profiler.on_train_begin()
        self._example = _example_of(self.model) if self.write_graph else None
        if self.write_graph and self._example is None:
            self._handle = self.model.register_forward_pre_hook(self._see_input)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._last_batch = -1
        self._began, self._steps_before = perf_counter(), self._steps
        self._sampling = bool(self.histogram_freq) and epoch % self.histogram_freq == 0

    def _before_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._profiler is not None:
            self._profiler.on_train_batch_begin(batch)
        if self._sampling and self.write_gradients and not self._gradients:
            self._tap.attach(self.model)

    def _after_batch(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self._profiler is not None:
            self._profiler.on_train_batch_end(batch)
        self._tap.detach()
        before = self._steps
        self._steps += batch - self._last_batch
        self._last_batch = batch
        freq = self.update_freq
        if isinstance(freq, int) and self._steps // freq > before // freq and self._writers:
            for name, value in (logs or {}).items():
                self._writers["train"].add_scalar(f"batch_{name}", float(value), self._steps)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        # By itself, evaluate has no epochs: its points lie over the training steps so far.
        if not is_main_process():
            return
        steps = getattr(getattr(self.model, "optimizer", None), "iterations", 0)
        for name, value in (logs or {}).items():
            tag = f"evaluation_{name}_vs_iterations"
            self._writer("validation").add_scalar(tag, float(value), int(steps))
        if "train" not in self._writers:
            self._close_writers()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._writers:
            return
        self._write_curves(epoch, logs or {})
        if self._sampling:
            self._write_histograms(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings(epoch)
        if self._example is not None:
            self._write_graph()
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._tap.detach()
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if self._profiler is not None:
            self._profiler.on_train_end()
        self._close_writers()

    # Writing

    def _close_writers(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def _writer(self, part: str) -> Any:
        if part not in self._writers:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "TensorBoard: the package tensorboard is missing; pip install tensorboard."
                ) from error
            self._writers[part] = SummaryWriter(str(self.log_dir / part))
        return self._writers[part]

    def _write_curves(self, epoch: int, logs: Mapping[str, Any]) -> None:
        curves = {**logs}
        optimizer = getattr(self.model, "optimizer", None)
        if getattr(optimizer, "_schedule", None) is not None:
            curves.update(rates_of(self.model))
        if self.write_steps_per_second:
            seconds = max(perf_counter() - self._began, 1e-9)
            curves["steps_per_second"] = (self._steps - self._steps_before) / seconds
        for name, value in curves.items():
            part = "validation" if name.startswith("val_") else "train"
            tag = f"epoch_{name.removeprefix('val_')}"
            self._writer(part).add_scalar(tag, float(value), epoch)

    def _write_histograms(self, epoch: int) -> None:
        writer = self._writers["train"]
        for name, value in self.model.named_parameters():
            path = name.replace(".", "/")
            writer.add_histogram(path, value.detach().float(), epoch)
            picture = _picture(value.detach().float()) if self.write_images else None
            if picture is not None:
                writer.add_images(f"{path}/image", picture, epoch)
        for name, gradient in self._gradients.items():
            # A gradient that is not finite has no histogram; its layer shows a gap.
            if torch.isfinite(gradient).all():
                writer.add_histogram(f"{name.replace('.', '/')}/gradient", gradient, epoch)
        self._gradients = {}

    def _write_embeddings(self, epoch: int) -> None:
        for name, module in self.model.named_modules():
            if isinstance(module, nn.Embedding):
                labels = self._labels_of(name)
                self._writers["train"].add_embedding(
                    module.weight.detach(), metadata=labels, tag=name, global_step=epoch
                )

    def _labels_of(self, name: str) -> list[str] | None:
        files = self.embeddings_metadata
        if isinstance(files, Mapping):
            files = next((file for key, file in files.items() if key in name.split(".")), None)
        return None if files is None else Path(files).read_text(encoding="utf-8").splitlines()

    def _write_graph(self) -> None:
        """Trace the model on a row or two of real input."""
        example, self._example = self._example, None
        was = {module: module.training for module in self.model.modules()}
        self.model.eval()
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                self._writers["train"].add_graph(self.model, example)
        except Exception as error:
            # A picture of the graph is not worth ending training for.
            warnings.warn(f"TensorBoard: the graph could not be traced: {error}", stacklevel=2)
        finally:
            for module, training in was.items():
                module.training = training

    def _see_input(self, model: nn.Module, args: tuple[Any, ...]) -> None:
        if args and all(isinstance(value, Tensor) for value in args):
            self._example = tuple(value[:2].detach().clone() for value in args)
        self._handle.remove()
        self._handle = None

    def _see_gradient(self, layer: str, parameter: str, gradient: Tensor) -> None:
        self._gradients[parameter] = gradient.float().clone()


def _profiler_for(batches: int | tuple[int, int], log_dir: Path) -> Profiler | None:
    if not batches:
        return None
    first, last = (batches, batches) if isinstance(batches, int) else batches
    return Profiler(log_dir / "profile", start=first, steps=last - first + 1, verbose=0)


def _example_of(model: Any) -> tuple[Tensor, ...] | None:
    """Zeros of the shapes that a model declares; `None` if it declares none or leaves some open."""
    declared = getattr(model, "inputs", None)
    if not isinstance(declared, (list, tuple)) or not declared:
        return None
    shapes = [tuple(tensor.shape)[1:] for tensor in declared]
    if any(size is None for shape in shapes for size in shape):
        return None
    device = next((p.device for p in model.parameters()), None)
    return tuple(
        torch.zeros((2, *shape), dtype=tensor.dtype, device=device)
        for shape, tensor in zip(shapes, declared, strict=True)
    )


def _picture(weight: Tensor) -> Tensor | None:
    """Weights as pictures (count, channels, height, width) from 0 to 1, where they can be."""
    if weight.dim() == 2:
        weight = weight[None, None]
    elif weight.dim() == 4 and weight.shape[1] not in (1, 3):
        weight = weight[:, :1]
    if weight.dim() != 4:
        return None
    low, high = weight.amin(), weight.amax()
    return (weight - low) / (high - low).clamp_min(1e-12)
