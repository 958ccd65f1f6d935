"""The functional API: what can be written, what comes out, and where mistakes are reported."""

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


def dense(units, name=None, **options):
    return layers.Dense(units, name=name, **options)


def two_branches():
    x = Input((6,), name="x")
    a, b = dense(4, "a")(x), dense(4, "b", activation="relu")(x)
    return Model(x, dense(2, "end")(layers.Concatenate(name="both")([a, b])), name="branches")


def round_trip(model, tmp_path):
    model.save(tmp_path / "model.kerasish")
    return kerasish.load_model(tmp_path / "model.kerasish")


# Structures


def test_shared_layer_has_one_set_of_weights_and_two_uses():
    a, b = Input((3,)), Input((3,))
    shared = dense(2)
    model = Model([a, b], shared(a) - shared(b))
    x = torch.randn(4, 3)

    assert model.count_params() == 8
    assert_close(model([x, x]), torch.zeros(4, 2))


def test_several_inputs_come_as_list_tuple_arguments_or_dict():
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = Model([a, b], layers.Concatenate()([dense(2)(a), b]))
    x, y = torch.randn(4, 3), torch.randn(4, 2)

    expected = model([x, y])

    assert expected.shape == (4, 4)
    assert_close(model((x, y)), expected)
    assert_close(model(x, y), expected)
    assert_close(model({"b": y, "a": x}), expected)


def test_dict_inputs_go_by_their_keys():
    left, right = Input((3,), name="one"), Input((3,), name="two")
    model = Model({"left": left, "right": right}, left - right)
    x, y = torch.randn(2, 3), torch.randn(2, 3)

    assert_close(model({"right": y, "left": x}), x - y)
    with pytest.raises(ValueError, match=r"expects inputs named \['left', 'right'\].*missing"):
        model({"left": x, "wright": y})


def test_outputs_keep_their_structure():
    x = Input((4,))
    y = dense(3)(x)
    model = Model(x, {"pair": (y, x), "list": [y * 2], "one": x})

    out = model(torch.ones(2, 4))

    assert type(out["pair"]) is tuple
    assert type(out["list"]) is list
    assert_close(out["list"][0], out["pair"][0] * 2)
    assert model.output_shape == {
        "pair": ((None, 3), (None, 4)),
        "list": [(None, 3)],
        "one": (None, 4),
    }


def test_wrong_number_of_inputs_is_said():
    a, b = Input((3,), name="a"), Input((2,), name="b")
    model = Model([a, b], layers.Concatenate()([a, b]))

    with pytest.raises(ValueError, match=r"expects 2 inputs \(a, b\)"):
        model(torch.ones(1, 3))


def test_input_may_be_an_output():
    x = Input((3,))
    model = Model(x, [x, dense(2)(x)])
    data = torch.randn(2, 3)

    assert model(data)[0] is data or torch.equal(model(data)[0], data)


def test_nested_models_are_layers():
    inner = two_branches()
    x = Input((5,))
    model = Model(x, inner(dense(6)(x)) + inner(dense(6)(x)))

    assert model.get_layer("branches") is inner
    assert model(torch.ones(3, 5)).shape == (3, 2)
    assert {id(p) for p in inner.parameters()} <= {id(p) for p in model.parameters()}
    first = model.layers[1].linear.weight
    assert "branches.a.linear.weight" in model.state_dict()
    assert first.requires_grad


def test_nested_model_with_several_outputs_is_taken_apart():
    x = Input((4,))
    inner = Model(x, {"up": x + 1, "down": [x - 1, x * 2]})
    y = Input((4,))
    parts = inner(y)
    model = Model(y, parts["up"] + parts["down"][1])

    assert_close(model(torch.ones(1, 4)), torch.full((1, 4), 4.0))


def test_model_from_intermediate_tensors_shares_the_layers():
    model = two_branches()
    x = torch.randn(3, 6)

    features = Model(model.input, model.get_layer("both").output)
    tail = Model(model.get_layer("both").output, model.output)

    assert_close(features(x), torch.cat([model.get_layer("a")(x), model.get_layer("b")(x)], 1))
    assert_close(tail(features(x)), model(x))
    assert features.get_layer("a") is model.get_layer("a")


def test_layer_knows_its_symbolic_outputs_whatever_their_structure():
    class Branches(layers.Layer):
        def forward(self, x):
            return {"pair": [x, x * 2], "one": x}

    x = Input((3,))
    layer = Branches()
    layer(x)

    assert layer.input is x
    assert_close(Model(x, layer.output["pair"][1])(torch.ones(1, 3)), torch.full((1, 3), 2.0))


def test_an_unbuilt_sequential_says_what_it_was_called_on():
    model = Sequential([layers.Dense(2)])
    with pytest.raises(TypeError, match=r"expected a tensor or an array, got list of 2"):
        model(["a", "b"])


def test_layers_of_a_sequential_can_be_taken_out_too():
    model = Sequential([Input((4,)), dense(3, "a"), dense(2, "b")])
    x = torch.randn(2, 4)

    part = Model(model.inputs, model.get_layer("a").output)

    assert_close(part(x), model.get_layer("a")(x))


def test_layers_are_listed_in_the_order_of_their_calls():
    assert [layer.name for layer in two_branches().layers] == ["x", "a", "b", "both", "end"]


# Shapes


def test_unknown_sizes_stay_unknown_and_related():
    x = Input((None, None, 3))
    y = x.reshape(x.size(0), -1, 3)
    model = Model(x, [y, y.mean(1), x.transpose(1, 2)])

    assert [tensor.shape for tensor in model.outputs] == [
        (None, None, 3),
        (None, 3),
        (None, None, None, 3),
    ]
    assert model(torch.ones(2, 5, 7, 3))[0].shape == (2, 35, 3)


def test_fully_convolutional_model_takes_any_size():
    x = Input((3, None, None))
    y = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.UpSampling2D()(layers.MaxPooling2D()(y)) + y
    model = Model(x, layers.GlobalAveragePooling2D()(y))

    assert y.shape == (None, 4, None, None)
    assert model(torch.ones(1, 3, 8, 12)).shape == (1, 4)
    assert model(torch.ones(2, 3, 20, 6)).shape == (2, 4)


def test_fixed_batch_size_is_known():
    x = Input((3,), batch_size=5)

    assert dense(2)(x).shape == (5, 2)


def test_sizes_computed_at_run_time_enter_the_model():
    x = Input((None, 4))
    steps = x.size(1)
    model = Model(x, x.sum(1) / steps)
    data = torch.randn(2, 7, 4)

    assert_close(model(data), data.mean(1))
    assert_close(model(data[:, :3]), data[:, :3].mean(1))


# Torch on symbolic tensors

WEIGHT = torch.randn(4, 5)
RECIPES = {
    "function": lambda x: torch.softmax(x, dim=-1),
    "functional": lambda x: F.gelu(x) + F.dropout(x, 0.5, training=False),
    "method": lambda x: x.transpose(1, 2).contiguous().clamp(min=0),
    "operators": lambda x: (2 - x) / 3 + x**2 % 5 - -x,
    "comparison": lambda x: torch.where(x > 0, x, 0.1 * x),
    "inverse": lambda x: (~(x > 0)).float() + ((x > 1) | (x < -1)),
    "index": lambda x: x[:, 0],
    "slices": lambda x: x[:, 1:, ::2],
    "new axis": lambda x: x[:, None, ..., -1],
    "list index": lambda x: x[:, [0, 2]],
    "mask index": lambda x: x * (x[:, :1] > 0),
    "tensor index": lambda x: x[:, torch.tensor([1, 0])],
    "einsum": lambda x: torch.einsum("bij,bkj->bik", x, x),
    "einsum with a weight": lambda x: torch.einsum("bij,jk->bik", x, WEIGHT),
    "matmul": lambda x: x @ WEIGHT,
    "right matmul": lambda x: WEIGHT.T @ x.transpose(1, 2),
    "stack and cat": lambda x: torch.cat([torch.stack([x, x], 1).sum(1), x], dim=2),
    "split": lambda x: x.split(2, dim=2)[1],
    "chunk": lambda x: sum(x.chunk(2, dim=-1)),
    "unbind": lambda x: torch.stack([row * 2 for row in x.unbind(1)]),
    "max with indices": lambda x: x.max(dim=1).values + x.max(dim=1)[1],
    "topk": lambda x: x.topk(2, dim=-1).values,
    "attribute": lambda x: x[0].T + x.mT[0],
    "types": lambda x: x.to(torch.float64).long().float(),
    "like": lambda x: torch.zeros_like(x) + x.new_ones(1),
    "pad": lambda x: F.pad(x, (1, 2)),
    "sort": lambda x: torch.sort(x, dim=1)[0],
    "norm": lambda x: x / x.norm(dim=-1, keepdim=True),
    "layer norm": lambda x: F.layer_norm(x, (4,)),
    "view": lambda x: x.view(-1, 12).unflatten(1, (3, 4)).flatten(1),
    "expand": lambda x: x[:, :, None].expand(-1, -1, 2, -1),
    "reduce": lambda x: x.mean((1, 2)) + x.amax(dim=(1, 2)) + x.std(dim=(1, 2)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x),
    "iteration": lambda x: sum(part for part in x[0]),
    "reversed operands": lambda x: torch.ones(4) - x,
    "gather": lambda x: x.gather(1, x.argmax(1, keepdim=True)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_torch_works_on_symbolic_tensors(name):
    recipe = RECIPES[name]
    batch = 2 if name in ("attribute", "iteration") else None
    x = Input((3, 4), batch_size=batch)
    data = torch.randn(2, 3, 4)

    y = recipe(x)
    model = Model(x, y)

    expected = recipe(data)
    assert_close(model(data), expected)
    known = zip(y.shape, expected.shape, strict=True)
    assert all(size in (None, real) for size, real in known)
    assert y.dtype == expected.dtype


@pytest.mark.parametrize("name", RECIPES)
def test_torch_functions_survive_saving(name, tmp_path):
    batch = 2 if name in ("attribute", "iteration") else None
    x = Input((3, 4), batch_size=batch)
    model = Model(x, RECIPES[name](x))
    data = torch.randn(2, 3, 4)

    assert_close(round_trip(model, tmp_path)(data), model(data))


def test_a_tensor_computed_from_weights_outside_is_a_constant_and_is_said():
    table = layers.Embedding(6, 3, name="table")
    x = Input((6, 3))
    outputs = dense(2)(x + table(torch.arange(6)))

    with pytest.warns(UserWarning, match=r"shape \(6, 3\) was computed outside the model"):
        model = Model(x, outputs)
    model.compile("sgd", "mse")
    model.fit(torch.zeros(4, 6, 3), torch.ones(4, 6, 2), batch_size=2, epochs=2, verbose=0)

    assert len(model.trainable_weights) == 2
    assert table.embeddings.grad is None
    assert copy.deepcopy(model)(torch.zeros(1, 6, 3)).shape == (1, 6, 2)


def test_constant_tensors_move_with_the_model_and_are_saved():
    x = Input((4,))
    model = Model(x, x @ WEIGHT)

    assert any(torch.equal(value, WEIGHT) for value in model.state_dict().values())
    assert model.to(torch.float64)(torch.ones(1, 4, dtype=torch.float64)).dtype == torch.float64


def test_parameter_beside_a_symbolic_tensor_says_to_wrap_the_module():
    with pytest.raises(TypeError, match=r"Wrap it: layers.TorchModule\(module\)\(x\)"):
        nn.Linear(3, 2)(Input((3,)))


def test_symbolic_tensor_has_no_value():
    x = Input((3,))

    with pytest.raises(TypeError, match="cannot decide an `if`"):
        bool(x > 0)
    with pytest.raises(TypeError, match="has no value yet"):
        float(x)
    with pytest.raises(TypeError, match="no device yet"):
        _ = x.device
    with pytest.raises(AttributeError, match="no attribute 'reshap'"):
        x.reshap(-1)
    assert "(None, 3)" in repr(x)


# The generated code


def test_code_calls_torch_functions_by_their_public_names():
    x = layers.Input((4, 4, 4))
    y = torch.fft.rfft(torch.linalg.norm(torch.special.expit(F.avg_pool2d(x, 2)), dim=-1)).abs()
    code = Model(x, y).code

    for name in ("nn.functional.avg_pool2d", "special.expit", "linalg.norm", "fft.rfft"):
        assert f"torch.{name}(" in code
    assert "._C" not in code


def test_code_is_the_forward_a_person_would_write():
    code = two_branches().code

    lines = [line.strip() for line in code.strip().splitlines()]
    assert lines[0].startswith("def forward(self, x)")
    assert lines[-1].startswith("return end")
    assert any("self.a(x)" in line for line in lines)
    assert any("self.both([a, b])" in line for line in lines)


def test_masks_are_nodes_of_the_code():
    tokens = Input((None,), dtype="int64", name="tokens")
    y = layers.Embedding(10, 4, mask_zero=True, name="words")(tokens)
    model = Model(tokens, layers.LSTM(3, name="reader")(y))

    assert "tokens != 0" in model.code
    assert "mask = " in model.code.split("self.reader(")[1]


def test_masked_steps_change_nothing():
    tokens = Input((None,), dtype="int64")
    y = layers.Embedding(10, 4, mask_zero=True)(tokens)
    model = Model(tokens, layers.LSTM(3)(y))

    short = model(torch.tensor([[5, 3]]))

    assert_close(model(torch.tensor([[5, 3, 0, 0]])), short)


def test_a_mask_is_where_keras_has_it():
    x = layers.Embedding(9, 4, mask_zero=True)(Input((None,), dtype="int32"))
    plain = layers.Dense(3)(Input((5, 4)))

    assert x._keras_mask is x.mask
    assert x._keras_mask.shape == (None, None)
    plain._keras_mask = x.mask
    assert plain.mask is x.mask


def test_masking_layer_marks_steps_and_the_mask_passes_through():
    x = Input((None, 2))
    reader = layers.GRU(3)
    model = Model(x, reader(layers.Dropout(0.5)(layers.Masking()(x)))).eval()
    data = torch.randn(1, 6, 2)
    data[:, 4:] = 0

    assert_close(model(data), reader(data[:, :4]))
    assert not torch.allclose(model(data), reader(data))


@pytest.mark.parametrize("name", ["my input/1", "1st", "for", "self", "größe²", "a", "x\n"])
def test_inputs_may_have_any_name(name, tmp_path):
    x, y = Input((2,), name=name), Input((2,), name="a b")
    z = Input((2,), name="a_b")
    model = Model([x, y, z], x + y * z)
    data = [torch.ones(1, 2)] * 3

    assert_close(model(data), torch.full((1, 2), 2.0))
    assert_close(model({name: data[0], "a b": data[1], "a_b": data[2]}), model(data))
    assert_close(round_trip(model, tmp_path)(data), model(data))


@pytest.mark.parametrize(
    "name",
    [
        "forward",
        "layers",
        "training",
        "loss",
        "output",
        "self",
        "mask",
        "for",
        "with space/and-dash",
        "\"quoted\" \\ 'names'",
        "größe²",
        '"); raise RuntimeError("code from a name") #',
        "two\nlines",
    ],
)
def test_layers_may_have_any_name(name, tmp_path):
    x = Input((2,))
    model = Model(x, dense(1, name)(x))
    data = torch.ones(1, 2)

    assert model(data).shape == (1, 1)
    assert model.get_layer(name).units == 1
    assert_close(round_trip(model, tmp_path)(data), model(data))


# Mistakes


def test_disconnected_graph_names_the_missing_input():
    a, b = Input((2,), name="a"), Input((2,), name="b")

    with pytest.raises(ValueError, match=r"outputs need Input 'b'.*\('a'\)"):
        Model(a, a + b)


def test_wrong_rank_is_an_error_at_the_line_that_made_it():
    x = Input((784,))

    with pytest.raises(ValueError, match=r'Conv2D "early".*\(None, 784\)'):
        layers.Conv2D(4, 3, name="early")(x)


def test_merge_of_unlike_shapes_names_the_shapes():
    a, b = Input((3,)), Input((4,))

    with pytest.raises(ValueError, match=r"\(None, 3\).*\(None, 4\)"):
        layers.Add(name="meet")([a, b])


def test_torch_function_on_wrong_shapes_notes_the_shapes():
    a, b = Input((3,)), Input((4,))

    with pytest.raises(RuntimeError) as caught:
        torch.matmul(a, b)

    assert "(None, 3), (None, 4)" in "".join(caught.value.__notes__)


def test_what_fails_on_unknown_sizes_tells_the_sizes_that_were_tried():
    steps = Input((None, 3))
    pooled = layers.MaxPooling1D(7)(steps)

    with pytest.raises(ValueError, match="sizes differ on axis 1") as caught:
        layers.Concatenate()([steps, torch.tile(pooled, (1, 7, 1))])

    assert caught.value.__notes__[-1] == (
        "Unknown sizes were tried as some number: (24, 720, 3), (24, 714, 3). If this needs "
        "particular sizes, give them to Input."
    )


def test_unknown_lengths_may_be_shortened_by_much(tmp_path):
    waves = Input((None, 1))
    x = layers.Conv1D(4, 16, strides=16)(waves)  # of 720 steps, 45 are left
    y = layers.Conv1D(2, 64)(x)
    model = Model(waves, [y, layers.GlobalMaxPooling1D()(x)])
    sound = torch.randn(2, 16 * 100, 1)

    assert y.shape == (None, None, 2)
    assert [tuple(out.shape) for out in model(sound)] == [(2, 37, 2), (2, 4)]
    outer = Input((None, 1))
    nested = Model(outer, layers.Dense(3)(model(outer)[0]))
    nested.save(tmp_path / "nested.kerasish")
    loaded = kerasish.saving.load_model(tmp_path / "nested.kerasish")
    assert_close(loaded(sound), nested(sound))


def test_a_layer_may_give_another_shape_in_the_other_mode():
    class Doubles(layers.Layer):
        def call(self, x, training=None):
            return torch.cat([x, x], -1) if training else x

    steps = Input((None, 1))
    doubled = Doubles()(steps, training=True)
    model = Model(steps, layers.Conv1D(2, 3)(doubled))
    assert model.predict(torch.ones(2, 9, 1), verbose=0).shape == (2, 7, 2)
    by_mode = Doubles()
    by_mode.train()
    model = Model(steps, layers.Conv1D(2, 3)(by_mode(steps)))

    assert model.predict(torch.ones(2, 9, 2), verbose=0).shape == (2, 7, 2)


def test_unknown_lengths_may_have_to_be_multiples_of_a_power_of_two():
    points = Input((None, 3))
    pooled = layers.MaxPooling1D(64)(layers.Dense(4)(points))

    joined = layers.Concatenate()([points, torch.tile(pooled, (1, 64, 1))])

    assert joined.shape == (None, None, 7)
    assert Model(points, joined)(torch.randn(2, 64, 3)).shape == (2, 64, 7)


def test_two_layers_of_one_name_are_an_error():
    x = Input((3,))

    with pytest.raises(ValueError, match="Two layers are named 'twin'"):
        Model(x, dense(2, "twin")(dense(3, "twin")(x)))


def test_inputs_have_names_of_their_own():
    x, y = Input((3,), name="x"), Input((3,), name="x")

    with pytest.raises(ValueError, match="The name 'x' is given to an Input and"):
        Model([x, y], x + y)
    with pytest.raises(ValueError, match="The name 'x' is given to an Input and"):
        Model(x, dense(2, "x")(x))


@pytest.mark.parametrize("outputs", [torch.ones(1), None, 3, "y", []])
def test_outputs_that_are_not_symbolic_are_an_error(outputs):
    with pytest.raises(TypeError, match="`outputs` must be symbolic tensors"):
        Model(Input((3,)), outputs)


def test_names_of_arguments_must_be_names():
    x = Input((2,))

    with pytest.raises(ValueError, match="cannot have an argument named"):
        Model(x, layers.TorchModule(Anything())(x, **{"a=1) or print(": 1}))


class Anything(nn.Module):
    def forward(self, x, **options):
        return x


def test_failed_call_at_run_time_says_where():
    model = two_branches()

    with pytest.raises(ValueError, match=r"\(7, 5\)"):
        model(torch.ones(7, 5))


def test_unknown_layer_names_are_suggested():
    with pytest.raises(ValueError, match="no layer 'bot'; did you mean 'both'"):
        two_branches().get_layer("bot")


def test_a_part_of_a_torch_module_is_no_layer_but_its_place_is_told():
    model = Sequential([Input((4,)), layers.TorchModule(nn.Linear(4, 2), name="net")])

    with pytest.raises(ValueError, match=r"'block5'.*parts are in get_layer\('net'\)\.module"):
        model.get_layer("block5")


# Depth and copies


def test_chain_of_two_thousand_layers(tmp_path):
    x = Input((2,))
    y = x
    for i in range(2000):
        y = layers.ReLU(name=f"step_{i}")(y)
    model = Model(x, dense(1)(y))
    data = torch.ones(1, 2)

    assert model(data).shape == (1, 1)
    assert len(model.layers) == 2002
    assert_close(copy.deepcopy(model)(data), model(data))
    assert_close(pickle.loads(pickle.dumps(model))(data), model(data))
    assert_close(round_trip(model, tmp_path)(data), model(data))


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_weights_of_their_own(copier):
    model = two_branches()
    x = torch.randn(2, 6)
    before = model(x)

    twin = copier(model)
    assert_close(twin(x), before)
    with torch.no_grad():
        twin.get_layer("a").linear.weight.zero_()

    assert not torch.allclose(twin(x), before)
    assert_close(model(x), before)
    assert_close(
        Model(twin.input, twin.get_layer("a").output)(x)[0, 0], twin.get_layer("a").bias[0]
    )


@pytest.mark.parametrize(
    "make",
    [
        two_branches,
        lambda: copy.deepcopy(two_branches()),
        lambda: Sequential([Input((6,)), dense(4, activity_regularizer="l2"), dense(2)]),
        lambda: Sequential([Input((6,)), dense(4, dtype="mixed_bfloat16"), layers.Dropout(0.5)]),
    ],
    ids=["functional", "copy", "sequential", "mixed precision"],
)
def test_compiled_model_is_one_graph(make):
    model = make().eval()
    x = torch.randn(2, 6)

    compiled = torch.compile(model, backend="eager", fullgraph=True)

    assert_close(compiled(x), model(x))


def test_model_with_masks_compiles_whole():
    tokens = Input((6,), dtype="int64")
    y = layers.Embedding(10, 4, mask_zero=True)(tokens)
    model = Model(tokens, layers.GlobalAveragePooling1D()(y))
    data = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 0, 0, 0, 0, 0]])

    compiled = torch.compile(model, backend="eager", fullgraph=True)

    assert_close(compiled(data), model(data))


def test_model_exports():
    model = two_branches().eval()
    x = torch.randn(4, 6)
    batch = torch.export.Dim("batch")

    program = torch.export.export(model, (x,), dynamic_shapes=(({0: batch},),))

    assert_close(program.module()(x[:3]), model(x[:3]))


def test_model_is_a_graph_module_that_torch_tools_can_read():
    model = two_branches()
    x = torch.randn(2, 6)

    module = model.graph_module()

    assert_close(module(x), model(x))
    assert {node.op for node in model.graph.nodes} == {"placeholder", "call_module", "output"}


# Saving


def test_every_structure_survives_saving(tmp_path):
    a, b = Input((3,), name="a"), Input((3,), name="b")
    shared = dense(3, "shared")
    inner = two_branches()
    y = torch.relu(shared(a)) + shared(b)[:, :]
    out = {"y": y, "z": (inner(torch.cat([y, a], 1)), [y.sum(1), a * 2.5])}
    model = Model({"left": a, "right": b}, out)
    data = {"left": torch.randn(2, 3), "right": torch.randn(2, 3)}

    loaded = round_trip(model, tmp_path)

    result, expected = loaded(data), model(data)
    assert result.keys() == expected.keys()
    assert type(result["z"]) is tuple
    assert_close(result, expected)
    assert list(loaded.state_dict()) == list(model.state_dict())


def test_masked_model_survives_saving(tmp_path):
    tokens = Input((None,), dtype="int64", name="tokens")
    y = layers.Embedding(10, 4, mask_zero=True)(tokens)
    model = Model(tokens, layers.Bidirectional(layers.LSTM(3))(y))
    data = torch.tensor([[1, 2, 0, 0], [3, 4, 5, 6]])

    assert_close(round_trip(model, tmp_path)(data), model(data))


def test_model_from_intermediate_tensors_survives_saving(tmp_path):
    model = two_branches()
    part = Model(model.get_layer("both").output, model.output)
    data = torch.randn(2, 8)

    assert_close(round_trip(part, tmp_path)(data), part(data))


def test_gradients_reach_every_weight():
    model = two_branches()

    model(torch.randn(3, 6)).sum().backward()

    assert all(p.grad is not None for p in model.parameters())


def test_subclass_may_hand_its_graph_to_model():
    class Small(Model):
        def __init__(self, units):
            x = Input((3,))
            super().__init__(inputs=x, outputs=dense(units)(x))
            self.units = units

    model = Small(2)

    assert isinstance(model, Small)
    assert model.units == 2
    assert model(torch.ones(1, 3)).shape == (1, 2)
    assert "def forward" in model.code


def test_a_list_may_grow_after_it_was_merged():
    parts = [Input((4,))]
    for _ in range(3):  # as in a DenseNet: each layer sees all results so far
        joined = layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        parts.append(layers.Dense(2)(joined))
    model = Model(parts[0], layers.Concatenate()(parts))

    assert model(torch.ones(1, 4)).shape == (1, 10)


class Silent(layers.Layer):
    """Passes no mode on, and has no argument for it."""

    def __init__(self):
        super().__init__()
        self.dropout = layers.Dropout(0.5)

    def call(self, inputs):
        return self.dropout(inputs)


RANDOM = {
    "layer": lambda: layers.Dropout(0.5),
    "layer of one's own": Silent,
    "Sequential": lambda: Sequential([Input((20,)), layers.Dropout(0.5)]),
}


@pytest.mark.parametrize("kind", RANDOM)
@pytest.mark.parametrize("mode", [True, False])
def test_a_call_that_names_a_mode_keeps_it_in_fit_and_predict(kind, mode):
    x = Input((20,))
    model = Model(x, layers.Dense(1, use_bias=False)(RANDOM[kind]()(x, training=mode)))
    rows = torch.ones(30, 20)

    assert (np.unique(model.predict(rows, verbose=0).round(3)).size > 1) is mode
    model.compile("sgd", "mse")
    model.fit(torch.randn(30, 20), torch.randn(30, 1), verbose=0)
    model.train()
    assert (np.unique(model(rows).detach().numpy().round(3)).size > 1) is mode


ROW = np.array([1.0, 2.0, 3.0])
WITH_NUMPY = {
    "array on the right": (lambda x: x + ROW, lambda x: x + ROW),
    "array on the left": (lambda x: ROW - x, lambda x: ROW - x),
    "product": (lambda x: x @ np.ones((3, 2)), lambda x: x @ np.ones((3, 2))),
    "comparison": (lambda x: torch.where(x > ROW, x, 0.0), lambda x: np.where(x > ROW, x, 0.0)),
    "number on the right": (lambda x: x * np.float32(2), lambda x: 2 * x),
    "number on the left": (lambda x: np.float64(2) * x, lambda x: 2 * x),
    "number in a call": (lambda x: torch.sum(x, np.int64(1)), lambda x: x.sum(1)),
}


@pytest.mark.parametrize("kind", WITH_NUMPY)
def test_numpys_arrays_and_numbers_stand_in_operators(kind, tmp_path):
    function, wanted = WITH_NUMPY[kind]
    x, data = Input((3,)), torch.randn(4, 3)
    model = Model(x, function(x))
    model.save(tmp_path / "model.kerasish")
    again = kerasish.load_model(tmp_path / "model.kerasish")

    want = torch.as_tensor(wanted(data.numpy())).float()

    for found in (model(data), again(data), model.predict(data, verbose=0)):
        assert_close(torch.as_tensor(found), want, rtol=1e-5, atol=1e-6)
