"""Which slice of its stack a page of a TIFF is, and which slices lie around one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.data.files.decoders.damage import DAMAGE

if TYPE_CHECKING:
    from pathlib import Path

AXES = "CZT"


def axes_of_page(file: Path, page: int) -> dict[str, int]:
    """Where a page lies along the axes of a hyperstack.

    Parameters
    ----------
    file : pathlib.Path
        TIFF with several pages.
    page : int
        From 0.

    Returns
    -------
    dict
        "C", "Z", "T" to a number from 1, of the axes that are longer than 1, where there are two or more;
        else empty.
    """
    import tifffile

    try:
        with tifffile.TiffFile(file) as tiff:
            series = tiff.series[0]
            sides = [(a, int(n)) for a, n in zip(series.axes, series.shape, strict=True) if a not in "YXS"]
    except DAMAGE:
        return {}
    sides = [(axis, length) for axis, length in sides if length > 1]
    if len(sides) < 2 or any(axis not in AXES for axis, _ in sides):
        return {}
    found = {}
    for axis, length in reversed(sides):
        page, place = divmod(page, length)
        found[axis] = place + 1
    return found if page == 0 else {}


def mirrored(place: int, reach: int, count: int) -> list[int]:
    """Places from ``place - reach`` to ``place + reach``, mirrored at both ends of a row of `count`."""
    period = max(2 * count - 2, 1)
    wrapped = [n % period for n in range(place - reach, place + reach + 1)]
    return [n if n < count else period - n for n in wrapped]
