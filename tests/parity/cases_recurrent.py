"""Recurrent layers and their cells: outputs, states, directions, masks and biases."""

from __future__ import annotations

from tests.parity.case import Case, Made, Values, each, grid, one

X = (3, 5, 4)
MASK = {"mask": Values((3, 5), flags=True)}
KINDS = ["SimpleRNN", "LSTM", "GRU"]
RULES = {
    f"{part}_{rule}": [value]
    for part in ("kernel", "recurrent", "bias")
    for rule, value in (("initializer", "ones"), ("regularizer", "l2"), ("constraint", "non_neg"))
}


def sequences(name: str) -> list[Case]:
    flags = {
        "units": [3],
        "return_sequences": [False, True],
        "return_state": [False, True],
        "go_backwards": [False, True],
    }
    options = {
        "activation": ["relu", "sigmoid", "linear"],
        "use_bias": [False],
        "dropout": [0.3],
        "recurrent_dropout": [0.3],
        "unroll": [True],
        **RULES,
    }
    if name == "LSTM":
        options |= {"unit_forget_bias": [False]}
    if name == "GRU":
        options |= {"reset_after": [False, True]}
    if name != "SimpleRNN":
        options |= {"recurrent_activation": ["hard_sigmoid", "tanh"]}
    initial = {"initial_state": [(3, 3)] * (2 if name == "LSTM" else 1)}
    return [
        *grid(name, X, **flags),
        *grid(name, X, call=MASK, **flags),
        *grid(name, X, call=initial, **flags),
        *grid(name, X, call=MASK, units=[3], return_sequences=[True], zero_output_for_mask=[True]),
        *each(name, X, base={"units": 3}, options=options),
    ]


def cells() -> list[Case]:
    cells = [
        Made("SimpleRNNCell", {"units": 3}),
        Made("SimpleRNNCell", {"units": 3, "activation": "relu", "use_bias": False}),
        Made("LSTMCell", {"units": 3}),
        Made("LSTMCell", {"units": 3, "unit_forget_bias": False}),
        Made("GRUCell", {"units": 3}),
        Made("GRUCell", {"units": 3, "reset_after": False}),
    ]
    stacked = Made("StackedRNNCells", {"cells": [cells[2], Made("GRUCell", {"units": 2})]})
    return [
        case
        for cell in (*cells, stacked)
        for call in ({}, MASK)
        for case in grid(
            "RNN",
            X,
            call=call,
            cell=[cell],
            return_sequences=[False, True],
            return_state=[False, True],
        )
    ]


def single_cells() -> list[Case]:
    return [
        *(one(f"{name}Cell", (3, 4), [(3, 3)], units=3) for name in ("SimpleRNN", "GRU")),
        one("LSTMCell", (3, 4), [(3, 3), (3, 3)], units=3),
        one("GRUCell", (3, 4), [(3, 3)], units=3, reset_after=False, use_bias=False),
        one(
            "StackedRNNCells",
            (3, 4),
            [[(3, 3)], [(3, 2)]],
            cells=[Made("GRUCell", {"units": 3}), Made("SimpleRNNCell", {"units": 2})],
        ),
    ]


def bidirectional() -> list[Case]:
    return [
        case
        for name in KINDS
        for return_sequences in (False, True)
        for call in ({}, MASK)
        for case in grid(
            "Bidirectional",
            X,
            call=call,
            layer=[Made(name, {"units": 3, "return_sequences": return_sequences})],
            merge_mode=["concat", "sum", "mul", "ave", None],
        )
    ]


def convolutional() -> list[Case]:
    shapes = {1: (2, 3, 6, 2), 2: (2, 3, 6, 5, 2), 3: (2, 3, 4, 5, 4, 2)}
    return [
        case
        for rank, shape in shapes.items()
        for case in (
            *grid(
                f"ConvLSTM{rank}D",
                shape,
                filters=[2],
                kernel_size=[2],
                data_format=["channels_last"],
                padding=["valid", "same"],
                return_sequences=[False, True],
            ),
            *each(
                f"ConvLSTM{rank}D",
                shape,
                base={"filters": 2, "kernel_size": 3, "data_format": "channels_last"},
                options={
                    "strides": [2],
                    "use_bias": [False],
                    "return_state": [True],
                    "go_backwards": [True],
                    "activation": ["relu"],
                    "recurrent_activation": ["hard_sigmoid"],
                    "unroll": [True],
                },
            ),
        )
    ]


CASES = [
    *(case for name in KINDS for case in sequences(name)),
    *cells(),
    *single_cells(),
    *bidirectional(),
    *convolutional(),
]
