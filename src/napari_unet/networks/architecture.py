"""What every network brings to the registry."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.networks.sizes import InputSizes
    from napari_unet.settings import NetworkSettings

# Whether a network is built to be counted only, so that nobody needs its random weights.
shapes_only: ContextVar[bool] = ContextVar("shapes only", default=False)
USED_BY_ALL = (
    "input_channels", "classes", "activation", "filters", "normalization", "separation",
    "dimensions", "slices",
)  # fmt: skip


def none_of(settings: NetworkSettings) -> tuple[str, ...]:
    """The auxiliary heads of a network that has none, and whatever else there is none of."""
    del settings
    return ()


@dataclass(frozen=True)
class IncludedWeights:
    """Published weights of an encoder that come with the program.

    Attributes
    ----------
    title : str
        What they are.
    source : str
        DOI or arXiv number of the network they are of.
    licence : str
        As spdx.org calls it.
    attribution : str
        Who made them.
    """

    title: str
    source: str
    licence: str
    attribution: str

    @property
    def sentence(self) -> str:
        """That they are there, for lists of networks."""
        return f"{self.title} come with the program ({self.licence}, {self.attribution})."


def not_included(settings: NetworkSettings) -> IncludedWeights | None:
    """The weights in the package of a network that has none there."""
    del settings
    return None


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
    when : str
        When to choose it, in one line.
    build : callable
        (NetworkSettings, seed) -> keras.Model from (N, Y, X, C) float32 to float32 logits.
    input_sizes : callable
        (NetworkSettings) -> InputSizes.
    settings_used : tuple of str
        Settings that matter to it besides those of ``USED_BY_ALL``; others change nothing.
    settings_ignored : callable
        (NetworkSettings) -> those of `settings_used` that matter nothing with these settings.
    paper : dict
        Settings that make it the network of its paper.
    heads : callable
        (NetworkSettings) -> names of the layers whose outputs are auxiliary logits, (N, Y, X, outputs)
        each, trained along with the output (deep supervision).
    family : str
        Networks of one family can start from each other's weights, layer by layer, by name; empty for one
        that has none.
    pretrained : callable or None
        (network, NetworkSettings, source) -> None: fill the network with published weights; source is
        "imagenet" or the path of a file.
    included : callable
        (NetworkSettings) -> the published weights that come with the program, None if there are none. A
        training starts from them unless its settings say otherwise.
    decode_detections : callable or None
        For a network that answers with objects in place of pixels. Takes what it says of a batch, (Y, X)
        of the images, and K. Returns (N, Y, X, K + 1) float32 in [0, 1]: probabilities and depth in the
        object. Its separation is "objects", and training treats it in its own way (``training.regions``).
    grid : int
        Side, in pixels, of the squares that have one answer each before the last enlargement; 1 for a
        network that has features at full resolution.
    takes_volumes : bool
        Whether it can be built in three dimensions, too.
    """

    name: str
    title: str
    doi: str
    when: str
    build: Callable[[NetworkSettings, int], Any]
    input_sizes: Callable[[NetworkSettings], InputSizes]
    settings_used: tuple[str, ...]
    paper: dict[str, Any]
    settings_ignored: Callable[[NetworkSettings], tuple[str, ...]] = none_of
    heads: Callable[[NetworkSettings], tuple[str, ...]] = none_of
    family: str = ""
    pretrained: Callable[[Any, NetworkSettings, str], None] | None = None
    included: Callable[[NetworkSettings], IncludedWeights | None] = not_included
    decode_detections: Callable[[NDArray[np.float32], tuple[int, int], int], NDArray[np.float32]] | None = (
        None
    )
    grid: int = 1
    takes_volumes: bool = False

    def differing(self, one: NetworkSettings, two: NetworkSettings) -> list[str]:
        """Names of the settings that this network heeds and that differ."""
        heeded = ("name", *self.settings_that_matter(one))
        return [name for name in heeded if getattr(one, name) != getattr(two, name)]

    def settings_that_matter(self, settings: NetworkSettings) -> tuple[str, ...]:
        """Names of the settings, but "name", that matter to this network when they are as given."""
        passed_over = self.settings_ignored(settings)
        return tuple(name for name in (*USED_BY_ALL, *self.settings_used) if name not in passed_over)

    def supported_settings(self, settings: NetworkSettings) -> tuple[NetworkSettings, str]:
        """The settings as this network takes them.

        Parameters
        ----------
        settings : NetworkSettings
            Meant for several networks; the name may be another's.

        Returns
        -------
        settings : NetworkSettings
            For this network, without what it refuses.
        note : str
            What was changed, as "presence=false"; empty if nothing was.
        """
        finds = self.decode_detections is not None
        changes: dict[str, Any] = {}
        if settings.presence and "presence" not in self.settings_used:
            changes["presence"] = False
        if settings.separation != "none" and finds != (settings.separation == "objects"):
            changes["separation"] = "objects" if finds else "none"
        note = ", ".join(f"{key}={str(value).lower()}" for key, value in changes.items())
        return settings.model_copy(update={"name": self.name, **changes}), note
