from __future__ import annotations

import io
import socket
import threading
import time
from typing import Any

import numpy as np
import pytest

from napari_unet.engine.remote import handshake
from napari_unet.engine.remote.channel import HEADER, MARK, PIECE, Channel, read_frame
from napari_unet.engine.remote.compression import pack_bytes, unpack_bytes
from napari_unet.engine.remote.handshake import NAME, await_greeting, greet, newer
from support.errors import raises_code


class Line:
    """Two channels, and connections between them that can be cut."""

    def __init__(self) -> None:
        self.came: list[list[bytes]] = [[], []]
        self.ends = [Channel(came.append) for came in self.came]
        self.sockets: list[socket.socket] = []

    def connect(self) -> None:
        self.sockets = list(socket.socketpair())
        for end, other, own in zip(self.ends, self.ends[::-1], self.sockets, strict=True):
            end.attach(own.makefile("rb"), own.makefile("wb"), other.received)

    def cut(self) -> None:
        for own in self.sockets:
            own.shutdown(socket.SHUT_RDWR)
            own.close()
        for end in self.ends:
            end.detach()

    def close(self) -> None:
        self.cut()
        for end in self.ends:
            end.close()


def until(condition: Any, seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_every_message_comes_once_and_in_order_over_a_line_that_is_cut() -> None:
    random = np.random.default_rng(0)
    sent = [random.bytes(int(size)) for size in random.integers(0, 3 * PIECE, 60)]
    line = Line()
    line.connect()

    def send() -> None:
        for message in sent:
            line.ends[0].send(message, patient=True)

    thread = threading.Thread(target=send)
    thread.start()
    for number in range(20):
        line.ends[1].send(str(number).encode())
        time.sleep(0.01)
        line.cut()
        line.connect()
    thread.join()
    until(lambda: len(line.came[1]) == len(sent) and len(line.came[0]) == 20)
    assert line.came[1] == sent
    assert line.came[0] == [str(number).encode() for number in range(20)]
    assert line.ends[0].flush(5)
    line.close()


def test_what_is_sent_while_nobody_is_connected_comes_later() -> None:
    line = Line()
    line.ends[0].send(b"early")
    line.connect()
    until(lambda: line.came[1] == [b"early"])
    line.close()


def test_what_others_write_between_two_frames_is_passed_over() -> None:
    line = Line()
    line.connect()
    line.ends[0].send(b"one")
    until(lambda: line.came[1] == [b"one"])
    line.sockets[0].send(b"WARNING: all log messages\r\n" + MARK[:2] + b"\n")
    line.ends[0].send(b"two")
    until(lambda: line.came[1] == [b"one", b"two"])
    line.close()


def frame(content: bytes, damage: bool = False) -> bytes:
    import zlib

    header = HEADER.pack(MARK, 1, 0, 1, len(content), zlib.crc32(content, 1))
    return header + (content[:-1] + b"?" if damage else content)


def test_a_damaged_frame_is_not_taken() -> None:
    assert read_frame(io.BytesIO(b"motd\n" + frame(b"abc"))) == (1, 0, 1, b"abc")
    with pytest.raises(ValueError, match="damaged"):
        read_frame(io.BytesIO(frame(b"abc", damage=True)))
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(frame(b"abc")[:-1]))


def test_the_greeting_is_found_past_what_a_shell_writes() -> None:
    stream = io.BytesIO()
    stream.write("Welcome to box! napari-unet-worker? ½ \r\n".encode() * 20)
    greet(stream)
    stream.write(b"next")
    stream.seek(0)
    await_greeting(stream)
    assert stream.read() == b"next"


def test_a_terminal_in_between_is_noticed() -> None:
    stream = io.BytesIO()
    greet(stream)
    with raises_code("compute.remote.terminal"):
        await_greeting(io.BytesIO(stream.getvalue().replace(b"\n", b"\r\n")))
    with raises_code("compute.remote.terminal"):
        await_greeting(io.BytesIO(stream.getvalue().decode("latin1").encode("utf8")))


def test_another_version_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    monkeypatch.setattr(handshake, "__version__", "0.9.1")
    greet(stream)
    monkeypatch.setattr(handshake, "__version__", "0.9.0.dev3+gabc")
    stream.seek(0)
    with raises_code("compute.remote.version", "0.9.1", "0.9.0.dev3", "napari-unet-workbench==0.9.1"):
        await_greeting(stream)
    assert newer("0.10.0", "0.9.9") == "0.10.0"
    with pytest.raises(EOFError):
        await_greeting(io.BytesIO(b"bash: napari-unet: command not found\n" + NAME[:5]))


def test_packed_bytes_never_become_more_than_was_allowed() -> None:
    zeros = bytes(10_000)
    packed = pack_bytes(zeros)
    assert len(packed) < 100
    assert unpack_bytes(packed) == zeros
    for wrong in (packed[:-1], b"", b"\2abc", packed[:9]):
        with pytest.raises(ValueError, match=r"."):
            unpack_bytes(wrong)
    with pytest.raises(ValueError, match="too many"):
        unpack_bytes(packed, 9_999)
    assert unpack_bytes(pack_bytes(b"abc")) == b"abc"
