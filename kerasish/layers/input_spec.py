"""What a layer expects of its input, and the error when it gets something else."""

from __future__ import annotations

from typing import Any

_AXES = {
    2: "(batch, features)",
    3: "(batch, time, features)",
    4: "(batch, channels, height, width)",
    5: "(batch, channels, depth, height, width)",
}


class InputSpec:
    """The rank and the sizes that a layer's input must have.

    Args:
        dtype: Accepted for Keras's sake.
        shape: The full expected shape, `None` where any size will do.
        ndim: The exact number of axes.
        max_ndim: The most axes allowed.
        min_ndim: The fewest axes allowed.
        axes: Sizes by axis, such as `{-1: 64}`.
        allow_last_axis_squeeze: Whether a last axis of size 1 may be there or not, where `shape`
            is given.
        name: Accepted for Keras's sake.
        optional: Accepted for Keras's sake; what has no shape is never looked at.
        meaning: What the axes mean, for error messages: `"(batch, channels, height, width)"`.
        hint: What to do about a wrong rank.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: tuple[int | None, ...] | None = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
        *,
        meaning: str | None = None,
        hint: str = "",
    ) -> None:
        self.dtype = dtype
        self.allow_last_axis_squeeze = allow_last_axis_squeeze and shape is not None
        self.name, self.optional = name, optional
        shape = self._squeezed(shape) if shape is not None else None
        self.shape = shape
        self.ndim = len(shape) if shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        sizes = dict(enumerate(shape or ()))
        self.axes = {k: v for k, v in {**sizes, **(axes or {})}.items() if v is not None}
        self.meaning = meaning or _AXES.get(self.ndim or 0, "")
        self.hint = hint

    @property
    def ranks(self) -> range:
        """The numbers of axes that need no further look."""
        if self.allow_last_axis_squeeze:
            return range(0)
        if self.ndim is not None:
            return range(self.ndim, self.ndim + 1)
        return range(self.min_ndim or 0, (self.max_ndim or 63) + 1)

    def check(self, value: Any, who: str) -> None:
        """Compare a tensor (or a list of one) with what is expected.

        Raises:
            ValueError: If it does not fit, naming the layer, what it expects and what came.
        """
        if isinstance(value, (list, tuple)) and len(value) == 1:
            value = value[0]
        shape = getattr(value, "shape", None)
        if shape is None:
            return
        shape = self._squeezed(tuple(shape))
        rank = len(shape)
        if self.ndim is not None and rank != self.ndim:
            self._refuse(who, f"{self.ndim}-D input {self.meaning}".rstrip(), shape, self.hint)
        if self.min_ndim is not None and rank < self.min_ndim:
            self._refuse(who, f"an input of at least {self.min_ndim} axes", shape, self.hint)
        if self.max_ndim is not None and rank > self.max_ndim:
            self._refuse(who, f"an input of at most {self.max_ndim} axes", shape, self.hint)
        for axis, size in self.axes.items():
            if -rank <= axis < rank and shape[axis] not in (size, None):
                self._refuse_size(who, axis, size, shape)

    def _squeezed(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape[:-1] if self.allow_last_axis_squeeze and shape[-1:] == (1,) else shape

    def _refuse(self, who: str, expected: str, shape: tuple, hint: str) -> None:
        raise ValueError(f"{who} expects {expected} but got shape {shape}. {hint}".rstrip())

    def _refuse_size(self, who: str, axis: int, size: int, shape: tuple) -> None:
        hint = "It was built for that size; make a new layer, or change what comes before it."
        if len(shape) == 4 and axis in (1, -1) and shape[-1 if axis == 1 else 1] == size:
            hint = (
                "The channels seem to be on the other side: permute the images, or set "
                "data_format= on the layer (see kerasish.config.set_image_data_format)."
            )
        self._refuse(who, f"size {size} on axis {axis}", shape, hint)
