"""The computing process on the other machine: the worker, spoken to over a channel.

It lives as long as somebody is connected, and a while longer, so that a connection that is cut can be made
again. It listens on a socket file that its user alone can open, never on a port.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from napari_unet.engine.hardware import share_gpus
from napari_unet.engine.remote.channel import SILENCE, Channel
from napari_unet.engine.remote.compression import unpack_bytes
from napari_unet.engine.remote.handshake import read_line, write_line
from napari_unet.engine.remote.outputs import PART, OutputWatch, parts_of
from napari_unet.engine.remote.plain_objects import Inward, Outward, decode, encode
from napari_unet.engine.remote.store import GIGABYTE, Incoming, Store, StoredFile, safe_path
from napari_unet.engine.task import describe_failure
from napari_unet.engine.worker import Worker
from napari_unet.errors import ComputeError
from napari_unet.progress import CancelToken

if TYPE_CHECKING:
    from collections.abc import Callable

HEARTBEAT = 600.0  # seconds after which what is in use is said to be, for those who make room
LOG = ".log"  # what libraries write, next to the socket file
LARGEST_COPY = 2**30  # bytes of a result that stays in the cache, should it be asked for


class FarWorker(Worker):
    """A worker whose files are on another machine.

    Parameters
    ----------
    store : Store
        The cache of this machine.
    on_bye : callable
        () -> None, when the other side needs it no more.
    """

    def __init__(self, store: Store, on_bye: Callable[[], None]) -> None:
        super().__init__(sys.stdin.buffer, sys.stdout.buffer, [])
        self.store, self.on_bye = store, on_bye
        self.channel = Channel(self._on_message)
        self.joined = False  # whether anybody was ever connected
        self._held: list[tuple[str, int, Any, set[str]]] = []  # messages, and the hashes they wait for
        self._incoming: dict[str, Incoming] = {}
        self._trees: dict[str, list[StoredFile]] = {}
        # Places here, what they are called there, and the keys of those that are written to.
        self._reads: list[tuple[Path, str, str]] = []
        self._writes: list[tuple[Path, str, str]] = []
        self._written: list[OutputWatch] = []
        self._number = 0
        self._ended = ""  # how the last task ended
        self._resumable: set[str] = set()  # keys of places that a task after it may resume

    def serve(self) -> None:
        """Run tasks until nobody is there any more."""
        logging.getLogger("napari_unet").addHandler(_Notes(self))
        threading.Thread(target=self._pulse, daemon=True).start()
        self._tell("ready")
        while True:
            number, packed = self.tasks.get()
            self._number = number
            self._run(number, packed)
            for _, _, key in self._writes:
                if self._ended == "done" or key not in self._resumable:
                    self.store.end_work(key)
            self._resumable.clear()
            self._reads, self._writes, self._written = [], [], []

    def _pulse(self) -> None:
        while True:
            time.sleep(HEARTBEAT)
            for identifier in list(self._trees):
                self.store.has_tree(identifier)

    # messages

    def _on_message(self, message: bytes) -> None:
        number = 0
        try:
            kind, number, content = decode(message)
            if kind == "bye":
                self.on_bye()
            elif kind == "part":
                self._take_part(**content)
            elif kind in {"run", "answer"}:
                self._hold(kind, number, content)
            else:
                self.hear(kind, number, content)
        except Exception as error:  # noqa: BLE001 - the other side must hear of it, and the next message come
            self._tell("failed", number, (describe_failure(error), repr(error)))

    def _hold(self, kind: str, number: int, content: Any) -> None:
        """Pass a message on once all that belongs to it is here."""
        if kind == "run":
            self.tokens[number] = CancelToken()  # it can be cancelled while it waits
        wanted = {str(digest): int(size) for digest, size in content["blobs"]}
        for place in (*content.get("reads", ()), *content.get("writes", ())):
            for one in self._files_of(place):
                if one.hash:
                    wanted[one.hash] = one.size
        lacking = {digest: size for digest, size in wanted.items() if not self.store.has(digest, size)}
        if not lacking:
            self.hear(kind, number, content)
            return
        self.store.make_room(sum(wanted.values()))
        self._held.append((kind, number, content, set(lacking)))
        asked = set().union(*(missing for *_, missing in self._held[:-1]))
        self._tell("lack", number, sorted(lacking.keys() - asked))

    def hear(self, kind: str, number: int, content: Any) -> None:
        """Take a message that is complete."""
        if kind == "run":
            self.tasks.put((number, content))
        elif kind == "answer":
            self.answers.put((content["answered"], content))
        else:
            super().hear(kind, number, content)
        waiting = [message for message in self._held if message[:2] == ("run", number)]
        if kind == "cancel" and waiting:
            self._held.remove(waiting[0])
            self._tell("cancelled", number)

    def _files_of(self, place: dict[str, Any]) -> list[StoredFile]:
        if "files" in place:
            files = [StoredFile(str(path), str(digest), int(size)) for path, digest, size in place["files"]]
            if "tree" in place:
                self._trees[place["tree"]] = files
            return files
        return self._trees[place["tree"]]

    def _take_part(self, hash: str, data: bytes, last: bool) -> None:
        if hash not in self._incoming:
            self._incoming[hash] = self.store.incoming(hash)
        taken = self._incoming[hash]
        try:
            taken.write(unpack_bytes(data, PART))
            if not last:
                return
            taken.end(hash, 0o400)
        except (OSError, ValueError, ComputeError):
            self._incoming.pop(hash).drop()
            raise
        del self._incoming[hash]
        complete = []
        for message in self._held:
            message[3].discard(hash)
            if not message[3]:
                complete.append(message)
        for message in complete:
            self._held.remove(message)
            self.hear(*message[:3])

    def _tell(self, kind: str, number: int = 0, content: object = None) -> None:
        # Names of this machine in sentences become those that the person knows.
        self._ended = kind
        message = encode((kind, number, content), Outward(text=self._words))
        self.channel.send(message, patient=threading.current_thread() is threading.main_thread())

    # objects

    def _unpack(self, packed: Any, call: Callable[..., Any] | None = None) -> Any:
        if isinstance(packed, dict):
            for place in packed.get("reads", ()):
                path = self.store.tree(str(place["name"]), self._files_of(place))
                self._reads.append((path, str(place["there"]), ""))
            for place in packed.get("writes", ()):
                key, name, keep = str(place["key"]), str(place["name"]), str(place["keep"])
                path = self.store.work_folder(key, name, self._files_of(place), keep)
                self._writes.append((path, str(place["there"]), key))
                if place["leaves"]:
                    self._resumable.add(key)
                self._written.append(OutputWatch(path))
            packed = packed["object"]
        return decode(packed, Inward(self._path, call, self.store.read))

    def _pack(self, obj: object) -> object:
        return encode(obj, Outward(self._parts, text=self._words))

    def _path(self, parts: list[Any]) -> Path:
        kind, *rest = parts
        if kind == "p":
            return Path(str(rest[0]))
        place = (self._reads if kind == "r" else self._writes)[int(rest[0])][0]
        return place / safe_path(str(rest[1])) if rest[1] else place

    def _parts(self, path: Path) -> list[Any]:
        for kind, places in (("w", self._writes), ("r", self._reads)):
            for number, place in enumerate(places):
                if path == place[0] or path.is_relative_to(place[0]):
                    inside = path.relative_to(place[0]).as_posix()
                    return [kind, number, "" if inside == "." else inside]
        return ["p", str(path)]

    def _words(self, text: str) -> str:
        for place in (*self._writes, *self._reads):
            if str(place[0]) in text:
                text = text.replace(str(place[0]), place[1])
        return text

    # files

    def _hand_over(self, *, ended: bool) -> None:
        for number, written in enumerate(self._written):
            for inside, is_file in written.changes(ended=ended):
                if not is_file:
                    kind = "folder" if is_file is False else "gone"
                    self._tell(kind, self._number, {"place": number, "path": inside})
                    continue
                path = written.place / inside if inside else written.place
                with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                    self._send_file(number, inside, path)

    def _send_file(self, number: int, inside: str, path: Path) -> None:
        where = {"place": number, "path": inside}
        kept: list[bytes] | None = []
        size = 0
        for packed, digest in parts_of(path, self._bytes_of(path)):
            self._tell("file", self._number, {**where, "data": packed, "hash": digest})
            size += len(packed)
            if kept is not None:
                kept = [*kept, packed] if size <= LARGEST_COPY else None
            if digest and kept is not None and not self.store.blob(digest).exists():
                with contextlib.suppress(OSError):
                    self.store.add(digest, (bytes(unpack_bytes(one)) for one in kept))

    def _bytes_of(self, path: Path) -> Callable[[bytes], bytes]:
        escaped = path.suffix.lower() in {".json", ".geojson"}

        def words(raw: bytes) -> bytes:
            for place in (*self._writes, *self._reads):
                there = place[1].replace("\\", "\\\\") if escaped else place[1]
                raw = raw.replace(str(place[0]).encode(), there.encode())
            return raw

        return words


class _Notes(logging.Handler):
    """Passes on what the program notes on its way."""

    def __init__(self, worker: FarWorker) -> None:
        super().__init__(logging.WARNING)
        self.worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self.worker._tell("note", self.worker._number, [record.name, record.levelno, record.getMessage()])


def run_directly(store: Store, incoming: IO[bytes], outgoing: IO[bytes]) -> NoReturn:
    """Serve one connection, and end with it: where there are no socket files."""
    worker = FarWorker(store, _leave)
    worker.channel.on_cut = _leave
    _join(worker, incoming, outgoing)
    worker.serve()
    raise SystemExit


def _join(worker: FarWorker, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
    hello = read_line(incoming)
    write_line(outgoing, {"known": worker.joined, "received": worker.channel.received})
    # A worker that is new knows nothing of what the one before it has sent.
    has = int(hello["received"]) if worker.joined else 0
    worker.joined = True
    worker.channel.attach(incoming, outgoing, has)


def _leave() -> NoReturn:
    os._exit(0)  # whatever the network is doing: nobody waits for it any more


def serve_socket(address: Path, store: Store, wait: float) -> NoReturn:
    """Take connections, one after another, until nobody has been there for `wait` seconds."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    present: list[socket.socket] = []

    def leave() -> NoReturn:
        for path in (address, address.with_suffix(LOG)):
            path.unlink(missing_ok=True)
        _leave()

    def hang_up() -> None:
        """End the connection before, which may hold a thread that writes."""
        while present:
            with contextlib.suppress(OSError):
                present.pop().shutdown(socket.SHUT_RDWR)

    worker = FarWorker(store, leave)
    partial = address.with_suffix(".new")
    listener.bind(str(partial))
    listener.listen(4)
    partial.rename(address)  # whoever finds it can connect

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            hang_up()
            present.append(connection)
            with contextlib.suppress(EOFError, OSError, KeyError, ValueError):
                _join(worker, connection.makefile("rb"), connection.makefile("wb"))

    def watch() -> None:
        alone = time.monotonic()
        while True:
            time.sleep(min(1.0, wait / 4))
            if worker.channel.connected and time.monotonic() - worker.channel.heard > SILENCE:
                hang_up()
            if worker.channel.connected:
                alone = time.monotonic()
            elif time.monotonic() - alone > wait:
                leave()

    threading.Thread(target=accept, daemon=True).start()
    threading.Thread(target=watch, daemon=True).start()
    worker.serve()
    raise SystemExit


def main() -> None:
    """Serve the address, cache, size in gigabytes and wait in seconds that are given."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, ValueError):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # of the connection that is cut
    share_gpus()
    address, cache, size, wait = sys.argv[1:5]
    serve_socket(Path(address), Store(Path(cache), float(size) * GIGABYTE), float(wait))


if __name__ == "__main__":
    main()
