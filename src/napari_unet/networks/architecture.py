"""What every network brings to the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import NetworkSettings


@dataclass(frozen=True)
class Architecture:
    """One network of the field.

    Attributes
    ----------
    name : str
        What settings and the command line call it.
    title : str
        What people call it.
    doi : str
        Of its paper.
    build : callable
        (NetworkSettings, seed) -> keras.Model from (N, Y, X, C) float32 to float32 logits.
    input_sizes : callable
        (NetworkSettings) -> InputSizes.
    """

    name: str
    title: str
    doi: str
    build: Callable[[NetworkSettings, int], Any]
    input_sizes: Callable[[NetworkSettings], InputSizes]
