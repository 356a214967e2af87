"""Objects of a large image, separated by its network, its probability or its shape, from the disk.

While blocks are segmented, what the network says of them is stored in half precision, as it is rounded for
small images. Then objects are found part by part (``inference.parted_objects``) and numbered: those that the
whole image has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_unet.data.masks.numbered_objects import NumberedObjects
from napari_unet.export.label_store import ANSWERS, PRESENCE, RAW, SEPARATION, Index, LabelStore
from napari_unet.inference.joined import drop_small, join, look_at_part, number_part
from napari_unet.inference.object_classes import ObjectClasses, foreground_of, raw_mask, raw_threshold
from napari_unet.inference.parted_objects import ObjectWay
from napari_unet.inference.postprocess import fade, fade_specks, mask_from_probabilities
from napari_unet.inference.shapes.contours import lines_between, refine, refines
from napari_unet.workflow.large_images.large_stars import find_depth, keep_middles
from napari_unet.workflow.large_images.numbering import (
    ObjectSource,
    find_numbers,
    read_classes,
)
from napari_unet.workflow.large_images.parts import PART, Part, Work, parts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_unet.inference.joined import PartPieces
    from napari_unet.inference.postprocess import Activation
    from napari_unet.settings import InferenceSettings, Separation

WIDE, AGREED, CLASSES, DEPTH = "wide", "agreed", "classes", "depth"
# Of images with contours, or that may be empty as a whole: what the network says with that, and its mask.
BASINS, SAID, FIRST = "basins", "said", "first"
NUMBERS = "numbers"  # of the objects of a mask in the window


@dataclass(frozen=True)
class ObjectRules:
    """What decides the objects of a large image.

    Attributes
    ----------
    settings : InferenceSettings
        Threshold, minimum size.
    way : ObjectWay
        How touching objects are separated.
    separation : str
        Of the network.
    activation : str
        Of the network.
    names : tuple of str
        Of the classes 1..K.
    whole : bool
        Whether each object has one class, which is read off inside it.
    numbers : bool
        Whether numbers of objects are wanted, not classes.
    presence : bool
        Whether the mask is empty where the network says that there is nothing in the image.
    specks : bool
        Whether pieces of the mask that are nowhere deep become background.
    """

    settings: InferenceSettings
    way: ObjectWay
    separation: Separation
    activation: Activation
    names: tuple[str, ...]
    whole: bool
    numbers: bool
    presence: bool = False
    specks: bool = False

    @property
    def by_stars(self) -> bool:
        """Whether polygons say how deep pixels lie."""
        return self.separation == "star" and self.way.how == "learned" and (self.whole or self.numbers)

    @property
    def refines(self) -> bool:
        """Whether contours are drawn."""
        return refines(self.settings, len(self.names))

    @property
    def as_whole(self) -> bool:
        """Whether the mask is known only when all of the image is segmented."""
        return self.whole or self.presence or self.refines or self.by_stars or self.specks


def write_answers(
    store: LabelStore,
    index: Index,
    place: tuple[slice, slice],
    outputs: NDArray[np.float32],
    rays: NDArray[np.float32],
    block: int,
) -> None:
    """Store what was said of a block: (Y, X, K') float32, the classes first, and (Y, X, 32) rays, if any."""
    if rays.shape[-1]:
        keep_middles(store, index, block, place, outputs[..., -1], rays)
    said = np.moveaxis(outputs, -1, 0).astype(np.float16)
    store.write_channels(ANSWERS, index, *place, said)


def write_presence(store: LabelStore, index: Index, place: tuple[slice, slice], seen: float) -> None:
    """Store how probable it is, by a block, that there is anything in the image."""
    files = [
        slice(part.start // side, -(-part.stop // side))
        for part, side in zip(place, store.array(RAW).chunks[-2:], strict=True)
    ]
    values = np.full([part.stop - part.start for part in files], seen, np.float32)
    store.write(PRESENCE, index, files[0], files[1], values)


def answers_of(store: LabelStore) -> str:
    """Key of the array of probabilities that the mask was made of."""
    return next(key for key in (AGREED, SAID, ANSWERS) if store.has_array(key))


def finish_told_apart(store: LabelStore, rules: ObjectRules, work: Work) -> None:
    """Make the finest level of labels whose blocks are all there; may be done again where it was stopped.

    Parameters
    ----------
    store : LabelStore
        With answers.
    rules : ObjectRules
        What decides objects.
    work : Work
        Who does it.
    """
    raw = store.array(RAW)
    for index in np.ndindex(*raw.shape[:-2]):
        _finish_image(store, index, rules, work)


def made_as_whole(
    store: LabelStore, index: Index, rules: ObjectRules, work: Work
) -> tuple[ObjectSource, NDArray[np.int64]]:
    """Draw contours, fade empty images and specks, draw polygons, read off classes of objects.

    Parameters
    ----------
    store : LabelStore
        With answers.
    index : tuple of int
        Of the image.
    rules : ObjectRules
        What of that is wanted.
    work : Work
        Who does it.

    Returns
    -------
    source : ObjectSource
        Where the mask and what belongs to it are after that.
    ties : numpy.ndarray
        int64, numbers of the objects that may as well be of another class.
    """
    classes = len(rules.names)
    source = ObjectSource(RAW, ANSWERS, "", classes, rules.way)
    seen = float(np.asarray(store.array(PRESENCE)[index]).max()) if rules.presence else 1.0
    if rules.refines or rules.presence:
        source = _said_as_whole(store, index, rules, source, seen, work)
    if rules.specks:
        _fade_specks(store, index, rules, source, work)
    if rules.by_stars:
        store.scratch(DEPTH, "float16", 1)
        find_depth(store, DEPTH, index, classes, work)
        source = replace(source, separation=DEPTH)
    ties: NDArray[np.int64] = np.zeros(0, np.int64)
    if rules.whole:
        ties = _read_off_classes(store, index, rules, source, work)
        source = replace(source, mask=CLASSES, answers=AGREED)
    return source, ties


def _finish_image(store: LabelStore, index: Index, rules: ObjectRules, work: Work) -> None:
    source, ties = made_as_whole(store, index, rules, work)
    parts = list(parts_of(store, RAW, 0, PART, index))
    if rules.settings.minimum_size > 1:
        _drop_small(store, source.mask, parts, rules.settings.minimum_size, work)
    if not rules.numbers:
        items = [_Copy(part, source.mask) for part in parts]
        for _ in work.each(_copy, items, "Making the mask"):
            pass
        return
    joined = find_numbers(store, source, "0", parts, work)
    if len(rules.names) > 1:
        said = joined.classes
        said_before = SAID if rules.refines or rules.presence else ANSWERS
        tied = _ties_in(store, said_before, ties, parts, rules, work) if len(ties) else ()
        store.write_numbered(index, NumberedObjects(rules.names, said, tied))


@dataclass(frozen=True)
class _Rewrite:
    part: Part
    rules: ObjectRules
    seen: float


def _rewrite(item: _Rewrite) -> None:
    """Put the contours of a part into what was said of it, and fade it where the image is empty."""
    part, rules, store = item.part, item.rules, LabelStore.open(item.part.store)
    settings, classes = rules.settings, len(rules.names)
    said = read_classes(store, ANSWERS, part.index, part.rows, part.columns, classes)
    if rules.refines:
        known = np.asarray(store.array(RAW)[part.place_in]) > 0
        more = tuple(slice(own.start, own.stop + 1) for own in (part.rows, part.columns))
        lines = lines_between(np.asarray(store.array(BASINS)[(*part.index, *more)]))
        lines = lines[: known.shape[0], : known.shape[1]]
        said = np.where(known, refine(said[..., 0], settings.refinement, lines), np.float32(0))[..., None]
        said = said.astype(np.float16).astype(np.float32)
    if item.seen < settings.least_presence:
        said = fade(said, item.seen, settings.least_presence, settings.threshold)
        said = said.astype(np.float16).astype(np.float32)
    store.write_channels(
        SAID, part.index, part.rows, part.columns, np.moveaxis(said, -1, 0).astype(np.float16)
    )
    mask = raw_mask(said, settings, rules.activation, rules.whole)
    store.write(FIRST, part.index, part.rows, part.columns, mask)


def _said_as_whole(
    store: LabelStore, index: Index, rules: ObjectRules, source: ObjectSource, seen: float, work: Work
) -> ObjectSource:
    """What was said of an image, as it is with contours, and where the image is said to be empty."""
    store.scratch(SAID, "float16", source.classes)
    store.scratch(FIRST, "uint8")
    parts = list(parts_of(store, RAW, 0, PART, index))
    if rules.refines:
        store.scratch(BASINS, "uint32")
        find_numbers(store, replace(source, way=ObjectWay("probability")), BASINS, parts, work)
    for _ in work.each(_rewrite, [_Rewrite(part, rules, seen) for part in parts], "Making the mask"):
        pass
    return replace(source, mask=FIRST, answers=SAID)


@dataclass(frozen=True, eq=False)
class _Specks:
    part: Part
    source: ObjectSource
    rules: ObjectRules
    specks: NDArray[np.bool_] | None = None  # by the numbers of the pieces in the part


def _look_at_depths(item: _Specks) -> PartPieces:
    part, store = item.part, LabelStore.open(item.part.store)
    depth = np.asarray(store.array(ANSWERS)[(*part.index, item.source.classes, part.rows, part.columns)])
    deep = depth.astype(np.float32) > item.rules.settings.least_depth
    return look_at_part(np.asarray(store.array(item.source.mask)[part.place_in]), deep)


def _fade_part(item: _Specks) -> None:
    assert item.specks is not None
    part, source, store = item.part, item.source, LabelStore.open(item.part.store)
    mask = np.asarray(store.array(source.mask)[part.place_in])
    specks = item.specks[number_part(mask)[0]]
    rules, rows, columns = item.rules, part.rows, part.columns
    said = read_classes(store, source.answers, part.index, rows, columns, source.classes)
    # Where this was stopped between the two, some are faded already.
    still = specks & (raw_mask(said, rules.settings, rules.activation, rules.whole) > 0)
    said = fade_specks(said, still, raw_threshold(rules.settings, rules.whole)).astype(np.float16)
    store.write_channels(source.answers, part.index, rows, columns, np.moveaxis(said, -1, 0))
    faded = raw_mask(said.astype(np.float32), rules.settings, rules.activation, rules.whole)
    store.write(source.mask, part.index, rows, columns, np.where(specks, faded, mask))


def _fade_specks(
    store: LabelStore, index: Index, rules: ObjectRules, source: ObjectSource, work: Work
) -> None:
    """Fade pieces that are nowhere deep, wherever parts cut them, in place; done again it changes nothing."""
    items = [_Specks(part, source, rules) for part in parts_of(store, RAW, 0, PART, index)]
    joined = join({i.part.place: found for i, found in work.each(_look_at_depths, items, "Joining pieces")})
    none = {place: (joined.areas[place] == 0) & (own > 0) for place, own in joined.numbers.items()}
    fading = [replace(item, specks=none[item.part.place]) for item in items if none[item.part.place].any()]
    for _ in work.each(_fade_part, fading, "Dropping small pieces"):
        pass


@dataclass(frozen=True)
class _Copy:
    part: Part
    key: str


def _copy(item: _Copy) -> None:
    part = item.part
    store = LabelStore.open(part.store)
    mask = np.asarray(store.array(item.key)[part.place_in])
    store.write(0, part.index, part.rows, part.columns, mask)


@dataclass(frozen=True, eq=False)
class _Small:
    part: Part
    key: str
    minimum_size: int
    areas: NDArray[np.int64] | None = None


def _look_at_pieces(item: _Small) -> PartPieces:
    store = LabelStore.open(item.part.store)
    return look_at_part(np.asarray(store.array(item.key)[item.part.place_in]))


def _drop_part(item: _Small) -> None:
    assert item.areas is not None
    part, store = item.part, LabelStore.open(item.part.store)
    mask = np.asarray(store.array(item.key)[part.place_in])
    kept = drop_small(mask, item.areas, item.minimum_size)
    if not np.array_equal(kept, mask):
        store.write(item.key, part.index, part.rows, part.columns, kept)


def _drop_small(store: LabelStore, key: str, parts: list[Part], minimum_size: int, work: Work) -> None:
    """Drop small pieces where they are: done once more it changes nothing, as they only become fewer."""
    items = [_Small(part, key, minimum_size) for part in parts]
    looked = {i.part.place: found for i, found in work.each(_look_at_pieces, items, "Joining pieces")}
    areas = join(looked).areas
    again = [replace(item, areas=areas[item.part.place]) for item in items]
    for _ in work.each(_drop_part, again, "Dropping small pieces"):
        pass


def number_mask(
    store: LabelStore, way: ObjectWay, classes: int, answers: str, work: Work, *, stars: bool = False
) -> int:
    """Number the objects of a mask in the window as it is, painting and all, into ``NUMBERS``.

    Parameters
    ----------
    store : LabelStore
        With the mask, and with what `way` needs.
    way : ObjectWay
        How touching objects are separated.
    classes : int
        Of the model.
    answers : str
        Key of the probabilities.
    work : Work
        Who does it.
    stars : bool
        Whether polygons say how deep pixels lie.

    Returns
    -------
    int
        How many there are.
    """
    source = ObjectSource("0", answers, SEPARATION, classes, way)
    if stars:
        store.scratch(DEPTH, "float16", 1)
        find_depth(store, DEPTH, (), 0, work, answers=SEPARATION)
        source = replace(source, separation=DEPTH)
    store.scratch(NUMBERS, "uint32")
    return find_numbers(store, source, NUMBERS, list(parts_of(store, "0", 0, PART, ())), work).count


@dataclass(frozen=True, eq=False)
class _Votes:
    part: Part
    answers: str
    threshold: float
    activation: Activation
    classes: int
    count: int


@dataclass(frozen=True, eq=False)
class _PartVotes:
    """Of the objects that a part has: their numbers, and sums of probabilities over sure and all pixels."""

    numbers: NDArray[np.int64]
    sure: NDArray[np.float64]
    every: NDArray[np.float64]
    pixels: NDArray[np.int64]


def _count_votes(item: _Votes) -> _PartVotes:
    part, store = item.part, LabelStore.open(item.part.store)
    wide = np.asarray(store.array(WIDE)[part.place_in])
    probabilities = read_classes(store, item.answers, part.index, part.rows, part.columns, item.classes)
    sure = foreground_of(probabilities, item.activation) > item.threshold
    numbers, own = np.unique(wide, return_inverse=True)
    own = own.ravel()

    def sums(of: NDArray[np.bool_]) -> NDArray[np.float64]:
        votes = [
            np.bincount(own, np.where(of, probabilities[..., k], 0).ravel(), len(numbers))
            for k in range(item.classes)
        ]
        return np.stack(votes, axis=1)

    pixels = np.bincount(own, sure.ravel(), len(numbers)).astype(np.int64)
    return _PartVotes(numbers.astype(np.int64), sums(sure), sums(np.ones_like(sure)), pixels)


@dataclass(frozen=True, eq=False)
class _Agree:
    part: Part
    answers: str
    labels: NDArray[np.uint8]
    activation: Activation
    classes: int
    threshold: float


def _agree(item: _Agree) -> None:
    """Give each pixel of an object the class of the object, and make the mask of that."""
    part, store = item.part, LabelStore.open(item.part.store)
    probabilities = read_classes(store, item.answers, part.index, part.rows, part.columns, item.classes)
    foreground = foreground_of(probabilities, item.activation)
    label = item.labels[np.asarray(store.array(WIDE)[part.place_in])]
    ours = np.arange(1, item.classes + 1) == label[..., None]
    agreed = np.where(
        (label > 0)[..., None], np.where(ours, foreground[..., None], np.float32(0)), probabilities
    ).astype(np.float16)
    store.write_channels(AGREED, part.index, part.rows, part.columns, np.moveaxis(agreed, -1, 0))
    mask = mask_from_probabilities(agreed.astype(np.float32), item.threshold, activation=item.activation)
    store.write(CLASSES, part.index, part.rows, part.columns, mask)


def _read_off_classes(
    store: LabelStore, index: Index, rules: ObjectRules, source: ObjectSource, work: Work
) -> NDArray[np.int64]:
    """Find objects of any class, and let each have one; gives the numbers of ties among them."""
    classes = len(rules.names)
    store.scratch(WIDE, "uint32")
    store.scratch(AGREED, "float16", classes)
    store.scratch(CLASSES, "uint8")
    parts = list(parts_of(store, RAW, 0, PART, index))
    found = find_numbers(store, replace(source, foreground=rules.activation), WIDE, parts, work)
    sure, every = (np.zeros((found.count + 1, classes)) for _ in range(2))
    pixels = np.zeros(found.count + 1, np.int64)
    threshold = rules.settings.threshold
    asked = [
        _Votes(part, source.answers, threshold, rules.activation, classes, found.count) for part in parts
    ]
    for _, said in work.each(_count_votes, asked, "Reading off classes"):
        sure[said.numbers] += said.sure
        every[said.numbers] += said.every
        pixels[said.numbers] += said.pixels
    # Pixels that are sure speak; an object without one is not in the mask, and all of it speaks.
    read_off = ObjectClasses.of_votes(np.where(pixels[1:, None] > 0, sure[1:], every[1:]))
    labels = np.concatenate([[0], read_off.labels]).astype(np.uint8)
    agreed = [_Agree(part, source.answers, labels, rules.activation, classes, threshold) for part in parts]
    for _ in work.each(_agree, agreed, "Making the mask"):
        pass
    return read_off.ties[pixels[read_off.ties] > 0]


@dataclass(frozen=True, eq=False)
class _Ties:
    part: Part
    answers: str
    tied: NDArray[np.bool_]
    threshold: float
    activation: Activation
    classes: int


def _count_ties(item: _Ties) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of a tie and an object that share pixels, (N, 2), and how many."""
    part, store = item.part, LabelStore.open(item.part.store)
    wide = np.asarray(store.array(WIDE)[part.place_in]).astype(np.int64)
    objects = np.asarray(store.array(0)[part.place_in]).astype(np.int64)
    there = item.tied[wide] & (objects > 0)
    if not there.any():
        return np.zeros((0, 2), np.int64), np.zeros(0, np.int64)
    probabilities = read_classes(store, item.answers, part.index, part.rows, part.columns, item.classes)
    there &= foreground_of(probabilities, item.activation) > item.threshold
    return np.unique(np.stack([wide[there], objects[there]], axis=1), axis=0, return_counts=True)


def _ties_in(
    store: LabelStore,
    answers: str,
    ties: NDArray[np.int64],
    parts: list[Part],
    rules: ObjectRules,
    work: Work,
) -> tuple[int, ...]:
    """Numbers that the ties have among the objects of the image: each that with most of its pixels."""
    highest = int(ties.max())
    tied = np.zeros(max(highest, _highest(store, parts[0].index)) + 1, bool)
    tied[ties] = True
    items = [
        _Ties(part, answers, tied, rules.settings.threshold, rules.activation, len(rules.names))
        for part in parts
    ]
    shared: dict[tuple[int, int], int] = {}
    for _, (pairs, pixels) in work.each(_count_ties, items, "Reading off classes"):
        for (tie, number), count in zip(pairs.tolist(), pixels.tolist(), strict=True):
            shared[tie, number] = shared.get((tie, number), 0) + count
    best: dict[int, tuple[int, int]] = {}
    for (tie, number), count in sorted(shared.items()):
        best[tie] = max(best.get(tie, (0, 0)), (count, -number))
    return tuple(sorted({-number for _, number in best.values()}))


def _highest(store: LabelStore, index: Index) -> int:
    """The highest number among the objects of any class."""
    array = store.array(WIDE)
    return max(
        int(np.asarray(array[(*index, slice(y, y + PART))]).max(initial=0))
        for y in range(0, array.shape[-2], PART)
    )
