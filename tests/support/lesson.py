"""A session of the salt set in which a person corrects and learns."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.inline import InlineEngine
from napari_unet.models.card import ModelCard
from napari_unet.models.image_statistics import summarize_statistics
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.models.image_statistics import ImageStatistics
    from napari_unet.project.project import Project


class Lesson:
    """A session of the salt set with a model, and what it said."""

    def __init__(self, salt: Path, model: Path) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.session = Session(InlineEngine(), self.waiting.append)
        self.learning = self.session.learning
        self.background = self.session.background
        self.candidate = self.session.candidate
        self.new_model = self.session.new_model
        self.failures: list[str] = []
        self.session.runner.failed.connect(lambda sentence, details: self.failures.append(sentence))
        dataset = open_dataset(salt)
        self.collection = Collection(dataset.name, (*dataset.samples, *dataset.unlabelled), dataset)
        self.session.workspace.choose_model(ModelCard.read(model))
        self.session.workspace.show(self.collection)
        self.settle()

    def settle(self) -> None:
        def pump() -> None:
            while self.waiting:
                self.waiting.pop(0)()

        self.session.wait_idle(pump)

    @property
    def project(self) -> Project:
        project = self.learning.project
        assert project is not None
        return project

    def make_project(self) -> None:
        self.session.painting.prepare()
        self.settle()

    def ids_of(self, part: str) -> list[str]:
        labelled = [i for i, e in self.collection.entries.items() if e.sample.has_mask]
        return [i for i in labelled if self.project.corrections.part(i) == part]

    def correct(self, identifier: str, done: bool = False) -> None:
        """Paint the truth where the prediction is wrong."""
        self.session.segment([identifier])
        truth = self.collection.entries[identifier].sample.read_mask().labels
        self.session.painting.correct(identifier, truth)
        if done:
            self.session.painting.set_done([identifier])

    def corrected(self, count: int = 2) -> Lesson:
        self.make_project()
        for identifier in self.ids_of("train")[:count]:
            self.correct(identifier)
        return self

    def names(self) -> list[tuple[int, str, bool]]:
        """Number of each version, what it came from, and whether it was discarded."""
        return [(v.number, v.note.split()[0], v.discarded) for v in self.candidate.versions]

    def in_use(self) -> int | None:
        current = self.project.models.current
        return None if current is None else current.number


def copy_that_knows(model: Path, look: ImageStatistics, out: Path) -> Path:
    """A copy of a model that was trained, so it says, on images that look like this."""
    shutil.copytree(model, out)
    file = out / "settings.json"
    content = json.loads(file.read_text())
    content["provenance"]["looks"] = summarize_statistics([("dark", look)] * 8)
    file.write_text(json.dumps(content))
    return out
