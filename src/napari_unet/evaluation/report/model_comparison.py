"""Two models on the same images: scores side by side, and differences with their intervals."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.evaluation.compare import Comparison, compare
from napari_unet.evaluation.score import SEEN, Evaluation, ImageScore

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_unet.evaluation.report.gallery import Gallery
    from napari_unet.evaluation.report.report_data import ReportData

    ReadPair = Callable[[str], tuple[NDArray[np.generic], Any]]

EACH = 6  # pictures of gains, and of losses


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """What two models made of the same images.

    Attributes
    ----------
    names : tuple of str
        Of the old and the new model.
    old, new : ReportData
        With the same images in the same order.
    """

    names: tuple[str, str]
    old: ReportData
    new: ReportData

    @cached_property
    def pairs(self) -> list[tuple[ImageScore, ImageScore]]:
        """Scores of each image, by the old and by the new model."""
        return list(zip(self.old.evaluation.scores, self.new.evaluation.scores, strict=True))

    @cached_property
    def fair(self) -> bool:
        """Whether there are images that neither model was trained or chosen on."""
        return any(a.part not in SEEN and b.part not in SEEN for a, b in self.pairs)

    @cached_property
    def judged(self) -> list[tuple[ImageScore, ImageScore]]:
        """Those of images that neither has seen; of all, where there are none."""
        if not self.fair:
            return self.pairs
        return [(a, b) for a, b in self.pairs if a.part not in SEEN and b.part not in SEEN]

    @cached_property
    def comparison(self) -> Comparison:
        """The verdict by IoU."""
        rules = self.old.evaluation.settings
        return compare(
            [a.image for a, _ in self.judged],
            np.array([a.iou for a, _ in self.judged]),
            np.array([b.iou for _, b in self.judged]),
            [a.group for a, _ in self.judged],
            confidence=rules.confidence,
            note="" if self.fair else "one of the two has seen every one of these images in training",
        )

    @cached_property
    def summaries(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Overall scores of both, over the same images; keys as ``Evaluation.overall``."""
        old, new = self.old.evaluation, self.new.evaluation
        return old.summary([a for a, _ in self.judged]), new.summary([b for _, b in self.judged])

    @cached_property
    def differences(self) -> dict[str, Comparison]:
        """Each score that both have, compared image by image."""
        rules = self.old.evaluation.settings
        names = Evaluation.measured([s for pair in self.judged for s in pair])
        return {
            name: compare(
                [a.image for a, _ in self.judged],
                np.array([a.values[name] for a, _ in self.judged]),
                np.array([b.values[name] for _, b in self.judged]),
                [a.group for a, _ in self.judged],
                confidence=rules.confidence,
            )
            for name in names
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row an image, the greatest loss first: image, group, parts, IoU of both, all other scores."""
        names = [n for n in Evaluation.measured([s for pair in self.pairs for s in pair]) if n != "iou"]

        def row(a: ImageScore, b: ImageScore) -> dict[str, Any]:
            out: dict[str, Any] = {
                "image": a.image,
                "group": a.group,
                "part_old": a.part,
                "part_new": b.part,
                "iou_old": _number(a.iou),
                "iou_new": _number(b.iou),
                "difference": _number(b.iou - a.iou),
            }
            for name in names:
                out[f"{name}_old"], out[f"{name}_new"] = _number(a.values[name]), _number(b.values[name])
            return out

        return [row(a, b) for a, b in sorted(self.pairs, key=_order)]

    def galleries(self, read: ReadPair, each: int = EACH) -> tuple[Gallery, ...]:
        """Draw the images that lost and gained most.

        Parameters
        ----------
        read : callable
            As ``ReportData.galleries``.
        each : int
            Pictures of each kind; images on which both score alike are in none.
        """
        from napari_unet.evaluation.report.gallery import Gallery, draw_all

        ordered = sorted(self.judged, key=_order)
        gains = [p for p in reversed(ordered) if p[1].iou - p[0].iou > 0][:each]
        losses = [p for p in ordered if p[1].iou - p[0].iou < 0][:each]
        found = []
        for title, chosen in (("The greatest gains", gains), ("The greatest losses", losses)):
            wanted = [(a.image, f"IoU {a.iou:.3f} before, {b.iou:.3f} now") for a, b in chosen]
            pictures = draw_all(wanted, read, (self.old.masks, self.new.masks))
            if pictures:
                found.append(Gallery(title, pictures))
        return tuple(found)


def _order(pair: tuple[ImageScore, ImageScore]) -> tuple[bool, float, str]:
    change = pair[1].iou - pair[0].iou
    return bool(np.isnan(change)), 0.0 if np.isnan(change) else float(change), pair[0].image


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
