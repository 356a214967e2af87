"""The process that reads damaged inputs, one after another, and says how each ended."""

from __future__ import annotations

import faulthandler
import logging
import os
import shutil
import sys
import time
import traceback
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fuzzing.kinds import KINDS
from fuzzing.mutations import mutate

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from fuzzing.seeds import Files


@dataclass(frozen=True)
class Limits:
    """What reading one input may take: seconds of processor time, bytes of memory."""

    seconds: float
    memory: int


@dataclass(frozen=True)
class Ended:
    """How an input ended: "opened", "refused", or what is at fault, with the details."""

    number: int
    outcome: str
    detail: str = ""


def damaged(kind: str, seeds: list[Files], number: int, seed: int) -> Files:
    """The files of an input; the same numbers give the same."""
    rng = np.random.default_rng((seed, zlib.crc32(kind.encode()), number))
    files = dict(seeds[rng.integers(len(seeds))])
    targets = KINDS[kind].targets(files)
    for name in {targets[rng.integers(len(targets))] for _ in range(int(rng.choice((1, 1, 1, 2))))}:
        files[name] = mutate(name, files[name], rng)
    return files


def put(files: Files, folder: Path) -> None:
    """Write the files of an input into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def work(pipe: Connection, folder: Path, trace: Path, seed: int, limits: Limits) -> None:
    """Take (kind, seeds, first, last), read those inputs, send an ``Ended`` for each; None ends it."""
    output = trace.open("a")
    faulthandler.enable(output)
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with Path(os.devnull).open("w") as nowhere:  # libraries that talk
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    logging.disable()
    warnings.simplefilter("ignore")
    while (task := pipe.recv()) is not None:
        kind, seeds, numbers = task
        if KINDS[kind].keras:
            from napari_unet.engine.fast_import import import_keras

            import_keras()
        for number in numbers:
            put(damaged(kind, seeds, number, seed), folder)
            pipe.send(number)
            pipe.send(_read(kind, folder, number, limits))


def _read(kind: str, folder: Path, number: int, limits: Limits) -> Ended:
    from napari_unet.errors import WorkbenchError

    outcome, detail = "opened", ""
    before = _start_memory(limits)
    start = time.process_time()
    try:
        KINDS[kind].read(folder)
    except WorkbenchError as error:
        outcome, detail = "refused", error.sentence
    except BaseException as error:  # noqa: BLE001 - whatever it is, that is what is looked for
        outcome, detail = "traceback", "".join(traceback.format_exception(error)[-12:])
        del error
    seconds, memory = time.process_time() - start, _peak() - before
    _forget(kind)
    if outcome in {"opened", "refused"}:
        if seconds > limits.seconds:
            return Ended(number, "slow", f"{seconds:.1f} s; {outcome} {detail}")
        if memory > limits.memory:
            return Ended(number, "memory", f"{memory / 2**20:.0f} MB; {outcome} {detail}")
    return Ended(number, outcome, detail)


def _start_memory(limits: Limits) -> int:
    """Bytes in use; the peak counts from here, and twice the limit is not to be had at all."""
    if not sys.platform.startswith("linux"):
        return 0
    import resource

    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    there = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + 2 * limits.memory, resource.RLIM_INFINITY))
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM") if sys.platform.startswith("linux") else 0


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return 0


def _forget(kind: str) -> None:
    keras: Any = sys.modules.get("keras")
    if KINDS[kind].keras and keras is not None:
        keras.backend.clear_session()
