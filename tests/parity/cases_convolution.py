"""Convolutions of every rank, in both axis orders."""

from __future__ import annotations

from tests.parity.case import Case, each, grid

FORMATS = ["channels_last", "channels_first"]
LAST = {1: (2, 9, 4), 2: (2, 8, 7, 4), 3: (2, 6, 5, 7, 4)}
RULES = {
    "activation": ["relu", "softmax"],
    "use_bias": [False],
    "bias_initializer": ["ones"],
    "bias_regularizer": ["l1"],
    "bias_constraint": ["non_neg"],
}
KERNEL_RULES = {
    "kernel_initializer": ["he_normal", "orthogonal", "zeros"],
    "kernel_regularizer": ["l2"],
    "kernel_constraint": ["unit_norm"],
}


def shape(rank: int, data_format: str) -> tuple[int, ...]:
    batch, *space, channels = LAST[rank]
    last = data_format == "channels_last"
    return (batch, *space, channels) if last else (batch, channels, *space)


def both_steps(arguments: dict) -> bool:
    """Neither library takes strides and dilation at once."""
    return arguments["strides"] != 1 and arguments["dilation_rate"] != 1


def uneven(rank: int) -> tuple[int, ...]:
    return (2, 3, 1)[:rank]


def convolutions(rank: int, data_format: str) -> list[Case]:
    name, x = f"Conv{rank}D", shape(rank, data_format)
    base = {"filters": 6, "kernel_size": 3, "data_format": data_format}
    return grid(
        name,
        x,
        filters=[3],
        kernel_size=[1, 2, 3, uneven(rank)],
        strides=[1, 2],
        padding=["valid", "same", *(["causal"] if rank == 1 else [])],
        dilation_rate=[1, 2],
        data_format=[data_format],
        unless=both_steps,
    ) + each(name, x, base=base, options={"groups": [2], **RULES, **KERNEL_RULES})


def transposed(rank: int, data_format: str) -> list[Case]:
    name, x = f"Conv{rank}DTranspose", shape(rank, data_format)
    base = {"filters": 2, "kernel_size": 3, "data_format": data_format}
    return grid(
        name,
        x,
        filters=[3],
        kernel_size=[1, 2, 3, uneven(rank)],
        strides=[1, 2],
        padding=["valid", "same"],
        dilation_rate=[1, 2],
        data_format=[data_format],
        unless=both_steps,
    ) + each(
        name,
        x,
        base={**base, "strides": 2},
        options={"output_padding": [1], **RULES, **KERNEL_RULES},
    )


def depthwise(rank: int, data_format: str) -> list[Case]:
    name, x = f"DepthwiseConv{rank}D", shape(rank, data_format)
    base = {"kernel_size": 3, "data_format": data_format}
    rules = {key.replace("kernel", "depthwise"): values for key, values in KERNEL_RULES.items()}
    return grid(
        name,
        x,
        kernel_size=[2, 3],
        strides=[1, 2],
        padding=["valid", "same"],
        depth_multiplier=[1, 2],
        dilation_rate=[1, 2],
        data_format=[data_format],
        unless=both_steps,
    ) + each(name, x, base=base, options={**RULES, **rules})


def separable(rank: int, data_format: str) -> list[Case]:
    name, x = f"SeparableConv{rank}D", shape(rank, data_format)
    base = {"filters": 2, "kernel_size": 3, "data_format": data_format}
    rules = {
        key.replace("kernel", part): values
        for part in ("depthwise", "pointwise")
        for key, values in KERNEL_RULES.items()
    }
    return grid(
        name,
        x,
        filters=[3],
        kernel_size=[2, 3],
        strides=[1, 2],
        padding=["valid", "same"],
        depth_multiplier=[1, 2],
        dilation_rate=[1, 2],
        data_format=[data_format],
        unless=both_steps,
    ) + each(name, x, base=base, options={**RULES, **rules})


CASES = [
    case
    for data_format in FORMATS
    for make, ranks in (
        (convolutions, (1, 2, 3)),
        (transposed, (1, 2, 3)),
        (depthwise, (1, 2)),
        (separable, (1, 2)),
    )
    for rank in ranks
    for case in make(rank, data_format)
]
