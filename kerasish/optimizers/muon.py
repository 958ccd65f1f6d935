"""Muon."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kerasish.optimizers import algorithms
from kerasish.optimizers.base import LearningRate, Optimizer
from kerasish.optimizers.settings import number, optional_number


class Muon(Optimizer):
    """Orthogonalised momentum for weight matrices, AdamW for everything else.

    `torch.optim.Muon` takes matrices only and iterates in bfloat16; Keras's covers a whole model
    and iterates in the weights' own type, which is done here.

    Args:
        learning_rate: Step size, schedule, or function without arguments.
        adam_beta_1: Adam's share of the mean of gradients that stays.
        adam_beta_2: Adam's share of the mean of squares that stays.
        adam_weight_decay: Decoupled weight decay of what Adam updates.
        epsilon: Added to Adam's divisor.
        weight_decay: Decoupled weight decay of the matrices.
        exclude_layers: Regular expressions; parameters whose dotted name holds one go to Adam.
        exclude_embeddings: Whether parameters with "embedding" in their name go to Adam.
        muon_a: Coefficient of `x` in the Newton-Schulz iteration.
        muon_b: Coefficient of the cubic term.
        muon_c: Coefficient of the quintic term.
        adam_lr_ratio: Adam's learning rate relative to that of the matrices.
        momentum: Share of the momentum that stays at each update.
        ns_steps: Number of Newton-Schulz iterations.
        nesterov: Whether to look ahead along the momentum.
        rms_rate: Steps are scaled by this times the root of the longer side; `None` does not scale.

    The other settings are those of every optimizer; see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        exclude_layers: Sequence[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1.0,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
    ) -> None:
        clipping = clipnorm, clipvalue, global_clipnorm
        averaging = use_ema, ema_momentum, ema_overwrite_frequency
        scaling = loss_scale_factor, gradient_accumulation_steps
        super().__init__(learning_rate, weight_decay, *clipping, *averaging, *scaling, name)
        self.adam_beta_1 = number(self.name, "adam_beta_1", adam_beta_1, maximum=1.0)
        self.adam_beta_2 = number(self.name, "adam_beta_2", adam_beta_2, maximum=1.0)
        self.adam_weight_decay = optional_number(self.name, "adam_weight_decay", adam_weight_decay)
        self.epsilon = number(self.name, "epsilon", epsilon)
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c = muon_a, muon_b, muon_c
        self.adam_lr_ratio = number(self.name, "adam_lr_ratio", adam_lr_ratio)
        self.momentum = number(self.name, "momentum", momentum, maximum=1.0)
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = optional_number(self.name, "rms_rate", rms_rate)

    def uses_muon(self, name: str, parameter: Tensor) -> bool:
        """Whether this parameter is a matrix that no setting leaves to Adam."""
        if parameter.ndim != 2 or (self.exclude_embeddings and "embedding" in name.lower()):
            return False
        return not any(re.search(word, name) for word in self.exclude_layers)

    def parameter_options(self, name: str, parameter: Tensor) -> dict[str, Any]:
        """The common options, and which of the two algorithms updates this parameter."""
        options = super().parameter_options(name, parameter)
        use_muon = self.uses_muon(name, parameter)
        if not use_muon:
            options["lr_scale"] *= self.adam_lr_ratio
            excluded = self._exclusion.covers(name, parameter) or not self.adam_lr_ratio
            # As in Keras, the ratio scales Adam's step but not the decay.
            decay = (self.adam_weight_decay or 0.0) / (self.adam_lr_ratio or 1.0)
            options["decay"] = 0.0 if excluded else decay
        return {**options, "use_muon": use_muon}

    def make_torch(
        self, groups: list[dict[str, Any]], fast: dict[str, bool]
    ) -> torch.optim.Optimizer:
        """Both algorithms in one torch optimizer."""
        return algorithms.MuonAlgorithm(
            groups,
            betas=(self.adam_beta_1, self.adam_beta_2),
            eps=self.epsilon,
            momentum=self.momentum,
            nesterov=self.nesterov,
            coefficients=(self.muon_a, self.muon_b, self.muon_c),
            ns_steps=self.ns_steps,
            rms_rate=self.rms_rate,
        )
