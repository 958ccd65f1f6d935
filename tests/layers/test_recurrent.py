"""SimpleRNN, LSTM, GRU and their cells against Keras and torch."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kerasish import layers
from tests.layers.harness import assert_same_signature, check_layer
from tests.layers.parity import assert_same_as_keras, in_peace, randomize

NAMES = ["SimpleRNN", "LSTM", "GRU"]
OPTIONS = {
    "plain": {},
    "sequences": {"return_sequences": True},
    "states": {"return_state": True},
    "backwards": {"return_sequences": True, "return_state": True, "go_backwards": True},
    "no bias": {"use_bias": False},
    "relu": {"activation": "relu"},
    "elu": {"activation": "elu", "return_sequences": True, "go_backwards": True},
    "zeros": {"zero_output_for_mask": True, "return_sequences": True},
    "zeros at the end": {"zero_output_for_mask": True},
}
MASKS = {
    "no mask": None,
    "right-padded": torch.arange(6) < torch.tensor([6, 3, 1, 0])[:, None],
    "any": torch.tensor([[0, 1, 0, 1, 1, 0], [1] * 6, [0, 0, 1, 1, 0, 1], [1, 0, 0, 0, 0, 0]]) > 0,
}


@pytest.fixture
def keras():
    return pytest.importorskip("keras")


def with_mask(key):
    return {} if MASKS[key] is None else {"mask": MASKS[key]}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_recurrent_layers_match_keras(keras, name, options, mask):
    options = OPTIONS[options]
    ours, theirs = getattr(layers, name)(5, **options), getattr(keras.layers, name)(5, **options)

    assert_same_as_keras(ours, theirs, torch.randn(4, 6, 3), **with_mask(mask))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("GRU", {"reset_after": False}),
        ("GRU", {"reset_after": False, "use_bias": False, "return_sequences": True}),
        ("GRU", {"recurrent_activation": "hard_sigmoid"}),
        ("LSTM", {"recurrent_activation": "hard_sigmoid", "activation": "softsign"}),
        ("LSTM", {"unit_forget_bias": False, "use_cudnn": False, "return_state": True}),
    ],
)
def test_unusual_recurrences_match_keras(keras, name, options, mask):
    ours, theirs = getattr(layers, name)(5, **options), getattr(keras.layers, name)(5, **options)

    assert_same_as_keras(ours, theirs, torch.randn(4, 6, 3), **with_mask(mask))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"activation": "elu"}])
def test_initial_states_match_keras(keras, name, mask, options):
    options = {"return_sequences": True, "return_state": True, **options}
    ours, theirs = getattr(layers, name)(5, **options), getattr(keras.layers, name)(5, **options)
    count = 2 if name == "LSTM" else 1
    states = [torch.randn(4, 5) for _ in range(count)]

    assert_same_as_keras(
        ours, theirs, torch.randn(4, 6, 3), initial_state=states, **with_mask(mask)
    )


@pytest.mark.parametrize("name", NAMES)
def test_kernel_and_step_loop_agree(name):
    x = torch.randn(4, 6, 3)
    layer = getattr(layers, name)(5, return_sequences=True, return_state=True)
    layer(x)
    randomize(layer)
    fast = layer(x)

    layer._kernel = False
    slow = layer(x)

    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize(
    ("name", "module"), [("SimpleRNN", nn.RNN), ("LSTM", nn.LSTM), ("GRU", nn.GRU)]
)
def test_state_dict_is_that_of_the_torch_module(name, module):
    x = torch.randn(2, 4, 3)
    layer = getattr(layers, name)(5, return_sequences=True)
    y = layer(x)
    reference = module(3, 5, batch_first=True)

    reference.load_state_dict({k.split(".")[1]: v for k, v in layer.state_dict().items()})

    assert_close(reference(x)[0], y)
    trained = {key for key, _ in layer.named_parameters()}
    assert ("gru.bias_hh_l0" in trained) == (name == "GRU")


def test_lstm_starts_with_open_forget_gates():
    layer = layers.LSTM(3)
    layer.build((None, None, 2))

    bias = layer.get_weights()[2]

    assert bias.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    recurrent = torch.from_numpy(layer.get_weights()[1])
    assert_close(recurrent @ recurrent.T, torch.eye(3))


def test_gru_bias_has_two_rows_that_are_regularised_together():
    layer = layers.GRU(2, bias_regularizer="l2", bias_constraint="non_neg", bias_initializer="ones")
    layer.build((None, None, 3))

    assert layer.get_weights()[2].shape == (2, 6)
    assert_close(layer.losses[0], torch.tensor(0.12))
    layer.losses[0].backward()
    assert_close(layer.gru.bias_hh_l0.grad, torch.full((6,), 0.02))
    layer.gru.bias_hh_l0.data.fill_(-1)
    layer.keras_weights()[2].constrain()
    assert not layer.gru.bias_hh_l0.any()
    assert layer.count_params() == 3 * 6 + 2 * 6 + 12


@pytest.mark.parametrize("name", NAMES)
def test_stateful_layers_go_on_where_the_last_batch_ended(name):
    x = torch.randn(4, 6, 3)
    whole = getattr(layers, name)(5)
    parts = getattr(layers, name)(5, stateful=True)
    want = whole(x)
    parts(x[:, :2])
    parts.set_weights(whole.get_weights())
    parts.reset_state()

    parts(x[:, :2])
    got = parts(x[:, 2:])

    assert_close(got, want)
    assert not any(state.requires_grad for state in parts.states)
    assert all("state" not in key for key in parts.state_dict())
    with pytest.raises(ValueError, match="holds the states of 4 sequences, got a batch of 3"):
        parts(x[:3])
    parts.reset_state()
    assert parts.states is None
    assert_close(parts(x), want)


def test_stateful_layers_keep_their_states_through_shape_inference():
    layer = layers.LSTM(5, stateful=True)
    layer(torch.randn(4, 6, 3))
    before = [state.clone() for state in layer.states]

    layer(layers.Input((6, 3)))
    assert layer.compute_output_shape((None, None, 3)) == (None, 5)

    for one, other in zip(layer.states, before, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_acts_in_training_only_and_is_the_same_at_all_steps(name):
    x = torch.ones(64, 5, 8)
    layer = getattr(layers, name)(4, dropout=0.5, seed=1, return_sequences=True)
    plain = layer(x, training=False)
    assert torch.equal(plain, layer(x, training=False))

    layer.core.weight_hh_l0.data.zero_()
    first = layer(x, training=True)

    if name == "SimpleRNN":  # without a memory each step shows its own inputs
        assert_close(first[:, 0], first[:, 4])
    assert not torch.equal(first, layer(x, training=True))
    assert len(first[:, 0].unique(dim=0)) > 10


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_dropout_acts_on_the_state_alone(name):
    x = torch.randn(16, 3, 4)
    layer = getattr(layers, name)(4, recurrent_dropout=0.5, return_sequences=True)
    calm = layer(x, training=False)

    stirred = layer(x, training=True)

    assert_close(stirred[:, 0], calm[:, 0])
    assert not torch.allclose(stirred[:, 1], calm[:, 1])


@pytest.mark.parametrize("name", NAMES)
def test_recurrent_layers_in_a_functional_model(name):
    tokens = layers.Input((None,), dtype="int64")
    x = layers.Embedding(7, 3, mask_zero=True)(tokens)

    sequence = getattr(layers, name)(5, return_sequences=True)(x)
    output, *states = getattr(layers, name)(5, return_state=True, activation="elu")(sequence)
    last = getattr(layers, name)(5)(x, initial_state=states)

    assert sequence.shape == (None, None, 5)
    assert sequence.mask is not None
    assert output.mask is None
    assert [state.shape for state in states] == [(None, 5)] * len(states)
    assert last.shape == (None, 5)


def test_masked_steps_do_not_touch_the_result():
    x = torch.randn(2, 5, 3)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    layer = layers.LSTM(4)
    short = layer(x[:1, :3])

    x[0, 3:] = float("inf")
    assert_close(layer(x, mask=mask)[:1], short)


@pytest.mark.parametrize(
    "make",
    [
        lambda module: module.SimpleRNNCell(5),
        lambda module: module.SimpleRNNCell(5, activation="elu", use_bias=False),
        lambda module: module.LSTMCell(5),
        lambda module: module.LSTMCell(5, activation="elu"),
        lambda module: module.GRUCell(5),
        lambda module: module.GRUCell(5, reset_after=False),
        lambda module: module.GRUCell(5, use_bias=False),
    ],
)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("options", ["plain", "sequences", "backwards", "zeros"])
def test_cells_in_rnn_match_keras(keras, make, options, mask):
    options = OPTIONS[options]
    ours, theirs = (
        layers.RNN(make(layers), **options),
        keras.layers.RNN(make(keras.layers), **options),
    )

    assert_same_as_keras(ours, theirs, torch.randn(4, 6, 3), **with_mask(mask))


def test_stacked_cells_match_keras(keras):
    def make(module):
        return module.RNN(
            [module.LSTMCell(5), module.GRUCell(4), module.SimpleRNNCell(3)], return_sequences=True
        )

    assert_same_as_keras(make(layers), make(keras.layers), torch.randn(4, 6, 3))


def test_cells_take_one_step_as_keras(keras):
    x, h, c = torch.randn(4, 3), torch.randn(4, 5), torch.randn(4, 5)
    for name, states in (("SimpleRNNCell", [h]), ("LSTMCell", [h, c]), ("GRUCell", [h])):
        ours, theirs = getattr(layers, name)(5), getattr(keras.layers, name)(5)
        output, after = ours(x, states)
        in_peace(theirs, x, states)
        in_peace(theirs.set_weights, ours.get_weights())
        want, want_after = theirs(x, states)
        assert_close(output, want)
        assert_close(after, list(want_after))
        assert ours.state_size == theirs.state_size


def test_rnn_runs_a_cell_of_ones_own():
    class Sum(layers.Layer):
        state_size = 3

        def call(self, inputs, states):
            total = states[0] + inputs
            return total, [total]

    x = torch.randn(2, 4, 3)

    output, state = layers.RNN(Sum(), return_sequences=True, return_state=True)(x)

    assert_close(output, x.cumsum(1))
    assert_close(state, x.sum(1))
    assert layers.RNN(Sum())(layers.Input((None, 3))).shape == (None, 3)


def test_cells_hold_one_dropout_mask_for_a_sequence():
    x = torch.ones(32, 5, 8)
    cell = layers.SimpleRNNCell(4, dropout=0.5)
    layer = layers.RNN(cell, return_sequences=True)
    layer(x)
    cell.rnn.weight_hh.data.zero_()

    y = layer(x, training=True)

    assert_close(y[:, 0], y[:, 4])
    assert not torch.equal(y, layer(x, training=True))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("options", ["plain", "sequences", "states"])
@pytest.mark.parametrize("mask", ["no mask", "right-padded"])
def test_bidirectional_matches_keras(keras, name, mode, options, mask):
    def make(module):
        return module.Bidirectional(getattr(module, name)(5, **OPTIONS[options]), merge_mode=mode)

    assert_same_as_keras(make(layers), make(keras.layers), torch.randn(4, 6, 3), **with_mask(mask))


def test_bidirectional_keeps_configuration_and_takes_states():
    layer = layers.Bidirectional(layers.LSTM(5, return_state=True), merge_mode="sum")
    x = torch.randn(2, 4, 3)

    again = layers.Bidirectional.from_config(layer.get_config())
    y, *states = layer(x)
    again(x)
    again.set_weights(layer.get_weights())

    assert_close(again(x)[0], y)
    assert again.backward_layer.go_backwards
    assert [state.shape for state in states] == [(2, 5)] * 4
    z, *_ = layer(x, initial_state=states)
    assert not torch.allclose(z, y)


def test_bidirectional_in_a_functional_model_passes_the_mask_on():
    tokens = layers.Input((None,), dtype="int64")
    x = layers.Embedding(7, 3, mask_zero=True)(tokens)

    y = layers.Bidirectional(layers.GRU(4, return_sequences=True))(x)

    assert y.shape == (None, None, 8)
    assert y.mask is x.mask


@pytest.mark.parametrize("name", NAMES)
def test_configurations_make_the_same_layers(name):
    layer = getattr(layers, name)(
        5, activation="relu", return_sequences=True, dropout=0.1, name="a"
    )

    again = type(layer).from_config(layer.get_config())

    assert again.get_config() == layer.get_config()
    rnn = layers.RNN([getattr(layers, f"{name}Cell")(3), getattr(layers, f"{name}Cell")(4)])
    assert layers.RNN.from_config(rnn.get_config())(torch.randn(2, 3, 2)).shape == (2, 4)


def test_errors_of_recurrent_layers():
    with pytest.raises(ValueError, match="LSTM: `units` must be a positive integer"):
        layers.LSTM(0)
    with pytest.raises(ValueError, match="expects 3-D input"):
        layers.LSTM(3)(torch.ones(2, 3))
    with pytest.raises(ValueError, match="needs to know the number of features"):
        layers.GRU(3)(layers.Input((4, None)))
    with pytest.raises(ValueError, match="RNN: a cell is called on"):
        layers.RNN(layers.Dense(3))
    with pytest.raises(TypeError, match="Bidirectional: expected a recurrent layer"):
        layers.Bidirectional(layers.Dense(3))
    with pytest.raises(ValueError, match="must differ in `go_backwards`"):
        layers.Bidirectional(layers.LSTM(3), backward_layer=layers.LSTM(3))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.SimpleRNN(4), (3, 6, 5)),
        (lambda: layers.LSTM(4, return_sequences=True, return_state=True), (3, 6, 5)),
        (lambda: layers.LSTM(4, activation="elu", dropout=0.1), (3, 6, 5)),
        (lambda: layers.GRU(4, go_backwards=True), (3, 6, 5)),
        (lambda: layers.GRU(4, reset_after=False, use_bias=False), (3, 6, 5)),
        (lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)]), (3, 6, 5)),
        (lambda: layers.Bidirectional(layers.LSTM(4)), (3, 6, 5)),
        (
            lambda: layers.Bidirectional(layers.SimpleRNN(4, return_state=True), merge_mode=None),
            (3, 6, 5),
        ),
    ],
)
def test_what_every_layer_owes(make, shape):
    check_layer(make(), torch.randn(shape))


@pytest.mark.parametrize(
    "name",
    [
        "SimpleRNN",
        "LSTM",
        "GRU",
        "RNN",
        "SimpleRNNCell",
        "LSTMCell",
        "GRUCell",
        "StackedRNNCells",
        "Bidirectional",
    ],
)
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    assert_same_signature(getattr(layers, name), getattr(keras.layers, name))


TYPED = {
    "wider outside": lambda ls: ls.RNN(ls.LSTMCell(4), return_state=True, dtype="float64"),
    "wider inside": lambda ls: ls.RNN(ls.LSTMCell(4, dtype="float64"), return_sequences=True),
    "one wider of two": lambda ls: ls.RNN([ls.GRUCell(4, dtype="float64"), ls.SimpleRNNCell(3)]),
    "wider outside two": lambda ls: ls.RNN([ls.LSTMCell(4), ls.GRUCell(3)], dtype="float64"),
    "both ways": lambda ls: ls.Bidirectional(ls.LSTM(4, return_sequences=True), dtype="float64"),
    "both ways, wider inside": lambda ls: ls.Bidirectional(
        ls.GRU(4, dtype="float64"), merge_mode=None
    ),
    "in time": lambda ls: ls.TimeDistributed(ls.Dense(4), dtype="float64"),
    "in time, wider inside": lambda ls: ls.TimeDistributed(ls.Dense(4, dtype="float64")),
    "normalised": lambda ls: ls.SpectralNormalization(ls.Dense(4), dtype="float64"),
    "normalised, wider inside": lambda ls: ls.SpectralNormalization(ls.Dense(4, dtype="float64")),
}


@pytest.mark.parametrize("make", TYPED.values(), ids=TYPED)
def test_a_layer_inside_computes_in_its_own_type_as_in_keras(make, keras):
    ours, theirs = make(layers), in_peace(make, keras.layers)

    assert_same_as_keras(ours, theirs, torch.randn(2, 6, 3))  # types of outputs too

    kinds = [str(weight.tensor.dtype).split(".")[1] for weight in ours.keras_weights()]
    assert kinds == [weight.dtype for weight in theirs.weights]


def test_a_cell_of_another_type_learns_with_masks_states_and_random_masks():
    layer = layers.RNN(
        layers.LSTMCell(4, dropout=0.5, recurrent_dropout=0.5), dtype="float64", stateful=True
    )
    mask = MASKS["any"]

    for _ in range(2):
        y = layer(torch.randn(4, 6, 3), mask=mask)
    y.sum().backward()

    assert y.dtype == torch.float64
    assert [state.dtype for state in layer.states] == [torch.float64] * 2
    assert all(p.grad is not None and p.dtype == torch.float32 for p in layer.parameters())
