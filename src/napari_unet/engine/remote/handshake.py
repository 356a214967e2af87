"""How two sides find each other on a stream into which others may have written."""

from __future__ import annotations

import json
from typing import IO, Any

from napari_unet import __version__
from napari_unet.errors import ComputeError

PROTOCOL = 2
NAME = b"napari-unet-worker"
# What takes bytes for text changes one of these: line ends, the end of a file, the eighth bit.
PROOF = b"\xf5\r\n\x1a\n\x00"
MOST = 2**22  # bytes of something else in front
LINE = 2**16


def greet(stream: IO[bytes]) -> None:
    """Say that the worker is here, and which."""
    about = {"version": __version__, "protocol": PROTOCOL}
    stream.write(b"\n" + NAME + PROOF + json.dumps(about).encode() + b"\n")
    stream.flush()


def await_greeting(stream: IO[bytes]) -> None:
    """Read up to the greeting, past what a shell or a library wrote.

    Raises
    ------
    EOFError
        If the stream ends before.
    ComputeError
        If bytes are changed on their way, or the other side is of another version.
    """
    seen, count = b"", 0
    while not seen.endswith(NAME + PROOF):
        byte = stream.read(1)
        count += 1
        if not byte or count > MOST:
            raise EOFError
        seen = (seen + byte)[-len(NAME + PROOF) :]
        after = seen.partition(NAME)[2]
        # A shell may say the name, but not with a byte of the upper half behind it.
        if after[:1] > b"\x7f" and not PROOF.startswith(after):
            raise ComputeError(
                "the command changes the bytes that come from the other machine",
                code="compute.remote.terminal",
                expected="a connection without a terminal",
                remedy="leave out -t of ssh or docker, and --pty of srun",
            )
    about = read_line(stream)
    if about.get("version") != __version__ or about.get("protocol") != PROTOCOL:
        theirs = str(about.get("version", "none"))[:60]
        raise ComputeError(
            "the other machine has another version of this program",
            code="compute.remote.version",
            expected=__version__,
            got=theirs,
            remedy="install the same on both: "
            f"pip install napari-unet-workbench=={newer(__version__, theirs)}",
        )


def newer(one: str, other: str) -> str:
    """The later of two versions, without the part that only a checkout has."""

    def key(version: str) -> list[int]:
        return [int(part) for part in version.split("+")[0].split(".") if part.isdigit()]

    return max(one, other, key=key).split("+")[0]


def write_line(stream: IO[bytes], facts: dict[str, Any]) -> None:
    """Write one line of facts."""
    stream.write(json.dumps(facts).encode() + b"\n")
    stream.flush()


def read_line(stream: IO[bytes]) -> dict[str, Any]:
    """Read one line of facts.

    Raises
    ------
    EOFError
        If there is none.
    """
    line = stream.readline(LINE)
    try:
        facts = json.loads(line)
    except ValueError:
        raise EOFError from None
    if not isinstance(facts, dict):
        raise EOFError
    return facts
