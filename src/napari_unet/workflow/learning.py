"""Fine-tuning in a sitting: what was painted becomes a new version, judged, kept or discarded."""

from __future__ import annotations

import filecmp
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_unet.engine.task import FromCaller
from napari_unet.errors import WorkbenchError
from napari_unet.models.card import ModelCard
from napari_unet.models.model import WEIGHTS_FILE, model_folder
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.correction import MaskSnapshot
from napari_unet.workflow.fine_tune import FineTuned, FineTuneTask, Preview
from napari_unet.workflow.lessons import Correction
from napari_unet.workflow.references import CallReference, refer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_unet.engine.task import Job
    from napari_unet.models.store import ModelStore, Version
    from napari_unet.progress import Progress
    from napari_unet.workflow.collection import Collection
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.references import ImageReference
    from napari_unet.workflow.session import Session

MOST_JUDGES = 200  # images with a reference that the gate looks at
MOST_OTHERS = 64  # images without corrections whose own predictions are replayed


class Learning:
    """Fine-tunes the model at hand on the corrections of the project at hand.

    Parameters
    ----------
    session : Session
        Whose model learns.
    """

    changed = Signal()  # what can be done, what runs, or the verdict
    looked = Signal(dict)  # a row of the curve: seconds, loss, held_out_iou, old_iou
    previewed = Signal(object)  # Preview

    def __init__(self, session: Session) -> None:
        self.session = session
        self.job: Job | None = None
        self.curve: list[dict[str, float]] = []
        self.result: FineTuned | None = None
        self.candidate: Version | None = None  # waits for keep or discard
        self._judged_in: Project | None = None  # whose the candidate is, whatever is at hand by then
        self._stop = False

    @property
    def project(self) -> Project | None:
        """Whose corrections are learned from."""
        return self.session.painting.project

    @property
    def versions(self) -> tuple[Version, ...]:
        """Of the project at hand, the oldest first."""
        project = self.project
        return project.models.versions() if project is not None else ()

    def obstacle(self) -> str:
        """Why there can be no fine-tuning now; empty if there can."""
        session, project = self.session, self.project
        if session.model is None:
            return "Open a model first."
        if session.busy:
            return "A task is running."
        if self.candidate is not None:
            return "Keep or discard the new version first."
        if project is None or not project.corrections.touched():
            return "Correct a mask first: paint on it, or mark it done."
        if not any(self._teaches(project, i) for i in project.corrections.touched()):
            return "What is corrected so far is kept for judging: correct one more image."
        return ""

    def summary(self) -> str:
        """What there is to learn from, in words."""
        project = self.project
        if project is None:
            return ""
        touched = project.corrections.touched()
        judging = sum(not self._teaches(project, i) for i in touched)
        total = project.corrections.total()
        words = f"{len(touched) - judging} corrected image{'s' * (len(touched) - judging != 1)} to learn from"
        if judging:
            words += f", {judging} to judge by"
        strokes = f"{total.strokes} stroke{'s' * (total.strokes != 1)}"
        return f"{words}; {strokes}, {total.changed:,} pixels, {total.seconds / 60:.0f} min"

    @staticmethod
    def _teaches(project: Project, identifier: str) -> bool:
        return project.corrections.part(identifier) == "train"

    # learning

    def fine_tune(self, seconds: float = 60.0) -> Job | None:
        """Learn from what was painted; the verdict comes with ``changed``.

        Parameters
        ----------
        seconds : float
            Budget, from the click to the verdict.

        Returns
        -------
        Job or None
            None if there is an obstacle.
        """
        session, project = self.session, self.project
        if self.obstacle() or project is None or session.model is None or session.collection is None:
            return None
        collection = session.collection
        project.corrections.save()
        try:
            self._first_version(project.models, session.model)
            out = project.new_folder("runs", "fine-tune", {"seconds": seconds}) / "model"
        except WorkbenchError as error:
            session.failed.emit(error.sentence, "")
            return None
        corrections = tuple(self._corrections(project, collection))
        corrected = set(project.corrections.touched())
        replay = self._replay(collection)
        judges, others = self._judges_and_others(project, collection, corrected)
        self._stop = False
        self.curve, self.result = [], None
        task = FineTuneTask(
            session.model.path,
            corrections,
            out,
            FineTuneSettings(seconds=seconds),
            replay=replay,
            replay_format=collection.dataset.format if replay and collection.dataset else None,
            others=others,
            judges=judges,
            reserve=project.corrections.reserve,
            preview=FromCaller(self._wanted_preview),
            stop=FromCaller(lambda: self._stop),
            evaluation=session.evaluation,
        )
        seen = project.corrections.seen()

        def on_progress(progress: Progress) -> None:
            if "old_iou" in progress.values:  # a look; between two of them only the loss is told
                self.curve.append(dict(progress.values))
                self.looked.emit(dict(progress.values))
            if isinstance(progress.piece, Preview):
                self.previewed.emit(progress.piece)

        def on_end(job: Job) -> None:
            self.job = None
            if isinstance(job.result, FineTuned):
                self._judge(project, job.result, seen)
            self.changed.emit()

        job = session.run_task(task, 1, on_progress, on_end)
        self.job = None if job.ended else job
        self.changed.emit()
        return job

    def stop(self) -> None:
        """Stop learning, judge and keep what is best so far."""
        self._stop = True

    def _first_version(self, store: ModelStore, model: ModelCard) -> None:
        """The model a project starts from is its first version; one from elsewhere becomes one, too."""
        known = [v for v in store.versions() if v.path == model.path or same_model(v.path, model.path)]
        if known:
            if store.current is None or store.current.number not in {v.number for v in known}:
                store.keep(known[0].number)
            return
        scores = {} if model.validation_iou is None else {"validation_iou": model.validation_iou}
        with model_folder(model.path) as folder:
            store.add(folder, scores=scores, parent=0, note=f"from {model.name}", keep=True)

    def _corrections(self, project: Project, collection: Collection) -> list[Correction]:
        """What is painted, but for what only judges; of that, images that are done are taken along."""
        found = []
        for identifier in project.corrections.touched():
            done = project.corrections.effort(identifier).done
            judges = project.corrections.reserve and done  # parted from the others by the task
            if identifier not in collection.entries or not (judges or self._teaches(project, identifier)):
                continue
            reference = project.corrections[identifier].reference()
            entry = collection.entries[identifier]
            found.append(
                Correction(
                    refer(entry.sample, collection.dataset), reference.labels, reference.weights, entry.group
                )
            )
        return found

    def _replay(self, collection: Collection) -> Path | None:
        """The data set at hand, if the model was trained on it."""
        data = (self.session.model.provenance.get("data") or {}) if self.session.model else {}
        dataset = collection.dataset
        if dataset is None or not dataset.path.exists() or not all(s.image_name for s in dataset.samples):
            return None
        same = (data.get("name"), data.get("images")) == (dataset.name, len(dataset))
        return dataset.path if same else None

    def _judges_and_others(
        self, project: Project, collection: Collection, corrected: set[str]
    ) -> tuple[tuple[ImageReference, ...], tuple[ImageReference, ...]]:
        judges: list[ImageReference] = []
        others: list[ImageReference] = []
        for identifier, entry in collection.entries.items():
            if identifier in corrected:
                if not self._teaches(project, identifier) and len(judges) < MOST_JUDGES:
                    judges += self._corrected_judge(project, collection, identifier)
                continue
            # A model trained elsewhere has no part for it: then the project's own split counts.
            part = entry.part
            if part in ("", "unseen"):
                part = project.split.part_of(identifier) or ""
            if entry.sample.has_mask and part == "held-out" and len(judges) < MOST_JUDGES:
                judges.append(refer(entry.sample, collection.dataset))
            elif len(others) < MOST_OTHERS:
                others.append(refer(entry.sample, collection.dataset))
        return tuple(judges), tuple(others)

    @staticmethod
    def _corrected_judge(
        project: Project, collection: Collection, identifier: str
    ) -> tuple[ImageReference, ...]:
        """A held-out image that is done, with its corrected mask; none if the task sets it aside itself."""
        if project.corrections.reserve or not project.corrections.effort(identifier).done:
            return ()
        mask = MaskSnapshot.of(project.corrections[identifier].reference())
        sample = collection.entries[identifier].sample
        return (CallReference(identifier, FromCaller(sample.read_image), FromCaller(mask)),)

    def _wanted_preview(self) -> Any:
        """The image at hand; called from another thread."""
        collection, identifier = self.session.collection, self.session.current
        if collection is None or identifier not in collection.entries:
            return None
        reference = refer(collection.entries[identifier].sample, collection.dataset)
        if isinstance(reference, CallReference):
            return identifier, np.asarray(collection.image(identifier))
        return reference

    # the gate

    def _judge(self, project: Project, result: FineTuned, seen: dict[str, int]) -> None:
        comparison = result.comparison
        scores = {
            name: value
            for name, value in (("held_out_iou", comparison.new_iou), ("difference", comparison.difference))
            if value is not None
        }
        try:
            self.candidate = project.models.add(
                result.model, scores=scores, corrections=seen, note=comparison.verdict
            )
        except WorkbenchError as error:
            self.session.failed.emit(error.sentence, "")
            return
        self.result, self._judged_in = result, project

    def keep(self) -> None:
        """Use the new version from now on; images that were segmented before are segmented anew."""
        project, version = self._judged_in, self.candidate
        if project is None or version is None or self._waits():
            return
        if self._try(lambda: project.models.keep(version.number)):
            self.candidate = None
            self._use(version)

    def discard(self) -> None:
        """Go on with the version before."""
        project, version = self._judged_in, self.candidate
        if project is None or version is None:
            return
        if self._try(lambda: project.models.discard(version.number)):
            self.candidate = None
            self.changed.emit()

    def _waits(self) -> bool:
        """Whether another task must end before the model can be changed; says so."""
        if self.session.busy:
            self.session.failed.emit("A task is running: wait for its end, or cancel it.", "")
        return self.session.busy

    def roll_back(self, number: int | None = None) -> None:
        """Use an earlier version again: the one before, or a certain one."""
        project = self.project
        if project is None or self._waits():
            return
        found: list[Version] = []
        self._try(lambda: found.append(project.models.roll_back(number)))
        if found:
            self._use(found[0])

    def _use(self, version: Version) -> None:
        session = self.session
        collection = session.collection
        before = []
        if collection is not None:
            before = [i for i, e in collection.entries.items() if e.prediction is not None]
        try:
            card = ModelCard.read(version.path)
        except WorkbenchError as error:
            session.failed.emit(error.sentence, "")
            return
        session.choose_model(card)
        self.changed.emit()
        if before:
            current = session.current
            session.segment([i for i in before if i == current] + [i for i in before if i != current])

    def _try(self, change: Callable[[], Any]) -> bool:
        try:
            change()
        except WorkbenchError as error:
            self.session.failed.emit(error.sentence, "")
            return False
        return True


def same_model(first: Path, second: Path) -> bool:
    """Whether two models have the same weights, to the byte."""
    if not (first / WEIGHTS_FILE).is_file():
        return False
    with model_folder(second) as folder:
        other = folder / WEIGHTS_FILE
        return other.is_file() and filecmp.cmp(first / WEIGHTS_FILE, other, shallow=False)
