"""Networks that were just trained, with everything built: the next round of the same kind starts at once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from napari_unet.training.fit import forget_momentum, to_numpy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.models.model import Model
    from napari_unet.settings import NetworkSettings, Recipe, TrainingSettings


class WarmModel:
    """Keeps the last model that was trained, as building its training step again takes seconds.

    A model is taken out while it is trained, so that no two runs share one.
    """

    def __init__(self) -> None:
        self._warm: Model | None = None

    def take(self, model: Model) -> Model:
        """The model, built already if one of the same settings and precision was trained before.

        Parameters
        ----------
        model : Model
            As it was loaded.

        Returns
        -------
        Model
            With the same weights, normalization, classes and provenance.
        """
        warm, self._warm = self._warm, None
        if warm is None or _kind(warm) != _kind(model):
            return model
        for variable, value in zip(warm.network.variables, model.network.variables, strict=True):
            variable.assign(to_numpy(value))
        warm.weights_changed()
        forget_momentum(warm.network.optimizer, restart=True)
        warm.recipe, warm.normalization, warm.classes = model.recipe, model.normalization, model.classes
        warm.provenance = model.provenance
        return warm

    def take_with(self, recipe: Recipe, weights: list[NDArray[np.float32]]) -> Model | None:
        """The warm model with other weights, if its network and training are these; None if they are not.

        Parameters
        ----------
        recipe : Recipe
            With the precision to compute with.
        weights : list of numpy.ndarray
            Of the network, in its order.
        """
        wanted = recipe.network, recipe.training, recipe.training.precision
        if self._warm is None or _kind(self._warm) != wanted:
            return None
        warm, self._warm = self._warm, None
        warm.network.set_weights(weights)
        warm.weights_changed()
        forget_momentum(warm.network.optimizer, restart=True)
        warm.recipe, warm.provenance = recipe, {}
        return warm

    def keep(self, model: Model) -> None:
        """Give back a model that is not needed any more, however far its training went."""
        if model.network.compiled:
            self._warm = model


@cache
def warm_model() -> WarmModel:
    """The one of this process."""
    return WarmModel()


def _kind(model: Model) -> tuple[NetworkSettings, TrainingSettings, str]:
    """What decides on the network, its optimizer and loss, and its precision."""
    return model.recipe.network, model.recipe.training, str(model.network.dtype_policy.name)
