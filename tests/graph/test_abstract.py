"""Shapes told without data, and kernels that are passed by for it."""

import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from kerasish import Input, Model, Sequential, layers, ops
from kerasish.graph.abstract import run_without_data


@pytest.mark.parametrize("is_training", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_normalisation_without_data_is_not_worked_out(is_training, dtype, monkeypatch):
    norm = nn.BatchNorm2d(3).train(is_training)
    x = torch.empty(4, 3, 5, 6, device="meta", dtype=dtype)
    expected = torch.batch_norm(x, *[None] * 4, True, 0.1, 1e-5, False)
    monkeypatch.setattr(torch, "batch_norm", None)

    y = run_without_data(norm, (x,), {})

    assert y.is_meta
    assert (y.shape, y.dtype, y.stride()) == (expected.shape, expected.dtype, expected.stride())
    assert norm.num_batches_tracked == 0
    assert torch.batch_norm is None  # what was there is there again


def test_torchs_kernels_are_there_again_after_threads_that_tell_shapes_at_the_same_time():
    normalize, x = torch.batch_norm, torch.empty(1)
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def first(x):
        first_is_in.set()
        second_is_in.wait(0.2)
        return x

    def second(x):
        second_is_in.set()
        one.join(5)
        return x

    one, two = (
        threading.Thread(target=run_without_data, args=(f, (x,), {})) for f in (first, second)
    )
    one.start()
    first_is_in.wait(5)
    two.start()
    two.join(5)

    try:
        assert torch.batch_norm is normalize
    finally:
        torch.batch_norm = normalize


def test_the_compiler_knows_batch_normalisation_after_a_recurrent_layer_was_recorded():
    code = """
import torch
from kerasish import Input, layers
layers.LSTM(2)(Input((None, 3)))
norm = layers.BatchNormalization()
norm(torch.ones(6, 3))
torch.compile(norm, backend="eager", fullgraph=True)(torch.ones(6, 3))
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_batch_normalisation_of_other_channels_is_refused_when_it_is_recorded():
    x = Input((4, 5, 5))

    with pytest.raises(RuntimeError, match="4"):
        layers.TorchModuleWrapper(nn.BatchNorm2d(3))(x)


def test_numbers_pass_through_the_short_ways():
    x = torch.randn(4, 3, 2)

    y = run_without_data(lambda _: nn.BatchNorm1d(3)(x), (torch.empty(1),), {})

    torch.testing.assert_close(y, nn.BatchNorm1d(3)(x))


class CausalAttention(layers.Layer):
    """Makes its mask as scripts do that give the sizes to repeat by as a tensor."""

    def __init__(self):
        super().__init__()
        self.attention = layers.MultiHeadAttention(num_heads=2, key_dim=4)

    def call(self, x):
        batch_size, steps = ops.shape(x)[0], ops.shape(x)[1]
        mask = ops.cast(ops.arange(steps)[:, None] >= ops.arange(steps), "int32")
        one = ops.convert_to_tensor([1, 1])
        times = ops.concatenate([ops.expand_dims(batch_size, -1), one], axis=0)
        mask = ops.tile(ops.reshape(mask, (1, steps, steps)), times)
        return self.attention(x, x, attention_mask=mask)


def test_numbers_that_a_layer_makes_itself_may_be_read_while_shapes_are_told():
    inputs = Input((None, 8))
    layer = CausalAttention()

    model = Model(inputs, layer(inputs))

    x = torch.randn(3, 5, 8)
    expected = layer.attention(x, x, use_causal_mask=True)
    torch.testing.assert_close(model(x), expected)
    assert model.output_shape == (None, None, 8)


def test_large_tensors_that_meet_no_data_lose_their_numbers():
    sizes = []

    def call(x):
        pairs = torch.ones(300, 1) + torch.ones(1, 300)
        sizes.append((pairs * 1).is_meta)
        return x + pairs

    y = run_without_data(call, (torch.empty(1, 1),), {})

    assert y.shape == (300, 300)
    assert sizes == [False, True]  # first as it stands, then without the numbers


def test_a_module_reached_by_two_paths_keeps_its_weights():
    shared, tied = nn.Linear(3, 3), nn.Linear(3, 3)
    tied.weight = shared.weight
    model = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared), nn.BatchNorm1d(3), tied)
    before = {name: id(tensor) for name, tensor in model.state_dict(keep_vars=True).items()}

    result = run_without_data(model, (torch.ones(2, 3),), {})

    assert result.is_meta
    assert result.shape == (2, 3)
    assert {n: id(t) for n, t in model.state_dict(keep_vars=True).items()} == before
    assert tied.weight is shared.weight


def test_sequentials_may_share_layers():
    class Blocks(layers.Layer):
        def build(self, input_shape):
            parts = [layers.LayerNormalization(), layers.Dense(input_shape[-1])]
            self.blocks = [Sequential(parts) for _ in range(2)]

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return x

    x = torch.randn(2, 3)
    y = Sequential([Blocks(name="blocks")])(x)
    assert y.shape == (2, 3)
    assert not y.is_meta
