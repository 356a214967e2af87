"""Which files on disk images and masks are read from."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet.data.files.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from napari_unet.data.sample import Sample


def input_files(samples: Iterable[Sample]) -> Iterator[Path]:
    """All files of the folders and archives that these images, or their masks, are read from."""
    seen: set[int] = set()
    for sample in samples:
        for loader in (sample.load_image, sample.load_mask):
            for source in _sources(loader):
                if id(source) in seen:
                    continue
                seen.add(id(source))
                if source.path.is_file():
                    yield source.path
                for name in source.sizes:
                    file = source.file(name)
                    if file is not None:
                        yield file


def _sources(loader: Any, depth: int = 4) -> Iterator[Source]:
    """What a loader reads from, itself or by another loader in it."""
    if isinstance(loader, Source):
        yield loader
    elif depth and isinstance(loader, partial):
        for part in (loader.func, *loader.args, *loader.keywords.values()):
            yield from _sources(part, depth - 1)
    elif depth and is_dataclass(loader) and not isinstance(loader, type):
        for field in fields(loader):
            yield from _sources(getattr(loader, field.name), depth - 1)
