"""Reading ahead and writing behind: the same results in order, and nothing lost where something fails."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.files.loaders import ImageLoader
from napari_unet.data.sample import Sample
from napari_unet.engine.inline import run_inline
from napari_unet.errors import DataError
from napari_unet.workflow.segment import prefetch, segment_task
from napari_unet.workflow.segment.prefetch import read_ahead, written_behind
from napari_unet.workflow.segment.segment_task import SegmentTask
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

SECONDS = 20


def images_of(count: int, read: list[str], pixels: int = 4) -> list[Sample]:
    def load(number: int) -> Callable[[], np.ndarray]:
        def now() -> np.ndarray:
            read.append(f"{number} in {threading.current_thread().name}")
            return np.full((1, pixels, 1), number, np.uint8)

        return now

    return [Sample(str(n), load(n)) for n in range(count)]


def reading_threads() -> int:
    return sum(thread.name == "reader" for thread in threading.enumerate())


def test_images_come_in_order_and_are_read_once_by_another_thread() -> None:
    read: list[str] = []
    got = [(s.id, int(s.read_image()[0, 0, 0])) for s in read_ahead(images_of(100, read))]
    assert got == [(str(n), n) for n in range(100)]
    assert read == [f"{n} in reader" for n in range(100)]
    assert reading_threads() == 0


def test_no_more_is_read_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 bytes an image and room for 25: three are read, as the third is begun with 20."""
    monkeypatch.setattr(prefetch, "AHEAD_BYTES", 25)
    read: list[str] = []
    asked: list[int] = []
    waiting = threading.Semaphore(0)

    def samples() -> Iterator[Sample]:
        for number, sample in enumerate(images_of(20, read, 10)):
            asked.append(number)
            if number == 3:  # taken in hand, but not read before there is room
                waiting.release()
            yield sample

    ahead = read_ahead(samples())
    first = next(ahead)
    assert waiting.acquire(timeout=SECONDS)
    assert first.id == "0"
    assert len(read) in {3, 4}  # the first has been given away, so that a fourth may follow
    assert max(asked) <= 4
    assert [s.id for s in ahead] == [str(n) for n in range(1, 20)]


def test_what_cannot_be_read_says_so_in_its_turn() -> None:
    read: list[str] = []
    samples = images_of(3, read)

    def fail() -> np.ndarray:
        raise DataError("b is damaged", code="data.image.unreadable")

    samples[1] = Sample("b", fail)
    found = list(read_ahead(samples))
    assert [s.id for s in found] == ["0", "b", "2"]
    with pytest.raises(DataError, match="b is damaged"):
        found[1].read_image()
    assert found[2].read_image()[0, 0, 0] == 2


def test_what_is_no_error_of_ours_ends_it() -> None:
    def samples() -> Iterator[Sample]:
        yield from images_of(2, [])
        raise ZeroDivisionError

    ahead = read_ahead(samples())
    assert [next(ahead).id, next(ahead).id] == ["0", "1"]
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_whoever_stops_early_leaves_no_thread() -> None:
    ahead = read_ahead(images_of(1000, []))
    next(ahead)
    ahead.close()  # type: ignore[attr-defined]
    assert reading_threads() == 0


def test_calls_run_in_other_threads_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "BEHIND", 2)
    made: list[int] = []
    ran: list[int] = []
    gate = threading.Event()
    here = threading.current_thread()

    def call(number: int) -> Callable[[], int]:
        def run() -> int:
            assert threading.current_thread() is not here
            assert gate.wait(SECONDS)
            ran.append(number)
            return number * number

        return run

    def calls() -> Iterator[tuple[Callable[[], int], int]]:
        for number in range(6):
            made.append(number)
            if number == 2:  # two wait already, so that this one is made, but a fourth is not
                threading.Timer(0.05, gate.set).start()
            yield call(number), 1
            assert len(made) - len(ran) <= 3

    assert written_behind(calls()) == [0, 1, 4, 9, 16, 25]
    assert sorted(ran) == made == list(range(6))


def test_large_results_wait_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "BEHIND_BYTES", 100)
    ran: list[int] = []

    def calls() -> Iterator[tuple[Callable[[], None], int]]:
        for number in range(4):
            yield lambda number=number: ran.append(number), 101  # type: ignore[misc]
            assert ran == list(range(number + 1))  # it had to be written before the next was made

    written_behind(calls())


def test_the_first_error_is_raised_and_what_came_before_is_written() -> None:
    ran: list[int] = []

    def call(number: int) -> Callable[[], int]:
        def run() -> int:
            if number == 2:
                raise OSError("the disk is full")
            ran.append(number)
            return number

        return run

    with pytest.raises(OSError, match="the disk is full"):
        written_behind((call(n), 1) for n in range(4))
    assert {0, 1} <= set(ran)


def test_what_was_made_before_a_stop_is_written() -> None:
    ran: list[int] = []

    def calls() -> Iterator[tuple[Callable[[], None], int]]:
        for number in range(3):
            yield lambda number=number: ran.append(number), 1  # type: ignore[misc]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written_behind(calls())
    assert sorted(ran) == [0, 1, 2]


def test_segmenting_files_reads_ahead_and_writes_behind(
    salt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, set[str]] = {"read": set(), "written": set()}
    load, write = ImageLoader.__call__, segment_task.write_mask  # type: ignore[attr-defined]
    monkeypatch.setattr(
        ImageLoader, "__call__", lambda *a: threads["read"].add(threading.current_thread().name) or load(*a)
    )
    monkeypatch.setattr(
        segment_task,
        "write_mask",
        lambda *a: threads["written"].add(threading.current_thread().name) or write(*a),
    )
    model = write_tiny_model(tmp_path / "model")
    files = tuple(sorted((salt_folder / "train" / "images").glob("*.png"))[:3])
    assert len(files) == 3
    run_inline(SegmentTask(files, model, tmp_path / "masks"))
    assert threads["read"] == {"reader"}
    assert {name.partition("_")[0] for name in threads["written"]} == {"writer"}
    assert len(list((tmp_path / "masks").glob("*.png"))) == 3
