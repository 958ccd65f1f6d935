"""Normalisation, in both modes, over every axis."""

from __future__ import annotations

from tests.parity.case import Case, Values, each, grid, one

SHAPES = {2: (6, 4), 3: (4, 3, 4), 4: (4, 2, 3, 4), 5: (4, 2, 2, 3, 4)}
RULES = {"center": [False], "scale": [False], "epsilon": [0.1]}
FIRST_VALUES = {
    "beta_initializer": ["ones"],
    "gamma_initializer": ["zeros"],
    "beta_regularizer": ["l2"],
    "gamma_regularizer": ["l2"],
    "beta_constraint": ["non_neg"],
    "gamma_constraint": ["non_neg"],
}


def batch_normalizations() -> list[Case]:
    everywhere = [
        case
        for shape in SHAPES.values()
        for case in grid("BatchNormalization", shape, axis=[1, -1], training=[False, True])
    ]
    options = {
        **RULES,
        **FIRST_VALUES,
        "momentum": [0.5],
        "moving_mean_initializer": ["ones"],
        "moving_variance_initializer": ["zeros"],
    }
    # A new variance counts for most of what is stored: a wrong one cannot hide behind the old.
    moved = [
        case
        for shape in [*SHAPES.values(), (1, 4)]
        for axis in (1, -1)
        for case in each(
            "BatchNormalization",
            shape,
            base={"axis": axis, "training": True, "momentum": 0.1},
            options={"momentum": [0.0, 0.9]},
        )
    ]
    masked = [
        one(
            "BatchNormalization",
            (4, 5, 3),
            axis=-1,
            training=training,
            call={"mask": Values((4, 5), flags=True)},
        )
        for training in (False, True)
    ]
    return [
        *everywhere,
        *each("BatchNormalization", (6, 3), base={"axis": -1}, options=options),
        *each("BatchNormalization", (6, 3), base={"axis": -1, "training": True}, options=RULES),
        *masked,
        *moved,
    ]


CASES = [
    *batch_normalizations(),
    *grid("LayerNormalization", (4, 3, 5), axis=[-1, [1, 2], [2]], epsilon=[1e-3, 0.1]),
    *grid("LayerNormalization", (4, 2, 3, 5), axis=[-1, [2, 3], [1, 2, 3]]),
    *each("LayerNormalization", (4, 5), base={}, options={**RULES, **FIRST_VALUES}),
    *grid("RMSNormalization", (4, 3, 5), axis=[-1, [1, 2]], epsilon=[1e-6, 0.1]),
    *grid("GroupNormalization", (3, 4, 5, 4), groups=[-1, 1, 2, 4], axis=[1, -1]),
    *grid("GroupNormalization", (3, 5, 4), groups=[2], axis=[-1], epsilon=[1e-3, 0.1]),
    *each("GroupNormalization", (3, 5, 4), base={"groups": 2}, options={**RULES, **FIRST_VALUES}),
    *grid("UnitNormalization", (3, 4, 5), axis=[-1, 1, [1, 2]]),
]
