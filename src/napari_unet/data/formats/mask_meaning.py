"""What the values in the masks of a data set mean: classes, colours, channels, objects, or black and white.

Found from a sample of the masks, for the whole set at once, so that a value means the same in every
mask. What was decided is said in words, and what is not certain is a problem.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_unet.data.dataset import Problem
from napari_unet.data.formats.declared_classes import declared_classes
from napari_unet.data.formats.lossy_masks import FEWEST_LOOKED_AT, HALFWAY, check_lossy, sample_of_masks
from napari_unet.data.formats.mask_sightings import MAX_CLASSES, UNKNOWN, UNKNOWN_BELOW, Sightings
from napari_unet.data.masks.mask_evidence import NEARLY_ALL, judge
from napari_unet.data.masks.mask_pixels import (
    MaskInFile,
    decode_stored,
    is_lossy,
    is_lossy_tiff,
    stored_pages,
)
from napari_unet.data.masks.mask_reading import current_mask_reading
from napari_unet.data.masks.mask_values import MaskValues
from napari_unet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_unet.data.files.source import Source


PIXELS_LOOKED_AT = 2**25  # about half a second


MANY_CLASSES = 8  # more of them, numbered on from 1, might be objects
MOST_CLASSES = 255


SHOWN = 8  # values named in words
THEY_ARE_OBJECTS = "if they number objects, say --masks-are objects"
THEY_ARE_CLASSES = "if they are classes, say --masks-are classes"


@dataclass(frozen=True)
class Meaning:
    """What the masks of a data set mean.

    Attributes
    ----------
    by_name : dict
        Mask name to what its values stand for. One meaning serves all but lossy masks.
    classes : tuple of str
        Names of the classes.
    problems : list of Problem
        Kind "interpretation": what was taken for one thing and might be another.
    words : str
        Which values were found, and what they were taken for.
    several : bool
        Whether masks have more than one value besides background, so that they might be objects or
        classes.
    """

    by_name: dict[str, MaskValues]
    classes: tuple[str, ...]
    problems: list[Problem]
    words: str
    several: bool


def find_meaning(
    source: Source,
    masks: Sequence[str],
    *,
    whole: Collection[str] = (),
    named: tuple[str, ...] | None = None,
) -> Meaning:
    """What the values of the masks of a data set mean, and what the classes are called.

    Up to 300 masks and 32 million pixels are read. A classes.txt (one name a line) or classes.json (a
    list) at the root names the classes 1..K and settles how many there are. One name alone makes
    several values objects of that class. What ``mask_reading`` says goes before.

    Parameters
    ----------
    source : Source
        Where they are.
    masks : sequence of str
        Their names.
    whole : collection of str
        Names of those whose pages are channels of one mask.
    named : tuple of str, optional
        The classes, where they are known, instead of those that the source names; whoever knows them
        checks that the meaning has as many.

    Raises
    ------
    DataError
        If the values make no sense as classes, colours or objects, or do not fit the named classes.
    """
    lossy = [name for name in masks if is_lossy(source, name)]
    exact = [name for name in masks if name not in set(lossy)]
    problems: list[Problem] = []
    names = declared_classes(source) if named is None else named
    meaning, words, several = MaskValues("threshold"), "", False
    if exact:
        seen = _look_at(source, exact, whole)
        if seen.lossy:
            tiffs = [name for name in exact if is_lossy_tiff(source.read(name), name)]
            lossy, exact = [*lossy, *tiffs], [name for name in exact if name not in set(tiffs)]
            seen = _look_at(source, exact, whole) if exact else seen
    if exact and named is None and seen.class_names and not current_mask_reading().masks_are:
        meaning = MaskValues("numbered", names=_names_of_objects(seen, exact[0], names))
        words, names = "numbers of objects, whose classes the files say", meaning.names
    elif exact:
        if seen.inverted:
            message = f"{seen.inverted} says that 0 is white, so its zeros are taken as foreground"
            remedy = "if 0 is background, save masks with 0 as black (photometric minisblack)"
            problems.append(Problem("interpretation", message, remedy, (seen.inverted,)))
        meaning = _meaning(seen, exact[0], names, problems)
        words = _in_words(meaning, seen)
        several = seen.might_be_objects and (meaning.kind in {"values", "objects"} or not _soft(meaning))
    if lossy:
        check_lossy(source, lossy, meaning)
        lossy_words = f"masks saved with loss: above {HALFWAY} is foreground"
        words = f"{words}; {lossy_words}" if words else lossy_words
    if names and named is None and len(names) != meaning.classes:
        raise DataError(
            "the named classes do not fit the masks",
            code="data.classes.count",
            expected=f"{meaning.classes} names in classes.txt or classes.json",
            got=str(len(names)),
            remedy="name every class but the background",
        )
    count = meaning.classes
    generic = ("foreground",) if count == 1 else tuple(f"class {n}" for n in range(1, count + 1))
    halfway = MaskValues("threshold", threshold=HALFWAY)
    by_name = {**dict.fromkeys(exact, meaning), **dict.fromkeys(lossy, halfway)}
    return Meaning(by_name, names or generic, problems, words, several)


def meaning_of_layer(planes: Iterable[NDArray[np.generic]], name: str) -> MaskValues:
    """What the numbers of a layer of labels stand for, by the rules of mask files.

    In doubt they number objects, as labels in napari do.

    Parameters
    ----------
    planes : iterable of numpy.ndarray
        (Y, X) whole numbers each; as many are looked at as of files.
    name : str
        Of the layer.
    """
    seen = Sightings()
    for number, plane in enumerate(planes):
        if seen.pixels > PIXELS_LOOKED_AT and number >= FEWEST_LOOKED_AT:
            seen.complete = False
            break
        seen.add(MaskInFile(plane), name)
    try:
        meaning = _of_numbers(seen, name, (), [])
    except DataError:
        return MaskValues("objects")  # too many values for classes
    if meaning.classes > 1:
        verdict = judge(seen.pieces)
        partly_seen = not seen.complete and max(seen.numbers()) > MAX_CLASSES
        if not verdict.sure or verdict.single >= NEARLY_ALL or partly_seen:
            return MaskValues("objects", unknown=meaning.unknown)
    return meaning


def _names_of_objects(seen: Sightings, name: str, declared: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the classes of objects that files of numbers say; in the order that is declared, if one is."""
    unknown = [one for one in seen.class_names if one not in declared]
    if declared and unknown:
        raise DataError(
            f"the named classes do not fit the objects of {name}",
            code="data.classes.count",
            expected=f"{unknown[0]} among the names in classes.txt or classes.json",
            got=", ".join(declared)[:100],
            remedy="name every class",
        )
    return declared or tuple(seen.class_names)


def _soft(meaning: MaskValues) -> bool:
    return bool(meaning.threshold or meaning.thresholds)


def _look_at(source: Source, masks: Sequence[str], whole: Collection[str]) -> Sightings:
    seen = Sightings()
    looked_at = 0
    damaged: DataError | None = None
    for name in sample_of_masks(masks):
        if seen.pixels > PIXELS_LOOKED_AT and looked_at >= FEWEST_LOOKED_AT:
            break
        try:
            data = source.read(name)
            decoded = [decode_stored(data, name)] if name in whole else list(stored_pages(data, name))
        except DataError as error:
            damaged = damaged or error  # it costs itself only: whoever reads it later gets the error
            continue
        seen.lossy |= is_lossy_tiff(data, name)
        for mask in decoded:
            seen.add(mask, name)
        looked_at += 1
    if damaged is not None and not looked_at:
        raise damaged
    seen.complete = looked_at == len(masks)
    return seen


def _meaning(seen: Sightings, name: str, names: tuple[str, ...], problems: list[Problem]) -> MaskValues:
    if seen.channels:
        return _of_channels(seen, name, problems)
    if seen.alpha:
        return replace(_of_numbers(seen, name, names, problems), alpha=True)
    if seen.colours:
        known = seen.colours | {(n, n, n) for n in seen.numbers()}
        return MaskValues("colours", tuple(sorted(c for c in known if any(c))))
    return _of_numbers(seen, name, names, problems)


def _of_numbers(seen: Sightings, name: str, names: tuple[str, ...], problems: list[Problem]) -> MaskValues:
    choice = current_mask_reading().masks_are
    if seen.fractions or (not choice and seen.smoothed()):
        cuts = seen.halves()
        shown = ", ".join(sorted({f"{cut:g}" for cut in cuts.values() if cut}))
        message = f"masks like {name} have grey edges; values above {shown} are taken as foreground"
        problems.append(Problem("interpretation", message, "save masks without smoothing", (name,)))
        return MaskValues("threshold", thresholds=cuts)
    numbers = seen.numbers()
    unknown = UNKNOWN_BELOW if UNKNOWN_BELOW in numbers else None
    if min(numbers, default=0) < UNKNOWN_BELOW:
        raise DataError(
            f"masks like {name} have negative values",
            code="data.mask.negative",
            expected=f"0 for background, positive classes, and {UNKNOWN_BELOW} for what is unknown",
            got=str(min(numbers)),
            remedy="save the classes as numbers from 0",
        )
    positive = sorted(n for n in numbers if n > 0)
    if unknown is None and seen.black_and_white(strict=choice == "classes" or len(names) > 1):
        if seen.complete or not positive or len(positive) > 1:
            return MaskValues("threshold")
        # A value that shows up only in masks not looked at must be reported, not taken for the same.
        return MaskValues("values", ((positive[0],),))
    if choice != "objects" and unknown is None and seen.has_unknown(names):
        unknown = UNKNOWN
        positive.remove(UNKNOWN)
    if unknown is not None:
        message = f"{unknown} in masks like {name} is taken as unknown, so those pixels do not count"
        remedy = f"if {unknown} is a class, give it the number after the others"
        problems.append(Problem("interpretation", message, remedy, (name,)))
    elif len(names) == 1 and choice != "classes":
        return MaskValues("objects")
    if not positive:
        return MaskValues("values", ((1,),), unknown=unknown)
    return replace(_classes_or_objects(seen, positive, name, names, problems), unknown=unknown)


def _classes_or_objects(
    seen: Sightings, positive: list[int], name: str, names: tuple[str, ...], problems: list[Problem]
) -> MaskValues:
    count, highest = len(positive), positive[-1]
    choice = current_mask_reading().masks_are
    if choice == "objects" and len(names) <= 1:
        return MaskValues("objects")
    plain = range(1, max(highest, len(names)) + 1) if highest <= max(MAX_CLASSES, len(names)) else positive
    classes = MaskValues("values", tuple((value,) for value in plain))
    if choice == "classes" and count <= MOST_CLASSES:
        return classes
    if len(names) > 1 and count <= max(MAX_CLASSES, len(names)):
        return classes
    verdict = judge(seen.pieces)
    called = f"the {count} values in masks like {name}"
    if verdict.objects and choice != "classes":
        if not verdict.sure:
            message = f"{called} are taken as numbers of objects: {verdict.why}"
            problems.append(Problem("interpretation", message, THEY_ARE_CLASSES, (name,)))
        return MaskValues("objects")
    if count <= MAX_CLASSES:
        many = count > MANY_CLASSES and count == highest
        if many or not verdict.sure:
            message = f"{called} are taken as {len(classes.values)} classes: {verdict.why}"
            problems.append(Problem("interpretation", message, THEY_ARE_OBJECTS, (name,)))
        return classes
    if highest <= 4 * count and choice != "classes":
        message = f"{called} are taken as numbers of objects"
        problems.append(Problem("interpretation", message, THEY_ARE_CLASSES, (name,)))
        return MaskValues("objects")
    raise DataError(
        f"masks like {name} have too many values to be classes",
        code="data.mask.classes",
        expected=f"at most {MAX_CLASSES} classes, or objects in one piece each",
        got=f"{count} values up to {highest}",
        remedy="save masks without loss and without smoothing, or say what they are with --masks-are",
    )


def _of_channels(seen: Sightings, name: str, problems: list[Problem]) -> MaskValues:
    """One channel a class; where every pixel is in one, the first or the last is background."""
    seen.check_channels(name)
    count = seen.channels
    numbers = range(count)
    if not seen.filled:
        return MaskValues("channels", tuple((n,) for n in numbers), soft=seen.soft_channels)
    areas = seen.areas
    background = 0 if areas[0] >= areas[-1] else count - 1
    if areas[background] < max(areas):
        message = (
            f"channel {background} of masks like {name} is taken as background, "
            "although another one covers more"
        )
        remedy = "if it is a class, leave pixels of no class 0 in all channels"
        problems.append(Problem("interpretation", message, remedy, (name,)))
    classes = tuple((n,) for n in numbers if n != background)
    return MaskValues("channels", classes, background=background, soft=seen.soft_channels)


def _in_words(meaning: MaskValues, seen: Sightings) -> str:
    """Which values were found, and what they were taken for."""
    where = "drawn in transparency: " if meaning.alpha else ""
    if meaning.kind == "channels":
        place = "no channel is background"
        if meaning.background is not None:
            place = f"channel {meaning.background} is background"
        soft = ", the highest counts" if meaning.soft else ""
        return f"{seen.channels} channels, one a class{soft}; {place}"
    if meaning.kind == "colours":
        return f"{len(meaning.values)} colours besides black, one a class"
    numbers = sorted(seen.numbers())
    shown = ", ".join(map(str, numbers[:SHOWN]))
    if len(numbers) > SHOWN:
        shown = f"{len(numbers)} values from {numbers[0]} to {numbers[-1]}"
    unknown = f"; {meaning.unknown} is unknown" if meaning.unknown is not None else ""
    if meaning.kind == "objects":
        return f"{where}{shown}: numbers of objects of one class{unknown}"
    if meaning.kind == "threshold":
        if meaning.thresholds:
            cuts = ", ".join(sorted({f"{cut:g}" for cut in meaning.thresholds.values() if cut}))
            return f"{where}grey from {seen.lowest:g} to {seen.highest:g}: above {cuts} is foreground"
        if not any(numbers):
            return f"{where}0 throughout: nothing is annotated"
        return f"{where}{shown}: one class, above 0"
    if len(meaning.values) == 1:
        return f"{where}{shown}: one class{unknown}"
    return f"{where}{shown}: {len(meaning.values)} classes{unknown}"
