"""The table of layers: what it says, how it fits a width, and in which form it comes."""

import io
import re

import pytest
import torch
from torch import nn

from kerasish import Input, Model, Sequential, layers
from kerasish.models.rows import rows_of
from kerasish.models.summary import draw, make_table, plain_text


def text_of(model, line_length=None, **options):
    lines = []
    model.summary(line_length=line_length, print_fn=lines.append, **options)
    return "\n".join(lines)


def row_of(text, name):
    """The cells of the line that begins with a layer's name."""
    line = next(line for line in text.splitlines() if line.strip().startswith(f"{name} "))
    return re.split(r"\s{2,}", line.strip())


def small_network():
    return Sequential(
        [
            Input((1, 28, 28)),
            layers.Conv2D(32, 3, name="conv"),
            layers.Flatten(name="flatten"),
            layers.Dense(10, name="dense"),
        ],
        name="small",
    )


def branching_network():
    x = Input((4,), name="x")
    shared = layers.Dense(3, name="shared")
    a, b = shared(x), shared(x * 2)
    added = layers.Add(name="added")([a, b])
    left, _, right = torch.split(added, 1, dim=1)
    return Model(x, torch.cat([left, right], 1), name="branching")


# What it says


def test_summary_lists_layers_with_shapes_and_parameters():
    text = text_of(small_network(), 100)

    assert text.splitlines()[0] == 'Model: "small"'
    assert row_of(text, "conv") == ["conv (Conv2D)", "(None, 32, 26, 26)", "320"]
    assert row_of(text, "flatten") == ["flatten (Flatten)", "(None, 21632)", "0"]
    assert row_of(text, "dense") == ["dense (Dense)", "(None, 10)", "216,330"]
    assert "Connected to" not in text
    assert text.splitlines()[-3:] == [
        "Total params: 216,650 (846.29 KB)",
        "Trainable params: 216,650 (846.29 KB)",
        "Non-trainable params: 0 (0.00 B)",
    ]


def test_alexnet_has_its_published_sizes():
    model = Sequential(
        [
            Input((3, 227, 227)),
            layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1"),
            layers.MaxPooling2D(3, 2, name="pool1"),
            layers.Conv2D(256, 5, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(3, 2, name="pool2"),
            layers.Conv2D(384, 3, padding="same", activation="relu", name="conv3"),
            layers.Conv2D(384, 3, padding="same", activation="relu", name="conv4"),
            layers.Conv2D(256, 3, padding="same", activation="relu", name="conv5"),
            layers.MaxPooling2D(3, 2, name="pool3"),
            layers.Flatten(),
        ]
    )
    text = text_of(model, 120, show_macs=True, show_receptive_field=True)

    assert row_of(text, "conv1") == [
        "conv1 (Conv2D)",
        "(None, 96, 55, 55)",
        f"{34_848 + 96:,}",
        f"{55 * 55 * 11 * 11 * 3 * 96:,}",
        "11x11",
    ]
    shapes = {row.name: row.shapes[0][1:] for row in rows_of(model)}
    assert shapes["pool1"] == (96, 27, 27)
    assert shapes["conv2"] == (256, 27, 27)
    assert shapes["pool2"] == (256, 13, 13)
    assert shapes["conv3"] == shapes["conv4"] == (384, 13, 13)
    assert shapes["pool3"] == (256, 6, 6)


def test_branching_graph_says_what_is_connected_to_what():
    text = text_of(branching_network(), 100)

    assert row_of(text, "x") == ["x (InputLayer)", "(None, 4)", "0", "-"]
    assert row_of(text, "shared") == ["shared (Dense)", "(None, 3)", "15", "x, mul"]
    assert row_of(text, "mul") == ["mul (function)", "(None, 4)", "0", "x"]
    assert row_of(text, "added") == ["added (Add)", "(None, 3)", "0", "shared[0], shared[1]"]
    assert row_of(text, "cat") == ["cat (function)", "(None, 2)", "0", "split[0], split[2]"]
    assert "Total params: 15 " in text


def test_every_output_of_a_layer_is_listed():
    x = Input((5, 4))
    model = Model(x, layers.LSTM(3, return_state=True, name="lstm")(x))

    assert row_of(text_of(model), "lstm")[1] == "(None, 3), (None, 3), (None, 3)"


def test_frozen_and_half_frozen_layers_are_told_apart():
    inner = Sequential([Input((4,)), layers.Dense(3), layers.Dense(2)], name="inner")
    inner.layers[0].trainable = False
    frozen = layers.Dense(5, name="frozen", trainable=False)
    model = Sequential([inner, frozen, layers.ReLU(name="relu"), layers.Dense(1, name="free")])

    text = text_of(model, show_trainable=True)

    assert [row_of(text, name)[-1] for name in ("inner", "frozen", "relu", "free")] == [
        "partly",
        "N",
        "-",
        "Y",
    ]
    assert "Trainable params: 14 " in text
    assert "Non-trainable params: 30 " in text


def test_batch_normalization_keeps_statistics_as_non_trainable():
    model = Sequential([Input((7,)), layers.BatchNormalization()])

    text = text_of(model)

    assert "Trainable params: 14 (56.00 B)" in text
    assert "Non-trainable params: 14 (56.00 B)" in text


def test_total_agrees_with_count_params_and_counts_shared_weights_once():
    for model in (small_network(), branching_network()):
        assert f"Total params: {model.count_params():,} (" in text_of(model)


def test_memory_follows_the_type_of_the_weights():
    model = Sequential([Input((8,)), layers.Dense(16, use_bias=False, dtype="float64")])

    assert "Total params: 128 (1.00 KB)" in text_of(model)


def test_optimizer_state_is_counted_once_it_exists():
    model = small_network()
    model.compile("adam", "mse", device="cpu")

    assert "Optimizer params" not in text_of(model)
    model.fit(torch.rand(8, 1, 28, 28), torch.zeros(8, 10), epochs=1, verbose=0)

    # Two moments for each parameter, and the number of the step.
    (line,) = [line for line in text_of(model).splitlines() if "Optimizer" in line]
    count = int(re.search(r": ([\d,]+)", line)[1].replace(",", ""))
    assert 2 * model.count_params() <= count <= 2 * model.count_params() + 4


def test_nested_models_are_listed_on_request():
    inner = Sequential([Input((4,)), layers.Dense(3, name="deep")], name="inner")
    x = Input((4,), name="x")
    model = Model(x, inner(x))

    assert "deep" not in text_of(model)
    text = text_of(model, expand_nested=True)
    assert "\n  deep (Dense)" in text
    assert text.index("inner (Sequential)") < text.index("deep (Dense)")
    assert "Total params: 15 " in text


def test_layer_range_shows_a_part_but_counts_everything():
    model = small_network()

    text = text_of(model, layer_range=("flatten", "dense"))

    assert "conv" not in text
    assert "flatten" in text
    assert "Total params: 216,650 " in text
    assert "conv" in text_of(model, layer_range=["co.*", "flat"])
    with pytest.raises(ValueError, match="no layer 'flaten'; did you mean 'flatten'"):
        model.summary(layer_range=("flaten", "dense"))
    with pytest.raises(ValueError, match="two names"):
        model.summary(layer_range=("flatten",))


# Models of every kind


def test_unbuilt_sequential_says_how_to_build_it():
    model = Sequential([layers.Dense(3, name="dense")])

    text = text_of(model)

    assert row_of(text, "dense") == ["dense (Dense)", "?", "0 (unbuilt)"]
    assert "Input(shape)" in text
    assert "build(input_shape)" in text


def test_empty_sequential_has_a_summary():
    assert "Total params: 0 (0.00 B)" in text_of(Sequential())


class Subclassed(Model):
    def __init__(self):
        super().__init__()
        self.first = layers.Dense(3, name="first")
        self.rest = [layers.Dense(2, name="second"), layers.Dense(4, name="third")]
        self.plain = nn.Linear(4, 5)

    def call(self, inputs):
        return self.plain(self.rest[1](self.rest[0](self.first(inputs))))


def test_subclassed_model_lists_its_layers_in_order():
    model = Subclassed()

    before = text_of(model)
    model(torch.ones(2, 6))
    after = text_of(model)

    assert row_of(before, "first") == ["first (Dense)", "?", "0 (unbuilt)"]
    assert "call the model on data" in before
    names = ["first", "second", "third", "plain"]
    assert [row.name for row in rows_of(model)] == names
    assert [row_of(after, name)[1] for name in names] == [
        "(None, 3)",
        "(None, 2)",
        "(None, 4)",
        "(None, 5)",
    ]
    assert [row_of(after, name)[2] for name in names] == ["21", "8", "12", "25"]
    assert "call the model on data" not in after


def test_subclassed_model_knows_shapes_after_build():
    model = Subclassed()
    model.build((None, 6))

    assert row_of(text_of(model), "plain") == ["plain (Linear)", "(None, 5)", "25"]


def test_plain_module_lists_its_children():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2)))
    model = Model(module)

    text = text_of(model)
    deep = text_of(model, expand_nested=True)

    assert row_of(text, "0") == ["0 (Linear)", "?", "16"]
    assert row_of(text, "2") == ["2 (Sequential)", "?", "10"]
    assert row_of(deep, "2.0") == ["2.0 (Linear)", "?", "10"]
    assert "Total params: 26 " in text
    assert "Total params: 26 " in text_of(Model(nn.Linear(12, 2)))


def test_plain_module_with_lazy_parts_is_unbuilt():
    model = Model(nn.Sequential(nn.LazyLinear(3)))

    assert "0 (unbuilt)" in text_of(model)


def test_wrapped_module_is_named_by_what_it_wraps():
    model = Sequential([Input((3,)), layers.TorchModule(nn.Linear(3, 2), name="wrapped")])

    assert row_of(text_of(model), "wrapped") == ["wrapped (Linear)", "(None, 2)", "8"]


def test_model_from_an_intermediate_tensor_names_its_input():
    whole = small_network()
    part = Model(whole.get_layer("flatten").output, whole.output)

    assert [row.name for row in rows_of(part)] == ["flatten", "dense"]


# Columns on request


def test_multiply_adds_and_receptive_field_columns_appear_on_request():
    text = text_of(small_network(), 100, show_macs=True, show_receptive_field=True)

    assert row_of(text, "conv")[3:] == [f"{26 * 26 * 9 * 32:,}", "3x3"]
    assert row_of(text, "dense")[3:] == ["216,320", "all"]
    assert f"Multiply-adds per sample: {26 * 26 * 9 * 32 + 216_320:,}" in text


def test_vectors_have_no_receptive_field_and_unknown_sizes_no_multiply_adds():
    dense = Sequential([Input((4,)), layers.Dense(3, name="dense")])
    open_ended = Sequential([Input((3, None, None)), layers.Conv2D(4, 3, name="conv")])

    assert row_of(text_of(dense, show_receptive_field=True), "dense")[-1] == "-"
    text = text_of(open_ended, show_macs=True)
    assert row_of(text, "conv")[-1] == "?"
    assert "Multiply-adds per sample: unknown; some sizes are unknown (None)" in text


# Forms


def long_names():
    x = Input((64, 64, 3), name="the_input_of_a_rather_long_name")
    y = layers.Dense(8, name="a_layer_whose_name_goes_on_and_on_and_on")(x)
    z = layers.Dense(8, name="another_layer_whose_name_goes_on_and_on")(x)
    return Model(x, layers.Concatenate(name="they_meet_here_in_the_end")([y, z]))


def test_plain_text_is_ascii_without_control_codes_and_cuts_nothing():
    text = text_of(long_names(), 80, show_trainable=True, show_macs=True)

    assert text.isascii()
    assert text.replace("\n", "").isprintable()
    for name in ("a_layer_whose_name_goes_on_and_on_and_on", "(None, 64, 64, 16)", "trainable"):
        assert name in text.lower().replace("none", "None")


@pytest.mark.parametrize("width", [60, 80, 100])
def test_plain_text_keeps_to_the_width(width):
    text = text_of(branching_network(), width, show_trainable=True)

    assert max(len(line) for line in text.splitlines()) <= width


def test_piped_summary_is_plain_text(capsys):
    small_network().summary()

    written = capsys.readouterr().out
    assert "\x1b" not in written
    assert written.isascii()
    assert written == text_of(small_network()) + "\n"


def test_terminal_gets_a_drawn_table(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")

    small_network().summary()

    lines = re.sub(r"\x1b\[[\d;]*m", "", screen.getvalue()).splitlines()
    assert any("│ conv (Conv2D)" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert "Total params: 216,650" in lines[-3]


def test_narrow_terminal_breaks_names_at_their_joints(capsys):
    draw(make_table(long_names(), show_trainable=True, show_macs=True), 80)

    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    cells = [line.split("│")[1].strip() for line in lines if line.startswith("│")]
    names = "".join(cells)
    assert "a_layer_whose_name_goes_on_and_on_and_on(Dense)" in names
    assert "they_meet_here_in_the_end(Concatenate)" in names


def test_drawn_table_does_not_read_names_as_markup(capsys):
    model = Sequential([Input((2,)), layers.Dense(1, name="[bold]dense[/bold]")])

    draw(make_table(model), 80)

    assert "[bold]dense[/bold]" in capsys.readouterr().out


def test_print_fn_is_called_once_with_the_whole_text():
    calls = []

    small_network().summary(print_fn=calls.append)

    assert calls == [plain_text(make_table(small_network()), 80)]


# HTML


def test_html_is_one_table_without_scripts():
    html = branching_network()._repr_html_()

    assert html.count("<table>") == html.count("</table>") == 1
    assert html.count("<tr>") == 1 + len(rows_of(branching_network()))
    assert "<script" not in html
    assert "shared (Dense)" in html
    assert "Total params: 15" in html


def test_html_escapes_names():
    model = Sequential([Input((2,)), layers.Dense(1, name="<b>&")], name="<script>")

    html = model._repr_html_()

    assert "<b>&" not in html.replace("<p><b>", "")
    assert "&lt;b&gt;&amp; (Dense)" in html
    assert "<script>" not in html


def test_unbuilt_model_has_html_too():
    assert "unbuilt" in Sequential([layers.Dense(2)])._repr_html_()
