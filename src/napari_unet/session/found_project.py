"""What a project has of the open images, and what it takes over of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_unet.errors import WorkbenchError
from napari_unet.project.corrections.corrections import Corrections
from napari_unet.session.auto_project import other_images

if TYPE_CHECKING:
    from napari_unet.metrics.overlap import OverlapCounts
    from napari_unet.project.project import Project
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.images.entry import Entry


@dataclass
class Found:
    """A project that was opened or made for a collection, and what is in it.

    Attributes
    ----------
    project : Project
        Open.
    before : Project or None
        The one that it stands in for.
    others : dict
        Id to why a correction in it does not belong to the image that is called the same.
    counts : dict
        Agreement of each correction with the reference mask, or why it is not known.
    taken : dict
        Id to the last stroke, by its number where the image was painted, that the project has.
    """

    project: Project
    before: Project | None
    others: dict[str, str]
    counts: dict[str, OverlapCounts | str | None] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)


def look_through(collection: Collection, project: Project, before: Project | None) -> Found:
    """Compare what is corrected with the reference masks, and take over what was painted; in a thread."""
    found = Found(project, before, other_images(collection, project))
    known = set(project.corrections.touched())
    if before is not None:
        _move(before, project, found)
    take_all(collection, found)
    # What is painted is scored by whoever paints it, but where it came to lie on something.
    for identifier in project.corrections.touched():
        other = identifier in found.others and identifier not in found.taken
        entry = collection.entries.get(identifier)
        if entry is None or other or (identifier not in known and entry.is_corrected):
            continue
        try:
            mask = project.corrections.mask(identifier)
            found.counts[identifier] = collection.overlap(identifier, mask)
        except WorkbenchError as error:
            found.counts[identifier] = error.sentence
    return found


def _move(before: Project, project: Project, found: Found) -> None:
    """Take the corrections of one project into another; those that it has itself stay as they are."""
    own = set(project.corrections)
    for identifier in before.corrections:
        if identifier in project.ids and identifier not in found.others:
            found.taken[identifier] = before.corrections.stats(identifier).number
            if identifier not in own:
                found.taken[identifier] = project.corrections.take_over(
                    identifier, before.corrections, identifier
                )


def take_all(collection: Collection, found: Found) -> dict[str, str]:
    """Take what was painted since into the project; gives back why that failed, by id."""
    problems: dict[str, str] = {}
    entries = {e.sample.id: e for e in collection.left} | dict(list(collection.entries.items()))
    for identifier, entry in entries.items():
        source, since = entry.corrections, found.taken.get(identifier, 0)
        if entry.disk is not None or not isinstance(source, Corrections):
            continue  # a large image keeps its strokes next to its mask
        mine = source is found.project.corrections or source.read_only
        if mine or source.stats(entry.known_as).number <= since:
            continue
        try:
            fresh = identifier in found.others and identifier not in found.taken
            found.taken[identifier] = replay_into(found.project, identifier, entry, since, fresh=fresh)
        except WorkbenchError as error:
            problems[identifier] = error.sentence
    return problems


def replay_into(project: Project, identifier: str, entry: Entry, since: int = 0, *, fresh: bool) -> int:
    """Take what was done to one image into a project, which may not know that image yet."""
    assert isinstance(entry.corrections, Corrections)
    if identifier not in project.ids:
        project.add_images([entry.sample])
    return project.corrections.take_over(identifier, entry.corrections, entry.known_as, since, fresh=fresh)
