"""Attention: heads, groups, masks, scores on request."""

from __future__ import annotations

from tests.parity.case import Case, Values, each, one

QUERY, VALUE, KEY = (2, 4, 6), (2, 5, 6), (2, 5, 6)
CALLS: list[dict] = [
    {},
    {"return_attention_scores": True},
    {"use_causal_mask": True},
    {"attention_mask": Values((2, 4, 5), flags=True)},
    {"value_mask": Values((2, 5), flags=True)},
    {"key_mask": Values((2, 5), flags=True), "return_attention_scores": True},
]
RULES = {
    "use_bias": [False],
    "kernel_initializer": ["he_normal"],
    "bias_initializer": ["ones"],
    "kernel_regularizer": ["l2"],
    "bias_regularizer": ["l2"],
    "kernel_constraint": ["non_neg"],
    "bias_constraint": ["non_neg"],
    "dropout": [0.2],
}


def several_heads() -> list[Case]:
    heads = {"num_heads": 2, "key_dim": 3}
    groups = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    return [
        *(one("MultiHeadAttention", QUERY, VALUE, call=call, **heads) for call in CALLS),
        *(one("MultiHeadAttention", QUERY, VALUE, KEY, call=call, **heads) for call in CALLS),
        *each(
            "MultiHeadAttention",
            QUERY,
            VALUE,
            base=heads,
            options={**RULES, "value_dim": [5], "output_shape": [7, (2, 3)], "sliding_window": [2]},
        ),
        *(
            one("MultiHeadAttention", (2, 3, 4, 6), (2, 3, 4, 6), attention_axes=axes, **heads)
            for axes in (1, 2, (1, 2))
        ),
        *(one("GroupQueryAttention", QUERY, VALUE, call=call, **groups) for call in CALLS),
        *each("GroupQueryAttention", QUERY, VALUE, base=groups, options=RULES),
    ]


def plain() -> list[Case]:
    calls = [
        {},
        {"return_attention_scores": True},
        {"use_causal_mask": True},
        {"mask": [Values((2, 4), flags=True), Values((2, 5), flags=True)]},
    ]
    options = {
        "Attention": [{}, {"use_scale": True}, {"score_mode": "concat"}, {"dropout": 0.3}],
        "AdditiveAttention": [{}, {"use_scale": False}, {"dropout": 0.3}],
    }
    return [
        one(name, tensors, call=call, **arguments)
        for name, choices in options.items()
        for arguments in choices
        for tensors in ([QUERY, VALUE], [QUERY, VALUE, KEY])
        for call in calls
    ]


CASES = [*several_heads(), *plain()]
