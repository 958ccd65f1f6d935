"""Random tensors have the moments asked for and repeat from a seed."""

import pytest
import torch
from torch.testing import assert_close

from kerasish import config, random

DRAWS = {
    "normal": lambda seed: random.normal((50, 400), 2.0, 3.0, seed=seed),
    "uniform": lambda seed: random.uniform((50, 400), 2.0, 5.0, seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((50, 400), 2.0, 3.0, seed=seed),
    "randint": lambda seed: random.randint((50, 400), 2, 12, seed=seed),
    "gamma": lambda seed: random.gamma((50, 400), 3.0, seed=seed),
    "beta": lambda seed: random.beta((50, 400), 2.0, 6.0, seed=seed),
    "binomial": lambda seed: random.binomial((50, 400), 10.0, 0.3, seed=seed),
    "categorical": lambda seed: random.categorical(torch.tensor([[0.0, 1.0]]), 20000, seed=seed),
    "dropout": lambda seed: random.dropout(torch.ones(50, 400), 0.25, seed=seed),
}
# mean and standard deviation, from each distribution's textbook formula
MOMENTS = {
    "normal": (2.0, 3.0),
    "uniform": (3.5, 3 / 12**0.5),
    "truncated_normal": (2.0, 3.0 * 0.8796),
    "randint": (6.5, (99 / 12) ** 0.5),
    "gamma": (3.0, 3**0.5),
    "beta": (0.25, (12 / 64 / 9) ** 0.5),
    "binomial": (3.0, 2.1**0.5),
    "categorical": (0.7311, (0.7311 * 0.2689) ** 0.5),
    "dropout": (1.0, (1 / 3) ** 0.5),
}


@pytest.mark.parametrize("seed", [None, 3], ids=["global", "seeded"])
@pytest.mark.parametrize("name", DRAWS)
def test_draws_have_the_moments_of_their_distribution(name, seed):
    values = DRAWS[name](seed).double()

    mean, stddev = MOMENTS[name]
    assert values.mean().item() == pytest.approx(mean, abs=4 * stddev / 20000**0.5)
    assert values.std().item() == pytest.approx(stddev, rel=0.03)


@pytest.mark.parametrize("name", DRAWS)
def test_integer_seed_repeats_and_leaves_the_global_generator_alone(name):
    before = torch.get_rng_state()

    first = DRAWS[name](7)

    assert torch.equal(DRAWS[name](7), first)
    assert not torch.equal(DRAWS[name](8), first)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", DRAWS)
def test_seed_generator_gives_a_sequence_that_repeats(name):
    seeds = random.SeedGenerator(5)
    first, second = DRAWS[name](seeds), DRAWS[name](seeds)
    seeds = random.SeedGenerator(5)

    assert not torch.equal(first, second)
    assert torch.equal(DRAWS[name](seeds), first)
    assert torch.equal(DRAWS[name](seeds), second)


def test_seed_generator_goes_on_from_a_saved_state():
    seeds = random.SeedGenerator(5)
    seeds.next()
    saved, following = seeds.state, seeds.next()

    seeds.state = saved

    assert seeds.next() == following


def test_seed_generator_config_makes_it_again():
    seeds = random.SeedGenerator(5, name="noise")

    again = random.SeedGenerator.from_config(seeds.get_config())

    assert (again.name, again.next()) == ("noise", seeds.next())


@pytest.mark.parametrize("seed", ["7", 1.5, True])
def test_seed_that_is_no_integer_is_refused(seed):
    with pytest.raises(ValueError, match="must be an integer"):
        random.SeedGenerator(seed)
    with pytest.raises(ValueError, match="must be an integer"):
        random.normal((2,), seed=seed)


def test_dtypes_default_to_those_of_keras():
    config.set_floatx("float64")

    assert random.normal((2,)).dtype == torch.float64
    assert random.uniform((2,), dtype="float16").dtype == torch.float16
    assert random.randint((2,), 0, 5).dtype == torch.int32
    assert random.categorical([[0.0, 1.0]], 3).dtype == torch.int32


def test_dropout_noise_shape_drops_whole_slices():
    y = random.dropout(torch.ones(8, 5, 6), 0.5, noise_shape=(None, 1, None), seed=0)

    assert torch.equal(y, y[:, :1].expand(-1, 5, -1))
    assert set(y.unique().tolist()) == {0.0, 2.0}


def test_dropout_at_the_ends_of_the_range():
    x = torch.randn(4, 4)

    assert_close(random.dropout(x, 0.0, seed=1), x)
    assert_close(random.dropout(x, 1.0, seed=1), torch.zeros(4, 4))


def test_shuffle_permutes_the_slices_of_one_axis():
    x = torch.arange(60).reshape(3, 20)

    y = random.shuffle(x, axis=1, seed=2)

    assert not torch.equal(y, x)
    assert torch.equal(y.sort(dim=1).values, x)
    assert torch.equal(y[1] - y[0], torch.full((20,), 20))


def test_every_name_of_keras_is_here():
    keras = pytest.importorskip("keras")

    assert {n for n in dir(keras.random) if n[0] != "_"} <= set(dir(random))


def test_a_seeded_draw_leaves_the_generators_of_all_gpus_alone(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    before = torch.get_rng_state()

    one, other = random.gamma((3,), 2.0, seed=4), random.gamma((3,), 2.0, seed=4)

    assert one.equal(other)
    assert torch.get_rng_state().equal(before)
    assert not seeded
