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
from typing import IO, TYPE_CHECKING, Any

from napari_unet.engine.remote.channel import SILENCE, Channel
from napari_unet.engine.remote.handshake import await_greeting, read_line, write_line
from napari_unet.engine.remote.manifest import Manifests
from napari_unet.engine.remote.outputs import PART
from napari_unet.engine.remote.plain_objects import Outward, decode, encode
from napari_unet.engine.remote.problems import died, unreachable
from napari_unet.engine.remote.relay import DIED
from napari_unet.engine.remote.returned_files import ReturnedFiles
from napari_unet.engine.remote.sent_task import SentTask, packed_parts_of, with_last
from napari_unet.engine.task import describe_failure
from napari_unet.errors import ComputeError
from napari_unet.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context
    from pathlib import Path

    from napari_unet.engine.remote.journey import JourneyOf
    from napari_unet.engine.remote.store import StoredFile
    from napari_unet.engine.task import Task

FIRST = 600.0  # seconds for the first connection: a queue may be in front of the machine
PATIENCE = 300.0  # seconds in which a connection that was cut must be there again
PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds before each try
FIRST_TRIES = 5  # to reach a worker for the first time, where nothing says why not
MOST_LOST = 3  # workers that one task may lose
FAREWELL = 1.0  # seconds to say that the worker is not needed any more
LAST_WORD = 5.0  # seconds in which a command whose line was cut may say by its exit code why


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
    notes : bool
        Whether what the program notes there is noted here, as it is when it runs in this process.
    """

    patience = FIRST

    def __init__(
        self,
        command: Sequence[str],
        journey_of: JourneyOf,
        manifests: Manifests | None = None,
        context: Context | None = None,
        notes: bool = False,
    ) -> None:
        self.command = tuple(command)
        self.journey_of = journey_of
        self.ready = False
        self.last_file = 0.0
        self.messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.reconnected = 0  # how often a connection was made again
        self._manifests = manifests or Manifests()
        self._context = context or copy_context()
        self._notes = notes
        self._trees: set[str] = set()  # places whose contents the worker knows
        self._number = 0
        self._sent: SentTask | None = None
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
        sent = self._sent = SentTask(number, journey, returned=ReturnedFiles(outputs))
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

            outward = Outward(lambda path: sent.path_of(path, new=False), blob=blob)
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
        return self._problem or unreachable(self.command, self._noise()), self._noise()

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
                # A command that is wrong says why; one that ends without a word may have been cut already.
                refused = not self._greeted and (bool(self._noise()) or tries > FIRST_TRIES)
                if code == DIED or refused or time.monotonic() - since > PATIENCE:
                    self._give_up(unreachable(self.command, self._noise(), lost=self._greeted))
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
            code = self._hang_up(LAST_WORD)
            sent, tries = self._sent, 1
            if code != DIED:
                self._say("The connection was cut. Connecting again")
            elif sent is not None and sent.journey.resumed is not None and not sent.cancelled:
                # Another worker resumes from what this one left; ``_begin_again`` says when it is enough.
                self._say("The computing process ended. Another one resumes")
            elif not self._closing:
                self._give_up(died(self._noise()))
                return

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

    def _hang_up(self, patience: float = 0.5) -> int | None:
        """End the command; gives its exit code if it ended by itself within ``patience`` seconds."""
        process = self._process
        if process is None:
            return None
        self._channel.detach()
        if process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(patience)
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
                self._give_up(died(self._noise()))
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

    def _send_run(self, sent: SentTask, *, again: bool) -> None:
        """Send a task with what is in the places that it reads and writes."""
        try:
            content = sent.packed(self._look, self._trees, again=again)
            if sent.cancelled:
                self.messages.put(("cancelled", sent.number, None))
                return
            self._channel.send(encode(("run", sent.number, content)), patient=True)
        except Exception as error:  # noqa: BLE001 - the engine must hear of it
            if not self._closing:
                failure = describe_failure(error), traceback.format_exc()
                self.messages.put(("failed", sent.number, failure))

    def _look(
        self, place: Path, wanted: Callable[[str], bool] | None
    ) -> tuple[list[StoredFile], dict[str, Path]]:
        return self._manifests.look(place, self._check_wanted, wanted)

    def _check_wanted(self) -> None:
        if self._closing:
            raise EOFError

    def _supply(self, sent: SentTask, digests: list[str]) -> None:
        """Send contents that the worker lacks."""
        try:
            wanted = [(digest, *sent.source(digest)) for digest in digests]
            total, done = sum(size for _, _, size in wanted), 0
            for digest, source, _ in wanted:
                for packed, raw, last in with_last(packed_parts_of(source)):
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
            if self._notes and str(name).split(".")[0] == "napari_unet":
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
            self.messages.put(("call", number, (function, decode(arguments, sent.inward()))))
        elif kind in {"progress", "done"}:
            self.messages.put((kind, number, decode(content, sent.inward())))
        else:
            self.messages.put((kind, number, content))
