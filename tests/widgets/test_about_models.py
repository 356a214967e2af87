"""What the window says of a model before it is run: two short lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_unet.models.card import ModelCard
from napari_unet.models.normalization import Normalization
from napari_unet.settings import Recipe

pytestmark = pytest.mark.window


def card(**provenance: Any) -> ModelCard:
    return ModelCard(Path("models/m"), Recipe(), Normalization(), ("salt",), provenance)


def test_a_model_is_told_by_its_network_an_ensemble_by_its_members() -> None:
    from napari_unet.widgets.segment.segment_panel import about

    assert about(card()).endswith("unet, 16 filters, 1 channel; class: salt")
    alike = {"members": ["a", "b"], "weights": [0.5, 0.5]}
    assert about(card(ensemble=alike)).endswith("Ensemble of 2: a, b; class: salt")
    many = {"members": list("abcde"), "weights": [0.4, 0.3, 0.1, 0.1, 0.1]}
    assert about(card(ensemble=many)).endswith(
        "Ensemble of 5: a 0.40, b 0.30, c 0.10 and 2 more; class: salt"
    )
