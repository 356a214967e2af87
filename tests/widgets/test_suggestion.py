"""A model that comes with the program is there, and is suggested for images like those it was trained on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.models.image_statistics import describe_image, summarize_statistics
from napari_unet.models.likeness import KEY, Likeness
from napari_unet.models.normalization import Normalization
from napari_unet.widgets.segment.suggestion_row import UNLIKE
from support.hands import click, segment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [
    pytest.mark.window,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
    ),
]


def spots(seed: int) -> Any:
    """A few bright squares on dark ground."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 12, (64, 64)).astype(np.uint8)
    for y, x in rng.integers(4, 54, (6, 2)):
        image[y : y + 7, x : x + 7] += 150
    return image


@pytest.fixture
def ship(shipped: Path, tiny_models: dict[str, Path]) -> Callable[[str], Path]:
    """Ships the grey tiny model as one that was trained on spots."""

    def make(name: str) -> Path:
        folder = shipped / name
        shutil.copytree(tiny_models["grey"], folder)
        file = folder / "settings.json"
        content = json.loads(file.read_text())
        looks = [("dark", describe_image(spots(seed))) for seed in range(100, 130)]
        likeness = Likeness.of_training(
            [look for _, look in looks], [str(n) for n in range(30)], Normalization(channels=1)
        )
        assert likeness is not None
        content["provenance"][KEY] = likeness.to_json()
        content["provenance"]["looks"] = summarize_statistics(looks)
        content["provenance"]["about"] = {"title": "Spots of all kinds"}
        file.write_text(json.dumps(content))
        return folder

    return make


@pytest.fixture
def cells(ship: Callable[[str], Path]) -> Path:
    return ship("cells")


def test_the_first_click_segments_an_image_that_a_shipped_model_knows(
    cells: Path, dock: Any, viewer: Any, qtbot: Any
) -> None:
    panel = dock.segment_panel
    assert panel.model_box.itemText(0) == "cells (built-in)"
    assert panel.model_box.currentIndex() == -1
    assert panel.run_button.toolTip() == "Choose a model first."
    viewer.add_image(spots(0))
    qtbot.waitUntil(lambda: dock.session.workspace.model is not None)
    used: Any = dock.session.workspace.model
    assert used.path == cells
    assert panel.model_box.currentText() == "cells (built-in)"
    words = panel.suggestion.words.whole_text()
    assert words == "cells fits: looks like its dark training images"
    assert not panel.suggestion.isHidden()
    assert panel.suggestion.use_button.isHidden()
    assert panel.suggestion.warning.isHidden()
    segment(dock, qtbot)
    assert dock.canvas.mask_layer.data.any()


def test_a_network_that_sees_several_slices_is_suggested_for_volumes_alone(
    cells: Path, dock: Any, viewer: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (card,) = dock.session.candidate.suggestible()
    network = card.recipe.network.model_copy(update={"dimensions": "2.5d"})
    seen = replace(card, recipe=card.recipe.model_copy(update={"network": network}))
    # What the card says of channels is that of one slice.
    monkeypatch.setattr(type(seen), "mismatch", lambda *_: "")
    monkeypatch.setattr(dock.session.candidate, "suggestible", lambda: [seen])
    viewer.add_image(spots(0))
    row = dock.segment_panel.suggestion
    qtbot.waitUntil(lambda: bool(row._statistics))
    assert row.suggestion is None
    assert row.closest is None
    assert dock.session.workspace.model is None
    monkeypatch.setattr(type(dock.session.workspace), "volume", (dock.session.workspace.current,))
    row.suggest_for()
    assert row.suggestion is not None
    assert row.suggestion.card is seen


def test_another_model_stays_until_the_suggestion_is_taken(
    cells: Path, dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    dock.session.workspace.load_model(tiny_models["grey"])
    assert dock.segment_panel.model_box.itemText(0) == "grey"  # one's own come first
    viewer.add_image(spots(1))
    row = dock.segment_panel.suggestion
    qtbot.waitUntil(lambda: not row.isHidden())
    assert dock.session.workspace.model.path == tiny_models["grey"]
    click(qtbot, row.use_button)
    used: Any = dock.session.workspace.model
    assert used.path == cells
    assert row.isHidden()


def test_for_an_image_of_another_kind_the_closest_model_is_offered_and_not_chosen(
    cells: Path, dock: Any, viewer: Any, qtbot: Any
) -> None:
    stripes = np.tile(np.array([0, 0, 200, 200], np.uint8), (64, 16))
    viewer.add_image(stripes)
    qtbot.waitUntil(lambda: bool(dock.segment_panel.suggestion._statistics))
    row = dock.segment_panel.suggestion
    assert dock.session.workspace.model is None
    assert row.suggestion is None
    assert not dock.segment_panel.run_button.isEnabled()
    assert row.words.whole_text() == "cells is the closest"
    why = row.closest.reason
    assert why
    assert row.warning.text() == (
        f"No model was trained on images like this ({why}). "
        "Use the closest and check the mask, or paint a new mask."
    )
    click(qtbot, row.use_button)
    used: Any = dock.session.workspace.model
    assert used.path == cells
    assert row.warning.text() == UNLIKE.format(why)


def test_an_image_unlike_the_training_images_is_told(
    cells: Path, dock: Any, viewer: Any, qtbot: Any, tiny_models: dict[str, Path]
) -> None:
    row = dock.segment_panel.suggestion
    dock.session.workspace.load_model(cells)
    viewer.add_image(255 - spots(3), name="inverted")
    qtbot.waitUntil(lambda: not row.warning.isHidden())
    assert row.warning.text() == "Unlike its training images (brighter): check the mask."
    assert row.words.isHidden() and row.use_button.isHidden()
    segment(dock, qtbot)  # it stops nobody
    dock.session.workspace.load_model(tiny_models["grey"])  # which does not say what it was trained on
    assert row.warning.isHidden()
    dock.session.workspace.load_model(cells)
    assert not row.warning.isHidden()
