"""Config: settings by attribute and by name."""

import copy
import json
import pickle

import pytest

from kerasish.utils import Config


def test_a_setting_is_read_and_changed_as_attribute_and_by_name():
    config = Config(rate=0.1, name="run")

    config.rate = 0.2
    config["epochs"] = 3
    config.update(name="other", seed=1)
    del config.seed

    assert (config.rate, config["rate"], config.epochs) == (0.2, 0.2, 3)
    assert config.as_dict() == dict(**config) == {"rate": 0.2, "name": "other", "epochs": 3}
    assert ("rate" in config, "seed" in config, len(config)) == (True, False, 3)
    assert (config.get("seed"), config.pop("epochs"), list(config)) == (None, 3, ["rate", "name"])
    assert repr(config) == "<Config {'rate': 0.2, 'name': 'other'}>"


def test_a_frozen_config_stays_as_it_is():
    config = Config(rate=0.1)

    config.freeze()

    assert config.frozen
    for change in (
        lambda: setattr(config, "rate", 1),
        lambda: config.update(rate=1),
        lambda: config.pop("rate"),
        lambda: delattr(config, "rate"),
    ):
        with pytest.raises(ValueError, match="'rate' cannot be changed, as the config is frozen"):
            change()
    config.unfreeze()
    config.rate = 1
    assert config.as_dict() == {"rate": 1}


def test_a_setting_that_is_not_there_is_named_with_what_is_near():
    config = Config(learning_rate=0.1)

    with pytest.raises(AttributeError, match="no setting 'learning_rat'; did you mean"):
        _ = config.learning_rat
    with pytest.raises(AttributeError, match="no setting 'rate'"):
        del config.rate
    with pytest.raises(KeyError):
        config["rate"]
    assert not hasattr(config, "rate")


def test_json_copies_and_pickles_hold_the_settings():
    config = Config(sizes=[1, 2], inner=Config(a=1))

    assert json.loads(config.to_json()) == {"sizes": [1, 2], "inner": {"a": 1}}
    assert copy.deepcopy(config).inner.a == 1
    assert pickle.loads(pickle.dumps(config)).sizes == [1, 2]
    with pytest.raises(TypeError, match="object has no form in JSON"):
        Config(a=object()).to_json()


def test_a_copy_is_apart_and_as_frozen():
    config = Config(a=1)
    twin = copy.copy(config)
    twin.a = 2
    config.freeze()

    assert (config.a, twin.a) == (1, 2)
    assert copy.copy(config).frozen
    assert not twin.frozen


def test_it_agrees_with_keras():
    keras = pytest.importorskip("keras")
    theirs, ours = keras.utils.Config(a=1, b="x"), Config(a=1, b="x")

    assert repr(ours) == repr(theirs)
    assert ours.to_json() == theirs.to_json()
    assert list(ours.items()) == list(theirs.items())
