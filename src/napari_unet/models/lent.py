"""A network that notes whether somebody has it in hand, who may change its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_unet.models.model import Model


class LentNetwork:
    """The attribute ``network`` of a model.

    Whoever gave the network to the model, or takes it, may train it at any time, which nothing tells; to find
    out, all weights must be read. A model that was loaded and never lent it out is spared that.
    """

    def __get__(self, model: Model | None, owner: type | None = None) -> Any:
        """Lend it."""
        if model is None:
            raise AttributeError  # by this a dataclass knows that there is no default
        model._lent = True
        return model._network

    def __set__(self, model: Model, network: Any) -> None:
        """Take one that somebody has in hand."""
        model._lent = True
        model._network = network
