"""Damaged files, thousands of them, each opened as the program opens a person's.

Whole files of every kind that the program reads are made, then damaged: bits and bytes anywhere, pieces cut
or repeated, and, so that readers go deeper, tags of TIFF, chunks of PNG, values of JSON, directories of zips,
headers of HDF5 and NPY, strokes of a journal, with checksums made right again. Another process reads each,
by the functions that command line and window call. What may come out is a result, or an error for a person
(``WorkbenchError``). A traceback, a crash of the process, more than 5 seconds of processor time, or more than
1 GB of memory is a failure. The inputs follow from --seed alone.

Run: python benchmarks/fuzz.py [COUNT] [--kinds PNG "TIFF, LZW"] [--seed 0] [--keep DIR]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from fuzzing.kinds import KINDS
from fuzzing.worker import Ended, Limits, damaged, put, work

if TYPE_CHECKING:
    from fuzzing.seeds import Files

FAILURES = ("traceback", "crash", "hang", "slow", "memory")
AT_ONCE = 50  # inputs given to a process together
LIVES = 40  # rounds of such inputs until a process makes room for a fresh one
LONGEST = 60.0  # seconds by the clock, whatever else the machine does


@dataclass
class Reader:
    """One process, what it does, and since when.

    Attributes
    ----------
    numbers : list of int
        Inputs that it was given and has not begun.
    current : int or None
        The input that it reads.
    """

    folder: Path
    seed: int
    limits: Limits
    process: Any = None
    pipe: Any = None
    kind: str = ""
    numbers: list[int] = field(default_factory=list)
    current: int | None = None
    began: float = 0.0
    used: float = 0.0
    rounds: int = 0

    def start(self) -> None:
        """Begin a fresh process."""
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        arguments = (other, self.folder / "input", self.folder / "trace", self.seed, self.limits)
        self.process = context.Process(target=work, args=arguments, daemon=True)
        self.process.start()
        other.close()
        self.rounds = 0

    def give(self, kind: str, seeds: list[Files], numbers: list[int]) -> None:
        """Have inputs read."""
        if self.process is None or self.rounds >= LIVES:
            self.stop()
            self.start()
        self.kind, self.numbers, self.rounds = kind, list(numbers), self.rounds + 1
        self.pipe.send((kind, seeds, numbers))

    def stop(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None

    def heard(self) -> list[Ended]:
        """What ended since; a process that crashed or hangs is replaced when the next inputs come."""
        found: list[Ended] = []
        try:
            while self.pipe.poll(0):
                message = self.pipe.recv()
                if isinstance(message, Ended):
                    found.append(message)
                    self.current = None
                else:
                    self.current = message
                    self.numbers.remove(message)
                    self.began, self.used = time.monotonic(), self._processor_time()
        except (EOFError, OSError):
            self.process.join()
            trace = (self.folder / "trace").read_text() if (self.folder / "trace").exists() else ""
            detail = f"exit code {self.process.exitcode}\n{trace[:1500]}"
            if self.current is None:
                raise SystemExit(f"a process ended between two inputs of {self.kind}: {detail}") from None
            found.append(Ended(self.current, "crash", detail))
            self._lose()
            return found
        if self.current is not None:
            used = self._processor_time() - self.used
            if used > self.limits.seconds * 1.5 or time.monotonic() - self.began > LONGEST:
                found.append(Ended(self.current, "hang", f"no end after {used:.1f} s of processor time"))
                self._lose()
        return found

    def _lose(self) -> None:
        self.stop()
        self.current = None
        (self.folder / "trace").unlink(missing_ok=True)

    def _processor_time(self) -> float:
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)


def shares(count: int, names: list[str]) -> dict[str, int]:
    """How many inputs of each kind make so many in all."""
    total = sum(KINDS[name].share for name in names)
    return {name: max(1, round(count * KINDS[name].share / total)) for name in names}


def fuzz(
    counts: dict[str, int], seed: int, limits: Limits, keep: Path | None, processes: int = 2
) -> dict[str, Counter[str]]:
    """Read damaged inputs; failing ones are kept, each with what happened.

    Returns
    -------
    dict
        Kind to how often inputs of it ended in which way.
    """
    results: dict[str, Counter[str]] = {name: Counter() for name in counts}
    with tempfile.TemporaryDirectory() as name:
        readers = [Reader(Path(name) / str(n), seed, limits) for n in range(processes)]
        for reader in readers:
            reader.folder.mkdir()
        try:
            for kind, count in counts.items():
                seeds = KINDS[kind].seeds()
                waiting = list(range(count))
                start = time.monotonic()
                while waiting or any(r.numbers or r.current is not None for r in readers):
                    for reader in readers:
                        if reader.process is None and reader.numbers:
                            reader.give(kind, seeds, reader.numbers)
                        elif not reader.numbers and reader.current is None and waiting:
                            reader.give(kind, seeds, waiting[:AT_ONCE])
                            del waiting[:AT_ONCE]
                        for ended in reader.heard() if reader.process is not None else ():
                            results[kind][ended.outcome] += 1
                            if ended.outcome in FAILURES:
                                tell(kind, ended)
                                if keep is not None:
                                    save(keep, kind, ended, damaged(kind, seeds, ended.number, seed))
                    time.sleep(0.005)
                print(row(kind, results[kind], time.monotonic() - start), flush=True)
        finally:
            for reader in readers:
                reader.stop()
    return results


def tell(kind: str, ended: Ended) -> None:
    """Say what failed, in a line or two."""
    lines = [line for line in ended.detail.splitlines() if line.strip()]
    last = lines[-1] if ended.outcome == "traceback" and lines else (lines or [""])[0]
    print(f"  {kind} {ended.number}: {ended.outcome}: {last[:200]}", file=sys.stderr, flush=True)


def save(keep: Path, kind: str, ended: Ended, files: Files) -> None:
    """Keep an input and what happened."""
    folder = keep / f"{kind.replace(' ', '-').replace(',', '')}-{ended.number}-{ended.outcome}"
    put(files, folder / "input")
    (folder / "what.txt").write_text(ended.detail, encoding="utf-8", errors="replace")


def row(kind: str, found: Counter[str], seconds: float) -> str:
    """A line of the table."""
    failed = sum(found[name] for name in FAILURES)
    words = ", ".join(f"{found[name]} {name}" for name in FAILURES if found[name])
    inputs = sum(found.values())
    return f"{kind:18} {inputs:7} {found['opened']:7} {found['refused']:8} {failed:9} {seconds:8.0f}  {words}"


def main() -> int:
    """Print a table; exit code 1 where an input failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="inputs in all (default: 10000)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for the inputs that fail")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0, help="of processor time for one input")
    parser.add_argument("--megabytes", type=int, default=1024, help="of memory for one input")
    options = parser.parse_args()
    if options.keep is not None:
        shutil.rmtree(options.keep, ignore_errors=True)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "ABSL_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    limits = Limits(options.seconds, options.megabytes * 2**20)
    print(f"{'kind':18} {'inputs':>7} {'opened':>7} {'refused':>8} {'failures':>9} {'seconds':>8}")
    start = time.monotonic()
    results = fuzz(
        shares(options.count, options.kinds), options.seed, limits, options.keep, options.processes
    )
    total = sum(results.values(), Counter[str]())
    print(row("all", total, time.monotonic() - start))
    return int(any(total[name] for name in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
