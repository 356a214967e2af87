"""Names of the classes, from a file next to the images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.errors import DataError
from napari_unet.plain_json import parse_json

if TYPE_CHECKING:
    from napari_unet.data.files.source import Source


def declared_classes(source: Source) -> tuple[str, ...]:
    """Names of the classes 1..K in classes.txt or classes.json at the root; empty without them.

    Raises
    ------
    DataError
        If the file is not a list of names.
    """
    if "classes.json" in source.sizes:
        try:
            names = parse_json(source.read("classes.json"))
        except ValueError as error:
            raise DataError(
                "classes.json is not JSON", code="data.classes.malformed", reason=str(error)[:100]
            ) from error
        if not isinstance(names, list) or not all(isinstance(n, str) and n.strip() for n in names):
            raise DataError(
                "classes.json is not a list of names",
                code="data.classes.malformed",
                expected='like ["nerve", "vessel"]',
            )
    elif "classes.txt" in source.sizes:
        text = source.read("classes.txt").decode("utf-8-sig", "replace")
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        return ()
    if len(names) > 1 and names[0].lower() == "background":
        names = names[1:]
    return tuple(names)
