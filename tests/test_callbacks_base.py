import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from kerasish import callbacks
from kerasish.callbacks import Callback, CallbackList, History, LambdaCallback, ProgressBar
from kerasish.callbacks.base import HOOKS


class Recorder(Callback):
    def __init__(self):
        self.calls = []


def _recording(hook):
    def record(self, *args):
        self.calls.append((hook, args))

    return record


for _hook in HOOKS:
    setattr(Recorder, _hook, _recording(_hook))


def test_hooks_are_those_of_keras():
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_")}

    assert theirs == {*HOOKS, "on_batch_begin", "on_batch_end"}


def test_every_hook_reaches_every_callback_in_order():
    first, second = Recorder(), Recorder()
    order = []
    first.on_train_begin = lambda logs: order.append("first")
    second.on_train_begin = lambda logs: order.append("second")
    hooks = CallbackList([first, [second]])

    for hook in HOOKS:
        getattr(hooks, hook)(*([3] if "epoch" in hook or "batch" in hook else []))

    assert order == ["first", "second"]
    assert [name for name, _ in first.calls] == [name for name in HOOKS if name != "on_train_begin"]
    assert ("on_epoch_end", (3, {})) in second.calls
    assert ("on_train_end", ({},)) in second.calls


def test_overrides_tells_what_is_used():
    class EndOnly(Callback):
        def on_train_batch_end(self, batch, logs=None): ...

    class OldName(Callback):
        def on_batch_begin(self, batch, logs=None): ...

    assert not CallbackList([Callback()]).overrides("on_train_batch_end")
    assert CallbackList([Callback(), EndOnly()]).overrides("on_train_batch_end")
    assert not CallbackList([EndOnly()]).overrides("on_train_batch_begin")
    assert CallbackList([OldName()]).overrides("on_train_batch_begin")
    assert CallbackList([CallbackList([EndOnly()])]).overrides("on_train_batch_end")
    assert not CallbackList([CallbackList([EndOnly()])]).overrides("on_test_end")
    with pytest.raises(ValueError, match="did you mean 'on_test_end'"):
        CallbackList().overrides("on_tset_end")


def test_older_batch_hook_names_are_called():
    seen = []

    class OldName(Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, logs))

    CallbackList(OldName()).on_train_batch_end(4, {"loss": 1.0})

    assert seen == [(4, {"loss": 1.0})]


def test_logs_are_handed_on_as_they_are_and_are_not_read():
    class Lazy(dict):
        def __bool__(self):
            raise AssertionError("read")

        __len__ = __iter__ = items = __bool__

    lazy, seen = Lazy(), []
    CallbackList(LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(logs)))
    hooks = CallbackList([LambdaCallback(on_train_batch_end=lambda b, logs: seen.append(logs))])

    hooks.on_train_batch_end(0, lazy)

    assert seen[0] is lazy


def test_an_error_names_the_callback_and_hook():
    class Broken(Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyError("f1")

    with pytest.raises(KeyError) as caught:
        CallbackList([Recorder(), Broken()]).on_epoch_end(2)
    assert caught.value.__notes__ == ["in Broken.on_epoch_end(2)"]


def test_all_callbacks_see_the_end_of_training_even_if_one_fails():
    class Broken(Callback):
        def on_train_end(self, logs=None):
            raise RuntimeError("disk full")

    last = Recorder()

    with pytest.raises(RuntimeError, match="disk full") as caught:
        CallbackList([Broken(), last]).on_train_end()
    assert last.calls == [("on_train_end", ({},))]
    assert caught.value.__notes__ == ["in Broken.on_train_end"]


def test_model_and_params_reach_the_callbacks():
    class Model: ...

    model, seen = Model(), Callback()

    hooks = CallbackList([seen], add_history=True, model=model, epochs=3)

    assert seen.model is model
    assert seen.params == {"epochs": 3}
    assert isinstance(hooks.history, History)
    assert model.history is hooks.history


def test_history_and_progress_bar_are_added_once_and_last():
    mine = History()

    hooks = CallbackList([mine, Callback()], add_history=True, add_progbar=True, verbose=2)

    assert [type(known) for known in hooks.callbacks] == [History, Callback, ProgressBar]
    assert hooks.callbacks[-1].verbose == 2
    assert CallbackList(add_progbar=True, verbose=0).callbacks == []
    assert len(CallbackList([ProgressBar()], add_progbar=True).callbacks) == 1


@pytest.mark.parametrize("wrong", [print, "early", History, 3], ids=str)
def test_something_else_in_the_list_is_an_error(wrong):
    with pytest.raises(TypeError, match="expected Callback objects, got"):
        CallbackList([wrong])


def test_a_class_in_the_list_gets_a_hint():
    with pytest.raises(TypeError, match=r"Did you mean History\(\)\?"):
        CallbackList([History])


def test_callbacks_of_keras_are_called_too():
    keras = pytest.importorskip("keras")
    history = keras.callbacks.History()
    hooks = CallbackList([history], model=type("Model", (), {})())

    hooks.on_train_begin()
    hooks.on_epoch_end(0, {"loss": 1.0})

    assert history.history == {"loss": [1.0]}


@pytest.mark.parametrize(
    "name",
    [
        "CSVLogger",
        "EarlyStopping",
        "History",
        "LambdaCallback",
        "LearningRateScheduler",
        "ModelCheckpoint",
        "ReduceLROnPlateau",
        "RemoteMonitor",
        "SwapEMAWeights",
        "TensorBoard",
        "TerminateOnNaN",
    ],
)
def test_arguments_are_those_of_keras(name):
    keras = pytest.importorskip("keras")

    def arguments(cls):
        parameters = inspect.signature(cls).parameters.values()
        return [(p.name, p.default, p.kind) for p in parameters if p.kind is not p.VAR_KEYWORD]

    own = [
        p for p in arguments(getattr(callbacks, name)) if p[2] is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert own == arguments(getattr(keras.callbacks, name))


def test_names_are_those_of_keras_and_more():
    keras = pytest.importorskip("keras")
    theirs = {name for name in dir(keras.callbacks) if not name.startswith("_")}

    assert theirs - set(callbacks.__all__) == {"OrbaxCheckpoint"}
    assert callbacks.__all__ == sorted(callbacks.__all__)
    assert all(hasattr(callbacks, name) for name in callbacks.__all__)


def test_importing_callbacks_imports_no_heavy_package():
    script = (
        "import torch, sys; before = set(sys.modules); import kerasish.callbacks; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "heavy = {'rich', 'matplotlib', 'pandas', 'tensorboard', 'IPython', 'torchvision'}; "
        "print(sorted(new & heavy))"
    )

    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )

    assert result.stdout.strip() == "[]"


def test_an_interrupt_at_the_end_lets_the_others_end_too():
    class Interrupted(Callback):
        def on_train_end(self, logs=None):
            raise KeyboardInterrupt

    ended = []
    watch = LambdaCallback(on_train_end=ended.append)

    with pytest.raises(KeyboardInterrupt):
        CallbackList([Interrupted(), watch]).on_train_end()

    assert ended == [{}]
