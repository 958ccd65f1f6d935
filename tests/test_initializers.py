"""Initializers give Keras's distributions, on Keras's kernel layout."""

import inspect
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from kerasish import config, initializers, registry
from kerasish.random import SeedGenerator

VARIANCES = {
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
    "lecun_uniform": lambda fan_in, fan_out: 1 / fan_in,
}
FANS = {(300, 200): (300, 200), (3, 5, 40, 90): (600, 1350), (7, 60, 80): (420, 560)}
EXAMPLES = [
    initializers.Zeros(),
    initializers.Ones(),
    initializers.Constant(3.5),
    initializers.Identity(2.0),
    initializers.RandomNormal(1.0, 2.0, seed=3),
    initializers.TruncatedNormal(1.0, 2.0, seed=3),
    initializers.RandomUniform(-1.0, 2.0, seed=3),
    initializers.VarianceScaling(2.0, "fan_avg", "uniform", seed=3),
    initializers.VarianceScaling(2.0, seed=3, input_axes=[0], output_axes=[1]),
    initializers.HeNormal(seed=3),
    initializers.Orthogonal(2.0, seed=3),
    initializers.LooksLinear(initializers.HeNormal(seed=3)),
]


def type_name(value):
    return type(value).__name__


@pytest.mark.parametrize("shape", FANS, ids=str)
@pytest.mark.parametrize("name", VARIANCES)
def test_variance_follows_the_fans_of_keras_layout(name, shape):
    values = initializers.get(name)(shape)

    expected = VARIANCES[name](*FANS[shape])
    assert values.var().item() == pytest.approx(expected, rel=0.03)
    assert values.mean().item() == pytest.approx(0, abs=4 * math.sqrt(expected / values.numel()))


@pytest.mark.parametrize("name", VARIANCES)
def test_values_end_where_their_distribution_does(name):
    values = initializers.get(name)((200, 300))

    # Uniform: sqrt(3) deviations. Normal: cut at 2, which leaves 0.8796 of the deviation.
    ends = math.sqrt(3) if name.endswith("uniform") else 2 / 0.8796
    limit = ends * math.sqrt(VARIANCES[name](200, 300))
    assert 0.99 * limit < values.abs().max().item() < 1.001 * limit


def test_every_name_and_default_of_keras_is_here():
    keras = pytest.importorskip("keras")
    names = [name for name in dir(keras.initializers) if not name.startswith("_")]

    for name in names:
        ours, theirs = getattr(initializers, name), getattr(keras.initializers, name)
        if isinstance(theirs, type) and theirs is not keras.initializers.Initializer:
            ours, theirs = (inspect.signature(cls).parameters.values() for cls in (ours, theirs))
            assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((4, 6), (4, 6)), ((3, 3, 16, 32), (144, 288))],
)
def test_fans_are_read_off_the_shape(shape, fans):
    assert initializers.compute_fans(shape) == fans


def test_fans_may_name_their_axes():
    # an einsum kernel (model, heads, size): fan_in 8, fan_out 2 * 3
    assert initializers.compute_fans((8, 2, 3), [0], [1, 2]) == (8, 6)
    with pytest.raises(ValueError, match="both `input_axes` and `output_axes`"):
        initializers.HeNormal(input_axes=[0])


def test_random_normal_and_uniform_have_the_moments_asked_for():
    normal = initializers.RandomNormal(2.0, 3.0)((400, 300))
    uniform = initializers.RandomUniform(1.0, 4.0)((400, 300))

    assert normal.mean().item() == pytest.approx(2.0, abs=0.05)
    assert normal.std().item() == pytest.approx(3.0, rel=0.02)
    assert 1.0 <= uniform.min().item() < 1.001 < 3.999 < uniform.max().item() <= 4.0
    assert uniform.mean().item() == pytest.approx(2.5, rel=0.02)


def test_truncated_normal_stays_within_two_deviations():
    values = initializers.TruncatedNormal(1.0, 0.5)((400, 300))

    assert 0.0 <= values.min().item() < 0.01
    assert 1.99 < values.max().item() <= 2.0
    assert values.std().item() == pytest.approx(0.5 * 0.8796, rel=0.02)


def test_none_draws_anew_from_the_global_generator():
    initializer = initializers.GlorotUniform()
    torch.manual_seed(5)
    first, second = initializer((4, 4)), initializer((4, 4))
    torch.manual_seed(5)

    assert not torch.equal(first, second)
    assert torch.equal(initializer((4, 4)), first)


def test_integer_seed_repeats_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    initializer = initializers.HeNormal(seed=11)

    assert torch.equal(initializer((4, 4)), initializer((4, 4)))
    assert not torch.equal(initializer((4, 4)), initializers.HeNormal(seed=12)((4, 4)))
    assert torch.equal(torch.get_rng_state(), before)


def test_seed_generator_gives_a_sequence_that_repeats():
    def draw_two():
        initializer = initializers.Orthogonal(seed=SeedGenerator(4))
        return initializer((3, 3)), initializer((3, 3))

    first, second = draw_two()

    assert not torch.equal(first, second)
    assert_close(draw_two(), (first, second))


def test_bad_seed_is_refused():
    with pytest.raises(ValueError, match=r"HeNormal: `seed` must be an integer.*'7' \(str\)"):
        initializers.HeNormal(seed="7")


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), gain=st.sampled_from([0.5, 1.0, 2.0]))
def test_orthogonal_columns_or_rows_are_orthogonal(rows, columns, gain):
    w = initializers.Orthogonal(gain)((rows, columns))

    gram = w @ w.T if rows < columns else w.T @ w
    assert_close(gram, gain**2 * torch.eye(len(gram)), rtol=0, atol=2e-5)


def test_orthogonal_kernel_is_orthogonal_over_all_its_inputs():
    kernel = initializers.Orthogonal()((3, 3, 4, 8))

    assert_close(kernel.reshape(36, 8).T @ kernel.reshape(36, 8), torch.eye(8))
    with pytest.raises(ValueError, match=r"at least 2 axes, got \(5,\)"):
        initializers.Orthogonal()((5,))


def test_orthogonal_works_in_half_precision():
    w = initializers.Orthogonal()((4, 4), dtype="bfloat16")

    assert w.dtype == torch.bfloat16
    assert_close(w.float().T @ w.float(), torch.eye(4), rtol=0, atol=0.03)


@pytest.mark.parametrize("inner", [None, "he_normal"])
def test_looks_linear_after_interleaved_crelu_is_exactly_linear(inner):
    initializer = initializers.LooksLinear(inner)
    doubled = initializer((10, 3), dtype="float64")  # (2 * in, out)
    w = doubled[0::2]
    x = torch.randn(7, 5, dtype=torch.float64)

    crelu = torch.stack([torch.relu(x), torch.relu(-x)], dim=-1).flatten(-2)

    assert torch.equal(doubled[1::2], -w)
    assert_close(crelu @ doubled, x @ w)


def test_looks_linear_keeps_the_spatial_axes_and_refuses_odd_inputs():
    kernel = initializers.LooksLinear()((3, 3, 8, 5))

    assert torch.equal(kernel[:, :, 0::2], -kernel[:, :, 1::2])
    w = kernel[:, :, 0::2].reshape(36, 5)
    assert_close(w.T @ w, torch.eye(5))
    with pytest.raises(ValueError, match=r"2 \* in, out.*got shape \(7, 3\)"):
        initializers.LooksLinear()((7, 3))


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "cosine", None])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("periodic", [True, False])
def test_stft_kernel_is_that_of_keras(side, window, scaling, periodic):
    keras = pytest.importorskip("keras")
    arguments = (side, window, scaling, periodic)

    expected = keras.initializers.STFT(*arguments)((32, 1, 17)).cpu()

    assert_close(initializers.STFT(*arguments)((32, 1, 17)), expected, rtol=1e-4, atol=1e-5)


def test_identity_and_constants_have_the_values_named():
    assert initializers.Identity(3.0)((2, 3)).tolist() == [[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]
    assert initializers.Constant([1.0, 2.0])((2, 2)).tolist() == [[1.0, 2.0], [1.0, 2.0]]
    assert initializers.Zeros()((2,)).tolist() == [0.0, 0.0]
    assert initializers.Ones()(()).item() == 1.0
    with pytest.raises(ValueError, match="matrices only"):
        initializers.Identity()((2, 2, 2))


def test_dtype_defaults_to_floatx():
    config.set_floatx("float64")

    assert initializers.HeNormal()((2, 2)).dtype == torch.float64
    assert initializers.Zeros()((2, 2), dtype="int32").dtype == torch.int32


@pytest.mark.parametrize("initializer", EXAMPLES, ids=type_name)
def test_values_lie_on_the_default_device(initializer):
    with torch.device("meta"):
        values = initializer((4, 4))

    assert values.device.type == "meta"
    assert values.shape == (4, 4)


@pytest.mark.parametrize("initializer", EXAMPLES, ids=type_name)
def test_config_makes_the_same_initializer_again(initializer):
    again = initializers.deserialize(initializers.serialize(initializer))

    assert type(again) is type(initializer)
    assert_close(again((4, 4)), initializer((4, 4)))
    assert_close(initializer.clone()((4, 4)), initializer((4, 4)))


def test_get_takes_names_classes_functions_and_arrays():
    values = np.eye(2)

    assert initializers.get(None) is None
    assert isinstance(initializers.get("uniform"), initializers.RandomUniform)
    assert isinstance(initializers.get(initializers.Ones), initializers.Ones)
    assert initializers.get(torch.zeros) is torch.zeros
    assert initializers.get(values)((2, 2)).dtype == torch.float32
    with pytest.raises(ValueError, match=r"float64 array of shape \(2, 2\), but.*\(3, 2\)"):
        initializers.get(values)((3, 2))
    with pytest.raises(ValueError, match="did you mean 'he_normal'"):
        initializers.get("he_norml")


def test_registered_initializer_is_found_in_a_config():
    @registry.register(package="test_initializers")
    class Halves(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return torch.full(shape, 0.5)

    assert initializers.get(initializers.serialize(Halves()))((2,)).tolist() == [0.5, 0.5]
