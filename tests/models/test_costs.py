"""Multiply-adds and receptive fields against published figures, hand counts and gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from kerasish import Input, Model, Sequential, layers
from kerasish.models.costs import Costs
from kerasish.models.rows import rows_of


def macs_of(model):
    costs = Costs(model)
    return {row.name: costs.macs(row) for row in rows_of(model)}


def fields_of(model):
    costs = Costs(model)
    return [costs.receptive_field(row) for row in rows_of(model)]


def conv(channels, kernel, **options):
    return layers.Conv2D(channels, kernel, **options)


def seen_by_gradients(model, x):
    """The span of input positions, by axis, that the middle output depends on."""
    x = x.clone().requires_grad_()
    y = model(x)
    middle = (slice(None), slice(None), *(size // 2 for size in y.shape[2:]))
    (gradient,) = torch.autograd.grad(y[middle].sum(), x)
    places = gradient.abs().sum((0, 1)).nonzero()
    return tuple((places.max(0).values - places.min(0).values + 1).tolist())


# Multiply-adds


@pytest.mark.parametrize("same", [True, False])
def test_convolution_costs_output_positions_times_window_times_channels(same):
    model = Sequential([Input((3, 32, 20)), conv(8, 5, padding="same" if same else "valid")])

    height, width = (32, 20) if same else (28, 16)
    assert Costs(model).total_macs == height * width * 5 * 5 * 3 * 8


def test_one_seven_costs_more_than_three_threes():
    c, side = 16, 20
    seven = Sequential([Input((c, side, side)), conv(c, 7, padding="same", use_bias=False)])
    threes = Sequential(
        [Input((c, side, side))] + [conv(c, 3, padding="same", use_bias=False) for _ in range(3)]
    )

    assert Costs(seven).total_macs == 49 * side * side * c * c
    assert Costs(threes).total_macs == 27 * side * side * c * c
    assert seven.count_params() == 49 * c * c
    assert threes.count_params() == 27 * c * c


def test_bottleneck_costs_less_than_a_plain_convolution():
    c, side = 32, 10
    narrow = Sequential(
        [
            Input((c, side, side)),
            conv(c // 2, 1, use_bias=False),
            conv(c // 2, 3, padding="same", use_bias=False),
            conv(c, 1, use_bias=False),
        ]
    )

    assert Costs(narrow).total_macs == side * side * (c * c // 2 + 9 * c * c // 4 + c * c // 2)


def test_factored_convolution_costs_two_rows_instead_of_a_square():
    model = Sequential(
        [Input((4, 12, 12)), conv(4, (1, 7), padding="same"), conv(4, (7, 1), padding="same")]
    )

    assert Costs(model).total_macs == 12 * 12 * 4 * 4 * (7 + 7)


def test_grouped_and_transposed_convolutions_are_counted():
    grouped = Sequential([Input((8, 6, 6)), layers.TorchModule(nn.Conv2d(8, 8, 3, groups=4))])
    transposed = Sequential([Input((8, 6, 6)), layers.TorchModule(nn.ConvTranspose2d(8, 4, 3))])

    assert Costs(grouped).total_macs == 4 * 4 * 9 * 2 * 8
    assert Costs(transposed).total_macs == 6 * 6 * 9 * 8 * 4


def test_dense_counts_positions_when_input_is_a_sequence():
    model = Sequential([Input((7, 5)), layers.Dense(3)])

    assert Costs(model).total_macs == 7 * 5 * 3


@pytest.mark.parametrize(("cell", "gates"), [(layers.LSTM, 4), (layers.GRU, 3)])
def test_recurrent_layers_count_every_step(cell, gates):
    model = Sequential([Input((20, 7)), cell(5)])

    assert Costs(model).total_macs == 20 * gates * (7 * 5 + 5 * 5)


def test_half_precision_costs_as_much_and_sees_as_far():
    model = Sequential([Input((20, 7)), layers.LSTM(5, dtype="mixed_bfloat16"), layers.Dense(3)])

    assert Costs(model).total_macs == 20 * 4 * (7 * 5 + 5 * 5) + 15
    assert fields_of(model) == [(math.inf,), (math.inf,)]


def test_functions_between_layers_are_counted():
    x = Input((10, 8), name="x")
    scores = torch.einsum("bik,bjk->bij", x, x)
    model = Model(x, layers.Dense(2)(scores @ x))

    macs = macs_of(model)

    assert [macs[name] for name in ("x", "einsum", "matmul")] == [0, 800, 800]
    assert Costs(model).total_macs == 800 + 800 + 10 * 8 * 2


def test_shared_layer_counts_every_call():
    x = Input((6,))
    shared = layers.Dense(6, name="shared")
    model = Model(x, shared(shared(shared(x))))

    assert macs_of(model)["shared"] == Costs(model).total_macs == 3 * 36


def test_nested_model_counts_what_is_inside():
    inner = Sequential(
        [Input((6,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="n"
    )
    model = Sequential([Input((5,)), layers.Dense(6, name="c"), inner])
    costs = Costs(model)

    rows = {row.name: costs.macs(row) for row in rows_of(model, expand_nested=True)}

    assert rows == {"c": 30, "n": 32, "a": 24, "b": 8}
    assert costs.total_macs == 62


@pytest.mark.parametrize("batch", [1, 8])
def test_costs_are_per_sample_whatever_the_batch(batch):
    model = Sequential([Input((4,), batch_size=batch), layers.Dense(3)])

    assert Costs(model).total_macs == 12


def test_unknown_sizes_leave_multiply_adds_unknown_but_not_receptive_fields():
    model = Sequential([Input((3, None, None)), conv(4, 3), conv(4, 3)])

    assert Costs(model).total_macs is None
    assert fields_of(model) == [(3, 3), (5, 5)]


@pytest.mark.parametrize(
    ("name", "size", "macs"),
    [("resnet18", 224, 1_814_073_344), ("vgg11", 224, 7_609_090_048)],
)
def test_published_networks_have_their_published_costs(name, size, macs):
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        module = getattr(torchvision.models, name)()
    model = Model(module)
    model(torch.empty(1, 3, size, size, device="meta"))

    assert Costs(model).total_macs == macs


def test_measuring_leaves_the_model_as_it_was():
    model = Sequential([Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.random.get_rng_state()

    Costs(model)

    assert model.training
    assert model.layers[1].training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_code_that_looks_at_values_leaves_costs_unknown():
    class Picky(Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def forward(self, x):
            return self.dense(x) if float(x.sum()) > 0 else self.dense(-x)

    model = Picky()
    model(torch.ones(2, 3))

    costs = Costs(model)

    assert costs.total_macs is None
    assert costs.problem


# Receptive fields


def test_two_threes_see_five_and_three_see_seven():
    model = Sequential([Input((2, 30, 30)), conv(2, 3), conv(2, 3), conv(2, 3)])

    assert fields_of(model) == [(3, 3), (5, 5), (7, 7)]


window = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.booleans())


@given(windows=st.lists(window, min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_windows_add_up(windows):
    parts, size, jump = [], 1, 1
    for kernel, stride, dilation, is_pool in windows:
        kind = nn.MaxPool1d if is_pool else lambda *args, **kwargs: nn.Conv1d(1, 1, *args, **kwargs)
        parts.append(kind(kernel, stride=stride, dilation=dilation))
        size, jump = size + (kernel - 1) * dilation * jump, jump * stride
    model = Sequential([Input((1, size + jump)), layers.TorchModule(nn.Sequential(*parts))])

    assert fields_of(model) == [(size,)]


def test_alexnet_sees_what_its_strides_make_it_see():
    model = Sequential(
        [
            Input((3, 227, 227)),
            conv(96, 11, strides=4),
            layers.MaxPooling2D(3, 2),
            conv(256, 5, padding="same"),
            layers.MaxPooling2D(3, 2),
            conv(384, 3, padding="same"),
            conv(384, 3, padding="same"),
            conv(256, 3, padding="same"),
            layers.MaxPooling2D(3, 2),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )

    sizes = [11, 19, 51, 67, 99, 131, 163, 195, 195]
    assert fields_of(model) == [*((size, size) for size in sizes), (math.inf, math.inf)]


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.Conv2d(1, 1, (5, 3), dilation=(2, 1))),
        nn.Sequential(nn.Conv2d(1, 1, 3, padding=2), nn.AvgPool2d(3, 2), nn.Conv2d(1, 1, 2)),
        nn.Sequential(nn.ConvTranspose2d(1, 1, 4, stride=2, padding=1), nn.Conv2d(1, 1, 3)),
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(1, 1, 3), nn.AvgPool2d(2)),
        nn.Sequential(nn.ZeroPad2d((3, 0, 0, 2)), nn.Conv2d(1, 1, 5), nn.Flatten(2), nn.ReLU()),
        nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(16, 1, 1)),
    ],
    ids=["strides", "pooling", "transposed", "upsampling", "padding", "patches"],
)
def test_receptive_field_is_what_gradients_see(module):
    for parameter in module.parameters():
        nn.init.ones_(parameter)
    x = torch.rand(1, 1, 40, 40)
    probe = module[:-2] if isinstance(module[-1], nn.ReLU) else module

    model = Sequential([Input((1, 40, 40)), layers.TorchModule(module)])

    (field,) = fields_of(model)
    seen = seen_by_gradients(probe, x)
    # A window between two strides may see one position less than the largest does.
    assert all(0 <= got - want <= 1 for got, want in zip(field, seen, strict=True))


def test_skip_connection_sees_as_far_as_its_longer_way():
    x = Input((4, 16, 16))
    y = layers.Conv2D(4, 3, padding="same")(x)
    z = layers.Conv2D(4, 5, padding="same")(y)
    model = Model(x, torch.relu(z + x) * y)

    assert fields_of(model)[-1] == (7, 7)


def test_neighbours_added_by_slicing_see_each_other():
    x = Input((10, 4))
    model = Model(x, x[:, 1:] + x[:, :-1])

    assert fields_of(model)[-1] == (2,)


def test_channels_last_sees_the_same():
    first = Sequential([Input((3, 20, 30)), conv(4, (3, 5)), layers.MaxPooling2D(2)])
    last = Sequential(
        [
            Input((20, 30, 3)),
            conv(4, (3, 5), data_format="channels_last"),
            layers.MaxPooling2D(2, data_format="channels_last"),
        ]
    )

    assert fields_of(first) == fields_of(last) == [(3, 5), (4, 6)]


def test_recurrence_and_attention_see_everything():
    x = Input((12, 8))
    attend = layers.TorchModule(nn.MultiheadAttention(8, 2, batch_first=True))

    assert fields_of(Model(x, layers.LSTM(3)(x)))[-1] == (math.inf,)
    assert fields_of(Model(x, attend(x, x, x)[0]))[-1] == (math.inf,)


def test_words_see_as_many_words_as_the_convolutions_span():
    model = Sequential(
        [Input((20,), dtype="int64"), layers.Embedding(10, 8), layers.Conv1D(4, 3), layers.Dense(2)]
    )

    assert fields_of(model) == [(1,), (3,), (3,)]


def test_vectors_have_no_positions():
    assert fields_of(Sequential([Input((4,)), layers.Dense(3)])) == [()]


def test_published_networks_have_their_published_fields():
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        model = Model(torchvision.models.resnet18())
    model(torch.empty(1, 3, 224, 224, device="meta"))
    costs = Costs(model)

    fields = {row.name: costs.receptive_field(row) for row in rows_of(model)}

    # Araujo et al., "Computing receptive fields of convolutional neural networks", 2019.
    assert fields["layer4"] == (435, 435)
    assert fields["fc"] == (math.inf, math.inf)
