"""A model from strokes: rounds take what was painted since, show a preview, and write a model at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.engine.task import FromCaller
from napari_unet.models.card import ModelCard
from napari_unet.models.model import load_model
from napari_unet.progress import CancelToken, Progress, ignore_progress
from napari_unet.settings import AugmentationSettings, NetworkSettings
from napari_unet.workflow.strokes import stroke_rounds
from napari_unet.workflow.strokes.learn_from_strokes_task import LearnFromStrokesTask
from napari_unet.workflow.strokes.stroke_recipe import STROKES, for_images, scale_of
from napari_unet.workflow.strokes.stroke_request import UNKNOWN, PaintedImage
from napari_unet.workflow.train.preview import Preview
from support.errors import raises_code
from support.tiny_models import without_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TINY = STROKES.model_copy(
    update={
        "network": NetworkSettings(filters=2, depth=1, normalization="none"),
        "training": STROKES.training.model_copy(
            update={
                "patch": 16, "batch_size": 4, "learning_rate": 2e-2,
                "augmentation": AugmentationSettings(symmetry="dihedral"),
            }
        ),
    }
)  # fmt: skip
IMAGE = np.zeros((24, 32, 1), np.uint8)
IMAGE[:, 16:] = 200


def strokes(**painted: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(24, 32): a bright column is painted as an object, a dark one as background, as asked for."""
    mask = np.full(IMAGE.shape[:2], UNKNOWN, np.uint8)
    for where, label in painted.items():
        mask[4:20, 24 if where == "bright" else 8] = label
    return mask


class Person:
    """Paints a first image; and a second one, once the first preview is there."""

    def __init__(self, rounds: int = 2) -> None:
        self.asked: list[dict[str, int]] = []
        self.previews: list[Preview] = []
        self.rounds = rounds

    def strokes(self, known: Mapping[str, int]) -> list[PaintedImage]:
        self.asked.append(dict(known))
        have = [PaintedImage("one", 7, strokes(bright=1, dark=0), None if "one" in known else IMAGE)]
        if self.previews:
            have.append(PaintedImage("two", 9, strokes(bright=1), None if "two" in known else IMAGE))
        return [one for one in have if known.get(one.id) != one.number]

    def take(self, progress: Progress) -> None:
        if isinstance(progress.piece, Preview):
            self.previews.append(progress.piece)

    def stop(self) -> bool:
        return len(self.previews) >= self.rounds


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(stroke_rounds, "FIRST_ROUND", 0.1)
    monkeypatch.setattr(stroke_rounds, "ROUND", 0.1)
    monkeypatch.setattr(stroke_rounds, "PAINTS_ON", 0.2)
    without_graphs()
    yield
    without_graphs(False)


def task(out: Path, person: Person, **changes: Any) -> LearnFromStrokesTask:
    wanted = {
        "preview": FromCaller(lambda: ("one", IMAGE)), "stop": FromCaller(person.stop), "seconds": 30.0,
        "recipe": TINY, **changes,
    }  # fmt: skip
    return LearnFromStrokesTask(out, ("cell",), FromCaller(person.strokes), **wanted)


@pytest.mark.slow
def test_rounds_take_what_was_painted_since_and_leave_a_model(tmp_path: Path) -> None:
    person = Person()
    result = task(tmp_path / "model", person).run(person.take, CancelToken())
    assert person.asked == [{}, {"one": 7}]  # the second preview was the last: it was stopped
    assert [preview.id for preview in person.previews] == ["one", "one"]
    assert person.previews[0].probabilities.shape == (24, 32, 1)
    assert (result.images, result.pixels) == (2, 16 * 3)
    assert result.stopped
    assert result.steps >= 3
    card = ModelCard.read(result.model)
    assert card.trained_on == "strokes, 2 images"
    assert card.recipe.name == "strokes"
    assert card.provenance["split"]["train"] == ["one", "two"]
    assert "2 images, 48 pixels" in result.sentence
    # The next continues from there: a few steps of 0.02 each leave the weights near to where they were.
    model = load_model(result.model)
    again = Person(rounds=1)
    second = task(tmp_path / "again", again, start=result.model).run(again.take, CancelToken())
    assert ModelCard.read(second.model).provenance["parent"] == str(result.model)
    moved = zip(model.network.get_weights(), load_model(second.model).network.get_weights(), strict=True)
    assert max(float(np.abs(one - other).max()) for one, other in moved) < 0.02 * (second.steps + 1)


@pytest.mark.slow
def test_it_ends_by_itself_once_the_time_is_up_and_nobody_paints(tmp_path: Path) -> None:
    person = Person(rounds=10**9)
    result = task(tmp_path / "model", person, seconds=0.3).run(person.take, CancelToken())
    assert not result.stopped
    assert result.images == 2
    # A stroke came after the first round: it learned on for a while after it, in rounds of their own.
    assert len(person.previews) >= 2


def test_strokes_of_one_class_cannot_teach(tmp_path: Path) -> None:
    def learn(mask: Any) -> None:
        painted = [PaintedImage("one", 1, mask, IMAGE)]
        LearnFromStrokesTask(tmp_path / "model", ("cell",), FromCaller(lambda known: painted)).run(
            ignore_progress, CancelToken()
        )

    with raises_code("training.strokes.missing"):
        learn(strokes())
    with raises_code("training.strokes.one", "only background"):
        learn(strokes(dark=0))
    with raises_code("training.strokes.one", "only one class"):
        learn(strokes(bright=1))
    assert not (tmp_path / "model").exists()


def test_the_recipe_follows_the_images() -> None:
    one = for_images(STROKES, 3, 1, [(256, 256)])
    assert (one.network.input_channels, one.network.activation, one.training.scale) == (3, "sigmoid", 1.0)
    two = for_images(STROKES, 1, 2, [(300, 1536), (3073, 40)])
    assert (two.network.classes, two.network.activation, two.training.scale) == (2, "softmax", 0.25)
    assert scale_of([(1537, 10)]) == 0.5
