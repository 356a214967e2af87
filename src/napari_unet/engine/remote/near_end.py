"""The near side of a worker on another machine: what the engine speaks to instead of a process here."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import secrets
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from napari_unet.engine.remote.channel import SILENCE, Channel
from napari_unet.engine.remote.handshake import await_greeting, read_line, write_line
from napari_unet.engine.remote.manifest import Manifests
from napari_unet.engine.remote.outputs import PART, packed_parts
from napari_unet.engine.remote.plain_objects import Inward, Outward, decode, encode
from napari_unet.engine.remote.relay import DIED
from napari_unet.engine.remote.returned_files import ReturnedFiles
from napari_unet.engine.remote.store import StoredFile, safe_path, tree_id
from napari_unet.engine.task import FromCaller, describe_failure
from napari_unet.errors import ComputeError
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextvars import Context

    from napari_unet.engine.remote.journey import Journey, JourneyOf, Output
    from napari_unet.engine.task import Task

FIRST = 600.0  # seconds for the first connection: a queue may be in front of the machine
PATIENCE = 300.0  # seconds in which a connection that was cut must be there again
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before each try
MOST_LOST = 3  # workers that one task may lose
TABLES = frozenset({".csv", ".tsv"})  # a table may name files, which are below its folder
FAREWELL = 1.0  # seconds to say that the worker is not needed any more


@dataclass
class _Sent:
    """A task on the other machine, and what belongs to it here."""

    number: int
    journey: Journey
    reads: list[Path] = field(default_factory=list)
    tables: dict[Path, Path] = field(
        default_factory=dict
    )  # a folder of these, and the table that names files
    calls: list[FromCaller] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)  # hash to a file with this content
    arrays: dict[str, bytes] = field(default_factory=dict)  # hash to an array of the task
    answer: dict[str, bytes] = field(default_factory=dict)  # and of the last answer
    returned: ReturnedFiles = field(default_factory=lambda: ReturnedFiles(()))
    lost: int = 0
    cancelled: bool = False


class FarProcess:
    """A worker at the other end of a command; see ``ComputingProcess``.

    Parameters
    ----------
    command : sequence of str
        That starts it, such as ssh box napari-unet worker.
    journey_of : callable
        (task) -> Journey, or None for one that cannot travel.
    manifests : Manifests, optional
        What is known of files here; it may outlive this.
    context : contextvars.Context, optional
        In which functions are called for the task.
    """

    patience = FIRST

    def __init__(
        self,
        command: Sequence[str],
        journey_of: JourneyOf,
        manifests: Manifests | None = None,
        context: Context | None = None,
    ) -> None:
        self.command = tuple(command)
        self.journey_of = journey_of
        self.ready = False
        self.last_file = 0.0
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.reconnected = 0  # how often a connection was made again
        self._manifests = manifests or Manifests()
        self._context = context or copy_context()
        self._trees: set[str] = set()  # places whose contents the worker knows
        self._number = 0
        self._sent: _Sent | None = None
        self._problem: ComputeError | None = None
        self._closing = False
        self._cut = threading.Event()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as this
        self._process: subprocess.Popen[bytes] | None = None
        self._worker = ThreadPoolExecutor(1, "remote-send")
        self._caller = ThreadPoolExecutor(1, "remote-calls")
        self._session = secrets.token_hex(32)
        self._channel = Channel(self._on_message, self._cut.set)
        self._alive = True
        self._greeted = False  # whether the command has led to a worker
        self._keeper = threading.Thread(target=self._keep_connected, name="remote", daemon=True)
        self._keeper.start()

    # what the engine asks

    @property
    def id(self) -> int:
        """Of the command here; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it takes tasks, or will."""
        return self._alive

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes sent and received so far."""
        return self._channel.bytes_sent, self._channel.bytes_received

    def send(self, kind: str, number: int, content: object = None) -> None:
        """Tell the worker something."""
        if kind == "cancel" and self._sent is not None:
            self._sent.cancelled = True
        self._channel.send(encode((kind, number, content)))

    def send_task(self, task: Task[Any]) -> int:
        """Hand a task over; gives its number. What it reads is sent if the worker lacks it."""
        self._number += 1
        number = self._number
        journey = self.journey_of(task)
        if journey is None:
            raise ComputeError(
                f"{type(task).__name__} does not run on another machine",
                code="compute.remote.task",
                remedy="compute on this machine",
            )
        outputs = [output.path for output in journey.outputs]
        sent = self._sent = _Sent(number, journey, returned=ReturnedFiles(outputs))
        self._worker.submit(self._send_run, sent, again=False)
        return number

    def unpack(self, content: Any) -> Any:
        """What came with a message; it is an object already."""
        return content

    def answer(self, function: int, arguments: Any) -> None:
        """Call a function for the worker, in a thread of its own, and send the value."""
        sent = self._sent
        if sent is None:
            return
        called = sent.calls[function]

        def work() -> None:
            sent.answer = {}

            def blob(raw: memoryview) -> str:
                digest = hashlib.sha256(raw).hexdigest()
                sent.answer[digest] = bytes(raw)
                return digest

            outward = Outward(lambda path: self._path_of(sent, path, new=False), blob=blob)
            try:
                answered, value = True, encode(self._context.run(called, *arguments), outward)
            except Exception as error:  # noqa: BLE001 - it is passed on to the task
                answered, value = False, encode(describe_failure(error))
            blobs = [[digest, len(raw)] for digest, raw in sent.answer.items()]
            content = {"answered": answered, "object": value, "blobs": blobs}
            self._channel.send(encode(("answer", sent.number, content)), patient=True)

        self._caller.submit(work)

    def forget_calls(self) -> None:
        """Let go of the last task."""
        if self._sent is not None:
            self._sent.returned.drop()
        self._sent = None

    def last_words(self) -> tuple[ComputeError, str]:
        """Why it is gone, for a person and for a developer."""
        return self._problem or _unreachable(self.command, self._noise()), self._noise()

    def end(self) -> None:
        """Say good bye, and end the command."""
        self._closing = True
        self._alive = False
        if self._channel.connected:
            self.send("bye", 0)
            self._channel.flush(FAREWELL)
        self._channel.close()
        self._cut.set()
        self._hang_up()
        self._keeper.join(2)
        for thread in (self._worker, self._caller):
            thread.shutdown(wait=False, cancel_futures=True)
        self.forget_calls()
        self._log.close()

    # the connection

    def _keep_connected(self) -> None:
        """Connect, and connect again when the connection is cut, until the engine has enough."""
        met = False  # whether the worker knows of this session
        since, tries = time.monotonic(), 0
        while not self._closing:
            if tries and self._cut_for_good(PAUSES[min(tries, len(PAUSES) - 1)]):
                return
            try:
                incoming, outgoing, reply = self._connect()
            except ComputeError as error:
                self._give_up(error)
                return
            except (EOFError, OSError, KeyError, ValueError):
                tries += 1
                code = self._hang_up()
                if self._closing:
                    return
                if code == DIED or not self._greeted or time.monotonic() - since > PATIENCE:
                    self._give_up(_unreachable(self.command, self._noise(), lost=self._greeted))
                    return
                self._say("The connection was cut. Connecting again")
                continue
            if met and not reply["known"] and not self._begin_again():
                return
            self._cut.clear()
            self._channel.attach(incoming, outgoing, int(reply["received"]))
            self.reconnected += met
            met, tries = True, 0
            self._wait_for_cut()
            since = time.monotonic()
            code = self._hang_up()
            if code == DIED and not self._closing:
                self._give_up(_died(self._noise()))
                return
            tries = 1
            self._say("The connection was cut. Connecting again")

    def _wait_for_cut(self) -> None:
        channel = self._channel
        while not self._cut.wait(1.0) and not self._closing:
            if time.monotonic() - channel.heard > SILENCE:
                channel.detach()
                return

    def _cut_for_good(self, seconds: float) -> bool:
        """Wait before another try; True if none is wanted."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._closing:
                return True
            time.sleep(0.02)
        return self._closing

    def _connect(self) -> tuple[IO[bytes], IO[bytes], dict[str, Any]]:
        options: dict[str, Any] = {}
        if sys.platform == "win32":
            options["creationflags"] = subprocess.CREATE_NO_WINDOW
        else:
            options["start_new_session"] = True  # Ctrl-C in the shell is for the task, not for ssh
        process = self._process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, **options
        )
        assert process.stdin is not None
        assert process.stdout is not None
        await_greeting(process.stdout)
        self._greeted = True
        write_line(process.stdin, {"session": self._session, "received": self._channel.received})
        return process.stdout, process.stdin, read_line(process.stdout)

    def _hang_up(self) -> int | None:
        """End the command; gives its exit code if it ended by itself."""
        process = self._process
        if process is None:
            return None
        self._channel.detach()
        if process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(0.5)
        if code is None:
            process.kill()
            process.wait(5)
        if process.stdout is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdout.close()
        self._process = None
        return code

    def _begin_again(self) -> bool:
        """The worker is gone: another one takes the task. False if too many are gone."""
        self._channel.close()
        self._channel = Channel(self._on_message, self._cut.set)
        self._trees.clear()
        sent = self._sent
        if sent is not None:
            sent.lost += 1
            if sent.lost > MOST_LOST:
                self._give_up(_died(self._noise()))
                return False
            sent.returned.drop()
            self._worker.submit(self._send_run, sent, again=True)
        return True

    def _give_up(self, problem: ComputeError) -> None:
        self._problem = problem
        self._alive = False
        self._hang_up()
        self.messages.put(None)

    def _noise(self) -> str:
        """What the command wrote besides, its last lines."""
        with contextlib.suppress(OSError, ValueError):
            self._log.seek(0, 2)
            self._log.seek(max(0, self._log.tell() - 4000))
            return self._log.read().decode(errors="replace").strip()
        return ""

    def _say(self, sentence: str, done: float = 0, total: float = 0) -> None:
        sent = self._sent
        if sent is not None:
            self.messages.put(("progress", sent.number, Progress(done, total, sentence)))

    # what is sent

    def _send_run(self, sent: _Sent, *, again: bool) -> None:
        """Send a task with what is in the places that it reads and writes."""
        try:
            content = self._packed(sent, again=again)
            if sent.cancelled:
                self.messages.put(("cancelled", sent.number, None))
                return
            self._channel.send(encode(("run", sent.number, content)), patient=True)
        except Exception as error:  # noqa: BLE001 - the engine must hear of it
            if not self._closing:
                failure = describe_failure(error), traceback.format_exc()
                self.messages.put(("failed", sent.number, failure))

    def _packed(self, sent: _Sent, *, again: bool) -> dict[str, Any]:
        journey = sent.journey
        task = journey.resumed if again and journey.resumed is not None else journey.task
        sent.reads.clear()
        sent.tables.clear()
        sent.calls.clear()
        sent.arrays.clear()

        def keep(function: FromCaller) -> int:
            sent.calls.append(function)
            return len(sent.calls) - 1

        def blob(raw: memoryview) -> str:
            digest = hashlib.sha256(raw).hexdigest()
            sent.arrays[digest] = bytes(raw)
            return digest

        packed = encode(task, Outward(lambda path: self._path_of(sent, path), keep, blob))
        reads = [self._place(sent, path) for path in sent.reads]
        writes = [self._output(sent, output, again=again) for output in journey.outputs]
        blobs = [[digest, len(raw)] for digest, raw in sent.arrays.items()]
        return {"object": packed, "reads": reads, "writes": writes, "blobs": blobs}

    def _path_of(self, sent: _Sent, path: Path, *, new: bool = True) -> list[Any]:
        """What a path of this machine is called on the way."""
        for number, output in enumerate(sent.journey.outputs):
            if path.is_relative_to(output.path):
                return ["w", number, _inside(path, output.path)]
        for number, place in enumerate(sent.reads):
            if path.is_relative_to(place) and place not in sent.tables:
                return ["r", number, _inside(path, place)]
        if not new or not path.exists():
            return ["p", str(path)]
        table = path.suffix.lower() in TABLES and path.is_file()
        place = path.absolute().parent if table else path
        if table:
            sent.tables[place] = path
        sent.reads.append(place)
        return ["r", len(sent.reads) - 1, path.name if table else ""]

    def _place(self, sent: _Sent, path: Path) -> dict[str, Any]:
        wanted = _named_in(sent.tables[path]) if path in sent.tables else None
        files, sources = self._manifests.look(path, self._check_wanted, wanted)
        sent.files.update(sources)
        name = path.resolve().name or "data"
        identifier = tree_id(name, files)
        place: dict[str, Any] = {"name": name, "there": str(path), "tree": identifier}
        if identifier not in self._trees:
            self._trees.add(identifier)
            place["files"] = _listed(files)
        return place

    def _output(self, sent: _Sent, output: Output, *, again: bool) -> dict[str, Any]:
        files: list[StoredFile] = []
        if output.path.exists():
            files, sources = self._manifests.look(output.path, self._check_wanted, _among(output.bring))
            sent.files.update(sources)
        where = f"{_this_machine()}\0{output.path.expanduser().absolute()}"
        return {
            "name": output.path.absolute().name or "out",
            "there": str(output.path),
            "key": hashlib.sha256(where.encode()).hexdigest(),
            "keep": output.keep if again or (sent.journey.resumes and not any(f.hash for f in files)) else "",
            "leaves": bool(output.keep),
            "files": _listed(files),
        }

    def _check_wanted(self) -> None:
        if self._closing:
            raise EOFError

    def _supply(self, sent: _Sent, digests: list[str]) -> None:
        """Send contents that the worker lacks."""
        try:
            wanted = [(digest, *self._source(sent, digest)) for digest in digests]
            total, done = sum(size for _, _, size in wanted), 0
            for digest, source, _ in wanted:
                for packed, raw, last in _with_last(packed_parts_of(source)):
                    if sent is not self._sent or sent.cancelled or self._closing:
                        return
                    content = {"hash": digest, "data": packed, "last": last}
                    self._channel.send(encode(("part", sent.number, content)), patient=True)
                    done += raw
                    if total > PART:
                        words = f"Sending {total / 1e6:,.0f} MB to the other machine"
                        self._say(words, done, total)
        except Exception as error:  # noqa: BLE001 - the engine must hear of it
            if not self._closing:
                failure = describe_failure(error), traceback.format_exc()
                self.messages.put(("failed", sent.number, failure))

    def _source(self, sent: _Sent, digest: str) -> tuple[Path | bytes, int]:
        for arrays in (sent.answer, sent.arrays):
            if digest in arrays:
                return arrays[digest], len(arrays[digest])
        path = sent.files[digest]
        return path, path.stat().st_size

    # what comes

    def _on_message(self, message: bytes) -> None:
        try:
            kind, number, content = decode(message)
            self._take(kind, number, content)
        except Exception as error:  # noqa: BLE001 - the engine must hear of it, and the next message come
            if self._sent is not None and not self._closing:
                self.send("cancel", self._sent.number)
                failure = describe_failure(error), traceback.format_exc()
                self.messages.put(("failed", self._sent.number, failure))

    def _take(self, kind: str, number: int, content: Any) -> None:
        sent = self._sent
        if kind == "ready":
            if not self.ready:
                self.messages.put(("ready", 0, None))
            return
        if kind == "note":
            name, level, text = content
            if str(name).split(".")[0] == "napari_unet":
                logging.getLogger(name).log(int(level), "%s", text)
            return
        if sent is None or number != sent.number:
            return
        if kind == "lack":
            self._worker.submit(self._supply, sent, [str(digest) for digest in content])
        elif kind in {"file", "folder", "gone"}:
            self.last_file = time.monotonic()
            sent.returned.take(kind, **content)
        elif kind == "call":
            function, arguments = content
            self.messages.put(("call", number, (function, decode(arguments, self._inward(sent)))))
        elif kind in {"progress", "done"}:
            self.messages.put((kind, number, decode(content, self._inward(sent))))
        else:
            self.messages.put((kind, number, content))

    def _inward(self, sent: _Sent) -> Inward:
        outputs = [output.path for output in sent.journey.outputs]

        def path(parts: list[Any]) -> Path:
            kind, *rest = parts
            if kind == "p":
                return Path(str(rest[0]))
            place = {"r": sent.reads, "w": outputs}[kind][int(rest[0])]
            return place / safe_path(str(rest[1])) if rest[1] else place

        return Inward(path)


def packed_parts_of(source: Path | bytes) -> Iterator[tuple[bytes, int]]:
    """A content in packed parts, each with the bytes that are in it."""
    sizes: list[int] = []

    def raw_parts() -> Iterator[bytes]:
        if isinstance(source, bytes):
            for start in range(0, max(len(source), 1), PART):
                sizes.append(len(source[start : start + PART]))
                yield source[start : start + PART]
            return
        with source.open("rb") as file:
            part = file.read(PART)
            while True:
                sizes.append(len(part))
                yield part
                part = file.read(PART)
                if not part:
                    return

    for packed in packed_parts(raw_parts()):
        yield packed, sizes[-1]


def _with_last(parts: Iterator[tuple[bytes, int]]) -> Iterator[tuple[bytes, int, bool]]:
    before: tuple[bytes, int] | None = None
    for part in parts:
        if before is not None:
            yield *before, False
        before = part
    if before is not None:
        yield *before, True


def _inside(path: Path, place: Path) -> str:
    inside = path.relative_to(place).as_posix()
    return "" if inside == "." else inside


def _among(names: tuple[str, ...] | None) -> Callable[[str], bool] | None:
    return None if names is None else lambda path: path in names


def _named_in(table: Path) -> Callable[[str], bool]:
    """Which files of a table's folder it names, by whatever path."""
    text = table.read_text(errors="replace")
    return lambda path: path == table.name or path.rsplit("/", 1)[-1] in text


def _listed(files: list[StoredFile]) -> list[list[Any]]:
    return [[one.path, one.hash, one.size] for one in files]


def _this_machine() -> str:
    """What tells this machine and person from others that use the same box."""
    import getpass
    import platform

    try:
        person = getpass.getuser()
    except (OSError, KeyError):
        person = ""
    return f"{platform.node()}\0{person}"


def _unreachable(command: Sequence[str], noise: str, *, lost: bool = False) -> ComputeError:
    import shlex

    said = noise.splitlines()[-1][:300] if noise else "no answer"
    if lost:
        return ComputeError(
            "the connection to the other machine was cut and could not be made again",
            code="compute.remote.lost",
            got=said,
            remedy="check the network and start again; images, masks and painting are on this machine",
        )
    return ComputeError(
        f"`{shlex.join(command)}` did not reach a worker",
        code="compute.remote.unreachable",
        expected="napari-unet on the other machine, and a login without a question",
        got=said,
        remedy="try the command in a shell; give the whole path of napari-unet there if it is not found",
    )


def _died(noise: str) -> ComputeError:
    return ComputeError(
        "the computing process on the other machine ended in the middle of the work",
        code="compute.process.ended",
        got=noise.splitlines()[-1][:300] if noise else "no word of it",
        remedy="try again, with less at once if its memory is short; images and masks here are untouched",
    )
