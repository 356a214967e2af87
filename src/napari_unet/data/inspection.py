"""What a data set is, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.dataset import Problem
from napari_unet.data.look_alikes import BETWEEN, NEAR, SAME, between_parts, nearly_copies, said_of_each
from napari_unet.data.resemblance import fingerprint
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
SHOWN = 8  # names listed in the summary
MOSTLY, FEWEST_MASKS = 0.8, 5  # share of empty masks, of so many, that looks like unfinished annotation
BLOCK = 1024
AGAINST = " / "  # between names of images in one line of a problem, where they are not the SAME
PAIRED = ("duplicates", "contradictory near-duplicates")
# Of one image; other kinds have a sentence of their own.
SENTENCES = {
    "constant": "the image has one value throughout",
    "stripes": "the mask is pure vertical stripes",
    "rows": "the mask is pure horizontal stripes",
    "size": "the mask differs in size from the image",
    "duplicates": "the image is a copy of another one",
    "contradictory near-duplicates": "an image that looks the same has another mask",
}


@dataclass
class Inspection:
    """What was found.

    Attributes
    ----------
    name, format, path : str
        Of the data set.
    images : int
        All of them; each page of a stack is one.
    labelled, unlabelled : int
        Images with and without a reference mask.
    classes : tuple of str
        Of the masks.
    shapes, dtypes, channels : dict
        Number of labelled images by "width x height", by dtype, by channels ("3, all equal" for
        grey stored as colour).
    masks : str
        Which values the masks have, and what they were taken for.
    empty : int
        Masks without foreground.
    coverage : dict
        Quantiles of the share of foreground among masks that have some.
    class_pixels : dict
        Share of all annotated pixels, per class.
    objects : dict
        Smallest, median and largest number of objects in an image, where objects are told apart.
    groups : dict
        "rule", "count", "largest".
    problems : list of Problem
        Each with its remedy.
    """

    name: str
    format: str
    path: str
    images: int
    labelled: int
    unlabelled: int
    classes: tuple[str, ...]
    masks: str = ""
    licence: str = ""
    shapes: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    empty: int = 0
    coverage: dict[str, float] = field(default_factory=dict)
    class_pixels: dict[str, float] = field(default_factory=dict)
    objects: dict[str, float] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def empty_share(self) -> float:
        """Share of empty masks, 0 to 1."""
        return self.empty / self.labelled if self.labelled else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, with all names."""
        content = {k: v for k, v in vars(self).items() if k != "problems"}
        content["classes"] = list(self.classes)
        content["empty_share"] = round(self.empty_share, 4)
        content["problems"] = [
            {
                "kind": p.kind,
                "message": p.message,
                "remedy": p.remedy,
                "count": len(p.names),
                "names": list(p.names),
            }
            for p in self.problems
        ]
        return content

    def images_with_problems(self) -> dict[str, str]:
        """Image to what is wrong with it, of the kinds in ``LEFT_OUT``; one message each.

        Of copies the first is right; of pairs that contradict each other neither is.
        """
        found: dict[str, str] = {}
        for problem in self.problems:
            if problem.kind not in LEFT_OUT:
                continue
            for name in problem.names:
                copies = name.split(SAME)
                several = copies[1:] if problem.kind == "duplicates" else name.split(AGAINST)
                what = SENTENCES.get(problem.kind, problem.message)
                for one in several if problem.kind in PAIRED else [name]:
                    found.setdefault(one, what)
        return found

    def look_alikes(self) -> dict[str, str]:
        """Image to a sentence on the other that it is nearly a copy of; nothing is left out for that."""
        several = [said_of_each(p) for p in self.problems if p.kind in (NEAR, BETWEEN)]
        return {image: words for some in reversed(several) for image, words in some.items()}

    def summary(self) -> str:
        """As text for the shell."""
        if not self.labelled:
            lines = [f"{self.name}: {self.unlabelled} image{'s' * (self.unlabelled != 1)}, no masks"]
            return "\n".join([*lines, *(f"! {problem.message}" for problem in self.problems)])
        lines = [
            f"{self.name}: {self.format}, {self.labelled} images with masks, {self.unlabelled} without",
            f"  classes    {', '.join(self.classes)}",
            f"  sizes      {_listed(self.shapes)}",
            f"  pixels     {_listed(self.dtypes)}; channels {_listed(self.channels)}",
            f"  masks      {self.empty} empty ({self.empty_share:.0%}); values {self.masks}",
        ]
        if self.coverage:
            c = self.coverage
            lines.append(
                f"  coverage   {c['median']:.1%} in the middle, {c['low']:.1%} to {c['high']:.1%} in 9 of 10 "
                "masks that are not empty"
            )
        if len(self.class_pixels) > 1:
            shares = ", ".join(f"{name} {share:.2%}" for name, share in self.class_pixels.items())
            lines.append(f"  share      {shares} of the pixels")
        if self.objects:
            o = self.objects
            lines.append(
                f"  objects    {o['least']:.0f} to {o['most']:.0f} an image, {o['median']:.0f} in the middle"
            )
        if self.groups:
            g = self.groups
            lines.append(f"  groups     {g['count']} by {g['rule']}, the largest of {g['largest']} images")
        if self.licence:
            lines.append(f"  terms      {self.licence}")
        if not self.problems:
            lines.append("no problems found")
        for problem in self.problems:
            lines.append(f"! {problem.message}")
            more = len(problem.names) - SHOWN
            if problem.names and not any(n in problem.message for n in problem.names):
                names = ", ".join(problem.names[:SHOWN])
                lines.append(f"    {names}{f' and {more} more' if more > 0 else ''}")
            if problem.remedy:
                lines.append(f"    remedy: {problem.remedy}")
        return "\n".join(lines)


def _listed(counts: dict[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} ({count})" for name, count in ordered[:SHOWN])
    return shown + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")


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
    hashes: dict[bytes, list[str]] = field(default_factory=lambda: defaultdict(list))
    fingerprints: list[NDArray[np.float32]] = field(default_factory=list)
    small_masks: list[NDArray[np.bool_]] = field(default_factory=list)
    fingerprinted: list[str] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)  # to know copies by

    def look(self, sample: Sample, image: NDArray[np.generic], mask: ReferenceMask) -> None:
        labels = mask.labels
        self.shapes[f"{image.shape[1]} x {image.shape[0]}"] += 1
        self.dtypes[str(image.dtype)] += 1
        equal = image.shape[2] > 1 and bool((image[..., :3] == image[..., :1]).all())
        self.channels[f"{image.shape[2]}{', all equal' if equal else ''}"] += 1
        constant = bool((image == image[:1, :1]).all())
        if constant:
            self.names["constant"].append(sample.id)
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
        if mask.overlap:
            self.names["overlap"].append(sample.id)
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


# Problems of single images, which --leave-out-problems and the window's filter are about.
LEFT_OUT = (
    "unreadable", "constant", "stripes", "rows", "size", "duplicates", "contradictory near-duplicates",
)  # fmt: skip
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
        "{n} images have object masks that overlap; the smaller object is kept on top",
        "continue, or mend the masks",
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
        parts are told then; else near-duplicates that a split by groups would not keep together.

    Returns
    -------
    Inspection
        With problems, each with its remedy.
    """
    found = _Findings()
    for sample in tracked(dataset.samples, len(dataset), "Inspecting", on_progress, cancel):
        try:
            found.look(sample, sample.read_image(), sample.read_mask())
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
        dataset.masks or f"as the layout {dataset.format} defines them",
        dataset.licence,
        dict(found.shapes),
        dict(found.dtypes),
        dict(found.channels),
        empty=len(found.coverage) - len(filled),
        class_pixels={n: found.classes[i] / total for i, n in enumerate(dataset.classes, 1)} if total else {},
        problems=[*_problems(dataset, found), *_look_alikes(dataset, found, parts)],
    )
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
    told = Problem("left out", f"{count} images with problems are left out", "", tuple(bad))
    unlabelled = dataset.unlabelled
    return replace(dataset.subset(left), unlabelled=unlabelled, problems=(*dataset.problems, told))
