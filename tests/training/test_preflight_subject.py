"""What the pre-flight looks at: ranges of tensors, with or without a history."""

import warnings

import torch

from kerasish.training.preflight.subject import span


def test_the_range_of_outputs_with_a_history_is_read_without_a_warning():
    outputs = torch.tensor([[-1.0], [3.0]], requires_grad=True) * 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert span(outputs) == (-2.0, 6.0)
