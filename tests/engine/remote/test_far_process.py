from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from napari_unet.engine.process import ProcessEngine
from napari_unet.engine.remote import plain_objects
from napari_unet.engine.remote.command import command_of
from napari_unet.engine.remote.journey import Journey, Output
from napari_unet.engine.remote.near_end import FarProcess
from napari_unet.engine.task import FromCaller
from napari_unet.errors import Cancelled
from support.errors import raises_code
from support.tasks import Ask, CopyUpper, Count, CountOn, Die, Double, Fail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_unet.engine.task import Task
    from napari_unet.progress import Progress

pytestmark = pytest.mark.slow


def journey_of(task: Task[Any]) -> Journey:
    if isinstance(task, CopyUpper):
        return Journey(task, (Output(task.out),))
    if isinstance(task, CountOn):
        again = CountOn(task.out, True, task.always)
        return Journey(task, (Output(task.out, keep="*"),), again, task.resume)
    return Journey(task)


def far_processes(cache: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            if str(cache) in line and "far" in line:
                found.append(process)
    return found


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """(noise, line, wait) -> an engine whose worker is at the other end of a command."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setattr(plain_objects, "PACKAGES", {"napari_unet", "support"})
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    cache = tmp_path / "cache"
    engines = []

    def make(noise: tuple[str, ...] = (), line: tuple[str, ...] = (), wait: float = 20) -> ProcessEngine:
        command = [sys.executable, "-m", "support.far_worker", str(cache), str(wait), *noise]
        if line:
            command = [sys.executable, "-m", "support.rough_line", *line, *command]
        engine = ProcessEngine(start=lambda: FarProcess(command, journey_of))
        engines.append(engine)
        return engine

    yield make
    for engine in engines:
        engine.close()
    until = time.monotonic() + 25
    while far_processes(cache):  # each ends by itself
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_task_runs_at_the_other_end_past_what_a_shell_writes(start: Any) -> None:
    engine = start(noise=("Welcome to box", "napari-unet-worker"))
    array = np.arange(200_000).reshape(400, 500)
    first = engine.submit(Double(array)).wait(60)
    np.testing.assert_array_equal(first["twice"], array * 2)
    assert first["process"] not in (os.getpid(), engine.process_id)
    assert engine.submit(Double(array)).wait(30)["process"] == first["process"]
    seen: list[Progress] = []
    assert engine.submit(Count(3), seen.append).wait(30) == 3
    assert [int(p.piece[0]) for p in seen if p.piece is not None] == [0, 1, 2]
    with raises_code("data.image.unreadable", "mend it"):
        engine.submit(Fail(True)).wait(30)
    with raises_code("compute.fault"):
        engine.submit(Fail(False)).wait(30)
    images = {20: np.full((300, 400), 2), 22: np.full((300, 400), 3)}
    asked: list[int] = []

    def image(number: int) -> Any:
        asked.append(number)
        return images[number]

    for _ in range(2):  # the second time the worker has both
        sent = engine._process.traffic[0]
        np.testing.assert_array_equal(engine.submit(Ask(FromCaller(image))).wait(30), np.full((300, 400), 5))
        sent = engine._process.traffic[0] - sent
    assert asked == [20, 22, 20, 22]
    assert sent < 2_000
    job = engine.submit(Count(10_000))
    time.sleep(0.3)
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(10)


def test_files_travel_there_once_and_results_come_back(start: Any, tmp_path: Path) -> None:
    engine = start()
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    (source / "a.txt").write_text("alpha" * 100_000)
    (source / "b.txt").write_text("beta")
    (out / "before.txt").write_text("x")
    there: list[bool] = []
    job = engine.submit(CopyUpper(source, out), lambda p: there.append(p.piece.exists()))
    assert job.wait(60) == [out / "a.txt", out / "b.txt"]
    assert there == [True, True]  # a file is there before its piece comes
    assert (out / "a.txt").read_text() == "ALPHA" * 100_000
    assert json.loads((out / "note.json").read_text()) == {"from": str(source), "before": ["before.txt"]}
    cache = tmp_path / "cache"
    stamps = {path: path.stat().st_mtime_ns for path in (cache / "blobs").rglob("*") if path.is_file()}
    sent = engine._process.traffic[0]
    (source / "b.txt").write_text("gamma")
    engine.submit(CopyUpper(source, tmp_path / "second")).wait(30)
    assert (tmp_path / "second/b.txt").read_text() == "GAMMA"
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert engine._process.traffic[0] - sent < 5_000  # the long text is there already
    until = time.monotonic() + 5
    while list((cache / "work").iterdir()):  # once the result is on its way
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_line_that_is_cut_ends_neither_the_task_nor_loses_a_piece(start: Any) -> None:
    engine = start(line=("1.5", "0.02", "2"))
    seen: list[Progress] = []
    assert engine.submit(Count(40, 0.1), seen.append).wait(90) == 40
    assert [int(p.piece[0]) for p in seen if p.piece is not None] == list(range(40))
    assert engine._process.reconnected >= 2


def test_a_worker_that_dies_fails_its_task_and_the_next_gets_another(start: Any) -> None:
    engine = start()
    with raises_code("compute.process.ended"):
        engine.submit(Die(signal.SIGKILL)).wait(60)
    assert engine.submit(Count(2)).wait(60) == 2


def test_what_a_task_left_is_resumed_by_itself_or_when_it_is_asked_for(start: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen: list[Progress] = []
    # The worker is killed at 3, and another one takes what it left.
    assert start().submit(CountOn(out), seen.append).wait(60) == [3, 5]
    assert (out / "state.txt").read_text() == "5"
    assert [one.message for one in seen] == ["The computing process ended. Another one resumes"]
    # Four workers are killed, at 1, 2, 3 and 4; then it is left to a person.
    again = tmp_path / "again"
    with raises_code("compute.process.ended"):
        start().submit(CountOn(again, always=True)).wait(120)
    assert start().submit(CountOn(again, resume=True)).wait(60) == [4, 5]
    # A command that says nothing of the end of the worker: it is as if its machine was gone.
    assert start(line=("60", "0", "0")).submit(CountOn(tmp_path / "second")).wait(60) == [3, 5]
    assert (tmp_path / "second/state.txt").read_text() == "5"


def test_a_session_that_the_other_side_has_lost_begins_again(start: Any, tmp_path: Path) -> None:
    engine = start(line=("3", "0", "0"), wait=60)
    seen: list[Progress] = []
    job = engine.submit(Count(30, 0.2), seen.append)
    until = time.monotonic() + 60
    while not seen and time.monotonic() < until:
        time.sleep(0.02)
    first = far_processes(tmp_path / "cache")
    assert len(first) == 1
    # As if its machine had been switched off between two connections.
    os.kill(engine._process.id, signal.SIGKILL)
    first[0].kill()
    assert job.wait(90) == 30
    numbers = [int(p.piece[0]) for p in seen if p.piece is not None]
    assert numbers[-30:] == list(range(30))


def test_what_does_not_reach_a_worker_says_so() -> None:
    def fails(command: list[str]) -> Any:
        engine = ProcessEngine(start=lambda: FarProcess(command, journey_of))
        try:
            return engine.submit(Count(1)).wait(30)
        finally:
            engine.close()

    with raises_code("compute.remote.unreachable", "Permission denied"):
        fails(["sh", "-c", "echo Permission denied >&2; exit 255"])
    with raises_code("compute.remote.terminal"):
        script = "from napari_unet.engine.remote.handshake import *; import sys; greet(sys.stdout.buffer)"
        fails(["sh", "-c", f"{sys.executable} -c '{script}' | sed 's/$/\\r/'; sleep 5"])


def test_a_command_is_what_a_person_types() -> None:
    assert command_of("sh box") == ("sh", "box", "napari-unet", "worker")
    assert command_of("sh -c '/opt/bin/napari-unet worker'") == ("sh", "-c", "/opt/bin/napari-unet worker")
    assert command_of("sh box env/bin/napari-unet worker --wait 9")[-3:] == ("worker", "--wait", "9")
    for wrong in ("", "  ", "no-such-program box", "sh 'box"):
        with raises_code("settings.remote.command"):
            command_of(wrong)
