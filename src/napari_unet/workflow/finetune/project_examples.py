"""What a project has to learn from and to judge by: corrections, held-out images, and all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_unet.engine.task import FromCaller
from napari_unet.errors import DataError
from napari_unet.evaluation.leakage import NOT_KNOWN
from napari_unet.project.corrections.correction import MaskSnapshot
from napari_unet.workflow.inputs.image_reference import CallReference, refer
from napari_unet.workflow.inputs.labelled_images import LabelledImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.project.corrections.corrections import Corrections
    from napari_unet.project.project import Project
    from napari_unet.workflow.inputs.image_reference import ImageReference

MOST_JUDGES = 200  # images with a reference that the gate looks at
MOST_OTHERS = 64  # images without corrections whose own predictions are replayed


@dataclass(frozen=True, eq=False)
class ProjectExamples:
    """What a project gives to a round of learning.

    Attributes
    ----------
    corrections : tuple of LabelledImage
        What is painted, but for what only judges; of that, images that are done are taken along where
        the task itself sets them aside.
    judges : tuple of ImageReference
        Images with a mask to judge by that nothing may be learned from.
    reserved : tuple of ImageReference
        Those among the corrections that a round sets aside to judge by.
    others : tuple of ImageReference
        Images nobody corrected.
    replay : pathlib.Path or None
        The data set that the model was trained on, if it is there.
    replay_format : str or None
        Its layout.
    reserve : bool
        Whether every fifth done image judges and is never trained on.
    seen : mapping
        Id of every image with evidence to the number of its last stroke.
    """

    corrections: tuple[LabelledImage, ...]
    judges: tuple[ImageReference, ...]
    reserved: tuple[ImageReference, ...]
    others: tuple[ImageReference, ...]
    replay: Path | None
    replay_format: str | None
    reserve: bool
    seen: Mapping[str, int]

    @property
    def held_out(self) -> tuple[ImageReference, ...]:
        """All images to judge by."""
        return (*self.judges, *self.reserved)


def collect_examples(
    project: Project,
    samples: Mapping[str, Sample],
    dataset: Dataset | None,
    provenance: Mapping[str, Any],
    part_of: Callable[[str], str] = lambda identifier: "",
    groups: Mapping[str, str] | None = None,
) -> ProjectExamples:
    """Collect what a project has to learn from.

    Parameters
    ----------
    project : Project
        Whose corrections, split and rule of what judges count.
    samples : mapping
        Id to image, of those that are open; corrections of others are left out.
    dataset : Dataset or None
        Where the images come from.
    provenance : mapping
        Of the model that is to learn.
    part_of : callable
        (id) -> part of an image in the model's split, "" or "unseen" where that is not known; then the
        project's own split counts.
    groups : mapping, optional
        Id to group.
    """
    corrections = project.corrections
    touched = corrections.touched()
    groups = groups or {}
    learned_from: list[LabelledImage] = []
    aside: list[ImageReference] = []
    for identifier in touched:
        taught = teaches(corrections, identifier)
        judges_later = corrections.reserve and corrections.stats(identifier).done
        if identifier in samples and (judges_later or taught):
            if not taught:
                aside.append(_corrected(project, identifier, samples[identifier]))
            # One that may judge is scored, by objects that are known everywhere or not at all.
            reference = (
                corrections[identifier].reference() if judges_later else corrections.reference(identifier)
            )
            image, group = refer(samples[identifier], dataset), groups.get(identifier, "")
            learned_from.append(
                LabelledImage(image, reference.labels, reference.weights, group, reference.objects)
            )
    judges, others = _judges_and_others(project, samples, dataset, part_of, set(touched))
    replay = trained_on(provenance, dataset)
    return ProjectExamples(
        tuple(learned_from),
        judges,
        tuple(aside),
        others,
        replay,
        dataset.format if replay is not None and dataset is not None else None,
        corrections.reserve,
        corrections.seen(),
    )


def teaches(corrections: Corrections, identifier: str) -> bool:
    """Whether the correction of an image may be learned from."""
    return corrections.part(identifier) == "train"


def trained_on(provenance: Mapping[str, Any], dataset: Dataset | None) -> Path | None:
    """Where a data set is, if it looks like the one that a model was trained on, and is on disk."""
    if dataset is None or not dataset.path.exists() or not all(s.image_name for s in dataset.samples):
        return None
    return dataset.path if same_data(provenance, dataset) else None


def same_data(provenance: Mapping[str, Any], dataset: Dataset) -> bool:
    """Whether a model was trained on a data set of this name and size."""
    data = provenance.get("data") or {}
    return (data.get("name"), data.get("images")) == (dataset.name, len(dataset))


def _judges_and_others(
    project: Project,
    samples: Mapping[str, Sample],
    dataset: Dataset | None,
    part_of: Callable[[str], str],
    corrected: set[str],
) -> tuple[tuple[ImageReference, ...], tuple[ImageReference, ...]]:
    judges: list[ImageReference] = []
    others: list[ImageReference] = []
    for identifier, sample in samples.items():
        if identifier in corrected:
            corrections = project.corrections
            # Where every fifth image is reserved, the task itself sets them aside.
            judging = not (corrections.reserve or teaches(corrections, identifier))
            if judging and corrections.stats(identifier).done and len(judges) < MOST_JUDGES:
                judges.append(_corrected(project, identifier, sample))
            continue
        part = part_of(identifier)
        if part in ("", "unseen", NOT_KNOWN):
            part = project.split.part_of(identifier) or ""
        if sample.has_mask and part == "held-out":
            if len(judges) < MOST_JUDGES:
                judges.append(refer(sample, dataset))
        elif len(others) < MOST_OTHERS:
            others.append(refer(sample, dataset))
    return tuple(judges), tuple(others)


def _corrected(project: Project, identifier: str, sample: Sample) -> ImageReference:
    """An image with its mask as it is now."""
    mask = MaskSnapshot.of(project.corrections[identifier].reference())
    return CallReference(identifier, FromCaller(sample.read_image), FromCaller(mask))


def of_project(project: Project, provenance: Mapping[str, Any]) -> ProjectExamples:
    """What a project has to learn from, with its images as they are on the disk.

    Raises
    ------
    DataError
        If nothing was corrected, or the images are not there.
    """
    if not project.corrections.touched():
        raise DataError(
            f"the project {project.folder} has no correction yet",
            code="data.corrections.missing",
            expected="at least one image that was painted on or marked done",
            remedy="correct one in the window",
        )
    dataset = project.images.dataset()
    if project.images.note:
        raise DataError(
            project.images.note.rstrip("."), code="data.images.missing", remedy="fine-tune in the window"
        )
    samples = {s.id: s for s in project.images.samples()}
    split = provenance.get("split") or {}
    parts: dict[str, str] = {}
    if dataset is not None and same_data(provenance, dataset):
        for part in ("train", "validation", "held_out"):
            parts |= dict.fromkeys(split.get(part) or (), part.replace("_", "-"))
    groups = {entry.id: entry.group for entry in project.file.images}
    return collect_examples(project, samples, dataset, provenance, lambda i: parts.get(i, ""), groups)
