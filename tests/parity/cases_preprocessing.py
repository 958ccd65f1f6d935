"""Layers that prepare data and have no randomness."""

from __future__ import annotations

from tests.parity.case import grid, one

CASES = [
    *grid("Rescaling", (2, 3), scale=[0.5, 1 / 255], offset=[0.0, -1.0]),
    one("Rescaling", (2, 4, 4, 3), scale=[1.0, 2.0, 3.0], offset=[0.0, 1.0, -1.0]),
]
