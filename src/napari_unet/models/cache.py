"""Models that were just used, ready to be used again."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from napari_unet.models.ensemble import load_any
from napari_unet.models.model_folder import MEMBERS, SETTINGS_FILE, WEIGHTS_FILE
from napari_unet.models.shipped import locate

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.models.ensemble import AnyModel

Key = tuple[str, str, tuple[int, ...]]


class ModelCache:
    """Keeps the last few models; one whose files changed is read again.

    Parameters
    ----------
    most : int
        Models that stay loaded.
    """

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self._models: OrderedDict[Key, AnyModel] = OrderedDict()

    def load(self, path: Path, precision: str) -> AnyModel:
        """Read a model, or give back the one that was read before; errors as ``load_any``."""
        path = locate(path)
        key = str(path), precision, _stamp(path)
        model = self._models.get(key)
        if model is None:
            model = load_any(path, precision)
            self._models[key] = model
            while len(self._models) > self.most:
                self._models.popitem(last=False)
        self._models.move_to_end(key)
        return model


def _stamp(path: Path) -> tuple[int, ...]:
    files = [path]
    if not path.is_file():
        files = [path / SETTINGS_FILE, path / WEIGHTS_FILE, *sorted(path.glob(f"{MEMBERS}/*/{WEIGHTS_FILE}"))]
    out: list[int] = []
    for file in files:
        if file.exists():
            status = file.stat()
            out += [status.st_mtime_ns, status.st_size, status.st_ino]
    return tuple(out)
