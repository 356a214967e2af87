"""The networks there are: what each costs, sees, takes, and when to choose it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_unet.networks.graphs.cost import cost_of
from napari_unet.networks.registry import architecture, architectures, build_network
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from napari_unet.progress import CancelToken, OnProgress
    from napari_unet.settings import NetworkSettings

SIDE = 256  # of the image that operations are counted for


@dataclass(frozen=True)
class NetworkFacts:
    """What one network is with given settings.

    Attributes
    ----------
    name, title, doi, when : str
        Of its architecture.
    parameters : int
        Trained weights.
    gflop : float
        For an image of `side` x `side`.
    side : int
        256, or the next size that the network takes.
    receptive_field : int or None
        Pixels; None: the whole image or tile.
    multiple, minimum, offset : int
        Sizes that it takes: at least `minimum`, and `offset` more than a multiple of `multiple`.
    margin : int
        Pixels that it loses on each side.
    heads : tuple of str
        Its auxiliary heads.
    settings : tuple of str
        Those that it heeds.
    pretrained : bool
        Whether there are published weights for its encoder.
    weights : str
        A sentence on published weights that come with the program, with their licence; or empty.
    note : str
        Settings that it does not take as they are given, as it has them: "presence=false".
    """

    name: str
    title: str
    doi: str
    when: str
    parameters: int
    gflop: float
    side: int
    receptive_field: int | None
    multiple: int
    minimum: int
    offset: int
    margin: int
    heads: tuple[str, ...]
    settings: tuple[str, ...]
    pretrained: bool
    weights: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    @property
    def sizes(self) -> str:
        """Sizes that it takes, in words."""
        if self.multiple == 1 and self.minimum == 1:
            return "any"
        rule = f"multiples of {self.multiple}" + (f" plus {self.offset}" if self.offset else "")
        return rule if self.minimum == self.multiple else f"{rule}, from {self.minimum}"


@dataclass(frozen=True)
class ListNetworksTask:
    """Build each network once and look at it.

    Attributes
    ----------
    settings : NetworkSettings
        All but the name counts, as far as each network takes them.
    names : tuple of str
        Which; all if empty.
    """

    settings: NetworkSettings
    names: tuple[str, ...] = ()

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> list[NetworkFacts]:
        """Look at them, U-Net first, then by operations.

        Raises
        ------
        SettingsError
            If there is no network of a name.
        Cancelled
            When the person stopped it.
        """
        names = self.names or tuple(sorted(architectures()))
        found = []
        for done, name in enumerate(names):
            cancel.check()
            on_progress(Progress(done, len(names), f"Building {architecture(name).title}"))
            taken, note = architecture(name).supported_settings(self.settings)
            found.append(replace(facts_of(taken), note=note))
        return sorted(found, key=lambda facts: (facts.name != "unet", facts.gflop))


def facts_of(settings: NetworkSettings) -> NetworkFacts:
    """Build the network of these settings and look at it.

    Raises
    ------
    SettingsError
        If there is no such network, or it does not take the settings: see
        ``Architecture.supported_settings``.
    """
    chosen = architecture(settings.name)
    included = chosen.included(settings)
    if chosen.decode_detections is not None:
        settings = settings.model_copy(update={"separation": "objects"})
    sizes = chosen.input_sizes(settings)
    side = sizes.at_least(SIDE)
    cost = cost_of(build_network(settings), side)
    return NetworkFacts(
        name=chosen.name,
        title=chosen.title,
        doi=chosen.doi,
        when=chosen.when,
        parameters=cost.parameters,
        gflop=round(cost.gflop, 3),
        side=side,
        receptive_field=cost.receptive_field,
        multiple=sizes.multiple,
        minimum=sizes.minimum,
        offset=sizes.offset % sizes.multiple,
        margin=sizes.margin,
        heads=tuple(name.removesuffix("_float32") for name in chosen.heads(settings)),
        settings=chosen.settings_that_matter(settings),
        pretrained=chosen.pretrained is not None,
        weights=included.sentence if included else "",
    )
