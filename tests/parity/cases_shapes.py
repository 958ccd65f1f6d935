"""Layers that move numbers about, and those that merge several tensors."""

from __future__ import annotations

from tests.parity.case import Case, grid, one
from tests.parity.cases_convolution import FORMATS, shape

PADS = {
    1: [1, (1, 2)],
    2: [1, (1, 2), ((1, 0), (2, 1))],
    3: [1, (1, 2, 0), ((1, 0), (2, 1), (0, 1))],
}


def over_space(rank: int, data_format: str) -> list[Case]:
    x = shape(rank, data_format)
    formats = {"data_format": [data_format]}
    resize = grid(f"UpSampling{rank}D", x, size=[2, 3], **(formats if rank > 1 else {}))
    if rank == 2:
        # Not bicubic: Keras's torch backend takes another cubic than its other backends and ours.
        kinds = ["nearest", "bilinear"]
        resize += grid("UpSampling2D", x, size=[(1, 2), 2], interpolation=kinds, **formats)
    return [
        *grid(f"ZeroPadding{rank}D", x, padding=PADS[rank], **formats),
        *grid(f"Cropping{rank}D", x, cropping=PADS[rank], **(formats if rank > 1 else {})),
        *resize,
    ]


RESHAPING = [
    *(
        case
        for rank in (1, 2, 3)
        for data_format in FORMATS
        # Cropping and up-sampling of sequences have no axis order.
        if rank > 1 or data_format == "channels_last"
        for case in over_space(rank, data_format)
    ),
    *grid("ZeroPadding1D", (2, 4, 5), padding=[2, (0, 3)], data_format=["channels_first"]),
    *grid("Flatten", (2, 3, 4), data_format=FORMATS),
    *grid("Flatten", (2, 3, 4, 5), data_format=FORMATS),
    one("Flatten", (3,), data_format="channels_last"),
    *grid("Reshape", (2, 3, 4), target_shape=[(12,), (4, 3), (2, -1), (2, 2, 3), (-1,)]),
    *grid("Permute", (2, 3, 4, 5), dims=[(1, 2, 3), (3, 1, 2), (2, 1, 3)]),
    *grid("RepeatVector", (2, 3), n=[1, 4]),
]

MERGES = ["Add", "Average", "Maximum", "Minimum", "Multiply"]
MERGING = [
    *(one(name, [(3, 4)] * count) for name in MERGES for count in (2, 3)),
    *(one(name, [(3, 2, 4), (3, 1, 4), (3, 2, 1)]) for name in MERGES),
    *(one(name, [(3, 4), (3, 2, 4)]) for name in MERGES),
    one("Subtract", [(3, 4), (3, 4)]),
    one("Subtract", [(3, 2, 4), (3, 1, 4)]),
    *grid("Concatenate", [(3, 2, 4), (3, 2, 4)], axis=[-1, 1, 2]),
    one("Concatenate", [(3, 2), (3, 4), (3, 1)]),
    *grid("Dot", [(3, 4), (3, 4)], axes=[1, -1], normalize=[False, True]),
    *grid("Dot", [(3, 4, 5), (3, 5, 4)], axes=[(2, 1), (1, 2)], normalize=[False, True]),
    *grid("Dot", [(3, 4, 5), (3, 2, 5)], axes=[2, -1]),
]

CASES = RESHAPING + MERGING
