"""How masks are to be read where a person knows better than their values say."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

Choice = Literal["", "objects", "classes"]


@dataclass(frozen=True)
class MaskReading:
    """What ``--masks-are`` and ``--leave-out-problems`` say.

    Attributes
    ----------
    masks_are : str
        "objects": different values are different objects of one class; "classes": they are classes.
        Empty: as the values themselves tell.
    leave_out_problems : bool
        Whether images that ``inspection.LEFT_OUT`` problems name are left out of data sets.

    Raises
    ------
    SettingsError
        If the masks are to be something else.
    """

    masks_are: Choice = ""
    leave_out_problems: bool = False

    def __post_init__(self) -> None:
        if self.masks_are not in get_args(Choice):
            raise SettingsError(
                f"masks are not {self.masks_are!r}",
                code="settings.masks.unknown",
                expected="objects or classes",
            )


PLAIN = MaskReading()
_current: ContextVar[MaskReading] = ContextVar("reading of masks", default=PLAIN)


@contextmanager
def reading_masks(reading: MaskReading) -> Iterator[None]:
    """Let every data set that is opened in the block read its masks so."""
    token = _current.set(reading)
    try:
        yield
    finally:
        _current.reset(token)


def current_mask_reading() -> MaskReading:
    """How data sets that are opened now read their masks."""
    return _current.get()
