"""The table of a model's layers."""

from __future__ import annotations

from typing import Any


def print_summary(model: Any, **options: Any) -> None:
    """Print the table."""
    print(model)  # noqa: T201


def model_html(model: Any) -> str:
    """The table as HTML."""
    return f"<pre>{model}</pre>"
