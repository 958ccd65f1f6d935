"""`model.export`: what was written runs by torch or ONNX Runtime alone, and gives the same."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kerasish import Ensemble, Input, InputSpec, Model, Sequential, layers
from kerasish.applications import ImagePreprocessing


def convolutional():
    stack = [
        Input((2, 8, 8)),
        layers.RandomFlip(),
        layers.Conv2D(4, 3, activation="relu", padding="same"),
        layers.BatchNormalization(),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dropout(0.3),
        layers.Dense(3, activation="softmax"),
    ]
    return Sequential(stack), torch.randn(7, 2, 8, 8)


def masked():
    tokens = Input((3,), dtype="int64")
    x = layers.Embedding(9, 3, mask_zero=True)(tokens)
    x = layers.GRU(3, return_sequences=True)(x)
    x, state, cell = layers.LSTM(3, return_state=True)(x)
    x = layers.Concatenate()([x, state, cell])
    rows = [[1, 2, 0], [0, 4, 5], [0, 0, 0]]
    return Model(tokens, layers.Dense(2)(x)), torch.tensor(rows)


def attending():
    x = Input((None, 4))
    y = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 3)(x, x))
    return Model(x, layers.GlobalAveragePooling1D()(y)), torch.randn(3, 11, 4)


def in_a_dict():
    left, right = Input((None, 3), name="right"), Input((2,), name="left")
    both = layers.Concatenate()([layers.GlobalMaxPooling1D()(left), right])
    y = layers.Dense(4, name="scores")(both)
    model = Model({"right": left, "left": right}, {"scores": y, "sum": y.sum(-1)})
    return model, {"right": torch.randn(5, 9, 3), "left": torch.randn(5, 2)}


class Own(Model):
    """Takes two tensors, and draws nothing outside training."""

    def __init__(self):
        super().__init__()
        self.dense, self.dropout = layers.Dense(3), layers.Dropout(0.5)

    def call(self, a, b, training=None):
        return self.dropout(self.dense(a), training=training) * b.sum(1, keepdim=True)


class OneInput(Model):
    """As torch has it."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(3)

    def forward(self, x):
        return self.dense(x).relu()


def exported(model, tmp_path, **options):
    path = tmp_path / "model.pt2"
    model.export(path, **options)
    return torch.export.load(path).module()


@pytest.mark.parametrize("make", [convolutional, masked, attending, in_a_dict])
def test_a_torch_program_gives_what_the_model_gives_for_any_number_of_rows(make, tmp_path):
    model, x = make()

    program = exported(model, tmp_path)

    model.eval()
    assert_close(program(x), model(x))
    first = {key: t[:1] for key, t in x.items()} if isinstance(x, dict) else x[:1]
    assert_close(program(first), model(first))


@pytest.mark.parametrize("make", [convolutional, masked, in_a_dict])
def test_an_onnx_file_gives_what_the_model_gives(make, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, x = make()

    model.export(tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = x if isinstance(x, dict) else {model.input_names[0]: x}
    got = session.run(None, {key: value.numpy() for key, value in inputs.items()})
    wanted = model(x, training=False)
    wanted = list(wanted.values()) if isinstance(wanted, dict) else [wanted]
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_inputs_outputs_and_open_axes_have_names_in_onnx(tmp_path):
    pytest.importorskip("onnxscript")
    onnx = pytest.importorskip("onnx")
    model, _ = in_a_dict()

    model.export(tmp_path / "file", format="onnx")

    graph = onnx.load(tmp_path / "file").graph
    sizes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert sizes == {
        "right": ["batch", "right_1", 3],
        "left": ["batch", 2],
        "scores": ["batch", 4],
        "sum": ["batch"],
    }


def test_without_packages_for_onnx_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ImportError, match="pip install onnx onnxscript"):
        convolutional()[0].export(tmp_path / "model.onnx")


def test_a_program_runs_where_there_is_no_kerasish(tmp_path):
    model, x = convolutional()
    model.export(tmp_path / "model.pt2")
    np.save(tmp_path / "x.npy", x.numpy())
    code = (
        "import sys; sys.modules['kerasish'] = None\n"
        "import numpy, torch; torch.set_num_threads(1)\n"
        "program = torch.export.load('model.pt2').module()\n"
        "y = program(torch.from_numpy(numpy.load('x.npy')))\n"
        "numpy.save('y.npy', y.detach().numpy())"
    )

    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)

    got = torch.from_numpy(np.load(tmp_path / "y.npy"))
    assert_close(got, model.eval()(x).detach())


def test_dense_layers_compute_what_their_kernels_say(tmp_path):
    model = Sequential([Input((3,)), layers.Dense(2, activation="tanh")])
    x = torch.randn(4, 3)

    program = exported(model, tmp_path)

    kernel, bias = map(torch.from_numpy, model.get_weights())
    assert_close(program(x), torch.tanh(F.linear(x, kernel.T, bias)))


def test_models_of_own_code_are_exported_as_they_were_called(tmp_path):
    one, two = OneInput(), Own()
    a, b = torch.randn(4, 5), torch.randn(4, 2)
    one(a), two(a, b)

    first, second = exported(one, tmp_path), exported(two, tmp_path)

    a, b = torch.randn(9, 5), torch.randn(9, 2)
    assert_close(first(a), F.linear(a, *one.dense.linear.parameters()).relu())
    assert_close(second(a, b), two(a, b, training=False))
    assert two.training


def test_a_plain_module_in_a_model_is_exported(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout(0.5))
    x = torch.randn(3, 4)

    signature = [InputSpec(shape=(None, 4))]
    program = exported(Model(module), tmp_path, input_signature=signature)

    assert_close(program(x), F.linear(x, module[0].weight, module[0].bias))


def test_a_model_that_was_never_called_needs_a_signature(tmp_path):
    model = Model(torch.nn.Linear(4, 2))

    with pytest.raises(ValueError, match="pass input_signature"):
        model.export(tmp_path / "model.pt2")
    with pytest.raises(ValueError, match="no weights yet"):
        OneInput().export(tmp_path / "model.pt2")


def test_a_signature_fixes_sizes_or_opens_them(tmp_path):
    x = Input((8,))
    model = Model(x, x.cumsum(-1))

    fixed = exported(model, tmp_path, input_signature=[InputSpec(shape=(2, 8))])
    model(torch.zeros(1, 8))

    assert_close(fixed(torch.ones(2, 8)), torch.ones(2, 8).cumsum(-1))
    with pytest.raises(Exception, match="2"):
        fixed(torch.ones(3, 8))


def test_a_signature_must_have_as_many_inputs_as_the_model(tmp_path):
    model, _ = in_a_dict()

    with pytest.raises(ValueError, match=r"has 2 inputs \(right, left\), `input_signature` 1"):
        model.export(tmp_path / "m.pt2", input_signature=[InputSpec(shape=(None, 3))])
    with pytest.raises(ValueError, match="got 'float32' \\(str\\)"):
        convolutional()[0].export(tmp_path / "m.pt2", input_signature=["float32"])


def test_layers_that_resize_leave_the_number_of_rows_open(tmp_path):
    stack = [
        Input((3, 9, 7)),
        layers.Resizing(8, 8),
        layers.CenterCrop(6, 6),
        layers.RandomCrop(5, 5),
    ]
    model, x = Sequential(stack), torch.rand(3, 3, 9, 7)

    program = exported(model, tmp_path)

    assert_close(program(x), model(x, training=False))
    assert program(x[:1]).shape == (1, 3, 5, 5)


def test_an_ensemble_is_exported_as_its_members_take_their_inputs(tmp_path):
    members = [Sequential([Input((4,)), layers.Dense(2)]) for _ in range(2)]
    x = torch.randn(3, 4)

    program = exported(Ensemble(members), tmp_path)

    assert_close(program(x), (members[0](x) + members[1](x)) / 2)


def test_an_onnx_file_of_a_mixed_policy_computes_in_single_precision(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    options = {"dtype": "mixed_bfloat16"}
    dense, norm = layers.Dense(4, **options), layers.LayerNormalization(**options)
    model, x = Sequential([Input((3,)), dense, norm]), torch.randn(2, 3)

    model.export(tmp_path / "model.onnx")

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    got = session.run(None, {model.input_names[0]: x.numpy()})[0]
    wanted = F.layer_norm(F.linear(x, *dense.linear.parameters()), (4,), eps=1e-3)
    np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-4, atol=1e-5)
    assert model(x).dtype is torch.bfloat16


def test_a_model_that_keeps_its_state_is_refused(tmp_path):
    model = Sequential([Input(batch_shape=(2, 5, 3)), layers.GRU(3, stateful=True)])

    with pytest.raises(ValueError, match=r'GRU "gru.*" is stateful: it keeps'):
        model.export(tmp_path / "model.pt2")


def test_raw_images_go_through_the_preprocessing_of_the_model(tmp_path):
    network = Sequential([Input((3, 8, 8)), layers.Conv2D(2, 3), layers.GlobalAveragePooling2D()])
    network.preprocessing = ImagePreprocessing((8, 8), mean=[0.5] * 3, std=[0.25] * 3)
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)

    signature = [InputSpec(shape=(None, 3, 8, 8), dtype="uint8")]
    program = exported(network, tmp_path, input_signature=signature)

    convolution = network.layers[0].conv
    scaled = (images / 255 - 0.5) / 0.25
    maps = F.conv2d(scaled, convolution.weight, convolution.bias)
    assert_close(program(images), maps.mean((2, 3)))


def test_a_recurrent_layer_over_an_open_time_axis_is_told_what_to_do(tmp_path):
    model = Sequential([Input((None, 3)), layers.LSTM(2)])
    x = torch.randn(4, 5, 3)

    with pytest.raises(ValueError, match=r"give its size: input_signature="):
        model.export(tmp_path / "model.pt2")
    program = exported(model, tmp_path, input_signature=[InputSpec(shape=(None, 5, 3))])

    assert_close(program(x), model(x, training=False))


def test_an_old_file_stays_when_exporting_fails(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_text("old")

    class Peeking(OneInput):
        def forward(self, x):
            return self.dense(x) if x.sum() > 0 else x

    model = Peeking()
    model(torch.ones(2, 3))

    with pytest.raises(ValueError, match=r"torch cannot follow \"peeking[\s\S]*torch.where"):
        model.export(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.parametrize("format", ["tf_saved_model", "litert", "openvino"])
def test_formats_of_other_systems_say_the_way_there(format, tmp_path):
    with pytest.raises(
        ValueError, match=f"does not write '{format}'. Use format='torch' or 'onnx'"
    ):
        convolutional()[0].export(tmp_path / "model", format=format)


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="did you mean 'onnx'"):
        convolutional()[0].export(tmp_path / "model", format="onxx")


def test_a_line_is_printed_when_asked(tmp_path, capsys):
    model, _ = convolutional()

    model.export(tmp_path / "model.pt2")
    assert capsys.readouterr().out == ""
    model.export(tmp_path / "model.pt2", verbose=True)

    assert "model.pt2: sequential" in capsys.readouterr().out


def test_training_goes_on_after_an_export(tmp_path):
    model = Sequential([Input((5, 3)), layers.LSTM(2), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((8, 5, 3), "float32"), np.ones((8, 1), "float32")
    model.fit(x, y, verbose=0)
    before = model.get_weights()

    model.export(tmp_path / "model.pt2")
    model.fit(x, y, verbose=0)

    changes = [np.abs(a - b).max() for a, b in zip(before, model.get_weights(), strict=True)]
    assert max(changes) > 0
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_the_page_about_exporting_runs(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)), {})

    assert {p.name for p in tmp_path.iterdir()} == {"model.pt2", "model.onnx", "fixed.pt2"}


def test_quantize_says_what_to_use_instead():
    model = Sequential([layers.Input((3,)), layers.Dense(2)])

    with pytest.raises(NotImplementedError, match=r"'float8' \(str\).*torchao.*bfloat16-mixed"):
        model.quantize("float8")
