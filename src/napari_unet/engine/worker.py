"""The computing process: takes tasks from its parent, runs them one after another, tells of them.

Started by ``engine.process`` as ``python -m napari_unet.engine.worker``; the pipes are its standard
input and output. It ends when its parent does.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import shutil
import signal
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from napari_unet.engine.hardware import share_gpus
from napari_unet.engine.packing import pack, unpack
from napari_unet.engine.task import describe_failure
from napari_unet.errors import Cancelled
from napari_unet.progress import CancelToken, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

LENGTH = struct.Struct("<Q")
PROGRESS_EVERY = 0.05  # seconds
NICENESS = 5  # the window goes first


def write_message(stream: IO[bytes], lock: threading.Lock, message: object) -> None:
    """Write one message whole.

    Raises
    ------
    OSError
        If the other process is gone.
    """
    content = pickle.dumps(message, protocol=5)
    with lock:
        stream.write(LENGTH.pack(len(content)))
        stream.write(content)
        stream.flush()


def read_message(stream: IO[bytes]) -> Any:
    """Read one message.

    Raises
    ------
    EOFError
        If the other process is gone.
    """
    header = stream.read(LENGTH.size)
    if len(header) < LENGTH.size:
        raise EOFError
    (length,) = LENGTH.unpack(header)
    content = stream.read(length)
    if len(content) < length:
        raise EOFError
    return pickle.loads(content)


class Worker:
    """Runs what comes in, in this thread; a second thread listens."""

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes], folders: list[Path]) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.folders = folders
        self.lock = threading.Lock()
        self.calls = threading.Lock()
        self.tasks: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        self.tokens: dict[int, CancelToken] = {}

    def serve(self) -> None:
        """Run tasks until the parent is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._tell("ready")
        while True:
            number, packed = self.tasks.get()
            self._run(number, packed)

    def _listen(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self.hear(*read_message(self.incoming))
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)  # whatever the network is doing: nobody waits for it any more

    def hear(self, kind: str, number: int, content: Any) -> None:
        """Take a message; not in the thread that runs tasks."""
        if kind == "run":
            self.tokens[number] = CancelToken()
            self.tasks.put((number, content))
        elif kind == "cancel" and number in self.tokens:
            self.tokens[number].cancel()
        elif kind == "answer":
            self.answers.put(content)

    def _tell(self, kind: str, number: int = 0, content: object = None) -> None:
        write_message(self.outgoing, self.lock, (kind, number, content))

    def _pack(self, obj: object) -> object:
        return pack(obj, self.folders)

    def _unpack(self, packed: Any, call: Callable[..., Any] | None = None) -> Any:
        return unpack(packed, call)

    def _hand_over(self, *, ended: bool) -> None:
        """Let the caller have the files that the task has written so far: here they have them already."""

    def _run(self, number: int, packed: Any) -> None:
        token = self.tokens[number]
        last = 0.0
        last_values: frozenset[str] = frozenset()  # names of the values last sent: others come seldom

        def report(progress: Progress) -> None:
            nonlocal last, last_values
            now = time.monotonic()
            before, last_values = last_values, frozenset(progress.values)
            due = now - last >= PROGRESS_EVERY or progress.done >= progress.total
            if due or progress.piece is not None or last_values != before:
                last = now
                if progress.piece is not None:
                    self._hand_over(ended=False)
                self._tell("progress", number, self._pack(progress))

        def call(function: int, *arguments: object) -> Any:
            # A task may ask from several threads: every one shall get the answer to its own question.
            with self.calls:
                token.check()
                self._tell("call", number, (function, self._pack(arguments)))
                answered, value = self.answers.get()
            found = self._unpack(value)
            if not answered:
                raise found
            return found

        self._tell("started", number)
        try:
            task = self._unpack(packed, call)
            token.check()
            try:
                result = task.run(report, token)
            finally:
                self._hand_over(ended=True)
            content = self._pack(result)
        except Cancelled:
            self._tell("cancelled", number)
        except Exception as error:  # noqa: BLE001 - the one place of this process where all is caught
            self._tell("failed", number, (describe_failure(error), traceback.format_exc()))
        else:
            self._tell("done", number, content)
        finally:
            del self.tokens[number]


def main() -> None:
    """Serve the parent that started this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the shell is for the parent
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    share_gpus()  # whichever task imports Keras
    # The pipe is ours alone: whatever a library prints goes with the warnings.
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    Worker(sys.stdin.buffer, outgoing, [Path(name) for name in sys.argv[1:]]).serve()


if __name__ == "__main__":
    main()
