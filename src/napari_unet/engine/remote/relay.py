"""What runs at the end of the command: it leads from its standard input and output to the worker.

The worker is a process of its own. It survives the connection, and the next one finds it again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

from napari_unet.engine.remote.far_end import LOG, run_directly
from napari_unet.engine.remote.handshake import greet, read_line, write_line
from napari_unet.engine.remote.store import GIGABYTE, HASH, Store
from napari_unet.errors import ComputeError

if TYPE_CHECKING:
    from collections.abc import Sequence

DIED = 75  # exit code: the worker ended by itself
START = 120.0  # seconds that the worker may take to be there
OLD = 7 * 24 * 3600.0  # seconds after which the log of a worker that died is removed
CHUNK = 2**16
NAMED = 24  # characters of a session in the name of its socket file
LONGEST = 95  # bytes of the path of a socket file without its suffix; 103 on macOS, and with it
FAR_END = (sys.executable, "-P", "-m", "napari_unet.engine.remote.far_end")


def relay(cache: Path, size: float, wait: float, far_end: Sequence[str] = FAR_END) -> int:
    """Serve whoever is at the other end of standard input and output.

    Parameters
    ----------
    cache : pathlib.Path
        Folder of the cache.
    size : float
        Gigabytes that it may take.
    wait : float
        Seconds that the worker waits for a connection that was cut.
    far_end : sequence of str
        Command that starts the worker.

    Returns
    -------
    int
        Exit code.
    """
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes with the warnings
    incoming = os.fdopen(os.dup(0), "rb", buffering=0)
    greet(outgoing)
    if not hasattr(socket, "AF_UNIX"):
        run_directly(Store(cache, size * GIGABYTE), os.fdopen(os.dup(0), "rb"), outgoing)
    try:
        hello = _read_hello(incoming)
    except EOFError:
        return 0
    session = str(hello.get("session", ""))
    if not HASH.fullmatch(session):
        return 2
    address = _own_folder() / f"{session[:NAMED]}.sock"
    worker = _connect(address) or _start(address, [*far_end, str(address), str(cache), str(size), str(wait)])
    write_line(worker.makefile("wb"), hello)
    return _pump(incoming, outgoing, worker, address)


def _read_hello(incoming: IO[bytes]) -> dict[str, object]:
    """Read a line, and nothing of what follows it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = incoming.read(1)
        if not byte:
            raise EOFError
        line += byte
    import io

    return read_line(io.BytesIO(line))


def _own_folder() -> Path:
    """A folder for socket files that this user alone can look into.

    Raises
    ------
    ComputeError
        If somebody else has made it.
    """
    name = f"napari-unet-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(folder)) > LONGEST - NAMED:
        folder = Path("/tmp") / name
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ComputeError(
            f"{folder} is not a folder of this user alone",
            code="compute.remote.folder",
            remedy="set TMPDIR to a folder of your own on that machine",
        )
    for log in folder.glob(f"*{LOG}"):
        with contextlib.suppress(OSError):
            if time.time() - log.stat().st_mtime > OLD:
                log.unlink()
    return folder


def _connect(address: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(str(address))
    except OSError:
        connection.close()
        return None
    return connection


def _start(address: Path, command: Sequence[str]) -> socket.socket:
    """Start the worker, and wait until it can be reached.

    Raises
    ------
    ComputeError
        If it ends, or takes too long.
    """
    address.unlink(missing_ok=True)
    log = address.with_suffix(LOG)
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    with log.open("wb") as file:
        log.chmod(0o600)
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )
    until = time.monotonic() + START
    while time.monotonic() < until and process.poll() is None:
        connection = _connect(address)
        if connection is not None:
            return connection
        time.sleep(0.01)
    raise ComputeError(
        "the worker did not start",
        code="compute.remote.start",
        got=_last_lines(log),
        remedy="run `napari-unet doctor` on that machine",
    )


def _pump(incoming: IO[bytes], outgoing: IO[bytes], worker: socket.socket, address: Path) -> int:
    """Lead bytes both ways until one side is gone."""
    ended = threading.Event()
    gone: list[str] = []

    def inward() -> None:
        with contextlib.suppress(OSError):
            while chunk := incoming.read(CHUNK):
                worker.sendall(chunk)
        gone.append("caller")
        ended.set()

    def outward() -> None:
        with contextlib.suppress(OSError):
            while chunk := worker.recv(CHUNK):
                outgoing.write(chunk)
                outgoing.flush()
            gone.append("worker")
        ended.set()

    for work in (inward, outward):
        threading.Thread(target=work, daemon=True).start()
    ended.wait()
    if gone[:1] != ["worker"]:
        return 0
    address.unlink(missing_ok=True)
    print(_last_lines(address.with_suffix(LOG)), file=sys.stderr, flush=True)  # noqa: T201 - for the caller
    return DIED


def _last_lines(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:] if log.exists() else ""
