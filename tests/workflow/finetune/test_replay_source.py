"""What is replayed: the first that there is, known by its pixels, and who judges what is forgotten."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.evaluation.leakage import TrainingMembership
from napari_unet.models.model import load_model
from napari_unet.models.model_folder import REHEARSAL_FILE
from napari_unet.models.rehearsal import Rehearsal, RehearsalCrop, write_rehearsal
from napari_unet.workflow.finetune.replay_source import ReplaySource, find_replay, part
from support.errors import raises_code
from support.tiny_models import provenance_of, write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # loads TensorFlow


def crop(number: int) -> RehearsalCrop:
    return RehearsalCrop(f"crop{number}", np.full((8, 8, 1), number, np.uint8), np.eye(8, dtype=np.uint8))


class Place:
    """A model that was trained on half of a salt set, and what is known of its data."""

    def __init__(self, folder: Path, salt: Path, held_out: bool = True, path: str = "") -> None:
        dataset = open_dataset(salt)
        ids = [s.id for s in dataset.samples]
        self.train, self.held = ids[:12], ids[12:] if held_out else []
        provenance: dict[str, Any] = provenance_of(dataset, self.train, self.held)
        provenance["data"] |= {"format": dataset.format, "path": path}
        self.model = load_model(write_tiny_model(folder / "model", provenance=provenance))
        self.folder, self.notes = folder / "model", [""]

    def find(self, named: Path | None = None) -> ReplaySource:
        self.notes.clear()
        seen = TrainingMembership(self.model.provenance)
        return find_replay(
            named, None, self.model, self.folder, seen, 0, lambda item: None, self.notes.append
        )


def ids(samples: Any) -> set[str]:
    return {s.id for s in samples}


def test_the_first_that_there_is(salt_folder: Path, nuclei_folder: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, salt_folder, path=str(salt_folder.resolve()))
    write_rehearsal(place.folder, Rehearsal(tuple(map(crop, range(9)))))
    for found, kind in (
        (place.find(salt_folder), "training data"),
        (place.find(), "recorded training data"),
    ):
        assert found.kind == kind
        assert found.train is not None
        assert ids(found.train.samples) == set(place.train)
        assert ids(found.judges) == set(place.held)
        assert not found.trained_on
    assert place.notes == []
    # Other images where the data were: not what the model was trained on.
    place.model.provenance["data"] |= {"path": str(nuclei_folder.resolve()), "format": None}
    found = place.find()
    assert found.kind == "rehearsal set"
    assert str(nuclei_folder.resolve()) in place.notes[0]
    with raises_code("data.replay.different"):
        place.find(nuclei_folder)  # who names data is told, not given something else
    place.model.provenance["data"]["path"] = str(tmp_path / "gone")
    assert place.find().kind == "rehearsal set"
    (place.folder / REHEARSAL_FILE).unlink()
    found = place.find()
    assert (found.kind, found.train, found.judges) == ("nothing", None, ())
    assert place.notes == []


def test_half_of_the_rehearsal_set_judges_and_is_not_replayed(salt_folder: Path, tmp_path: Path) -> None:
    place = Place(tmp_path, salt_folder)
    write_rehearsal(place.folder, Rehearsal(tuple(map(crop, range(9)))))
    found = place.find()
    assert found.train is not None
    assert (len(found.train), len(found.judges)) == (5, 4)
    assert not ids(found.train.samples) & ids(found.judges)
    assert found.trained_on
    assert found.sentence == "replayed 5 crops of the rehearsal set inside the model"
    assert ids(place.find().judges) == ids(found.judges)
    (place.folder / REHEARSAL_FILE).write_bytes(b"no zip")
    assert place.find().kind == "nothing"
    assert REHEARSAL_FILE in place.notes[0]


def test_where_nothing_was_held_out_half_of_what_was_trained_on_judges(
    salt_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "salt"
    shutil.copytree(salt_folder, moved)
    place = Place(tmp_path, moved, held_out=False, path=str(moved))
    found = place.find()
    assert found.train is not None
    assert (len(found.train), len(found.judges)) == (6, 6)
    assert ids(found.train.samples) | ids(found.judges) == set(place.train)
    assert found.trained_on


def test_few_are_not_parted() -> None:
    samples = [Sample(str(n), lambda: np.zeros((1, 1, 1), np.uint8)) for n in range(12)]
    replayed, judges = part(samples[:5])
    assert (len(replayed), judges) == (5, [])
    replayed, judges = part(samples)
    assert (len(replayed), len(judges)) == (6, 6)
    assert part(samples[::-1])[1] == judges[::-1]
