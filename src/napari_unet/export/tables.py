"""Tables over all images: run lengths of masks, and measurements of objects."""

from __future__ import annotations

import csv
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_unet.atomic import atomic_path
from napari_unet.data.masks.run_length import encode_run_lengths
from napari_unet.metrics.measurement_rows import measurement_names, measurement_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from napari_unet.export.segmented import Numbers, SegmentedImage
    from napari_unet.metrics.object_measures import ObjectTable


@contextmanager
def open_run_lengths(path: Path, numbers: Numbers = "classes") -> Iterator[Callable[[SegmentedImage], None]]:
    """Write masks as run lengths, as Kaggle's tables have them: from 1, down the columns.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    numbers : str
        "classes": columns id and rle_mask, a row an image, empty where the mask is; with several
        classes also class, and a row each. "objects": ImageId and EncodedPixels, and class where there
        are several, a row an object; an image without objects has one with nothing in it.

    Yields
    ------
    callable
        Takes a SegmentedImage.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    first = True
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")

        def add(image: SegmentedImage) -> None:
            nonlocal first
            several = len(image.classes) > 1
            if first:
                names = ["id", "rle_mask"] if numbers == "classes" else ["ImageId", "EncodedPixels"]
                table.writerow([names[0], *(["class"] if several else []), names[1]])
                first = False
            if numbers == "classes":
                for number in range(1, len(image.classes) + 1):
                    runs = encode_run_lengths(image.mask == number)
                    table.writerow([image.name, *([number] if several else []), runs])
                return
            objects = list(image.found())
            for found in objects:
                runs = encode_run_lengths(image.objects == found.number)
                table.writerow([image.name, *([found.label] if several else []), runs])
            if not objects:
                table.writerow([image.name, *([""] if several else []), ""])

        yield add
        if first:
            table.writerow(["id", "rle_mask"] if numbers == "classes" else ["ImageId", "EncodedPixels"])


@contextmanager
def open_measurements(path: Path, numbers: Numbers = "objects") -> Iterator[Callable[[SegmentedImage], None]]:
    """Measure every object: a row each.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    numbers : str
        Not used: measured are objects.

    Yields
    ------
    callable
        Takes a SegmentedImage.

    Raises
    ------
    OutputError
        If it cannot be written.

    Notes
    -----
    Columns that end in _px are in pixels; those of the same name without are in `unit`, and empty where the
    size of a pixel is unknown. ``measure_objects`` says how each is measured. Confidence is empty where no
    model was asked. Then follow mean, lowest and highest intensity and their sum for each channel, as stored;
    empty where the image is not there. Values that are no numbers (NaN) are left out of them.
    """
    channels = classes = 0
    with (
        atomic_path(path) as partial,
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as unsorted,
    ):
        rows = csv.writer(unsorted, lineterminator="\n")

        def add(image: SegmentedImage) -> None:
            nonlocal channels, classes
            table = image.measures()
            channels, classes = max(channels, table.channels), max(classes, len(image.classes))
            rows.writerows(measurement_rows(table, image.name, image.classes))

        yield add
        # How many channels there are is known only now.
        unsorted.seek(0)
        with partial.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            names = measurement_names(channels, classes)
            table.writerow(names)
            for row in csv.reader(unsorted):
                table.writerow(row + [""] * (len(names) - len(row)))


def write_measurements(path: Path, images: Iterable[tuple[str, ObjectTable, Sequence[str]]]) -> Path:
    """Write objects that are measured already as ``open_measurements`` does.

    Parameters
    ----------
    path : pathlib.Path
        .csv.
    images : iterable of tuple
        Name, objects and names of the classes of each image.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    known = list(images)
    channels = max((table.channels for _, table, _ in known), default=0)
    names = measurement_names(channels, max((len(classes) for _, _, classes in known), default=1))
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(names)
        for name, table, classes in known:
            for row in measurement_rows(table, name, classes):
                rows.writerow(row + [""] * (len(names) - len(row)))
    return path
