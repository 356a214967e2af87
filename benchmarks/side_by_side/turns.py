"""Programs in processes of their own that take turns, so that none computes beside another."""

from __future__ import annotations

import contextlib
import statistics
import time
import traceback
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LONGEST_START = 600.0  # seconds; torch.compile takes minutes where others compute
TURN = 0.6  # seconds of work a turn, or one call if that is longer


def serve(connection: Any, build: Callable[..., Any], arguments: tuple[Any, ...], given: Any) -> None:
    """In the process: build, answer once, then run as often as told and say how long each call took."""
    try:
        start = time.perf_counter()
        run = build(*arguments)
        built = time.perf_counter()
        first = run(*given)
        connection.send((built - start, time.perf_counter() - built, first))
        while (calls := connection.recv()) is not None:
            taken = []
            answer: Any = None
            for _ in range(calls):
                start = time.perf_counter()
                answer = run(*given)
                taken.append(time.perf_counter() - start)
            connection.send((taken, answer if np.isscalar(answer) else None))
    except Exception:  # noqa: BLE001 - the other side is told, and says it
        connection.send(traceback.format_exc())


@dataclass
class Contender:
    """A program under way.

    Attributes
    ----------
    name : str
        Of the row.
    building, first_call : float
        Seconds.
    first : Any
        What it answered first.
    seconds : list of float
        Of a call, one a round.
    """

    name: str
    process: Any
    connection: Any
    building: float = 0.0
    first_call: float = 0.0
    first: Any = None
    last: Any = None
    seconds: list[float] = field(default_factory=list)

    def ask(self, calls: int) -> list[float]:
        """Have it run."""
        self.connection.send(calls)
        taken: list[float]
        taken, self.last = self._answer()
        return taken

    def turn(self) -> None:
        """One turn: as many calls as fit, after one that does not count, as caches are others' by then."""
        calls = max(1, round(TURN / max(self.seconds[-1], 1e-4))) if self.seconds else 1
        self.seconds.append(statistics.median(self.ask(calls + 1)[1:]))

    def _answer(self) -> Any:
        if not self.connection.poll(LONGEST_START):
            raise SystemExit(f"{self.name} does not answer")
        found = self.connection.recv()
        if isinstance(found, str):
            raise SystemExit(f"{self.name} failed:\n{found}")
        return found


@contextlib.contextmanager
def contenders(rows: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any]]) -> Iterator[list[Contender]]:
    """Start programs one after another; each has answered once when this gives them.

    Parameters
    ----------
    rows : dict
        Name to (build, its arguments, what its function is given).
    """
    started: list[Contender] = []
    context = get_context("spawn")
    try:
        for name, (build, arguments, given) in rows.items():
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, build, arguments, given), daemon=True)
            process.start()
            one = Contender(name, process, here)
            started.append(one)
            one.building, one.first_call, one.first = one._answer()
        yield started
    finally:
        for one in started:
            with contextlib.suppress(OSError):
                one.connection.send(None)
            one.process.join(5)
            if one.process.is_alive():
                one.process.terminate()


def take_turns(programs: list[Contender], rounds: int) -> None:
    """Some rounds, in another order each, after one that does not count."""
    for number in range(rounds + 1):
        for place in range(len(programs)):
            programs[(place + number) % len(programs)].turn()
    for one in programs:
        del one.seconds[0]


def ratios(ours: Contender, other: Contender) -> list[float]:
    """How many times as fast ours is, round by round."""
    return [theirs / own for own, theirs in zip(ours.seconds, other.seconds, strict=True)]


def spread(values: list[float], digits: int = 2) -> str:
    """Median, lowest and highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
