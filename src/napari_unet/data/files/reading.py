"""How files are to be read where a person knows better than they say: axes and channels."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_unet.errors import DataError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True)
class ImageReading:
    """What ``--axes`` and ``--channel`` say.

    Attributes
    ----------
    axes : str
        One capital letter for each axis of the stored array, in its order ("TYX", "CYX", "YXC"). Y and X,
        C or S for channels, any other letter for images of their own. Empty: as the file says.
    channels : tuple of str
        Names or numbers, from 0, of the channels to read, in this order. Empty: all.

    Raises
    ------
    SettingsError
        If the axes are none.
    """

    axes: str = ""
    channels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        axes = self.axes.strip().upper()
        object.__setattr__(self, "axes", axes)
        if axes and (
            not axes.isascii() or not axes.isalpha() or len(set(axes)) != len(axes) or not {*"YX"} <= {*axes}
        ):
            raise SettingsError(
                f"{axes!r} are no axes",
                code="settings.axes.malformed",
                expected="each axis once by its letter, Y and X among them, like CYX, TYX or YXC",
            )

    @property
    def is_plain(self) -> bool:
        """Whether files are read as they say."""
        return not self.axes and not self.channels


PLAIN = ImageReading()
_current: ContextVar[ImageReading] = ContextVar("reading of images", default=PLAIN)


@contextmanager
def reading_images(reading: ImageReading) -> Iterator[None]:
    """Let every source of files that is opened in the block read its images so."""
    token = _current.set(reading)
    try:
        yield
    finally:
        _current.reset(token)


def current_reading() -> ImageReading:
    """How sources that are opened now read their images."""
    return _current.get()


def channel_numbers(wanted: Sequence[str | int], names: Sequence[str], count: int, image: str) -> list[int]:
    """Numbers of channels that are given by name or number.

    Parameters
    ----------
    wanted : sequence
        Names, in whatever case, or numbers from 0; a name that is none of the channels' may be a number.
    names : sequence of str
        Of the channels; may be empty.
    count : int
        How many channels there are.
    image : str
        Name of the image, for the error.

    Raises
    ------
    SettingsError
        If there is no such channel, or two have the name.
    """
    numbers = []
    for one in wanted:
        text = str(one)
        matches = [n for n, name in enumerate(names) if name == text]
        matches = matches or [n for n, name in enumerate(names) if name.lower() == text.lower()]
        if len(matches) > 1:
            raise SettingsError(
                f"{image} has {len(matches)} channels called {text!r}",
                code="settings.channel.ambiguous",
                expected="a number: " + ", ".join(map(str, matches)),
            )
        number = matches[0] if matches else int(text) if text.isdecimal() and len(text) < 9 else -1
        if not 0 <= number < count:
            raise SettingsError(
                f"{image} has no channel {text!r}",
                code="settings.channel.unknown",
                expected=channels_in_words(names, count),
            )
        numbers.append(number)
    return numbers


def channels_in_words(names: Sequence[str], count: int) -> str:
    """The channels that there are: "0 (DAPI), 1 (GFP)", or "0 to 3"."""
    if len(names) == count and any(names):
        return ", ".join(f"{n} ({name})" if name else str(n) for n, name in enumerate(names))
    return "0" if count == 1 else f"0 to {count - 1}"


def check_axes(axes: str, shape: Sequence[int], name: str) -> None:
    """Refuse axes that an array does not have.

    Raises
    ------
    DataError
        If there are more or fewer letters than axes.
    """
    if len(axes) != len(shape):
        raise DataError(
            f"{name} does not have the axes {axes}",
            code="data.image.axes",
            expected=f"{len(shape)} letters, for {' x '.join(map(str, shape))}",
            got=f"{len(axes)}",
            remedy="correct --axes",
        )
