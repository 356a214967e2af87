"""What damaged files raise, said of the file that it is."""

from __future__ import annotations

import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_unet.errors import DataError, WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


# What Pillow, tifffile and imagecodecs raise on damaged files; imagecodecs' own are RuntimeErrors,
# tifffile's ValueErrors.
DAMAGE = (
    OSError, SyntaxError, ValueError, EOFError, RuntimeError, IndexError, KeyError, TypeError,
    AttributeError, AssertionError, OverflowError, MemoryError, ZeroDivisionError, struct.error,
)  # fmt: skip


def _unreadable(name: str, error: BaseException | str) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(
        f"{name} cannot be read as an image",
        code="data.image.unreadable",
        reason=reason[:200],
        remedy="copy or download it again",
    )


@contextmanager
def as_damage(name: str) -> Iterator[None]:
    """Say of a damaged file which it is."""
    try:
        yield
    except WorkbenchError:
        raise
    except DAMAGE as error:
        raise _unreadable(name, error) from error
    except Exception as error:
        # Pillow's is of no such kind: a frame of a GIF that is larger than the first.
        if type(error).__name__ != "DecompressionBombError":
            raise
        raise _unreadable(name, error) from error
