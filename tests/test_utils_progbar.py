"""Progbar: what it averages and what it writes, compared with Keras's where both tell a number."""

import re

import numpy as np
import pytest
import torch

from kerasish.utils import Progbar
from kerasish.utils.progbar import bytes_in_words

ANSI = re.compile(r"\x1b\[\d*[mK]")


def on_a_terminal(monkeypatch):
    # In the test, not in a fixture: pytest puts its own sys.stdout back between them.
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("kerasish.callbacks.screens.TerminalScreen.interval", 0.0)


def drawn(capsys):
    return [line.rstrip() for line in ANSI.sub("", capsys.readouterr().out).split("\r") if line]


def test_live_line_has_a_bar_steps_and_metrics(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    bar = Progbar(8, width=10, interval=0)

    bar.update(2, [("loss", 0.5)])

    assert drawn(capsys) == ["━━╸───────  2/8  ETA 0:00  loss 0.5000"]


def test_last_update_writes_one_line_that_stays(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    bar = Progbar(2, interval=0)
    bar.add(1, [("loss", 4.0)])
    bar.add(1, [("loss", 2.0)])

    lines = drawn(capsys)
    assert re.fullmatch(r"2/2  \S+ \S+s/step  loss 2\.0000", lines[-1])


@pytest.mark.parametrize("verbose", [1, 2])
def test_plain_output_gets_the_last_line_only(verbose, capsys):
    bar = Progbar(3, verbose=verbose, unit_name="sample", title="Reading")

    for _ in range(3):
        bar.add(1)

    assert re.fullmatch(r"Reading  3/3  \S+ \S+s/sample\n", capsys.readouterr().out)


def test_verbose_0_says_nothing(capsys):
    bar = Progbar(1, verbose=0)

    bar.update(1, finalize=True)

    assert capsys.readouterr().out == ""


def test_unknown_target_is_finished_by_hand(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    bar = Progbar(None, interval=0)
    bar.update(3)
    bar.update(5, finalize=True)

    lines = drawn(capsys)
    assert lines[0].startswith("3 steps  0:00")
    assert lines[-1].startswith("5 steps  ")


def test_lines_come_no_faster_than_the_interval(monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    bar = Progbar(1000, interval=60)

    for step in range(500):
        bar.update(step)

    assert len(drawn(capsys)) == 1


@pytest.mark.parametrize(
    "options", [{}, {"stateful_metrics": ["b"]}, {"stateless_metrics": ["b"]}], ids=str
)
def test_averages_are_keras_s(options, monkeypatch, capsys):
    on_a_terminal(monkeypatch)
    keras_utils = pytest.importorskip("keras").utils
    steps = [(1, 1.0), (4, 2.0), (4, 3.0), (9, 0.5), (12, 7.0)]

    numbers = []
    for kind in (Progbar, keras_utils.Progbar):
        bar = kind(12, interval=0, **options)
        for current, value in steps:
            bar.update(current, [("a", value), ("b", 10 * value)])
        text = ANSI.sub("", capsys.readouterr().out)
        numbers.append(re.findall(r"a:? (\d+\.\d+).*?b:? (\d+\.\d+)", text))

    assert len(numbers[0]) == len(steps)
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    "value", [0.25, np.float32(0.25), torch.tensor(0.25), np.array([0.0, 0.5])], ids=repr
)
def test_values_may_be_any_numbers(value, capsys):
    bar = Progbar(1)

    bar.update(1, [("loss", value)])

    assert capsys.readouterr().out.endswith("loss 0.2500\n")


def test_steps_done_before_do_not_count_for_the_pace(capsys):
    bar = Progbar(1_000_000, unit_name="byte", title="a.bin", initial=1_000_000)

    bar.update(1_000_000, finalize=True)

    assert re.fullmatch(r"a\.bin  1\.0 MB  \S+ 0 B/s\n", capsys.readouterr().out)


def test_both_lists_of_metrics_are_refused():
    with pytest.raises(ValueError, match="both given"):
        Progbar(1, stateful_metrics=["a"], stateless_metrics=["b"])


def test_unknown_verbosity_is_refused():
    with pytest.raises(ValueError, match="0, 1 or 2, got 3"):
        Progbar(1, verbose=3)


def test_bytes_are_told_in_three_digits_or_so():
    counts = [0, 999, 1000, 1234, 999_949, 999_950, 170_498_071, 5e12]

    assert [bytes_in_words(count) for count in counts] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 kB",
        "999.9 kB",
        "1.0 MB",
        "170.5 MB",
        "5000.0 GB",
    ]


def test_values_that_need_gradients_are_averaged_without_them(capsys):
    weight = torch.ones((), requires_grad=True)
    bar = Progbar(3)

    for step in range(2):
        bar.add(1, values={"loss": weight * step}.items())
    bar.update(3, finalize=True)

    assert "loss 0.5000" in capsys.readouterr().out


def test_values_may_be_a_dict(capsys):
    Progbar(1).add(1, values={"loss": 2.0})

    assert "loss 2.0000" in capsys.readouterr().out
