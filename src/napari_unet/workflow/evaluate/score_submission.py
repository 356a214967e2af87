"""Scoring a submission as its competition does, against the truth as the competition gives it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.files.decoders.image_kinds import is_image_name
from napari_unet.data.files.pages import read_header
from napari_unet.data.files.source import open_source
from napari_unet.data.masks.mask_tables import MaskTable, read_mask_table
from napari_unet.data.masks.run_length import run_bounds
from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import DataError
from napari_unet.evaluation.score import Evaluation
from napari_unet.progress import tracked
from napari_unet.settings import EvaluationSettings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.data.masks.mask_tables import TableLayout
    from napari_unet.progress import CancelToken, OnProgress

SIZE = re.compile(r"(\d{1,6})\s*[x×]\s*(\d{1,6})", re.IGNORECASE)  # noqa: RUF001 - people type either
SUBJECT = re.compile(r"\d+_\d+")


def parse_size(text: str) -> tuple[int, int]:
    """(Y, X) from "WIDTHxHEIGHT".

    Raises
    ------
    DataError
        If it is nothing like that.
    """
    match = SIZE.fullmatch(text.strip())
    size = (int(match[2]), int(match[1])) if match else (0, 0)
    if min(size) < 1:
        raise DataError(
            "the size of the images is not understood",
            code="data.size.malformed",
            expected="WIDTHxHEIGHT",
            got=repr(text),
        )
    return size


@dataclass(frozen=True)
class SubmissionScore:
    """A submission's score.

    Attributes
    ----------
    evaluation : Evaluation
        Every image; ``overall()["competition"]`` has the competition's name and score.
    layout : TableLayout
        The competition.
    sized : bool
        Whether the images' sizes were known, so that runs beyond them were looked for.
    left_out : int
        Images of the truth that the submission lacks, where that was allowed.
    """

    evaluation: Evaluation
    layout: TableLayout
    sized: bool
    left_out: int = 0


@dataclass(frozen=True)
class ScoreSubmissionTask:
    """Score a submission.

    Attributes
    ----------
    submission, truth : pathlib.Path
        CSV tables of one competition, recognized by their headers.
    images : pathlib.Path, optional
        Folder or zip of the images, for their sizes.
    size : tuple of int, optional
        (Y, X) of all images.
    partial : bool
        Whether the submission may lack images of the truth, which are left out then.
    settings : EvaluationSettings
        Intervals.
    """

    submission: Path
    truth: Path
    images: Path | None = None
    size: tuple[int, int] | None = None
    partial: bool = False
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> SubmissionScore:
        """Check that the tables fit together, and score image by image."""
        given, truth = read_mask_table(self.submission), read_mask_table(self.truth)
        if given.layout != truth.layout:
            raise DataError(
                "submission and truth are of different competitions",
                code="data.competition.different",
                expected=",".join(truth.layout.columns),
                got=",".join(given.layout.columns),
                remedy="give two tables of one competition",
            )
        ids = self._images(given, truth)
        sizes = self._sizes(truth, ids)
        # Run lengths alone do not tell where an outline is.
        settings = self.settings.model_copy(update={"scores": "overlap"})
        evaluation = Evaluation(settings=settings, competition=truth.layout.format)
        for image in tracked(ids, len(ids), "Scoring", on_progress, cancel):
            shape = sizes.get(image)
            reference, predicted = (
                _objects(table.runs[image], shape, f"{image} in {table.name}", table is given)
                for table in (truth, given)
            )
            length = max(len(reference), len(predicted))
            ours, theirs = (np.pad(m, (0, length - len(m)))[None] for m in (reference, predicted))
            evaluation.add(
                image,
                image.split("_")[0] if SUBJECT.fullmatch(image) else image,
                "unseen",
                ReferenceMask((ours > 0).astype(np.uint8)),
                (theirs > 0).astype(np.uint8),
                (ours, theirs) if truth.layout.objects else None,
            )
        left_out = len(truth.runs.keys() - truth.ignored) - len(ids)
        return SubmissionScore(evaluation, truth.layout, all(i in sizes for i in ids), left_out)

    def _images(self, given: MaskTable, truth: MaskTable) -> list[str]:
        """The images to score, in the order of the truth."""
        strange = [image for image in given.runs if image not in truth.runs]
        if strange:
            raise DataError(
                f"{given.name} has images that {truth.name} lacks",
                code="data.submission.images",
                expected=f"images like {next(iter(truth.runs), 'none')}",
                got=_named(strange),
                remedy="score a submission of the images that the truth is of",
            )
        wanted = [image for image in truth.runs if image not in truth.ignored]
        missing = [image for image in wanted if image not in given.runs]
        if missing and not self.partial:
            raise DataError(
                f"{given.name} lacks images",
                code="data.submission.images",
                expected=f"all {len(wanted)} of {truth.name}",
                got=f"no row for {_named(missing)}",
                remedy="add them, or score the others alone with --partial",
            )
        ids = [image for image in wanted if image in given.runs]
        if not ids:
            raise DataError(
                f"{given.name} has no image to score",
                code="data.submission.empty",
                expected=f"images of {truth.name}",
            )
        return ids

    def _sizes(self, truth: MaskTable, ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """(Y, X) of the images: as given, from the truth, the competition's, or from the images."""
        if self.size is not None:
            return dict.fromkeys(ids, self.size)
        if self.images is None:
            size = truth.layout.size
            return dict.fromkeys(ids, size) if size is not None else dict(truth.sizes)
        source = open_source(self.images)
        files: dict[str, str] = {}
        for name in source.sizes:
            if is_image_name(name) and "masks/" not in name:
                files.setdefault(name.rsplit("/", 1)[-1].rsplit(".", 1)[0], name)
        lacking = [image for image in ids if image not in files]
        if lacking:
            raise DataError(
                f"{self.images} lacks images",
                code="data.submission.images",
                got=f"none called {_named(lacking)}",
                remedy="check the folder",
            )
        headers = {image: read_header(source, files[image]) for image in ids}
        return {image: (h.height, h.width) for image, h in headers.items()}


def _named(images: list[str]) -> str:
    return images[0] + (f" and {len(images) - 1} others" if len(images) > 1 else "")


def _objects(
    runs: tuple[str, ...], shape: tuple[int, int] | None, name: str, strict: bool
) -> NDArray[np.int32]:
    """Objects of an image as (N,) numbers, column by column, no longer than need be.

    Objects must not share pixels in a submission; in a truth the smaller one stays on top, as in the
    data set.
    """
    bounds = [run_bounds(text, shape, name) for text in runs]
    flat = np.zeros(max((int(ends[-1]) for _, ends in bounds), default=0), np.int32)
    areas = [int((ends - starts).sum()) for starts, ends in bounds]
    for place in np.argsort([-area for area in areas], kind="stable"):
        starts, ends = bounds[place]
        first = starts[0]
        steps = np.zeros(ends[-1] - first + 1, np.int8)
        steps[starts - first] += 1
        steps[ends - first] -= 1  # where one run ends and the next begins, nothing changes
        flat[first : ends[-1]][np.cumsum(steps[:-1], dtype=np.int8) > 0] = place + 1
    if strict and sum(areas) > np.count_nonzero(flat):
        raise DataError(
            f"objects of {name} share {sum(areas) - np.count_nonzero(flat)} pixels",
            code="data.submission.overlap",
            expected="every pixel in one object at most",
            remedy="give each pixel to one object",
        )
    return flat
