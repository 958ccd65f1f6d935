"""LoRA against Keras, against merged kernels, and in everything that deals with weights."""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import Input, Model, Sequential, layers
from kerasish.graph.expand import expand, expanded_graph
from tests.layers.harness import check_layer
from tests.layers.parity import assert_same_as_keras, in_peace, randomize

TOKENS = torch.tensor([[1, 2, 0], [3, 6, 6]])
IMAGES = {"data_format": "channels_last"}

# A layer's name, its arguments, an input.
CASES = [
    ("Dense", {"units": 4}, (2, 3)),
    ("Dense", {"units": 4, "use_bias": False, "activation": "tanh"}, (2, 5, 3)),
    ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (None, 5)}, (2, 3, 4)),
    (
        "EinsumDense",
        {"equation": "abcd,cde->abe", "output_shape": (None, 6), "bias_axes": "e"},
        (2, 3, 4, 5),
    ),
    ("EinsumDense", {"equation": "abc,dc->abd", "output_shape": (2, 7)}, (3, 2, 4)),
    ("EinsumDense", {"equation": "...x,xy->...y", "output_shape": 5}, (2, 3, 4)),
    ("EinsumDense", {"equation": "ab...,bc->ac...", "output_shape": 5}, (2, 3, 4)),
    ("Conv1D", {"filters": 4, "kernel_size": 3, "padding": "causal"}, (2, 6, 3)),
    (
        "Conv2D",
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", **IMAGES},
        (2, 7, 6, 3),
    ),
    (
        "Conv2D",
        {"filters": 6, "kernel_size": 2, "groups": 3, "dilation_rate": 2, **IMAGES},
        (2, 6, 5, 6),
    ),
    ("Conv3D", {"filters": 4, "kernel_size": 2, **IMAGES}, (2, 3, 4, 3, 2)),
    ("Embedding", {"input_dim": 7, "output_dim": 4}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 4}, TOKENS),
    ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 4, "tie_weights": False}, TOKENS),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate(CASES)]
every_case = pytest.mark.parametrize(("name", "arguments", "x"), CASES, ids=IDS)


def made(x):
    return x if isinstance(x, torch.Tensor) else torch.randn(x)


def built(name, arguments, x):
    layer = getattr(layers, name)(**arguments)
    layer(made(x))
    return layer


def adapted(name, arguments, x, rank=2, lora_alpha=3.0):
    """A layer with LoRA and with random numbers in all weights."""
    layer = built(name, arguments, x)
    layer.enable_lora(rank, lora_alpha)
    randomize(layer)
    return layer


# Against Keras


@every_case
def test_outputs_and_gradients_are_those_of_keras(name, arguments, x):
    keras = pytest.importorskip("keras")
    x = made(x)
    theirs = getattr(keras.layers, name)(**arguments)
    in_peace(theirs, x)
    theirs.enable_lora(2, lora_alpha=3.0)

    ours = adapted(name, arguments, x)

    assert_same_as_keras(ours, theirs, x, build=False)
    for kind in ("weights", "trainable_weights", "non_trainable_weights"):
        shown = [
            w.name
            for w in ours.keras_weights()
            if kind == "weights" or w.trainable == (kind[0] == "t")
        ]
        assert shown == [weight.name for weight in getattr(theirs, kind)], kind


@pytest.mark.parametrize("tied", [True, False])
def test_scores_of_tokens_are_those_of_keras(tied):
    keras = pytest.importorskip("keras")
    arguments = {"input_dim": 7, "output_dim": 4, "tie_weights": tied, "logit_soft_cap": 5.0}
    theirs = keras.layers.ReversibleEmbedding(**arguments)
    in_peace(theirs, TOKENS)
    theirs.enable_lora(2)
    ours = adapted("ReversibleEmbedding", arguments, TOKENS, lora_alpha=None)

    assert_same_as_keras(ours, theirs, torch.randn(2, 3, 4), build=False, reverse=True)


@every_case
def test_the_kernel_shown_is_the_one_computed_with(name, arguments, x):
    x = made(x)
    layer = adapted(name, arguments, x)
    weights = {w.name: w.read() for w in layer.keras_weights()}
    kernel = next(iter(weights))
    merged = weights[kernel] + 1.5 * weights[f"lora_{kernel}_a"] @ weights[f"lora_{kernel}_b"]

    plain = built(name, arguments, x)
    plain.set_weights([merged, *[w for n, w in weights.items() if n != kernel and "lora" not in n]])

    assert_close(layer.merged_kernel(), merged)
    if name != "EinsumDense":  # whose kernel is a parameter of its own
        assert_close(getattr(layer, kernel), merged)
    assert_close(layer(x), plain(x))


@pytest.mark.parametrize(("name", "arguments", "x"), [CASES[n] for n in (0, 3, 8, 11)])
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64", "bfloat16"])
def test_other_types_are_as_in_keras(name, arguments, x, policy):
    keras = pytest.importorskip("keras")
    x = made(x)
    x = x.to(torch.float64) if policy == "float64" and x.is_floating_point() else x
    ours = getattr(layers, name)(**arguments, dtype=policy, lora_rank=2)
    theirs = getattr(keras.layers, name)(**arguments, dtype=policy, lora_rank=2)
    ours(x), in_peace(theirs, x)
    weights = [torch.rand(tuple(w.shape)).numpy() for w in theirs.weights]
    ours.set_weights(weights), in_peace(theirs.set_weights, weights)

    got, want = ours(x), in_peace(theirs, x)

    assert got.dtype == getattr(layers, name)(**arguments, dtype=policy)(x).dtype
    tolerance = 1e-6 if policy == "float64" else 2e-2
    assert_close(got.to(want.dtype), want, rtol=tolerance, atol=tolerance)
    (got.float() ** 2).sum().backward()
    for weight in ours.lora_weights():
        assert weight.tensor.dtype == weight.tensor.grad.dtype == torch.float32


def test_the_constructor_enables_it_when_the_layer_is_built():
    keras = pytest.importorskip("keras")
    for name, arguments, x in CASES:
        if arguments.get("tie_weights") is False:
            continue  # Keras cannot build this one with LoRA
        ours = getattr(layers, name)(**arguments, lora_rank=3, lora_alpha=6)
        theirs = getattr(keras.layers, name)(**arguments, lora_rank=3, lora_alpha=6)
        assert not ours.lora_enabled

        ours(made(x)), in_peace(theirs, made(x))

        assert ours.lora_enabled
        assert [w.shape for w in ours.get_weights()] == [tuple(w.shape) for w in theirs.weights]
        config, wanted = ours.get_config(), theirs.get_config()
        assert config["lora_rank"] == wanted["lora_rank"] == 3
        # Keras forgets lora_alpha of Dense and Embedding when it builds them.
        assert config["lora_alpha"] == ours.lora_alpha == 6
        assert wanted["lora_alpha"] in (6, 3)


# What it is


@every_case
def test_a_layer_owes_what_all_layers_owe(name, arguments, x):
    if arguments.get("tie_weights") is not False:  # else one weight waits for the way back
        check_layer(getattr(layers, name)(**arguments, lora_rank=2), made(x))


@every_case
def test_nothing_changes_before_training(name, arguments, x):
    x = made(x)
    layer = built(name, arguments, x)
    before = layer(x)

    layer.enable_lora(4)

    assert_close(layer(x), before, rtol=0, atol=0)
    a, b = layer.lora_weights()
    assert a.read().std() > 0.01
    assert not b.read().any()


def test_a_dense_layer_is_that_of_the_paper():
    layer = layers.Dense(2)
    layer(torch.ones(1, 3))
    layer.enable_lora(1, lora_alpha=2)
    kernel, a, b = np.ones((3, 2)), [[1.0], [2.0], [3.0]], [[1.0, -1.0]]
    layer.set_weights([kernel, [10.0, 20.0], a, b])

    # x @ W = (6, 6); x @ A = 14; 2 / 1 * 14 * B = (28, -28)
    assert layer(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[44.0, -2.0]]


def test_initialisers_and_penalties_reach_both_matrices():
    layer = layers.Dense(4, kernel_regularizer=kerasish.regularizers.L2(0.1))
    layer(torch.ones(1, 3))

    layer.enable_lora(2, a_initializer="ones", b_initializer=kerasish.initializers.Constant(2.0))

    assert layer.lora_kernel_a.tolist() == [[1.0] * 2] * 3
    assert layer.lora_kernel_b.tolist() == [[2.0] * 4] * 2
    # The kernel does not learn and is not counted: 0.1 * 6 * 1, 0.1 * 8 * 4.
    assert sum(layer.losses).item() == pytest.approx(0.6 + 3.2)


def test_another_strength_may_be_set_later():
    x = torch.randn(2, 3)
    model = Sequential([Input((3,)), layers.Dense(4, lora_rank=2)])
    layer = model.layers[0]
    layer.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in layer.get_weights()])
    full = model.predict(x, verbose=0)

    layer.lora_alpha = 0

    plain = F.linear(x, layer.linear.weight, layer.linear.bias)
    assert_close(torch.as_tensor(model.predict(x, verbose=0)), plain)
    layer.lora_alpha = 2
    assert_close(model.predict(x, verbose=0), full)


def test_einsum_takes_the_same_sum_when_its_last_axis_is_summed_away():
    layer = layers.EinsumDense("abde,cde->abc", (None, 5))
    x = torch.randn(2, 3, 4, 6)
    layer(x)
    layer.enable_lora(2)
    randomize(layer)
    kernel, a, b = (torch.as_tensor(w) for w in layer.get_weights())

    assert_close(layer(x), torch.einsum("abde,cde->abc", x, kernel + a @ b))


def test_errors_say_what_to_do():
    layer = layers.Dense(4, name="scores")
    with pytest.raises(ValueError, match=r'Dense "scores".enable_lora needs a kernel.*lora_rank='):
        layer.enable_lora(2)
    layer(torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"`rank` must be a positive integer, got 2\.5"):
        layer.enable_lora(2.5)
    with pytest.raises(ValueError, match="`lora_alpha` must be a number, got 'big'"):
        layer.enable_lora(2, "big")
    layer.enable_lora(2)
    with pytest.raises(ValueError, match="works once, and this layer has rank 2 already"):
        layer.enable_lora(2)
    with pytest.raises(ValueError, match="`lora_rank` must be a positive integer, got -1"):
        layers.Conv2D(4, 3, lora_rank=-1)
    assert layers.Dense(4, lora_rank=0).lora_rank is None
    with pytest.warns(UserWarning, match="`lora_alpha` has no effect without `lora_rank`"):
        layers.Dense(4, lora_alpha=2)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (layers.Dense(4, kernel_constraint="non_neg"), torch.ones(1, 3)),
        (layers.Embedding(4, 3, embeddings_constraint="unit_norm"), TOKENS.clamp(max=3)),
        (layers.Conv1D(4, 3, kernel_constraint="max_norm"), torch.ones(1, 5, 2)),
    ],
)
def test_a_constraint_on_the_kernel_is_an_error_and_changes_nothing(layer, x):
    layer(x)
    count = layer.count_params()

    with pytest.raises(ValueError, match=r"has a constraint, .* cannot hold for a sum"):
        layer.enable_lora(2)

    assert layer.count_params() == count
    assert not layer.lora_enabled


def test_a_module_of_another_kind_is_an_error():
    layer = layers.Dense(4)
    layer(torch.ones(1, 3))
    layer.linear = nn.utils.parametrizations.weight_norm(layer.linear)

    with pytest.raises(ValueError, match="expected torch's own module to hold the kernel"):
        layer.enable_lora(2)


@pytest.mark.parametrize(
    "make",
    [
        lambda **word: layers.Dense(4, **word),
        lambda **word: layers.Embedding(4, 3, **word),
        lambda **word: layers.EinsumDense("ab,bc->ac", 3, **word),
    ],
)
def test_quantisation_is_refused_with_advice(make):
    assert make(quantization_config=None)
    with pytest.raises(ValueError, match=r"`quantization_config` is not supported.*torchao"):
        make(quantization_config="int8")


def test_the_unpacked_size_of_gptq_is_refused():
    with pytest.raises(ValueError, match="`gptq_unpacked_column_size` is not supported, got 4"):
        layers.EinsumDense("ab,bc->ac", 3, gptq_unpacked_column_size=4)


def test_first_vectors_may_be_given():
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")

    layer = layers.Embedding(7, 4, weights=[vectors], lora_rank=2)

    assert_close(layer(TOKENS), torch.as_tensor(vectors)[TOKENS])


# In models


def network():
    """A model with every kind of layer that takes LoRA, built and adapted."""
    tokens = Input((6,), dtype="int64")
    x = layers.Embedding(7, 4, name="embed")(tokens)
    x = layers.Conv1D(6, 3, activation="relu", name="conv")(x)
    x = layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d", name="sum")(x)
    x = layers.Dense(3, name="head")(layers.Flatten()(x))
    model = Model(tokens, x)
    for layer in model.layers:
        if hasattr(layer, "enable_lora"):
            layer.enable_lora(2, 4)
    return model


def without_lora(layer):
    config = {k: v for k, v in layer.get_config().items() if "lora" not in k}
    return type(layer).from_config(config)


KERNELS = ["embed.embedding.weight", "conv.conv.weight", "sum.kernel", "head.linear.weight"]


def data(rows=16):
    return torch.randint(0, 7, (rows, 6)), torch.randint(0, 3, (rows,))


def compiled(model, **settings):
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kerasish.optimizers.SGD(0.1), loss, **settings)
    return model


def frozen(model):
    return [name for name, p in model.named_parameters() if not p.requires_grad]


def filled(model):
    """Random numbers also in B, which starts as zeros."""
    for name, parameter in model.named_parameters():
        if "lora" in name:
            nn.init.normal_(parameter, std=0.3)
    return model


def test_fit_trains_the_small_matrices_and_the_biases_only():
    model = filled(compiled(network()))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    model.fit(*data(), epochs=2, verbose=0)

    same = [n for n, value in model.state_dict().items() if torch.equal(value, before[n])]
    assert same == KERNELS


def test_it_may_be_enabled_between_two_fits():
    model = compiled(Sequential([Input((4,)), layers.Dense(3)]))
    x, y = torch.randn(16, 4), torch.randint(0, 3, (16,))
    model.fit(x, y, verbose=0)

    model.layers[0].enable_lora(2)
    kernel, a = model.layers[0].linear.weight.clone(), model.layers[0].lora_kernel_a.clone()
    model.fit(x, y, epochs=2, verbose=0)

    assert torch.equal(model.layers[0].linear.weight, kernel)
    assert not torch.equal(model.layers[0].lora_kernel_a, a)


def test_a_fit_is_that_of_a_loop_in_torch():
    x, y = torch.randn(32, 6), torch.randint(0, 3, (32,))
    model = compiled(Sequential([Input((6,)), layers.Dense(3, lora_rank=2, lora_alpha=4)]))
    linear = model.layers[0].linear
    w, bias, a, b = (t.detach().clone() for t in linear.parameters())
    a, b, bias = (t.requires_grad_() for t in (a, b, bias))
    for start in range(0, 32, 8):
        logits = F.linear(x[start : start + 8], w + 2 * b @ a, bias)
        gradients = torch.autograd.grad(F.cross_entropy(logits, y[start : start + 8]), (bias, a, b))
        with torch.no_grad():
            for tensor, gradient in zip((bias, a, b), gradients, strict=True):
                tensor -= 0.1 * gradient

    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)

    for one, other in zip(linear.parameters(), (w, bias, a, b), strict=True):
        assert_close(one.detach(), other.detach())


def test_the_short_path_opens_an_adapted_dense_layer():
    model = Sequential([Input((4,)), layers.Dense(3, lora_rank=2, name="head")])

    graph = expanded_graph(model, model.inputs, expand(model.inputs, model.output, model.opens))

    assert [node for node in graph.nodes if node.op == "call_module"] == []
    members = [node.target for node in graph.nodes if node.op == "get_attr"]
    assert "head.linear.lora_kernel_a" in members


def test_predict_gives_what_a_call_gives():
    model = filled(network())
    x = data()[0]

    assert_close(torch.as_tensor(model.predict(x, verbose=0)), model(x).detach())


def test_rates_go_by_name():
    model = filled(compiled(network(), lr_multipliers={"*.lora_*_b": 0.0, "*bias": 0.0}))
    before = {name: value.clone() for name, value in model.state_dict().items()}

    model.fit(*data(), verbose=0)

    changed = [n for n, value in model.state_dict().items() if not torch.equal(value, before[n])]
    assert changed
    assert all(name.endswith("_a") for name in changed)


@pytest.mark.parametrize("precision", ["bfloat16-mixed", "float64"])
def test_other_precisions_train(precision):
    model = filled(compiled(network(), precision=precision))
    a = model.get_layer("head").lora_kernel_a.clone()

    history = model.fit(*data(), epochs=2, verbose=0)

    assert np.isfinite(history.history["loss"]).all()
    assert not torch.equal(model.get_layer("head").lora_kernel_a, a)


def test_thawing_never_reaches_the_kernel():
    model = network()
    assert frozen(model) == KERNELS

    model.trainable = False
    assert frozen(model) == [name for name, _ in model.named_parameters()]
    model.trainable = True
    assert frozen(model) == KERNELS
    model.freeze()
    model.unfreeze(last=2)
    assert set(frozen(model)) & {"sum.kernel", "head.linear.weight"}
    model.unfreeze("head.*")
    model.unfreeze()
    assert frozen(model) == KERNELS
    model.requires_grad_(True)
    assert frozen(model) == KERNELS


def test_a_frozen_layer_gets_matrices_that_wait():
    layer = layers.Dense(4, trainable=False, lora_rank=2)
    layer(torch.ones(1, 3))
    assert layer.trainable_weights == []

    layer.trainable = True

    names = [weight.name for weight in layer.keras_weights() if weight.trainable]
    assert names == ["bias", "lora_kernel_a", "lora_kernel_b"]


def test_files_hold_the_small_matrices(tmp_path):
    x = data()[0]
    model = filled(network())
    model.save(tmp_path / "m.kerasish")
    model.save_weights(tmp_path / "m.safetensors")

    loaded = kerasish.load_model(tmp_path / "m.kerasish")
    other = network()
    other.load_weights(tmp_path / "m.safetensors")

    for again in (loaded, other):
        assert_close(again(x), model(x), rtol=0, atol=0)
        assert frozen(again) == KERNELS
        assert again.get_layer("conv").lora_alpha == 4
    loaded.unfreeze()
    assert frozen(loaded) == KERNELS


def test_weights_from_before_come_into_an_adapted_model(tmp_path):
    x = data()[0]
    plain = kerasish.models.clone_model(network(), clone_function=without_lora)
    plain.save_weights(tmp_path / "plain.safetensors")
    model = filled(network())
    matrix = model.get_layer("head").lora_kernel_a.clone()

    model.load_weights(tmp_path / "plain.safetensors")

    assert_close(model(x), plain(x))
    assert torch.equal(model.get_layer("head").lora_kernel_a, matrix)  # so that B can learn
    assert not model.get_layer("head").lora_kernel_b.any()


def test_an_adapted_file_asks_for_an_adapted_model(tmp_path):
    network().save_weights(tmp_path / "adapted.safetensors")
    plain = kerasish.models.clone_model(network(), clone_function=without_lora)

    with pytest.raises(ValueError, match=r"unexpected .*lora_.* Call enable_lora on its layers"):
        plain.load_weights(tmp_path / "adapted.safetensors")


def test_training_goes_on_after_loading(tmp_path):
    x, y = data()
    model = filled(network())
    loss = kerasish.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(x, y, shuffle=False, verbose=0)
    model.save(tmp_path / "m.kerasish")
    loaded = kerasish.load_model(tmp_path / "m.kerasish")

    for one in (model, loaded):
        one.fit(x, y, shuffle=False, verbose=0)

    for name, value in model.state_dict().items():
        assert_close(loaded.state_dict()[name], value)


def test_clones_and_copies_have_it_too():
    model = filled(network())
    x = data()[0]

    clone = kerasish.models.clone_model(model)
    again = kerasish.models.model_from_json(model.to_json())
    copied = copy.deepcopy(model)
    pickled = pickle.loads(pickle.dumps(model))

    for other in (clone, again, copied, pickled):
        assert frozen(other) == KERNELS
        other.set_weights(model.get_weights())
        assert_close(other(x), model(x))


def test_the_twin_is_plain_torch_with_merged_weights():
    model = filled(network())
    x = data()[0]

    twin = model.to_torch()

    assert_close(twin(x), model(x))
    assert all(type(m).__module__.startswith("torch") for m in twin.modules())
    assert type(twin.head.linear) is nn.Linear
    assert not hasattr(twin.head.linear, "lora_kernel_a")
    assert model.get_layer("head").lora_enabled  # the model stays as it is
    assert "head.linear.lora_kernel_a" in model.state_dict()


def test_the_summary_counts_what_learns(capsys):
    network().summary()

    # 28 + 14 + 8; 72 + 6 + 24 + 12; 30 + 5 + 12 + 10; 60 + 3 + 40 + 6
    shown = capsys.readouterr().out
    assert "Total params: 330" in shown
    assert "Trainable params: 140" in shown


def test_features_of_a_frozen_part_end_before_it():
    x, y = torch.randn(64, 3, 8, 8), torch.randint(0, 3, (64,))
    results = []
    for cached in (True, False):
        torch.manual_seed(0)
        stack = [
            Input((3, 8, 8)),
            layers.Conv2D(8, 3, name="a"),
            layers.Conv2D(4, 3, lora_rank=2, name="c"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, lora_rank=2, name="b"),
        ]
        model = compiled(Sequential(stack))
        model.freeze("a")
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, cache_frozen=cached)
        results.append(model.state_dict())

    for name, value in results[0].items():
        assert torch.equal(results[1][name], value)


def test_torch_compile_follows_it():
    layer = adapted("Dense", {"units": 4}, (2, 3))
    x = torch.randn(2, 3)

    assert_close(torch.compile(layer, backend="eager")(x), layer(x))


def test_following_a_convolution_is_refused():
    model = Sequential([Input((4, 2)), layers.Conv1D(3, 2, lora_rank=2)])

    with pytest.raises(TypeError, match="makes its kernel anew in each call"):
        expand(model.inputs, model.output, lambda module: True)


def test_a_model_on_another_device_gets_matrices_there():
    layer = layers.Dense(4)
    layer(torch.ones(1, 3))
    layer.to("meta")

    layer.enable_lora(2)

    assert {p.device.type for p in layer.parameters()} == {"meta"}
