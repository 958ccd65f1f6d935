"""Pooling over windows, over everything, and to a given size."""

from __future__ import annotations

from collections.abc import Callable

from tests.parity.case import Case, Values, grid, never, one
from tests.parity.cases_convolution import FORMATS, LAST, shape


def padded_unevenly(rank: int) -> Callable[[dict], bool]:
    """Whether some window needs more padding after than before it.

    Keras's torch backend counts that padding in the average, unlike its other backends and ours
    (tests/layers/test_pooling.py takes the windows one by one).
    """

    def refuses(arguments: dict) -> bool:
        if arguments["padding"] == "valid" or rank == 1:
            return False
        size = arguments["pool_size"]
        size = (size,) * rank if isinstance(size, int) else size
        steps = size if arguments["strides"] is None else (arguments["strides"],) * rank
        needed = zip(LAST[rank][1:-1], size, steps, strict=True)
        return any(((-(-n // s) - 1) * s + k - n) % 2 for n, k, s in needed)

    return refuses


def pooling(rank: int, data_format: str) -> list[Case]:
    x = shape(rank, data_format)
    windows = [
        case
        for kind in ("Max", "Average")
        for case in grid(
            f"{kind}Pooling{rank}D",
            x,
            pool_size=[2, 3, *([(2, 3, 1)[:rank]] if rank > 1 else [])],
            strides=[None, 1, 2],
            padding=["valid", "same"],
            data_format=[data_format],
            unless=padded_unevenly(rank) if kind == "Average" else never,
        )
    ]
    whole = [
        one(f"Global{kind}Pooling{rank}D", x, data_format=data_format, keepdims=keepdims)
        for kind in ("Max", "Average")
        for keepdims in (False, True)
    ]
    adaptive = [
        case
        for kind in ("Max", "Average")
        for case in grid(
            f"Adaptive{kind}Pooling{rank}D",
            x,
            output_size=[1, 3, *([(2, 3, 1)[:rank]] if rank > 1 else [])],
            data_format=[data_format],
        )
    ]
    return windows + whole + adaptive


CASES = [
    *(case for rank in (1, 2, 3) for data_format in FORMATS for case in pooling(rank, data_format)),
    one("GlobalAveragePooling1D", (3, 6, 4), call={"mask": Values((3, 6), flags=True)}),
]
