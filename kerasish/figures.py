"""Figures of matplotlib that notebooks show; imported where something is drawn, no sooner."""

from __future__ import annotations

from io import BytesIO

try:
    from matplotlib import colormaps as colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError(
        'Drawing needs matplotlib: pip install "kerasish[plot]". The data are there without it.'
    ) from error


class Picture(Figure):
    """A figure that is not pyplot's, which would keep it alive and want a screen.

    Notebooks know how to show a figure only once pyplot is loaded; this one tells them itself.
    """

    def __init__(self, width: float, height: float) -> None:
        """Make an empty figure of this size in inches."""
        super().__init__(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()
