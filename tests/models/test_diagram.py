"""Pictures of models: the right boxes and arrows, in every format, with or without libraries."""

import builtins
import itertools
import re
import xml.etree.ElementTree as ET

import pytest
import torch
from torch import nn

from kerasish import Input, Model, Sequential, layers
from kerasish.models.diagram import make_diagram, model_to_dot, plot_model
from kerasish.models.drawing import draw_diagram


def residual_network():
    x = Input((8,), name="x")
    y = layers.Dense(8, activation="relu", name="hidden")(x)
    inner = Sequential(
        [Input((8,)), layers.Dense(4, name="a"), layers.Dense(2, name="b")], name="in"
    )
    return Model(x, inner(x + y), name="residual")


def names_and_arrows(dot):
    names = dict(re.findall(r'(n\d+) \[label="(\w+)', dot))
    arrows = re.findall(r"(n\d+) -> (n\d+);", dot)
    return list(names.values()), {(names[a], names[b]) for a, b in arrows}


def test_dot_has_a_box_for_each_layer_and_an_arrow_for_each_connection():
    names, arrows = names_and_arrows(model_to_dot(residual_network()))

    assert names == ["x", "hidden", "add", "in"]
    assert arrows == {("x", "hidden"), ("x", "add"), ("hidden", "add"), ("add", "in")}


def test_expanded_models_are_entered_at_their_first_layer():
    dot = model_to_dot(residual_network(), expand_nested=True)
    names, arrows = names_and_arrows(dot)

    assert names == ["x", "hidden", "add", "a", "b"]
    assert {("add", "a"), ("a", "b")} <= arrows
    assert 'subgraph cluster_0 { label="in"; n3; n4; }' in dot


def test_expanded_functional_models_pass_arrows_in_and_out():
    a, b = Input((2,), name="a"), Input((2,), name="b")
    inner = Model([a, b], layers.Add(name="sum")([a, b]), name="inner")
    x = Input((2,), name="x")
    model = Model(x, layers.Dense(1, name="last")(inner([x, layers.Dense(2, name="first")(x)])))

    _, arrows = names_and_arrows(model_to_dot(model, expand_nested=True))

    assert {("a", "sum"), ("b", "sum"), ("sum", "last"), ("x", "a"), ("first", "b")} <= arrows


def test_shared_layer_is_one_box():
    x = Input((4,), name="x")
    shared = layers.Dense(4, name="shared")
    names, arrows = names_and_arrows(model_to_dot(Model(x, shared(torch.relu(shared(x))))))

    assert names == ["x", "shared", "relu"]
    assert arrows == {("x", "shared"), ("shared", "relu"), ("relu", "shared")}


def test_boxes_say_what_is_asked():
    model = residual_network()
    model.get_layer("hidden").trainable = False

    plain = make_diagram(model).boxes[1]
    full = make_diagram(
        model,
        show_shapes=True,
        show_dtype=True,
        show_layer_names=True,
        show_layer_activations=True,
        show_trainable=True,
    ).boxes[1]

    assert plain == ["Dense"]
    assert full == [
        "hidden (Dense)",
        "activation: relu",
        "output: (None, 8)",
        "dtype: float32",
        "frozen",
    ]


def test_unbuilt_sequential_is_a_chain():
    model = Sequential([layers.Dense(2, name="a"), layers.Dense(3, name="b")])

    assert names_and_arrows(model_to_dot(model)) == (["a", "b"], {("a", "b")})


def test_model_without_a_graph_shows_its_parts():
    names, arrows = names_and_arrows(model_to_dot(Model(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))))

    assert names == ["0", "1"]
    assert arrows == set()


def test_quotes_in_names_are_escaped():
    model = Sequential([Input((2,)), layers.Dense(1, name='say "so" \\')])

    assert r'label="say \"so\" \\ (Dense)"' in model_to_dot(model)


def test_subgraph_can_be_put_into_another_graph():
    assert model_to_dot(residual_network(), subgraph=True).startswith(
        'subgraph "cluster_residual" {'
    )


@pytest.mark.parametrize("rankdir", ["TB", "BT", "LR", "RL"])
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_every_format_and_direction_is_written(tmp_path, kind, rankdir):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"model.{kind}"

    plot_model(residual_network(), path, rankdir=rankdir, expand_nested=True, dpi=50)

    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[kind]
    assert path.read_bytes().startswith(magic)


def test_drawing_shows_every_box_and_arrow(tmp_path):
    pytest.importorskip("matplotlib")
    diagram = make_diagram(residual_network(), show_layer_names=True)
    path = tmp_path / "model.svg"

    draw_diagram(diagram, path)

    root = ET.parse(path).getroot()
    groups = [element.get("id", "") for element in root.iter()]
    assert sum(name.startswith("text_") for name in groups) == len(diagram.boxes)
    # An arrow is a line and a head in one group, a box one group.
    assert sum(name.startswith("patch_") for name in groups) >= len(diagram.boxes) + len(
        diagram.edges
    )


def test_boxes_of_a_layer_do_not_overlap():
    from kerasish.models.drawing import _box_size, _layout

    x = Input((8,))
    model = Model(x, layers.Add()([layers.Dense(8, name=f"branch_{i}")(x) for i in range(6)]))
    diagram = make_diagram(model, show_layer_names=True)
    sizes = [_box_size(lines) for lines in diagram.boxes]

    places, _ = _layout(sizes, diagram.edges, sideways=False)

    row = sorted((places[i][0], sizes[i][0]) for i in range(1, 7))
    assert len({places[i][1] for i in range(1, 7)}) == 1
    assert all(
        b - a >= (wide_a + wide_b) / 2 for (a, wide_a), (b, wide_b) in itertools.pairwise(row)
    )


def test_deep_model_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    model = Sequential([Input((2,)), *(layers.Dense(2) for _ in range(150))])

    plot_model(model, tmp_path / "deep.png", dpi=20)

    assert (tmp_path / "deep.png").stat().st_size > 0


def test_dot_file_needs_no_library(tmp_path, monkeypatch):
    without_libraries(monkeypatch)

    plot_model(residual_network(), str(tmp_path / "model.dot"))

    assert (tmp_path / "model.dot").read_text().startswith("digraph model {")


def test_missing_libraries_are_named(tmp_path, monkeypatch):
    without_libraries(monkeypatch)

    with pytest.raises(ImportError, match=r"graphviz or matplotlib.*kerasish\[plot\]"):
        plot_model(residual_network(), tmp_path / "model.png")


def without_libraries(monkeypatch):
    real = builtins.__import__

    def fake(name, *args, **kwargs):
        if name.split(".")[0] in ("graphviz", "matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", fake)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"to_file": "model.gif"}, "must end in .png, .svg, .pdf or .dot"),
        ({"to_file": "model.dot", "rankdir": "UP"}, "rankdir must be one of TB"),
    ],
    ids=["format", "direction"],
)
def test_unknown_formats_and_directions_are_refused(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match=message):
        plot_model(residual_network(), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_plot_model_takes_kerass_arguments_in_kerass_order():
    keras = pytest.importorskip("keras")
    import inspect

    theirs = [n for n in inspect.signature(keras.utils.plot_model).parameters if n != "kwargs"]
    ours = list(inspect.signature(plot_model).parameters)

    # Splines are Graphviz's own matter.
    assert ours == [name for name in theirs if name != "splines"]
