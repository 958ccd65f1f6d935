"""Ways to fill new weights, in Keras's kernel layout: Dense `(in, out)`, Conv `(..., in, out)`."""

from kerasish.initializers.base import NAMES as _NAMES
from kerasish.initializers.base import Initializer, deserialize, get, serialize
from kerasish.initializers.constant import Constant, Identity, Ones, Zeros
from kerasish.initializers.looks_linear import LooksLinear
from kerasish.initializers.lsuv import lsuv_
from kerasish.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)
from kerasish.initializers.stft import STFT

constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
identity = IdentityInitializer = Identity
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
looks_linear = LooksLinear
ones = Ones
orthogonal = OrthogonalInitializer = Orthogonal
random_normal = RandomNormal
random_uniform = RandomUniform
stft = STFTInitializer = STFT
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros

_NAMES.update(
    {
        name: value
        for name, value in list(globals().items())
        if isinstance(value, type) and issubclass(value, Initializer)
    }
)
_NAMES.update(normal=RandomNormal, uniform=RandomUniform, one=Ones, zero=Zeros)

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "LooksLinear",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "looks_linear",
    "lsuv_",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]
