"""Small pictures of images: asked for when first painted, in memory while there is room."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer
from qtpy.QtGui import QImage, QPixmap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray


class Thumbnails(QObject):  # type: ignore[misc]
    """Pictures by the id of their image.

    Parameters
    ----------
    request : callable or None
        Gets the id of an image that was painted without its picture. Called once for each, after painting,
        and again only after the picture made room for others. Answers by `put`, at any later time.
    capacity : int
        How many pictures stay; those not painted for the longest time go first.
    parent : QObject, optional
        Owner.
    """

    def __init__(
        self,
        request: Callable[[str], None] | None = None,
        capacity: int = 2000,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._request = request
        self._capacity = capacity
        self._pixmaps: OrderedDict[str, Any] = OrderedDict()
        self._asked: set[str] = set()
        self._waiting: list[str] = []
        # The answer may come at once, and what is being painted must not change meanwhile.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._ask)

    def get(self, image_id: str) -> QPixmap | None:
        """Picture of an image, for painting; if there is none yet, it is asked for."""
        pixmap = self._pixmaps.get(image_id)
        if pixmap is not None:
            self._pixmaps.move_to_end(image_id)
        elif self._request is not None and image_id not in self._asked:
            self._asked.add(image_id)
            self._waiting.append(image_id)
            self._later.start()
        return pixmap

    def put(self, image_id: str, array: NDArray[np.uint8]) -> None:
        """Keep the picture of an image.

        Parameters
        ----------
        image_id : str
            Of the image.
        array : numpy.ndarray
            (Y, X) or (Y, X, 3) uint8.
        """
        self._pixmaps[image_id] = _pixmap(array)
        self._pixmaps.move_to_end(image_id)
        self._asked.add(image_id)
        while len(self._pixmaps) > self._capacity:
            self._asked.discard(self._pixmaps.popitem(last=False)[0])

    def keep_only(self, ids: Iterable[str]) -> None:
        """Forget the pictures of all other images."""
        wanted = set(ids)
        self._asked &= wanted
        self._waiting = [image_id for image_id in self._waiting if image_id in wanted]
        for image_id in [known for known in self._pixmaps if known not in wanted]:
            del self._pixmaps[image_id]

    def _ask(self) -> None:
        waiting, self._waiting = self._waiting, []
        for image_id in waiting:
            if self._request is not None:
                self._request(image_id)


def _pixmap(array: NDArray[np.uint8]) -> QPixmap:
    """Pixmap of a (Y, X) or (Y, X, 3) uint8 array."""
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or array.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"a thumbnail is a (Y, X) or (Y, X, 3) array of uint8; got {array.shape} of {array.dtype}; "
            "scale the image to 0..255 and pass one or three channels"
        )
    height, width = array.shape[:2]
    grey = array.ndim == 2
    kind = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
    stride = width if grey else 3 * width
    # QImage only borrows the bytes; the pixmap is a copy.
    return QPixmap.fromImage(QImage(np.ascontiguousarray(array).tobytes(), width, height, stride, kind))
