"""Cross-entropies, peak signal-to-noise ratio, and the CTC loss and decoders."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812

from kerasish import config
from kerasish.describe import describe, suggest
from kerasish.ops.tensors import TensorLike, as_float, convert_to_tensor, recorded


def _clipped(probabilities: torch.Tensor) -> torch.Tensor:
    return torch.clamp(probabilities, config.epsilon(), 1 - config.epsilon())


def _check_same_shape(owner: str, target: torch.Tensor, output: torch.Tensor) -> None:
    if target.shape != output.shape:
        raise ValueError(
            f"{owner}: target and output must have one shape, got {describe(target)} and "
            f"{describe(output)}."
        )


@recorded
def binary_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False
) -> torch.Tensor:
    """`-target * log(output) - (1 - target) * log(1 - output)`, element by element.

    Args:
        target: 0 or 1, or between.
        output: Probabilities, or logits.
        from_logits: Whether `output` is logits.
    """
    output = as_float(output)
    target = convert_to_tensor(target).to(output.dtype)
    _check_same_shape("binary_crossentropy", target, output)
    if from_logits:
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")
    return F.binary_cross_entropy(_clipped(output), target, reduction="none")


def _log_probabilities(output: torch.Tensor, from_logits: bool, axis: int) -> torch.Tensor:
    if from_logits:
        return torch.log_softmax(output, dim=axis)
    return torch.log(_clipped(output / torch.sum(output, dim=axis, keepdim=True)))


@recorded
def categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> torch.Tensor:
    """`-sum(target * log(output))` along an axis.

    Args:
        target: The true probabilities of the classes, such as one-hot vectors.
        output: Scores of the classes; they are divided by their sum.
        from_logits: Whether `output` is logits.
        axis: Of the classes.
    """
    output = as_float(output)
    target = convert_to_tensor(target).to(output.dtype)
    _check_same_shape("categorical_crossentropy", target, output)
    return -torch.sum(target * _log_probabilities(output, from_logits, axis), dim=axis)


@recorded
def sparse_categorical_crossentropy(
    target: TensorLike, output: TensorLike, from_logits: bool = False, axis: int = -1
) -> torch.Tensor:
    """`-log(output[target])` along an axis; as `categorical_crossentropy` with class indices.

    Shapes:
        target: `(batch, ...)`, or with the axis of the classes, of size 1
        output: `(batch, ..., classes)`
        result: `(batch, ...)`
    """
    output = as_float(output)
    target = convert_to_tensor(target).to(torch.int64)
    if target.ndim < output.ndim:
        target = target.unsqueeze(axis)
    expected = list(output.shape)
    expected[axis] = 1
    if list(target.shape) != expected:
        raise ValueError(
            "sparse_categorical_crossentropy: target must have the shape of output without the "
            f"axis of the classes, got {describe(target.squeeze(axis))} and {describe(output)}."
        )
    scores = _log_probabilities(output, from_logits, axis)
    return -torch.gather(scores, axis, target).squeeze(axis)


def psnr(x1: TensorLike, x2: TensorLike, max_val: float) -> torch.Tensor:
    """The peak signal-to-noise ratio in decibels: `20 log10(max_val) - 10 log10(mean((x1 - x2)²))`.

    Args:
        x1: One image or batch.
        x2: Another of the same shape.
        max_val: The largest value that a pixel can have.
    """
    x1, x2 = as_float(x1), as_float(x2)
    _check_same_shape("psnr", x1, x2)
    return 10 * torch.log10(max_val**2 / torch.mean(torch.square(x1 - x2)))


@recorded
def ctc_loss(
    target: TensorLike,
    output: TensorLike,
    target_length: TensorLike,
    output_length: TensorLike,
    mask_index: int = 0,
) -> torch.Tensor:
    """Minus the log of the probability that a sequence of scores spells the target.

    Shapes:
        target: `(batch, target time)`, class indices
        output: `(batch, time, classes)`, logits
        target_length, output_length: `(batch,)`
        result: `(batch,)`

    Args:
        target: The labels.
        output: The scores.
        target_length: How many labels of each row count.
        output_length: How many scores of each row count.
        mask_index: The class that stands for "no label".
    """
    output = as_float(output).to(torch.float32)
    if output.is_meta:  # torch's kernel needs data even to tell the shape
        return output.new_empty(len(output))
    lengths = [convert_to_tensor(v).to(torch.int64) for v in (output_length, target_length)]
    return F.ctc_loss(
        torch.log_softmax(output, dim=-1).transpose(0, 1),
        convert_to_tensor(target).to(torch.int64),
        lengths[0],
        lengths[1],
        blank=mask_index,
        reduction="none",
    )


@recorded
def ctc_decode(
    inputs: TensorLike,
    sequence_lengths: TensorLike,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The labels that a sequence of scores spells.

    Args:
        inputs: `(batch, time, classes)`, logits.
        sequence_lengths: How many scores of each row count.
        strategy: `"greedy"` takes the best class of each time; `"beam_search"` the best sequences.
        beam_width: How many sequences the search keeps.
        top_paths: How many it returns.
        merge_repeated: Whether the greedy strategy makes one label of a run of equal ones.
        mask_index: The class that stands for "no label".

    Returns:
        Labels `(paths, batch, time)`, filled up with -1; and `(batch, 1)` minus the sum of the best
        scores (greedy), or `(batch, paths)` the log probabilities (beam search).

    Raises:
        ValueError: If the strategy is unknown.
    """
    scores = as_float(inputs).to(torch.float32)
    lengths = convert_to_tensor(sequence_lengths).to(torch.int64)
    if strategy == "greedy":
        return _decode_greedy(scores, lengths, merge_repeated, mask_index)
    if strategy == "beam_search":
        return _decode_beams(scores, lengths, beam_width, top_paths, mask_index)
    raise ValueError(
        f"ctc_decode: unknown strategy {describe(strategy)}"
        f"{suggest(strategy, ['greedy', 'beam_search'])}."
    )


def _decode_greedy(
    scores: torch.Tensor, lengths: torch.Tensor, merge_repeated: bool, mask_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    best, labels = scores.max(dim=-1)  # (B, T)
    is_real = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
    keep = is_real & (labels != mask_index)
    if merge_repeated:
        keep[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    # A stable sort on "dropped" brings the kept labels to the front, in their order.
    order = torch.sort((~keep).to(torch.int8), dim=1, stable=True)[1]
    labels = torch.where(keep, labels, -1).gather(1, order)
    return labels[None], -torch.where(is_real, best, 0).sum(dim=1, keepdim=True)


def _decode_beams(
    scores: torch.Tensor, lengths: torch.Tensor, beam_width: int, top_paths: int, mask_index: int
) -> tuple[torch.Tensor, torch.Tensor]:
    batch, time, _ = scores.shape
    if scores.is_meta:  # the search reads numbers; its shapes are known without
        paths = torch.empty(top_paths, batch, time, dtype=torch.int64, device="meta")
        return paths, scores.new_empty(batch, top_paths)
    logs = torch.log_softmax(scores, dim=-1).double().cpu()
    paths = torch.full((top_paths, batch, time), -1, dtype=torch.int64)
    totals = torch.full((batch, top_paths), -torch.inf)
    for row, length in enumerate(lengths.tolist()):
        beams = _search(logs[row, :length].tolist(), beam_width, mask_index)
        for place, (labels, total) in enumerate(beams[:top_paths]):
            paths[place, row, : len(labels)] = torch.tensor(labels, dtype=torch.int64)
            totals[row, place] = total
    return paths.to(scores.device), totals.to(scores.device)


def _search(
    steps: list[list[float]], beam_width: int, mask_index: int
) -> list[tuple[tuple[int, ...], float]]:
    """Prefix beam search: label sequences with the log probability of all ways to spell each."""
    nothing = -float("inf")
    # For each sequence: log probability of the ways that end with the mask, and with a label.
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, nothing)}
    for step in steps:
        grown: dict[tuple[int, ...], list[float]] = {}
        for labels, (masked, plain) in beams.items():
            same = grown.setdefault(labels, [nothing, nothing])
            total = _log_sum(masked, plain)
            same[0] = _log_sum(same[0], total + step[mask_index])
            for label, log in enumerate(step):
                if label == mask_index:
                    continue
                repeats = bool(labels) and labels[-1] == label
                if repeats:  # without a mask between, it is the same label still
                    same[1] = _log_sum(same[1], plain + log)
                longer = grown.setdefault((*labels, label), [nothing, nothing])
                longer[1] = _log_sum(longer[1], (masked if repeats else total) + log)
        kept = sorted(grown.items(), key=lambda item: -_log_sum(*item[1]))[:beam_width]
        beams = {labels: (ends[0], ends[1]) for labels, ends in kept}
    return [(labels, _log_sum(*ends)) for labels, ends in beams.items()]


def _log_sum(a: float, b: float) -> float:
    high, low = max(a, b), min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
