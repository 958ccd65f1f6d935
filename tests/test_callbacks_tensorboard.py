import warnings

import pytest
import torch
from torch import nn

from kerasish import optimizers, schedules
from kerasish.callbacks import CallbackList, TensorBoard

pytest.importorskip("tensorboard")


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 8)
        self.second = nn.Linear(8, 2)
        self.stop_training = False
        self.optimizer = optimizers.SGD(0.1)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def _train(board, model=None, epochs=2, steps=4):
    model = model or Net()
    model.optimizer.bind(model.named_parameters())
    hooks = CallbackList([board], model=model, epochs=epochs, steps=steps)
    hooks.on_train_begin()
    for epoch in range(epochs):
        hooks.on_epoch_begin(epoch)
        for batch in range(steps):
            hooks.on_train_batch_begin(batch)
            loss = model(torch.randn(16, 4)).square().mean()
            loss.backward()
            model.optimizer.update()
            hooks.on_train_batch_end(batch, {"loss": 1.0 + batch})
        hooks.on_test_begin()
        hooks.on_test_end({"loss": 0.75})
        hooks.on_epoch_end(epoch, {"loss": 0.5 - epoch / 4, "val_loss": 0.75})
    hooks.on_train_end()
    return model


def _read(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(folder), size_guidance={"histograms": 0})
        events.Reload()
    return events


def _points(events, tag):
    return [(event.step, event.value) for event in events.Scalars(tag)]


def test_curves_of_training_and_validation_share_names(tmp_path):
    _train(TensorBoard(tmp_path, write_graph=False))

    train, validation = _read(tmp_path / "train"), _read(tmp_path / "validation")
    assert _points(train, "epoch_loss") == [(0, 0.5), (1, 0.25)]
    assert _points(validation, "epoch_loss") == [(0, 0.75), (1, 0.75)]
    assert _points(validation, "evaluation_loss_vs_iterations") == [(4, 0.75), (8, 0.75)]
    assert train.Tags()["histograms"] == []


@pytest.mark.parametrize(("freq", "steps"), [("batch", [*range(1, 9)]), (3, [3, 6])])
def test_batch_curves_are_written_as_often_as_asked(tmp_path, freq, steps):
    _train(TensorBoard(tmp_path, write_graph=False, update_freq=freq))

    points = _points(_read(tmp_path / "train"), "batch_loss")
    assert [step for step, _ in points] == steps


def test_histograms_of_weights_and_gradients(tmp_path):
    _train(TensorBoard(tmp_path, histogram_freq=2, write_graph=False), epochs=3)

    events = _read(tmp_path / "train")
    tags = [f"{n}{kind}" for n in ("first/weight", "second/bias") for kind in ("", "/gradient")]
    assert set(tags) < set(events.Tags()["histograms"])
    assert [event.step for event in events.Histograms("first/weight")] == [0, 2]
    assert events.Histograms("first/weight/gradient")[0].histogram_value.num == 32


def test_graph_has_a_scope_per_layer(tmp_path):
    model = _train(TensorBoard(tmp_path))

    events = _read(tmp_path / "train")
    graph = events.Graph()
    names = " ".join(node.name for node in graph.node)
    assert "Linear[first]" in names
    assert "Linear[second]" in names
    assert model.training
    assert not model._forward_pre_hooks


def test_a_model_that_cannot_be_traced_warns_and_goes_on(tmp_path, capsys):
    class Odd(Net):
        def forward(self, x):
            if not self.training:
                raise RuntimeError("no evaluation here")
            return super().forward(x)

    with pytest.warns(UserWarning, match="the graph could not be traced"):
        _train(TensorBoard(tmp_path), Odd())

    assert len(_points(_read(tmp_path / "train"), "epoch_loss")) == 2


def test_images_rates_speed_and_profile(tmp_path):
    model = Net()
    model.optimizer = optimizers.SGD(schedules.ExponentialDecay(0.1, 4, 0.5))
    board = TensorBoard(
        tmp_path,
        histogram_freq=1,
        write_graph=False,
        write_images=True,
        write_steps_per_second=True,
        profile_batch=(1, 2),
        write_gradients=False,
    )

    _train(board, model)

    events = _read(tmp_path / "train")
    assert any(tag.startswith("first/weight/image") for tag in events.Tags()["images"])
    assert [value for _, value in _points(events, "epoch_learning_rate")] == pytest.approx(
        [0.05, 0.025]
    )
    assert _points(events, "epoch_steps_per_second")[0][1] > 0
    assert (tmp_path / "profile" / "trace.json").exists()


def test_embeddings_are_written_with_their_labels(tmp_path):
    class Words(Net):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(3, 4)

    (tmp_path / "words.txt").write_text("a\nb\nc\n")

    _train(
        TensorBoard(
            tmp_path / "logs",
            write_graph=False,
            embeddings_freq=1,
            embeddings_metadata={"words": tmp_path / "words.txt"},
        ),
        Words(),
        epochs=1,
    )

    labels = list((tmp_path / "logs" / "train").rglob("metadata.tsv"))
    assert labels[0].read_text().split() == ["a", "b", "c"]


def test_evaluate_alone_writes_and_closes(tmp_path):
    board, model = TensorBoard(tmp_path), Net()
    board.set_model(model)

    board.on_test_end({"loss": 0.5})

    assert _points(_read(tmp_path / "validation"), "evaluation_loss_vs_iterations") == [(0, 0.5)]
    assert not board._writers


def test_batch_hooks_exist_only_when_needed(tmp_path):
    assert not CallbackList(TensorBoard(tmp_path)).overrides("on_train_batch_end")
    assert CallbackList(TensorBoard(tmp_path, update_freq=5)).overrides("on_train_batch_end")
    assert CallbackList(TensorBoard(tmp_path, 1)).overrides("on_train_batch_begin")


def test_wrong_frequency_is_an_error():
    with pytest.raises(ValueError, match="`update_freq` must be"):
        TensorBoard(update_freq="step")


def test_batch_curves_follow_batch_numbers_that_jump(tmp_path):
    board = TensorBoard(tmp_path, write_graph=False, update_freq=4)
    hooks = CallbackList([board], model=Net())

    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for batch in (2, 5, 8, 11):
        hooks.on_train_batch_end(batch, {"loss": 1.0})
    hooks.on_train_end()

    points = _points(_read(tmp_path / "train"), "batch_loss")
    assert [step for step, _ in points] == [6, 9, 12]
