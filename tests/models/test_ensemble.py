"""Ensemble: the mean of several networks as one model."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import kerasish
from kerasish import layers


def member(units=3, activation="softmax", features=4):
    return kerasish.Sequential(
        [layers.Input((features,)), layers.Dense(units, activation=activation)]
    )


def rows(count=6):
    return np.random.default_rng(0).normal(size=(count, 4)).astype("float32")


class Custom(kerasish.Model):
    """A model of its own code, built when it is first called."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units)

    def forward(self, x):
        return self.dense(x)


def test_the_output_is_the_mean_of_the_members():
    members = [member(), member(), member()]
    ensemble = kerasish.Ensemble(members)

    p = ensemble.predict(rows(), batch_size=4, verbose=0)

    assert_close(p, np.mean([m.predict(rows(), verbose=0) for m in members], axis=0))
    assert_close(ensemble(torch.as_tensor(rows())).detach().numpy(), p)


def test_weights_count_by_their_shares():
    a, b = member(), member()

    p = kerasish.Ensemble([a, b], weights=[3, 1]).predict(rows(), verbose=0)

    assert_close(p, 0.75 * a.predict(rows(), verbose=0) + 0.25 * b.predict(rows(), verbose=0))


def test_a_member_of_weight_zero_does_not_count():
    a, b = member(), member()

    p = kerasish.Ensemble([a, b], weights=[0, 2]).predict(rows(), verbose=0)

    assert_close(p, b.predict(rows(), verbose=0))


def test_logits_and_probabilities_may_be_averaged_instead():
    a, b = member(activation=None), member(activation=None)
    x = torch.as_tensor(rows())
    logits = [m(x).detach() for m in (a, b)]

    p = kerasish.Ensemble([a, b], average="probabilities").predict(rows(), verbose=0)

    wanted = (logits[0].softmax(-1) + logits[1].softmax(-1)) / 2
    assert_close(torch.as_tensor(p).softmax(-1), wanted)


def test_members_may_differ_in_what_they_give():
    a, b = member(activation=None), member(activation="softmax")

    p = kerasish.Ensemble([b, a], average="probabilities").predict(rows(), verbose=0)

    by_hand = [torch.as_tensor(a.predict(rows(), verbose=0)).softmax(-1)]
    by_hand.append(torch.as_tensor(b.predict(rows(), verbose=0)))
    assert_close(torch.as_tensor(p), (by_hand[0] + by_hand[1]) / 2)


def test_evaluate_and_fit_see_one_model():
    ensemble = kerasish.Ensemble([member(), member()])
    ensemble.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    y = np.arange(6) % 3

    loss, accuracy = ensemble.evaluate(rows(), y, verbose=0)
    before = [w.detach().clone() for w in ensemble.parameters()]
    ensemble.fit(rows(), y, epochs=2, verbose=0)

    p = kerasish.Ensemble(list(ensemble.members))
    assert p.predict(rows(), verbose=0).shape == (6, 3)
    assert np.isfinite(loss)
    assert 0 <= accuracy <= 1
    assert all(not torch.equal(b, w) for b, w in zip(before, ensemble.parameters(), strict=True))


def test_loss_is_that_of_the_averaged_probabilities():
    members = [member(), member()]
    ensemble = kerasish.Ensemble(members)
    ensemble.compile("sgd", "sparse_categorical_crossentropy")
    y = np.arange(6) % 3

    loss = ensemble.evaluate(rows(), y, verbose=0)

    p = np.mean([m.predict(rows(), verbose=0) for m in members], axis=0)
    assert loss == pytest.approx(-np.log(p[np.arange(6), y]).mean(), rel=1e-5)


def test_it_is_saved_and_loaded_with_its_members(tmp_path):
    ensemble = kerasish.Ensemble(
        [member(), nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))], weights=[2, 1]
    )
    ensemble.compile("adam", "categorical_crossentropy")
    p = ensemble.predict(rows(), verbose=0)
    ensemble.save(tmp_path / "both.kerasish")

    again = kerasish.load_model(tmp_path / "both.kerasish")

    assert type(again) is kerasish.Ensemble
    assert again.member_weights == [2.0, 1.0]
    assert_close(again.predict(rows(), verbose=0), p, rtol=0, atol=0)


def again_from_file(ensemble, folder):
    ensemble.save(folder / "model.kerasish")
    return kerasish.load_model(folder / "model.kerasish")


@pytest.mark.parametrize("make", [member, lambda: nn.Linear(4, 3)], ids=["model", "module"])
@pytest.mark.parametrize("remake", [again_from_file, None], ids=["loaded", "cloned"])
def test_a_member_that_comes_twice_stays_one_model(make, remake, tmp_path):
    twice, other = make(), make()
    ensemble = kerasish.Ensemble([twice, other, twice], weights=[1, 2, 3])
    p = ensemble.predict(rows(), verbose=0)

    if remake is None:
        again = kerasish.models.clone_model(ensemble)
        again.set_weights(ensemble.get_weights())
    else:
        again = remake(ensemble, tmp_path)

    assert again.members[0] is again.members[2]
    assert again.members[0] is not again.members[1]
    assert again.count_params() == ensemble.count_params() == 30
    assert_close(again.predict(rows(), verbose=0), p, rtol=0, atol=0)


def test_members_of_their_own_code_are_saved_too(tmp_path):
    ensemble = kerasish.Ensemble([Custom(), Custom()])
    p = ensemble.predict(rows(), verbose=0)
    ensemble.save(tmp_path / "both.kerasish")

    again = kerasish.load_model(tmp_path / "both.kerasish", custom_objects={"Custom": Custom})

    assert_close(again.predict(rows(), verbose=0), p, rtol=0, atol=0)


def test_members_built_before_need_no_call_of_the_ensemble(tmp_path):
    members = [Custom(), Custom()]
    for model in members:
        model(torch.as_tensor(rows()))
    kerasish.Ensemble(members).save(tmp_path / "both.kerasish")

    again = kerasish.load_model(tmp_path / "both.kerasish", custom_objects={"Custom": Custom})

    wanted = np.mean([m.predict(rows(), verbose=0) for m in members], axis=0)
    assert_close(again.predict(rows(), verbose=0), wanted)


def test_a_torch_module_is_a_member():
    module = nn.Linear(4, 2)
    other = member(2, None)

    p = kerasish.Ensemble([module, other]).predict(rows(), verbose=0)

    by_hand = module(torch.as_tensor(rows())).detach().numpy()
    assert_close(p, (by_hand + other.predict(rows(), verbose=0)) / 2)


def test_structures_of_outputs_are_averaged():
    x = layers.Input((4,))
    members = [
        kerasish.Model(x, {"a": layers.Dense(2)(x), "b": layers.Dense(1)(x)}) for _ in range(2)
    ]

    p = kerasish.Ensemble(members).predict(rows(), verbose=0)

    wanted = [m.predict(rows(), verbose=0) for m in members]
    for key in ("a", "b"):
        assert_close(p[key], (wanted[0][key] + wanted[1][key]) / 2)


def test_several_inputs_reach_every_member():
    a, b = layers.Input((4,), name="a"), layers.Input((2,), name="b")
    members = [
        kerasish.Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b]))) for _ in range(2)
    ]
    data = {"a": rows(), "b": np.ones((6, 2), "float32")}

    p = kerasish.Ensemble(members).predict(data, verbose=0)

    assert_close(p, np.mean([m.predict(data, verbose=0) for m in members], axis=0))


def test_it_is_a_layer_of_another_model():
    ensemble = kerasish.Ensemble([member(), member()], average="logits")
    x = layers.Input((4,))
    model = kerasish.Model(x, layers.Dense(1)(ensemble(x)))

    assert model.output_shape == (None, 1)
    assert model.predict(rows(), verbose=0).shape == (6, 1)
    assert ensemble._kinds
    assert_close(
        kerasish.Model(x, ensemble(x)).predict(rows(), verbose=0),
        ensemble.predict(rows(), verbose=0),
    )


def test_clones_and_summaries_work(capsys):
    ensemble = kerasish.Ensemble([member(), member()])

    clone = kerasish.models.clone_model(ensemble)
    ensemble.summary()

    assert clone.count_params() == ensemble.count_params() == 30
    assert "30" in capsys.readouterr().out


def test_frozen_ensembles_have_nothing_to_train():
    ensemble = kerasish.Ensemble([member(), member()], trainable=False)

    assert ensemble.trainable_weights == []


def test_views_of_images_reach_the_members():
    members = [
        kerasish.Sequential([layers.Input((3, 6, 6)), layers.Flatten(), layers.Dense(2)])
        for _ in range(2)
    ]
    x = np.random.default_rng(0).random((3, 3, 9, 9)).astype("float32")

    p = kerasish.Ensemble(members).predict(x, verbose=0, tta="ten_crop")

    wanted = [m.predict(x, verbose=0, tta="ten_crop") for m in members]
    assert_close(p, np.mean(wanted, axis=0), rtol=1e-5, atol=1e-6)


def test_outputs_of_different_shapes_are_refused_when_it_is_made():
    with pytest.raises(ValueError, match=r"member 0 .* \(None, 3\), and member 1 .* \(None, 2\)"):
        kerasish.Ensemble([member(3), member(2)])


def test_outputs_of_different_shapes_are_refused_when_it_is_called():
    ensemble = kerasish.Ensemble([Custom(3), Custom(2)])

    with pytest.raises(ValueError, match=r"member 0 .* \(6, 3\), and member 1 .* \(6, 2\)"):
        ensemble.predict(rows(), verbose=0)


@pytest.mark.parametrize("weights", [[1.0], [1, -1], [0, 0], ["1", "2"], [1, 2, 3]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(ValueError, match="`weights` must be 2 numbers"):
        kerasish.Ensemble([member(), member()], weights=weights)


def test_what_is_no_list_of_models_is_refused():
    with pytest.raises(ValueError, match="no models to average"):
        kerasish.Ensemble([])
    with pytest.raises(TypeError, match="pass a list of models, got 5"):
        kerasish.Ensemble(5)
    with pytest.raises(TypeError, match="pass a list of models"):
        kerasish.Ensemble(member())
    with pytest.raises(TypeError, match="members must be models or torch modules, got 'resnet'"):
        kerasish.Ensemble(["resnet"])


# Raw images


def image_member(mean=0.5):
    model = kerasish.Sequential([layers.Input((3, 6, 6)), layers.Flatten(), layers.Dense(2)])
    model.preprocessing = kerasish.applications.ImagePreprocessing(
        (6, 6), mean=[mean] * 3, std=[0.25] * 3, crop_fraction=0.75
    )
    model.class_names = ["cat", "dog"]
    return model


def raw_images():
    return np.random.default_rng(0).integers(0, 256, (4, 3, 9, 12), dtype="uint8")


def test_raw_images_are_made_ready_once_for_all_members(tmp_path):
    members = [image_member(), image_member()]
    ensemble = kerasish.Ensemble(members)

    p = ensemble.predict(raw_images(), verbose=0)
    ensemble.save(tmp_path / "both.kerasish")
    again = kerasish.load_model(tmp_path / "both.kerasish")

    wanted = np.mean([m.predict(raw_images(), verbose=0) for m in members], axis=0)
    assert_close(p, wanted, rtol=1e-5, atol=1e-5)
    assert_close(again.predict(raw_images(), verbose=0), p)
    assert again.class_names == ["cat", "dog"]


def test_members_that_make_raw_images_ready_differently_are_refused():
    with pytest.raises(ValueError, match="make raw images ready in different ways"):
        kerasish.Ensemble([image_member(0.5), image_member(0.4)])


# Masks


def reader(seed):
    """A network that leaves padding out."""
    torch.manual_seed(seed)
    return kerasish.Sequential(
        [
            layers.Input((6,)),
            layers.Embedding(10, 4, mask_zero=True),
            layers.LSTM(3, return_sequences=True),
            layers.Dense(2, activation="softmax"),
        ]
    )


def texts():
    random = np.random.default_rng(0)
    x = random.integers(1, 10, (8, 6))
    x[:, 4:] = 0
    return x, random.integers(0, 2, (8, 6))


def test_losses_and_metrics_respect_the_members_masks():
    x, y = texts()
    ensemble = kerasish.Ensemble([reader(0), reader(1)])
    ensemble.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])

    loss, accuracy = ensemble.evaluate(x, y, verbose=0)

    p = ensemble.predict(x, verbose=0)
    read = np.take_along_axis(p, y[..., None], -1)[:, :4, 0]
    assert loss == pytest.approx(-np.log(read).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(-1) == y)[:, :4].mean())


def test_masks_go_on_into_the_model_around():
    x, _ = texts()
    inputs = layers.Input((6,))
    ensemble, last = kerasish.Ensemble([reader(0), reader(1)]), layers.LSTM(2)
    model = kerasish.Model(inputs, last(ensemble(inputs)))

    short = ensemble.predict(x, verbose=0)[:, :4]

    assert_close(model.predict(x, verbose=0), last(torch.as_tensor(short)).detach().numpy())


@pytest.mark.parametrize("weights", [[float("nan"), 1], [float("inf"), 1], 3, iter([1, 2]), "12"])
def test_weights_that_are_no_numbers_are_refused(weights):
    with pytest.raises(ValueError, match="`weights` must be 2 numbers of at least 0"):
        kerasish.Ensemble([member(), member()], weights=weights)
