import pytest
from fake_fit import fake_fit

from kerasish.callbacks import LambdaCallback


def test_functions_are_called_at_their_hooks():
    seen = []
    callback = LambdaCallback(
        on_train_begin=lambda logs: seen.append("begin"),
        on_epoch_end=lambda epoch, logs: seen.append((epoch, logs["loss"])),
        on_train_batch_end=lambda batch, logs: seen.append(batch),
        on_train_end=lambda logs: seen.append("end"),
    )

    fake_fit([callback], [{"loss": 0.5}])

    assert seen == ["begin", 0, 1, (0, 0.5), "end"]


def test_any_hook_may_be_given_by_name():
    seen = []
    callback = LambdaCallback(on_test_end=seen.append, on_batch_end=lambda b, logs: seen.append(b))

    callback.on_test_end({"loss": 1})
    fake_fit([callback], [{"loss": 0.5}], steps=1)

    assert seen == [{"loss": 1}, 0]


def test_a_misspelt_hook_is_an_error():
    with pytest.raises(
        TypeError, match="unknown hook 'on_epoch_ends'; did you mean 'on_epoch_end'"
    ):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(TypeError, match="on_epoch_end must be a function, got 3"):
        LambdaCallback(on_epoch_end=3)
