"""Counter-based random numbers: repeatable, independent of the batch, and well distributed."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from kerasish.layers.augmentation import Draws, sample_context
from kerasish.layers.augmentation.draws import current_samples, mix_number, sample_keys


def keys(count=20_000, *salts):
    return sample_keys(torch.arange(count), *(salts or (3,)))


def test_stream_is_splitmix64():
    # The first outputs of the published generator started at 1234567.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    draws = Draws(torch.tensor([1234567]))

    bits = [int(draws.bits()) % 2**64 for _ in range(3)]

    assert bits == expected
    assert [int(b) % 2**64 for b in Draws(torch.tensor([1234567])).bits((3,))[0]] == expected


def test_number_mixing_agrees_with_tensor_mixing():
    from kerasish.layers.augmentation.draws import mix

    numbers = [0, 1, -1, 2**63 - 1, -(2**63), 123456789]

    assert [mix_number(n) for n in numbers] == mix(torch.tensor(numbers)).tolist()


def test_numbers_of_a_sample_do_not_depend_on_its_batch():
    whole = Draws(sample_keys(torch.arange(8), 5, 2)).uniform(shape=(4,))
    halves = [Draws(sample_keys(torch.arange(a, a + 4), 5, 2)).uniform(shape=(4,)) for a in (0, 4)]

    assert_close(torch.cat(halves), whole, rtol=0, atol=0)


def test_one_draw_of_many_is_many_draws_of_one():
    one, many = Draws(keys(5)), Draws(keys(5))

    assert_close(torch.stack([one.uniform() for _ in range(6)], 1), many.uniform(shape=(6,)))


@pytest.mark.parametrize("salts", [(1, 0), (0, 1), (2, 2)])
def test_other_seeds_and_epochs_give_unrelated_numbers(salts):
    a, b = (Draws(keys(20_000, *s)).uniform() for s in ((0, 0), salts))

    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_forks_are_unrelated_to_their_origin():
    draws = Draws(keys())
    numbers = [draws.fork(0).uniform(), draws.fork(1).uniform(), draws.uniform()]

    off_diagonal = np.corrcoef(torch.stack(numbers))[np.triu_indices(3, 1)]
    assert np.abs(off_diagonal).max() < 0.03


def test_uniform_numbers_fill_their_range_evenly():
    numbers = Draws(keys()).uniform(-2.0, 6.0)

    assert numbers.min() >= -2
    assert numbers.max() < 6
    counts = torch.histc(numbers, 20, -2, 6)
    # Chi-squared with 19 degrees of freedom exceeds 43.8 once in a thousand.
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 43.8


def test_integers_reach_both_ends_evenly():
    numbers = Draws(keys()).integers(-1, 3)

    values, counts = numbers.unique(return_counts=True)
    assert values.tolist() == [-1, 0, 1, 2, 3]
    assert float(((counts - 4000) ** 2 / 4000).sum()) < 18.5


def test_normal_numbers_have_the_moments_of_the_bell_curve():
    x = Draws(keys()).normal().double()

    assert abs(float(x.mean())) < 0.03
    assert abs(float(x.var()) - 1) < 0.04
    assert abs(float((x**4).mean()) - 3) < 0.25


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.5])
def test_gamma_and_beta_have_their_moments(alpha):
    gamma = Draws(keys()).gamma(alpha).double()
    beta = Draws(keys()).beta(alpha, 2 * alpha).double()

    assert abs(float(gamma.mean()) - alpha) < 5 * math.sqrt(alpha / 20_000)
    assert abs(float(gamma.var()) / alpha - 1) < 0.12
    assert abs(float(beta.mean()) - 1 / 3) < 0.02
    assert abs(float(beta.var()) / (2 / 9 / (3 * alpha + 1)) - 1) < 0.1


def test_dirichlet_shares_sum_to_one_and_are_even_on_average():
    shares = Draws(keys()).dirichlet(1.0, 3)

    assert_close(shares.sum(-1), torch.ones(20_000))
    assert_close(shares.mean(0), torch.full((3,), 1 / 3), atol=0.01, rtol=0)


def test_context_ends_with_its_block_even_after_an_error():
    def fail():
        with sample_context([4, 5], 2):
            indices, epoch, _ = current_samples()
            assert (indices.tolist(), epoch) == ([4, 5], 2)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert current_samples() is None


def test_context_refuses_what_is_no_row_of_integers():
    with pytest.raises(ValueError, match="one integer for each sample"), sample_context([0.5]):
        pass
