"""What a person should know of images that are copies of one another, or nearly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.dataset import Problem
from napari_unet.data.inspection.resemblance import HASH, nearest_copies, sets_of_copies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SAME = " = "  # between names of images in one line of a problem
NEAR, BETWEEN = "near-duplicates", "near-duplicates between parts"
FILM = 0.5  # share of images that look like others, from which on that is what the data are like


def nearly_copies(
    prints: Mapping[str, str], groups: Mapping[str, str], copies: Iterable[Sequence[str]]
) -> list[Problem]:
    """Sets of images that a split by groups would not keep together, though they show nearly the same.

    Parameters
    ----------
    prints : mapping
        Id to ``fingerprint``.
    groups : mapping
        Id to group; an image without is a group of its own.
    copies : iterable of sequence of str
        Sets of images equal to the last bit, which are a problem of another kind.

    Returns
    -------
    list of Problem
        One or none. Frames of a film all look like others: that is one sentence, without their names.
    """
    exact = {name: names[0] for names in copies for name in names}
    sets = [
        names
        for names in sets_of_copies(prints)
        if len({groups.get(n, n) for n in names}) > 1 and len({exact.get(n, n) for n in names}) > 1
    ]
    if not sets:
        return []
    count = sum(map(len, sets))
    message = (
        f"{count} images show nearly the same as others (scaled, turned, brighter, a moment later), in "
        f"{len(sets)} set{'s' * (len(sets) != 1)}"
    )
    remedy = "look at them; keep those of one set in one part of the split, by groups or a split of your own"
    names = () if count > max(FILM * len(prints), 2) else tuple(SAME.join(some) for some in sets)
    return [Problem(NEAR, message, remedy, names)]


def between_parts(prints: Mapping[str, str], parts: Mapping[str, str]) -> list[Problem]:
    """Copies, exact or nearly, that lie in two parts of a split.

    Parameters
    ----------
    prints : mapping
        Id to ``fingerprint``.
    parts : mapping
        Id to "train", "validation" or "held-out"; others are left alone.

    Returns
    -------
    list of Problem
        One or none. Each image that judges is named once, with that which it is most alike.
    """
    prints = {i: text for i, text in prints.items() if len(text) > HASH}  # else of one value
    names = []
    for judged, known in (("held-out", ("train", "validation")), ("validation", ("train",))):
        those = {i: t for i, t in prints.items() if parts.get(i) == judged}
        others = {i: t for p in known for i, t in prints.items() if parts.get(i) == p}
        names += [
            f"{one}{SAME}{other} ({judged}, {parts[other]})"
            for one, other in nearest_copies(those, others).items()
        ]
    if not names:
        return []
    subject = (
        "1 image of one part of the split is"
        if len(names) == 1
        else (f"{len(names)} images of one part of the split are")
    )
    message = f"{subject} in another part as well, as a copy or nearly: scores on them are too good"
    remedy = "look at them; make a new split that keeps copies together, or leave them out of the scores"
    return [Problem(BETWEEN, message, remedy, tuple(names))]


def said_of_each(problem: Problem) -> dict[str, str]:
    """Image to a sentence on the other that it is nearly a copy of; none where no names are given."""
    found: dict[str, str] = {}
    for line in problem.names:
        several = (line.rsplit(" (", 1)[0] if problem.kind == BETWEEN else line).split(SAME)
        for place, one in enumerate(several):
            found.setdefault(one, f"the image shows the same as {several[1 if place == 0 else 0]}")
    return found
