"""Policies under Keras's names: `dtype_policies` and the older `mixed_precision`."""

import pytest
import torch

import kerasish
from kerasish import dtype_policies, layers, mixed_precision


def test_a_policy_is_got_by_name_type_config_or_itself():
    policy = dtype_policies.DTypePolicy("mixed_bfloat16")

    assert dtype_policies.get(policy) is policy
    assert dtype_policies.get("mixed_bfloat16") == policy
    assert dtype_policies.get(torch.float64).name == "float64"
    assert dtype_policies.get(None).name == "float32"
    assert dtype_policies.get(dtype_policies.serialize(policy)) == policy
    with pytest.raises(ValueError, match="A dtype policy is a name"):
        dtype_policies.get(3)


def test_configs_of_keras_are_understood():
    keras = pytest.importorskip("keras")
    config = keras.dtype_policies.serialize(keras.DTypePolicy("mixed_float16"))

    assert dtype_policies.deserialize(config).compute_dtype == torch.float16


def test_the_global_policy_is_that_of_new_layers():
    mixed_precision.set_global_policy("mixed_bfloat16")

    layer = layers.Dense(1)

    assert layer.dtype_policy == mixed_precision.global_policy() == kerasish.config.dtype_policy()
    assert (layer.variable_dtype, layer.compute_dtype) == (torch.float32, torch.bfloat16)
