import io
import os
import re
import struct
import subprocess
import sys
import textwrap
import types
from pathlib import Path

import pytest
from fake_fit import fake_fit
from hypothesis import given
from hypothesis import strategies as st

from kerasish.callbacks import (
    CallbackList,
    EarlyStopping,
    LambdaCallback,
    ProgressBar,
    console,
    screens,
)
from kerasish.callbacks import progress as progress_module
from kerasish.callbacks.progress_line import (
    Status,
    bar,
    cells,
    clock,
    duration,
    finished_lines,
    live_line,
    number,
)

LOGS = {"loss": 0.4321, "accuracy": 0.8712}
VAL_LOGS = {**LOGS, "val_loss": 0.39, "val_accuracy": 0.89}


class Terminal(io.StringIO):
    """A terminal that remembers what its screen shows."""

    encoding = "utf-8"

    def isatty(self):
        return True

    @property
    def frames(self):
        return [_plain(frame) for frame in re.findall(r"\r([^\r\n]+)\x1b\[K", self.getvalue())]

    @property
    def screen(self):
        lines, column = [""], 0
        for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|.|\n", self.getvalue(), re.DOTALL):
            if token == "\r":
                column = 0
            elif token == "\n":
                lines.append("")
                column = 0
            elif token == "\x1b[K":
                lines[-1] = lines[-1][:column]
            elif not token.startswith("\x1b"):
                lines[-1] = lines[-1][:column] + token + lines[-1][column + 1 :]
                column += 1
        return lines


def _plain(text):
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture
def terminal(monkeypatch):
    terminal = Terminal()
    # pytest puts its own sys.stdout back between fixture and test.
    fake_sys = types.SimpleNamespace(stdout=terminal, modules=sys.modules)
    for module in (screens, console):
        monkeypatch.setattr(module, "sys", fake_sys)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return terminal


@pytest.fixture
def time(monkeypatch):
    """A clock that stands still unless moved."""
    time = types.SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress_module, "perf_counter", lambda: time.now)
    return time


def _train(
    time, callbacks=(), *, steps=400, seconds=0.03, params=None, logs=VAL_LOGS, validation=0
):
    usual = {"epochs": 10, "steps": steps, "verbose": 1, "metrics": list(logs)}
    hooks = CallbackList(list(callbacks), add_progbar=True, params={**usual, **(params or {})})
    hooks.on_train_begin()
    hooks.on_epoch_begin(2)
    for batch in range(steps):
        time.now += seconds
        hooks.on_train_batch_end(batch, LOGS)
    if validation:
        hooks.on_test_begin()
        for batch in range(validation):
            time.now += seconds
            hooks.on_test_batch_end(batch, LOGS)
        hooks.on_test_end(LOGS)
    hooks.on_epoch_end(2, dict(logs))
    hooks.on_train_end()


def test_live_line_shows_epoch_bar_steps_time_and_metrics():
    status = Status("Epoch 3/10", 123, 400, 5.0, 12.0, list(LOGS.items()))

    line = live_line(status, 80)

    assert line == (
        "Epoch 3/10 ━━━━━━──────────────  123/400  ETA 0:12  loss 0.4321  accuracy 0.8712"
    )


def test_bar_gives_way_before_metrics():
    status = Status("Epoch 3/10", 123, 400, 5.0, 12.0, list(VAL_LOGS.items()))

    assert live_line(status, 104).startswith("Epoch 3/10 ━╸───  123/400  ETA 0:12  loss")
    assert live_line(status, 100).startswith("Epoch 3/10  123/400  ETA 0:12  loss")
    assert live_line(status, 80) == (
        "Epoch 3/10  123/400  ETA 0:12  loss 0.4321  accuracy 0.8712  val_loss 0.3900  …"
    )
    assert live_line(status, 45) == "Epoch 3/10  123/400  ETA 0:12  loss 0.4321  …"
    assert live_line(status, 30) == "Epoch 3/10  123/400  ETA 0:12"


def test_unknown_length_shows_steps_and_elapsed_time():
    assert (
        live_line(Status("Epoch 1/2", 12, None, 65.0, None, []), 80) == "Epoch 1/2  12 steps  1:05"
    )


@given(
    names=st.lists(st.text(min_size=1, max_size=20), max_size=8),
    width=st.integers(20, 200),
    done=st.integers(0, 10**6),
    total=st.none() | st.integers(1, 10**6),
    color=st.booleans(),
)
def test_live_line_never_passes_the_width(names, width, done, total, color):
    names = [name.replace("\x1b", "") for name in names]
    status = Status("Epoch 3/10", done, total, 1e5, 1e5, [(name, 0.5) for name in names])

    line = live_line(status, max(width, 50), color=color)

    assert cells(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= max(width, 50)
    if not color:
        assert cells(live_line(status, width)) <= width


@given(fraction=st.floats(-1, 2), width=st.integers(5, 40), ascii_only=st.booleans())
def test_bar_is_as_wide_as_asked(fraction, width, ascii_only):
    assert len(bar(fraction, width, ascii_only=ascii_only)) == width
    assert len(_plain(bar(fraction, width, True, ascii_only))) == width


def test_colours_do_not_change_the_words():
    status = Status("Epoch 3/10", 400, 400, 5.0, 0.0, list(LOGS.items()))

    colored = live_line(status, 80, color=True)

    assert "\x1b[36m" in colored
    assert _plain(colored) == live_line(status, 80)


def test_finished_line_names_everything_where_there_is_room():
    values = list(VAL_LOGS.items())

    wide = finished_lines("Epoch 3/10  12s 31ms/step", values, 120)
    narrow = finished_lines("Epoch 3/10  12s 31ms/step", values, 79)
    close = finished_lines("Epoch  3/10  1.2s 0.31ms/step", values, 79)
    narrower = finished_lines("Epoch 3/10  12s 31ms/step", values, 50)

    assert wide == (
        [
            "Epoch 3/10  12s 31ms/step  loss 0.4321  accuracy 0.8712"
            "  val_loss 0.3900  val_accuracy 0.8900"
        ],
        0,
    )
    assert narrow == (
        ["Epoch 3/10  12s 31ms/step  loss 0.4321 val 0.3900  accuracy 0.8712 val 0.8900"],
        1,
    )
    assert close == (
        ["Epoch  3/10  1.2s 0.31ms/step  loss 0.432 val 0.390  accuracy 0.871 val 0.890"],
        2,
    )
    assert narrower == (
        [
            "Epoch 3/10  12s 31ms/step  loss 0.4321 val 0.3900",
            "    accuracy 0.8712 val 0.8900",
        ],
        3,
    )


def test_finished_lines_keep_their_style():
    assert finished_lines("Epoch 4/10", [("loss", 1.0), ("val_loss", 1.0)], 79, style=1) == (
        ["Epoch 4/10  loss 1.0000 val 1.0000"],
        1,
    )


def test_short_words_for_times_and_numbers():
    assert [duration(s) for s in (0.00027, 0.0031, 0.031, 0.85, 1.24, 12.3, 125)] == [
        "0.27ms",
        "3.1ms",
        "31ms",
        "850ms",
        "1.2s",
        "12s",
        "2:05",
    ]
    assert [clock(s) for s in (7.4, 725, 3723)] == ["0:07", "12:05", "1:02:03"]
    assert number(float("nan")) == "nan"
    assert [number(n) for n in (411, -7, 5.0)] == ["411", "-7", "5.0000"]  # counts are whole
    assert [number(n) for n in (1234.0, 14410.0, -14410.4, 9.9e6)] == [
        "1234",
        "14410",
        "-14410",
        "9900000",
    ]


def test_terminal_shows_one_clean_line_per_epoch(terminal, time):
    _train(time, validation=10, params={"validation_steps": 10})

    assert terminal.screen == [
        "Epoch  3/10  12s 30ms/step  loss 0.4321 val 0.3900  accuracy 0.8712 val 0.8900",
        "",
    ]
    assert terminal.frames[0] == "Epoch  3/10 " + "━" * 30 + "    0/400  0:00"
    assert any("validation" in frame and "/10" in frame for frame in terminal.frames)


def test_line_is_redrawn_ten_times_a_second_at_most(terminal, time):
    _train(time, steps=1000, seconds=0.002)

    assert 19 <= len(terminal.frames) <= 21


def test_logs_are_read_only_when_drawn(terminal, time):
    class Lazy(dict):
        reads = 0

        def items(self):
            Lazy.reads += 1
            return super().items()

    hooks = CallbackList([ProgressBar()], epochs=1, steps=100)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    for batch in range(100):
        time.now += 0.01
        hooks.on_train_batch_end(batch, Lazy(LOGS))

    assert 9 <= Lazy.reads <= 10


def test_time_left_does_not_count_the_slow_first_step(terminal, time):
    hooks = CallbackList([ProgressBar()], epochs=1, steps=101)
    hooks.on_train_begin()
    hooks.on_epoch_begin(0)
    time.now += 60
    for batch in range(51):
        hooks.on_train_batch_end(batch, LOGS)
        time.now += 1

    assert "ETA 0:50" in terminal.frames[-1]


def test_unknown_length_is_known_after_the_first_epoch(terminal, time):
    hooks = CallbackList([ProgressBar()], epochs=2, steps=None)
    hooks.on_train_begin()
    for epoch in range(2):
        hooks.on_epoch_begin(epoch)
        for batch in range(5):
            time.now += 1
            hooks.on_train_batch_end(batch, LOGS)
        hooks.on_epoch_end(epoch, LOGS)

    assert "Epoch 1/2  3 steps  0:03  loss 0.4321  accuracy 0.8712" in terminal.frames
    assert "3/5" in terminal.frames[-3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupt_leaves_the_cursor_on_a_fresh_line(terminal, error):
    with pytest.raises(error):
        fake_fit([], [error()], params={"epochs": 1, "steps": 2, "verbose": 1}, add_progbar=True)

    assert terminal.screen[-1] == ""
    assert terminal.screen[-2].startswith("Epoch 1/1")


def test_what_callbacks_print_stands_on_its_own_lines(terminal, time):
    stopping = EarlyStopping("loss", patience=0, verbose=1)
    printing = LambdaCallback(on_epoch_end=lambda epoch, logs: terminal.write("hello\n"))

    class Model:
        metrics = ()

    stopping.model = Model()
    _train(time, [printing, stopping], logs=LOGS)

    assert terminal.screen[0] == "hello"
    assert terminal.screen[1].startswith("Epoch  3/10  12s")


def test_messages_follow_the_line_of_their_epoch(terminal, time):
    from kerasish.callbacks.console import say

    _train(time, [LambdaCallback(on_epoch_end=lambda epoch, logs: say("saved"))], logs=LOGS)
    say("done")

    assert [line[:6] for line in terminal.screen] == ["Epoch ", "saved", "done", ""]


def test_no_color_is_honoured(terminal, time, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    _train(time)

    assert "m" not in "".join(re.findall(r"\x1b\[[0-9;]*([A-Za-z])", terminal.getvalue()))


def test_ascii_terminals_get_ascii(terminal, time):
    terminal.encoding = "ascii"

    _train(time)

    assert terminal.getvalue().isascii()
    assert "===" in terminal.frames[-1]


@pytest.mark.parametrize("verbose", [1, 2, "auto"])
def test_plain_lines_when_output_is_no_terminal(capsys, time, verbose):
    _train(time, params={"verbose": verbose})

    assert capsys.readouterr().out == (
        "Epoch  3/10  12s 30ms/step  loss 0.4321  accuracy 0.8712"
        "  val_loss 0.3900  val_accuracy 0.8900\n"
    )


def test_verbose_2_writes_plain_lines_to_a_terminal(terminal, time):
    _train(time, params={"verbose": 2})

    assert "\x1b" not in terminal.getvalue()
    assert terminal.getvalue().count("\n") == 1


def test_dumb_terminals_get_plain_lines(terminal, time, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")

    _train(time)

    assert "\x1b" not in terminal.getvalue()


def test_verbose_0_writes_nothing(terminal, time):
    _train(time, [ProgressBar(0)])

    assert terminal.getvalue() == ""


def test_wrong_verbose_is_an_error():
    with pytest.raises(ValueError, match='`verbose` must be "auto", 0, 1 or 2, got 3'):
        ProgressBar(3)


@pytest.mark.parametrize("steps", [30, None], ids=["known", "unknown"])
def test_evaluate_and_predict_have_lines_of_their_own(terminal, time, steps):
    for phase in ("test", "predict"):
        hooks = CallbackList([ProgressBar()], steps=steps)
        getattr(hooks, f"on_{phase}_begin")()
        for batch in range(30):
            time.now += 0.1
            getattr(hooks, f"on_{phase}_batch_end")(batch, LOGS)
        getattr(hooks, f"on_{phase}_end")(LOGS)

    assert terminal.screen == [
        "Evaluate  30 steps  3.0s 100ms/step  loss 0.4321  accuracy 0.8712",
        "Predict  30 steps  3.0s 100ms/step",
        "",
    ]
    assert not any("loss" in frame for frame in terminal.frames if "Predict" in frame)


def test_evaluate_inside_fit_does_not_spoil_the_line(terminal, time):
    def evaluate(epoch, logs):
        hooks = CallbackList([ProgressBar()], steps=1)
        hooks.on_test_begin()
        hooks.on_test_batch_end(0, LOGS)
        hooks.on_test_end({"loss": 0.1})

    _train(time, [LambdaCallback(on_epoch_end=evaluate)], logs=LOGS)

    assert [line[:11] for line in terminal.screen] == ["Evaluate  1", "Epoch  3/10", ""]


class FakeNotebook(types.ModuleType):
    """Stands for IPython in a kernel."""

    def __init__(self):
        super().__init__("IPython")
        self.outputs, self.updates = [], 0
        self.display = types.ModuleType("IPython.display")
        self.display.display = self._display

    def get_ipython(self):
        return types.SimpleNamespace(kernel=object())

    def _display(self, bundle, raw, display_id):
        assert raw
        assert display_id
        self.outputs.append(bundle)
        place = len(self.outputs) - 1

        def update(bundle, raw):
            self.updates += 1
            self.outputs[place] = bundle

        return types.SimpleNamespace(update=update)


@pytest.fixture
def notebook(monkeypatch):
    notebook = FakeNotebook()
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)
    return notebook


def test_notebook_has_one_output_that_is_updated(notebook, time, capsys):
    _train(time, logs={"loss": 0.5, "a<b": 1.0})

    (output,) = notebook.outputs
    assert output["text/plain"] == "Epoch  3/10  12s 30ms/step  loss 0.5000  a<b 1.0000"
    assert "a&lt;b 1.0000</pre>" in output["text/html"]
    assert "<progress" not in output["text/html"]
    assert 40 <= notebook.updates <= 50
    assert capsys.readouterr().out == ""


def test_notebook_stays_small(notebook, time):
    hooks = CallbackList([ProgressBar()], epochs=1000, steps=1)
    hooks.on_train_begin()
    for epoch in range(1000):
        hooks.on_epoch_begin(epoch)
        hooks.on_train_batch_end(0, LOGS)
        hooks.on_epoch_end(epoch, LOGS)
    hooks.on_train_end()

    text = notebook.outputs[0]["text/plain"].splitlines()
    assert text[0] == "(950 earlier lines)"
    assert len(text) == 51
    assert len(str(notebook.outputs)) < 12_000
    assert notebook.updates < 100


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_in_a_real_terminal_no_line_wraps():
    import fcntl
    import pty
    import termios

    script = textwrap.dedent("""
        from kerasish.callbacks import ProgressBar, CallbackList
        hooks = CallbackList([ProgressBar()], epochs=1, steps=3)
        logs = {f"metric_{i}": 0.5 for i in range(9)}
        hooks.on_train_begin()
        hooks.on_epoch_begin(0)
        bar = hooks.callbacks[0]
        for batch in range(3):
            bar._due = 0.0
            hooks.on_train_batch_end(batch, logs)
        hooks.on_epoch_end(0, logs)
        hooks.on_train_end()
    """)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    env |= {"TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    subprocess.run(
        [sys.executable, "-c", script],
        stdout=theirs,
        env=env,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    terminal = Terminal(os.read(ours, 65536).decode().replace("\r\n", "\n"))
    os.close(ours)
    os.close(theirs)

    assert len(terminal.frames) == 4
    assert max(map(len, terminal.frames)) < 80
    assert max(map(len, terminal.screen)) < 80
