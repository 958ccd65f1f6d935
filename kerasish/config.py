"""Settings that hold for the whole process: number types, image axis order, and the seed."""

from __future__ import annotations

import os
import random
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from kerasish.describe import describe, suggest

FLOAT_TYPES = ("float16", "bfloat16", "float32", "float64")
POLICY_NAMES = (*FLOAT_TYPES, "mixed_float16", "mixed_bfloat16")
IMAGE_FORMATS = ("channels_first", "channels_last")

_settings = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_first"}
_seed: int | None = None


@dataclass(frozen=True)
class DTypePolicy:
    """Which number type a layer stores its weights in and which it computes in.

    Args:
        name: A float type (`"float32"`), used for both, or `"mixed_float16"` / `"mixed_bfloat16"`:
            weights in float32, computation in the half type.

    Raises:
        ValueError: If the name is not one of `POLICY_NAMES`.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in POLICY_NAMES:
            raise ValueError(
                f"Unknown dtype policy {describe(self.name)}{suggest(self.name, POLICY_NAMES)}."
            )

    @property
    def variable_dtype(self) -> torch.dtype:
        """The type that weights are stored in."""
        return torch.float32 if self.name.startswith("mixed_") else as_dtype(self.name)

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type that inputs are cast to before the layer computes."""
        return as_dtype(self.name.removeprefix("mixed_"))

    def get_config(self) -> dict:
        """The arguments that make this policy again."""
        return {"name": self.name}


_policy = DTypePolicy("float32")


def dtype_policy() -> DTypePolicy:
    """The policy that new layers take when none is given."""
    return _policy


def set_dtype_policy(policy: str | DTypePolicy) -> None:
    """Set the policy of layers made from now on (Keras's `set_dtype_policy`)."""
    global _policy
    _policy = as_policy(policy)


def as_policy(policy: str | torch.dtype | DTypePolicy | None) -> DTypePolicy:
    """Make a policy from a name, a torch type or a policy; `None` means the current one."""
    if policy is None:
        return _policy
    if isinstance(policy, DTypePolicy):
        return policy
    return DTypePolicy(dtype_name(policy) if isinstance(policy, torch.dtype) else policy)


def as_dtype(dtype: str | torch.dtype | type | np.dtype) -> torch.dtype:
    """Make a torch type from a torch type, a NumPy type or a name such as `"float32"` or `"int"`.

    Raises:
        ValueError: If there is no such type.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype):
        known = sorted(n for n in vars(torch) if isinstance(getattr(torch, n), torch.dtype))
        raise ValueError(f"Unknown dtype {describe(dtype)}{suggest(name, known)}.")
    return found


def dtype_name(dtype: torch.dtype) -> str:
    """The plain name of a torch type: `"float32"` for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def backend() -> str:
    """The name of what computes: always `"torch"`."""
    return "torch"


def floatx() -> str:
    """The name of the default float type, `"float32"` unless set."""
    return _settings["floatx"]


def set_floatx(value: str) -> None:
    """Set the default float type, and with it the dtype policy of new layers."""
    if value not in FLOAT_TYPES:
        raise ValueError(f"Unknown float type {describe(value)}{suggest(value, FLOAT_TYPES)}.")
    _settings["floatx"] = value
    set_dtype_policy(value)


def epsilon() -> float:
    """The small number that keeps divisions and logarithms finite, 1e-7 unless set."""
    return _settings["epsilon"]


def set_epsilon(value: float) -> None:
    """Set the small number that keeps divisions and logarithms finite."""
    _settings["epsilon"] = float(value)


def image_data_format() -> str:
    """The axis order of images: `"channels_first"` (as torch) unless set."""
    return _settings["image_data_format"]


def set_image_data_format(data_format: str) -> None:
    """Set the axis order of images for layers made from now on.

    Args:
        data_format: `"channels_first"`, (batch, channels, height, width), or `"channels_last"`,
            (batch, height, width, channels).

    Raises:
        ValueError: If the name is neither.
    """
    _settings["image_data_format"] = as_image_format(data_format)


def as_image_format(data_format: str | None) -> str:
    """Check the name of an axis order; `None` means the current default."""
    if data_format is None:
        return image_data_format()
    if data_format not in IMAGE_FORMATS:
        raise ValueError(
            f"Unknown data_format {describe(data_format)}{suggest(data_format, IMAGE_FORMATS)}."
        )
    return data_format


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy, torch and kerasish: weights, shuffling, dropout and augmentation repeat.

    Args:
        seed: A non-negative integer below 2**32.

    Raises:
        ValueError: If the seed is out of range.
    """
    global _seed
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(
            f"set_random_seed: `seed` must be an integer in [0, 2**32), got {describe(seed)}."
        )
    _seed = seed
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  (user code that draws from NumPy's global generator repeats too)
    torch.manual_seed(seed)


def random_seed() -> int | None:
    """The seed last given to `set_random_seed`, or `None`."""
    return _seed


def disable_traceback_filtering() -> None:
    """Keras's switch: errors show where they come from. Here they always do."""


def enable_traceback_filtering() -> None:
    """Keras's switch, without effect: no part of a traceback is hidden."""
    warnings.warn(
        "enable_traceback_filtering has no effect: kerasish shows tracebacks as they are.",
        stacklevel=2,
    )


def is_traceback_filtering_enabled() -> bool:
    """Whether tracebacks are shortened: never."""
    return False


if "KERASISH_IMAGE_DATA_FORMAT" in os.environ:
    set_image_data_format(os.environ["KERASISH_IMAGE_DATA_FORMAT"])
