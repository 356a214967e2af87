"""Tasks for the tests of the engines; in a module, so that the computing process can import them."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.errors import DataError
from napari_unet.progress import CancelToken, OnProgress, Progress, tracked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_unet.engine.task import FromCaller


@dataclass(frozen=True, eq=False)
class Double:
    array: NDArray[Any]

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> dict[str, Any]:
        return {"twice": self.array * 2, "process": os.getpid()}


@dataclass(frozen=True)
class Count:
    steps: int
    seconds: float = 0.02

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> int:
        for number in tracked(range(self.steps), self.steps, "Counting", on_progress, cancel):
            on_progress(Progress(number, self.steps, piece=np.full(100_000, number)))
            time.sleep(self.seconds)
        return self.steps


@dataclass(frozen=True)
class Look:
    """Tells a loss 300 times at once, and a score after each hundredth."""

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        for number in range(1, 301):
            on_progress(Progress(number, 1000, values={"loss": float(number)}))
            if number % 100 == 0:
                on_progress(Progress(number, 1000, values={"score": float(number)}))


@dataclass(frozen=True)
class Fork:
    """Leaves a child behind that has all files open and waits, as a library did from a thread."""

    seconds: float = 60

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> int:
        child = os.fork()
        if not child:
            time.sleep(self.seconds)
            os._exit(0)
        return child


@dataclass(frozen=True)
class Deaf:
    seconds: float = 60

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        on_progress(Progress(0, 0, "deaf"))
        time.sleep(self.seconds)


@dataclass(frozen=True)
class Die:
    number: int = signal.SIGKILL

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        print("last words", flush=True)
        os.kill(os.getpid(), self.number)
        time.sleep(10)


@dataclass(frozen=True)
class Fail:
    ours: bool

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> None:
        if self.ours:
            raise DataError(
                "a thing is wrong",
                code="data.image.unreadable",
                expected="right",
                got="wrong",
                remedy="mend it",
            )
        raise KeyError("missing")


@dataclass(frozen=True, eq=False)
class Ask:
    question: FromCaller

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> Any:
        return self.question(20) + self.question(22)


@dataclass(frozen=True, eq=False)
class AskFromThreads:
    question: FromCaller
    times: int = 40

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> list[Any]:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(self.question, range(self.times)))


@dataclass(frozen=True)
class CopyUpper:
    """Writes each text of a folder in capitals into another, one a piece, and what was there before."""

    source: Path
    out: Path
    pause: float = 0.0

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> list[Path]:
        self.out.mkdir(exist_ok=True)
        before = sorted(path.name for path in self.out.iterdir())
        written = []
        for path in sorted(self.source.iterdir()):
            cancel.check()
            goal = self.out / path.name
            goal.write_text(path.read_text().upper())
            written.append(goal)
            on_progress(Progress(len(written), 0, f"wrote {goal}", piece=goal))
            time.sleep(self.pause)
        (self.out / "note.json").write_text(json.dumps({"from": str(self.source), "before": before}))
        return written


@dataclass(frozen=True)
class CountOn:
    """Counts in a file, and continues from what is there; the first process is killed at 3, or each one."""

    out: Path
    resume: bool = False
    always: bool = False

    def run(self, on_progress: OnProgress, cancel: CancelToken) -> list[int]:
        self.out.mkdir(exist_ok=True)
        state = self.out / "state.txt"
        before = int(state.read_text()) if self.resume and state.exists() else 0
        for number in range(before + 1, 6):
            state.write_text(str(number))
            if (number == 3 and not before) or self.always:
                os.kill(os.getpid(), signal.SIGKILL)
        return [before, int(state.read_text())]
