"""Objects between two of our own processes: small things as a pickle, large arrays as mapped files.

The pickles never leave the pair of processes that share a pipe; nothing that comes from elsewhere is
ever unpickled.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.engine.task import FromCaller

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGE = 2**16  # bytes; a smaller buffer costs less in the pipe than in a file
ALIGNMENT = 64


@dataclass(frozen=True)
class Packed:
    """An object on its way.

    Attributes
    ----------
    content : bytes
        Its pickle without the large buffers.
    file : str
        Of the large buffers, one after another; empty if there are none.
    spans : tuple of (int, int)
        Offset and length of each in that file.
    """

    content: bytes
    file: str = ""
    spans: tuple[tuple[int, int], ...] = ()


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, keep: Callable[[FromCaller], int] | None, **options: Any) -> None:
        super().__init__(stream, protocol=5, **options)
        self.keep = keep

    def persistent_id(self, obj: object) -> int | None:
        return self.keep(obj) if self.keep is not None and isinstance(obj, FromCaller) else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, call: Callable[..., Any] | None, **options: Any) -> None:
        super().__init__(stream, **options)
        self.call = call

    def persistent_load(self, number: Any) -> FromCaller:
        call = self.call
        if call is None:
            raise pickle.UnpicklingError("nobody to call back")
        return FromCaller(lambda *arguments: call(number, *arguments))


def pack(obj: object, folders: Sequence[Path], keep: Callable[[FromCaller], int] | None = None) -> Packed:
    """Make an object ready for the other process.

    Parameters
    ----------
    obj : object
        Anything that can be pickled.
    folders : sequence of pathlib.Path
        Where large buffers may go; a later one is taken where an earlier one is full.
    keep : callable, optional
        Remembers a FromCaller and gives its number.

    Raises
    ------
    OSError
        If no folder has room.
    """
    large: list[pickle.PickleBuffer] = []

    def aside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < LARGE:
            return True
        large.append(buffer)
        return False

    stream = io.BytesIO()
    _Pickler(stream, keep, buffer_callback=aside).dump(obj)
    if not large:
        return Packed(stream.getvalue())
    problem: OSError | None = None
    for folder in folders:
        try:
            return _with_file(stream.getvalue(), large, folder)
        except OSError as error:
            problem = error
    assert problem is not None
    raise problem


def _with_file(content: bytes, large: Sequence[pickle.PickleBuffer], folder: Path) -> Packed:
    handle, name = tempfile.mkstemp(dir=folder, prefix="arrays-")
    spans = []
    try:
        with os.fdopen(handle, "wb") as file:
            for buffer in large:
                file.seek(-file.tell() % ALIGNMENT, os.SEEK_CUR)
                raw = buffer.raw()
                spans.append((file.tell(), raw.nbytes))
                file.write(raw)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Packed(content, name, tuple(spans))


def unpack(packed: Packed, call: Callable[..., Any] | None = None) -> Any:
    """Take an object that the other process packed; its large arrays are mapped, writable, not copied.

    Parameters
    ----------
    packed : Packed
        What came.
    call : callable, optional
        (number, *arguments) -> value, how a FromCaller of the other process is called.
    """
    buffers: list[memoryview] = []
    if packed.file:
        path = Path(packed.file)
        with path.open("rb") as file:
            mapped = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        buffers = [mapped[start : start + length] for start, length in packed.spans]
        # The mapping stays. Windows keeps a mapped file, which goes when the engine closes.
        with contextlib.suppress(PermissionError):
            path.unlink()
    return _Unpickler(io.BytesIO(packed.content), call, buffers=buffers).load()
