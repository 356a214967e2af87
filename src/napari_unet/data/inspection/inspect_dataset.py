"""What a data set is, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.dataset import Problem
from napari_unet.data.inspection.inspection import AGAINST, Inspection
from napari_unet.data.inspection.look_alikes import SAME, between_parts, nearly_copies
from napari_unet.data.inspection.resemblance import fingerprint
from napari_unet.data.volumes.volume_facts import facts_of_volumes
from napari_unet.errors import DataError
from napari_unet.progress import ignore_progress, tracked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import ReferenceMask, Sample
    from napari_unet.progress import CancelToken, OnProgress

FINGERPRINT = 24  # pixels either way
ALIKE = 0.97  # correlation of fingerprints above which two images show the same
CONTRADICTION = 0.2  # IoU of their masks below which they say different things


MOSTLY, FEWEST_MASKS = 0.8, 5  # share of empty masks, of so many, that looks like unfinished annotation
BLOCK = 1024


@dataclass
class _Findings:
    """What is collected on the way through the images."""

    names: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    shapes: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    coverage: list[float] = field(default_factory=list)
    classes: Counter[int] = field(default_factory=Counter)
    objects: list[int] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)  # images of which no pixel is annotated
    hashes: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    fingerprints: list[NDArray[np.float32]] = field(default_factory=list)
    small_masks: list[NDArray[np.bool_]] = field(default_factory=list)
    fingerprinted: list[str] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)  # to know copies by

    def look_at_image(self, sample: Sample, image: NDArray[np.generic]) -> bool:
        """Count its size, type and channels; whether it is of one value throughout."""
        self.shapes[f"{image.shape[1]} x {image.shape[0]}"] += 1
        self.dtypes[str(image.dtype)] += 1
        equal = image.shape[2] > 1 and bool((image[..., :3] == image[..., :1]).all())
        self.channels[f"{image.shape[2]}{', all equal' if equal else ''}"] += 1
        constant = bool((image == image[:1, :1]).all())
        if constant:
            self.names["constant"].append(sample.id)
        return constant

    def look(self, sample: Sample, image: NDArray[np.generic], mask: ReferenceMask) -> None:
        labels = mask.labels
        constant = self.look_at_image(sample, image)
        if image.shape[:2] != labels.shape:
            self.names["size"].append(sample.id)
            return
        counts = np.bincount(labels.ravel())
        self.classes.update(dict(enumerate(counts.tolist())))
        self.coverage.append(float(1 - counts[0] / labels.size))
        if len(counts) > 1 and counts[0] == 0:
            self.names["full"].append(sample.id)
        elif labels.any():
            if bool((labels == labels[:1]).all()):
                self.names["stripes"].append(sample.id)
            elif bool((labels == labels[:, :1]).all()):
                self.names["rows"].append(sample.id)
        if mask.weights is not None and bool((mask.weights == 0).any()):
            self.names["partial"].append(sample.id)
            if not mask.weights.any():
                self.unknown.add(sample.id)
        if mask.overlap:
            self.names["overlap"].append(sample.id)
        if mask.lost:
            self.names["lost"].append(sample.id)
        if mask.objects is not None:
            self.objects.append(len(np.unique(mask.objects)) - 1)
        if not constant:
            digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
            self.hashes[digest].append(sample.id)
            self.prints[sample.id] = fingerprint(image)
            self._fingerprint(sample, image, labels)

    def _fingerprint(self, sample: Sample, image: NDArray[np.generic], labels: NDArray[np.uint8]) -> None:
        import cv2

        grey = image[..., :3].mean(axis=2, dtype=np.float32)
        small = cv2.resize(grey, (FINGERPRINT, FINGERPRINT), interpolation=cv2.INTER_AREA).ravel()
        small = small - small.mean()
        length = float(np.linalg.norm(small))
        if length < 1e-3:
            return
        self.fingerprints.append(np.asarray(small / length, np.float32))
        shape = (64, 64)
        shrunk = cv2.resize((labels > 0).astype(np.float32), shape, interpolation=cv2.INTER_AREA)
        self.small_masks.append(shrunk >= 0.5)
        self.fingerprinted.append(sample.id)

    def contradictions(self) -> list[tuple[str, str]]:
        """Pairs of images that look the same, with masks that do not."""
        if not self.fingerprints:
            return []
        prints = np.stack(self.fingerprints)
        pairs = []
        for start in range(0, len(prints), BLOCK):
            alike = prints[start : start + BLOCK] @ prints.T > ALIKE
            for i, j in zip(*np.nonzero(alike), strict=True):
                first, second = int(i) + start, int(j)
                if first >= second:
                    continue
                a, b = self.small_masks[first], self.small_masks[second]
                union = int((a | b).sum())
                if union and int((a & b).sum()) / union < CONTRADICTION:
                    pairs.append((self.fingerprinted[first], self.fingerprinted[second]))
        return pairs


# kind: (message with {n}, remedy)
KINDS = {
    "constant": ("{n} images are of one value throughout", "leave them out, or score them apart"),
    "full": ("{n} masks are foreground throughout", "check whether that is meant"),
    "stripes": (
        "{n} masks are pure vertical stripes, a known fault of annotation",
        "leave them out of training, or correct them",
    ),
    "rows": ("{n} masks are pure horizontal stripes", "check whether that is meant"),
    "size": ("{n} masks differ in size from their image", "replace the masks or leave the images out"),
    "partial": (
        "{n} masks annotate only some of the pixels; the others count for nothing",
        "continue, or finish the annotation",
    ),
    "overlap": (
        "{n} images have object masks that overlap; the smaller object stays on top",
        "continue, or mend the masks",
    ),
    "lost": (
        "{n} images have outlines around no pixel, or wholly under others; the masks lack these objects",
        "draw them again, or continue without them",
    ),
}


def inspect_dataset(
    dataset: Dataset,
    on_progress: OnProgress = ignore_progress,
    cancel: CancelToken | None = None,
    parts: Mapping[str, str] | None = None,
) -> Inspection:
    """Read every image and mask once and say what they are like and what is wrong.

    Parameters
    ----------
    dataset : Dataset
        Images that cannot be read become problems.
    on_progress, cancel
        Reports after each image; asked before each.
    parts : mapping, optional
        Id to "train", "validation" or "held-out", of the images that a split knows. Copies in different
        parts are reported then; else near-duplicates that a split by groups would not keep together.

    Returns
    -------
    Inspection
        With problems, each with its remedy.
    """
    found = _Findings()
    # Where nothing has a mask, the images themselves are what there is to say something about.
    samples = dataset.samples or dataset.unlabelled
    for sample in tracked(samples, len(samples), "Inspecting", on_progress, cancel):
        try:
            if dataset.samples:
                found.look(sample, sample.read_image(), sample.read_mask())
            else:
                found.look_at_image(sample, sample.read_image())
        except DataError as error:
            found.unreadable.append((sample.id, error.sentence))
    filled = [c for c in found.coverage if c > 0]
    total = sum(found.classes.values())
    inspection = Inspection(
        dataset.name,
        dataset.format,
        str(dataset.path),
        len(dataset) + len(dataset.unlabelled),
        len(dataset),
        len(dataset.unlabelled),
        dataset.classes,
        dataset.masks
        or ("filled outlines" if dataset.outlines else "")
        or f"as the layout {dataset.format} defines them",
        dataset.licence,
        dataset.outlines,
        dict(found.shapes),
        dict(found.dtypes),
        dict(found.channels),
        empty=len(found.coverage) - len(filled),
        class_pixels={n: found.classes[i] / total for i, n in enumerate(dataset.classes, 1)} if total else {},
        problems=[*_problems(dataset, found), *_look_alikes(dataset, found, parts)],
    )
    inspection.volumes = facts_of_volumes(dataset, found.unknown)
    if filled:
        low, middle, high = np.quantile(filled, [0.05, 0.5, 0.95])
        inspection.coverage = {"low": float(low), "median": float(middle), "high": float(high)}
    if found.objects:
        least, middle, most = np.quantile(found.objects, [0, 0.5, 1])
        inspection.objects = {"least": float(least), "median": float(middle), "most": float(most)}
    if not found.unreadable:
        sizes = Counter(dataset.groups())
        inspection.groups = {
            "rule": dataset.group_rule,
            "count": len(sizes),
            "largest": max(sizes.values(), default=0),
        }
    return inspection


def _problems(dataset: Dataset, found: _Findings) -> list[Problem]:
    problems = [
        Problem("unreadable", sentence, "mend the file or leave it out", (name,))
        for name, sentence in found.unreadable
    ]
    by_kind: dict[str, list[Problem]] = defaultdict(list)
    for problem in dataset.problems:
        by_kind[problem.kind].append(problem)
    for kind, several in by_kind.items():
        if len(several) == 1:
            problems.append(several[0])
            continue
        names = tuple(name for p in several for name in p.names)
        problems.append(Problem(kind, f"{len(several)} times: {kind}", several[0].remedy, names))
    copies = [names for names in found.hashes.values() if len(names) > 1]
    if copies:
        problems.append(
            Problem(
                "duplicates",
                f"{sum(map(len, copies))} images are copies of one another, in {len(copies)} sets",
                "keep one of each, or keep copies in one part of the split",
                tuple(SAME.join(names) for names in copies),
            )
        )
    contradictions = found.contradictions()
    if found.coverage and not any(found.coverage):
        problems.append(
            Problem(
                "nothing annotated",
                "nothing is annotated in any mask",
                "check that these are the masks, and not images of another kind",
            )
        )
    empty, annotated = found.coverage.count(0), len(found.coverage)
    if annotated >= FEWEST_MASKS and MOSTLY * annotated <= empty < annotated:
        problems.append(
            Problem(
                "mostly empty",
                f"{empty} of {annotated} masks are empty, and count as background throughout",
                "if nobody has annotated those images yet, leave their masks out",
            )
        )
    if contradictions:
        problems.append(
            Problem(
                "contradictory near-duplicates",
                f"{len(contradictions)} pairs of images look the same but their masks contradict each other",
                "look at them and correct or leave out one of each",
                tuple(f"{a}{AGAINST}{b}" for a, b in contradictions),
            )
        )
    for kind, (message, remedy) in KINDS.items():
        names_of_kind = found.names.get(kind, [])
        if names_of_kind:
            problems.append(Problem(kind, message.format(n=len(names_of_kind)), remedy, tuple(names_of_kind)))
    return problems


def _look_alikes(dataset: Dataset, found: _Findings, parts: Mapping[str, str] | None) -> list[Problem]:
    if parts is not None:
        return between_parts(found.prints, parts)
    groups = {} if found.unreadable else dict(zip((s.id for s in dataset), dataset.groups(), strict=True))
    return nearly_copies(found.prints, groups, found.hashes.values())


def without_problems(dataset: Dataset) -> Dataset:
    """The same data set without the images that are of no use for training and scores.

    Parameters
    ----------
    dataset : Dataset
        Every image and mask of it is read once.

    Returns
    -------
    Dataset
        With a problem of kind "left out" that names them. Groups stay those of the whole data set.

    Raises
    ------
    DataError
        If no image is left.
    """
    bad = inspect_dataset(dataset).images_with_problems()
    if not bad:
        return dataset
    left = [sample.id for sample in dataset.samples if sample.id not in bad]
    if not left:
        raise DataError(
            f"every image of {dataset.name} has a problem",
            code="data.images.unusable",
            expected="images that are not left out",
            remedy="see them with `napari-unet inspect`",
        )
    count = len(dataset) - len(left)
    left_out = Problem("left out", f"{count} images with problems are left out", "", tuple(bad))
    unlabelled = dataset.unlabelled
    return replace(dataset.subset(left), unlabelled=unlabelled, problems=(*dataset.problems, left_out))
