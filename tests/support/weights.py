"""Whether everybody who changes the weights of a model says so."""

from __future__ import annotations

import weakref
import zlib
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def changed_weights_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a model is asked for its folded copy and the weights changed without ``weights_changed``.

    Tests that this is imported into (by a ``conftest.py``) are watched.
    """
    from napari_unet.models.model import Model

    known: weakref.WeakKeyDictionary[Model, tuple[Any, int, int]] = weakref.WeakKeyDictionary()
    folded = vars(Model)["inference_network"].fget

    def watched(model: Model) -> Any:
        stamp = 0
        for array in model.network.get_weights():
            stamp = zlib.crc32(np.ascontiguousarray(array).data, stamp)
        network, changes, before = known.get(model, (None, -1, 0))
        if network is model.network and changes == model._changes:
            assert before == stamp, "the weights of a model changed, and nobody called weights_changed()"
        known[model] = model.network, model._changes, stamp
        return folded(model)

    monkeypatch.setattr(Model, "inference_network", property(watched))
