"""What was found in a data set: figures, problems with their remedies, and a summary for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from napari_unet.data.inspection.look_alikes import BETWEEN, NEAR, SAME, said_of_each

if TYPE_CHECKING:
    from napari_unet.data.dataset import Problem
    from napari_unet.data.volumes.volume_facts import VolumeFacts


SHOWN = 8  # names listed in the summary
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
        Number of labelled images (of all images if none has a mask) by "width x height", by dtype, by
        channels ("3, all equal" for grey stored as colour).
    masks : str
        Which values the masks have, and what they were taken for.
    outlines : str
        What outlines the masks are made of, in words; "" where they are not.
    empty : int
        Masks without foreground.
    coverage : dict
        Quantiles of the share of foreground among masks that have some.
    class_pixels : dict
        Share of all annotated pixels, per class.
    objects : dict
        Smallest, median and largest number of objects in an image, where objects are numbered.
    groups : dict
        "rule", "count", "largest".
    volumes : list of VolumeFacts
        Stacks whose pages are slices of one volume.
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
    outlines: str = ""
    shapes: dict[str, int] = field(default_factory=dict)
    dtypes: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    empty: int = 0
    coverage: dict[str, float] = field(default_factory=dict)
    class_pixels: dict[str, float] = field(default_factory=dict)
    objects: dict[str, float] = field(default_factory=dict)
    groups: dict[str, Any] = field(default_factory=dict)
    volumes: list[VolumeFacts] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def empty_share(self) -> float:
        """Share of empty masks, 0 to 1."""
        return self.empty / self.labelled if self.labelled else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, with all names."""
        content = {k: v for k, v in vars(self).items() if k != "problems"}
        content["classes"] = list(self.classes)
        content["volumes"] = [asdict(volume) for volume in self.volumes]
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
            if self.shapes:
                lines.append(f"  sizes      {_listed(self.shapes)}")
                lines.append(f"  pixels     {_listed(self.dtypes)}; channels {_listed(self.channels)}")
            return "\n".join([*lines, *(f"! {problem.message}" for problem in self.problems)])
        lines = [
            f"{self.name}: {self.format}, {self.labelled} images with masks, {self.unlabelled} without",
            f"  classes    {', '.join(self.classes)}",
            f"  sizes      {_listed(self.shapes)}",
            f"  pixels     {_listed(self.dtypes)}; channels {_listed(self.channels)}",
            f"  masks      {self.empty} empty ({self.empty_share:.0%}); "
            + (self.masks if self.outlines else f"values {self.masks}"),
        ]
        if self.outlines:
            lines.insert(1, f"  outlines   {self.outlines}")
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
        lines += [f"  volume     {volume.words}" for volume in self.volumes[:SHOWN]]
        if len(self.volumes) > SHOWN:
            lines.append(f"             and {len(self.volumes) - SHOWN} more volumes")
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


# Problems of single images, which --leave-out-problems and the window's filter are about.
LEFT_OUT = (
    "unreadable", "constant", "stripes", "rows", "size", "duplicates", "contradictory near-duplicates",
)  # fmt: skip
