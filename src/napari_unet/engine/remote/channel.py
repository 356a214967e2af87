"""Messages that arrive once and in order, over connections that may be cut and made again."""

from __future__ import annotations

import collections
import contextlib
import struct
import threading
import time
import zlib
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MARK = b"\xf5nU\x17"  # where a frame begins, should something else have written into the stream
HEADER = struct.Struct(
    "<4sQQBII"
)  # mark, number, last number received, whether a message ends, length, checksum
PIECE = 2**18  # bytes of a frame at most
WINDOW = 2**22  # bytes on their way, of which the other side has not yet said that it has them
PULSE = 5.0  # seconds of silence after which a side says that it is there
SILENCE = 20.0  # seconds of silence after which a connection is taken for cut
FOREIGN = 2**20  # bytes of something else between two frames, above which a connection is given up
LARGEST = 2**33  # bytes of a message


class Channel:
    """One side of a conversation that outlives its connections.

    Every message is cut into numbered frames. A frame is sent again over the next connection until the
    other side has said that it has it.

    Parameters
    ----------
    on_message : callable
        Takes the bytes of each message, in the thread that reads. It must not send with patience.
    on_cut : callable
        () -> None, after a connection ended, in the thread that reads.
    """

    def __init__(
        self, on_message: Callable[[bytes], None], on_cut: Callable[[], None] = lambda: None
    ) -> None:
        self.on_message, self.on_cut = on_message, on_cut
        self.received = 0  # number of the last frame that came
        self.bytes_sent = self.bytes_received = 0
        self._told = 0  # the number that the other side knows of
        self._last = 0  # number of the last frame that was made
        self._frames: collections.deque[tuple[int, int, bytes]] = collections.deque()
        self._waiting = 0  # bytes in them
        self._next = 0  # number of the frame to be sent next
        self._parts: list[bytes] = []
        self._pulse = True
        self._closed = False
        self._out: IO[bytes] | None = None
        self._connection = 0
        self.heard = time.monotonic()  # when something last came
        self._lock = threading.Condition()
        self._order = threading.Lock()  # frames of two messages do not mix
        self._taking = threading.Lock()
        self._writer = threading.Thread(target=self._write, name="channel-write", daemon=True)
        self._writer.start()

    @property
    def connected(self) -> bool:
        """Whether there is a connection that nobody knows to be cut."""
        return self._out is not None

    def send(self, message: bytes, *, patient: bool = False) -> None:
        """Send a message.

        Parameters
        ----------
        message : bytes
            Whole.
        patient : bool
            Whether to wait until there is room in the window, as is right for long things.
        """
        with self._order:
            for start in range(0, max(len(message), 1), PIECE):
                piece = message[start : start + PIECE]
                ends = start + PIECE >= len(message)
                with self._lock:
                    while patient and self._waiting > WINDOW and not self._closed:
                        self._lock.wait(1)
                    self._last += 1
                    self._frames.append((self._last, ends, piece))
                    self._waiting += len(piece)
                    self._lock.notify_all()

    def attach(self, incoming: IO[bytes], outgoing: IO[bytes], has: int) -> None:
        """Take a new connection, whose other side has all frames up to number `has`."""
        with self._lock:
            self._forget(has)
            self._next = self._frames[0][0] if self._frames else self._last + 1
            self._out = outgoing
            self.heard = time.monotonic()
            self._connection += 1
            mine = self._connection
            self._pulse = True
            self._lock.notify_all()
        threading.Thread(target=self._read, args=(incoming, mine), name="channel-read", daemon=True).start()

    def detach(self, connection: int = 0) -> None:
        """Let go of a connection; that at present if no other is named."""
        with self._lock:
            if connection in (0, self._connection):
                self._out = None
                self._lock.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until the other side has everything; False if it does not come to that."""
        until = time.monotonic() + timeout
        with self._lock:
            while self._frames and time.monotonic() < until:
                self._lock.wait(0.05)
            return not self._frames

    def close(self) -> None:
        """End both threads."""
        with self._lock:
            self._closed = True
            self._out = None
            self._lock.notify_all()

    def _forget(self, number: int) -> None:
        while self._frames and self._frames[0][0] <= number:
            self._waiting -= len(self._frames.popleft()[2])
        self._lock.notify_all()

    def _due(self) -> tuple[int, int, bytes] | None:
        """The next frame to be sent, if any."""
        if not self._frames or self._next > self._last:
            return None
        return self._frames[max(0, self._next - self._frames[0][0])]

    def _write(self) -> None:
        while True:
            with self._lock:
                waited = time.monotonic()
                while not self._closed:
                    if self._out is not None:
                        if self._due() is not None or self.received != self._told or self._pulse:
                            break
                        if time.monotonic() - waited > PULSE:
                            break
                    self._lock.wait(PULSE)
                if self._closed:
                    return
                out, connection, due = self._out, self._connection, self._due()
                number, ends, piece = due if due is not None else (0, 0, b"")
                if due is not None:
                    self._next = number + 1
                self._told = self.received
                self._pulse = False
            check = zlib.crc32(piece, number & 0xFFFFFFFF)
            header = HEADER.pack(MARK, number, self._told, ends, len(piece), check)
            assert out is not None
            try:
                out.write(header + piece)
                out.flush()
                self.bytes_sent += HEADER.size + len(piece)
            except (OSError, ValueError):
                self.detach(connection)

    def _read(self, incoming: IO[bytes], connection: int) -> None:
        with contextlib.suppress(EOFError, OSError, ValueError):
            while not self._closed and connection == self._connection:
                frame = read_frame(incoming)
                # A connection before this one may have left a thread that still works at a message.
                with self._taking:
                    if connection != self._connection or not self._take(*frame):
                        break
        self.detach(connection)
        if not self._closed:
            self.on_cut()

    def _take(self, number: int, has: int, ends: int, piece: bytes) -> bool:
        """Take a frame; False if one before it is missing."""
        self.heard = time.monotonic()
        self.bytes_received += HEADER.size + len(piece)
        with self._lock:
            self._forget(has)
            if number == 0 or number <= self.received:
                return True
            if number != self.received + 1 or len(self._parts) * PIECE > LARGEST:
                return False
            self.received = number
            self._lock.notify_all()
        self._parts.append(piece)
        if ends:
            message, self._parts = b"".join(self._parts), []
            self.on_message(message)
        return True


def read_frame(stream: IO[bytes]) -> tuple[int, int, int, bytes]:
    """Read the next frame, past whatever else stands before it.

    Returns
    -------
    tuple
        Number, last number that the other side has, whether a message ends, content.

    Raises
    ------
    EOFError
        If the stream ends.
    ValueError
        If a frame is damaged, or too much else comes.
    """
    header = _exactly(stream, HEADER.size)
    skipped = 0
    while not header.startswith(MARK):
        found = header.find(MARK[:1], 1)
        skip = found if found > 0 else len(header)
        skipped += skip
        if skipped > FOREIGN:
            raise ValueError("no frame")
        header = header[skip:] + _exactly(stream, skip)
    _, number, has, ends, length, check = HEADER.unpack(header)
    if length > PIECE:
        raise ValueError("no frame")
    piece = _exactly(stream, length)
    if zlib.crc32(piece, number & 0xFFFFFFFF) != check:
        raise ValueError("a damaged frame")
    return number, has, ends, piece


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content
