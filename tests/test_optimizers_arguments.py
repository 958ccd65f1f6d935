"""Settings of optimizers by place, in Keras's order, each under its own name."""

import inspect

import pytest

from kerasish import optimizers

CLASSES = {
    name: cls
    for name, cls in vars(optimizers).items()
    if isinstance(cls, type) and issubclass(cls, optimizers.Optimizer)
    # These take other optimizers.
    if name not in ("Optimizer", "TorchOptimizer", "LossScaleOptimizer", "MultiOptimizer")
}


def other_value(parameter):
    """A value that is not the default."""
    if isinstance(parameter.default, bool):
        return not parameter.default
    if parameter.name in ("exclude_layers", "name"):
        return ["head"] if parameter.name == "exclude_layers" else "mine"
    if isinstance(parameter.default, float):
        return parameter.default / 2 or 0.25
    return 7


@pytest.mark.parametrize("name", CLASSES)
def test_each_setting_by_place_is_kept_under_its_name_alone(name):
    plain = CLASSES[name]().get_config()
    parameters = list(inspect.signature(CLASSES[name]).parameters.values())
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    for place, parameter in enumerate(parameters):
        before = [p.default for p in parameters[:place]]

        config = CLASSES[name](*before, other_value(parameter)).get_config()

        assert config == {**plain, parameter.name: other_value(parameter)}


def test_a_setting_that_no_optimizer_has_is_an_error():
    with pytest.raises(TypeError, match="lr"):
        optimizers.Adam(lr=0.1)  # type: ignore[call-arg]


def test_a_subclass_that_hands_settings_on_shows_and_keeps_them():
    class Quick(optimizers.Adam):
        def __init__(self, learning_rate=0.5, **settings):
            super().__init__(learning_rate, **settings)

    config = Quick(clipnorm=1.0).get_config()

    assert (config["learning_rate"], config["clipnorm"]) == (0.5, 1.0)
    assert "gradient_accumulation_steps" in inspect.signature(Quick).parameters
