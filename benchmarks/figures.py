"""Figures of a benchmark beside what is wanted of them."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from napari_unet.engine.hardware import available_cores, processor_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def print_figures(figures: Mapping[str, float], limits: Mapping[str, float]) -> None:
    """Print the machine, then each figure with its limit, and whether it was missed."""
    print(f"{processor_name()}, {available_cores()} cores, Python {platform.python_version()}")
    print(f"{'':42}{'measured':>10}{'wanted':>10}")
    for name, value in figures.items():
        limit = limits.get(name)
        wanted = "" if limit is None else f"< {limit:g}"
        print(f"{name:42}{value:10.3f}{wanted:>10}{'' if limit is None or value < limit else '  missed'}")
