from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest

from napari_unet.engine import folders as engine_folders
from napari_unet.engine.inline import InlineEngine
from napari_unet.engine.process import ProcessEngine
from napari_unet.engine.task import FromCaller, Job
from napari_unet.errors import Cancelled, DataError
from support.errors import raises_code
from support.tasks import Ask, AskFromThreads, Count, Deaf, Die, Double, Fail, Fork, Look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_unet.progress import Progress


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessEngine]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    engine = ProcessEngine()
    yield engine
    engine.close()
    assert not [p for p in psutil.Process().children() if "napari_unet.engine.worker" in p.cmdline()]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """Where engines made after this one keep arrays on their way: folders of this test alone."""
    folders = [tmp_path / "memory", tmp_path / "disk"]
    for folder in folders:
        folder.mkdir()
    monkeypatch.setattr(engine_folders, "MEMORY_FOLDER", folders[0])
    monkeypatch.setattr(tempfile, "tempdir", str(folders[1]))
    return folders


def test_a_task_runs_in_one_warm_process_of_its_own(engine: ProcessEngine) -> None:
    array = np.arange(12).reshape(3, 4)
    first = engine.submit(Double(array)).wait(30)
    np.testing.assert_array_equal(first["twice"], array * 2)
    assert first["process"] != os.getpid()
    assert engine.submit(Double(array)).wait(30)["process"] == first["process"] == engine.process_id


def test_large_arrays_come_back_mapped_and_writable_and_leave_no_file(
    places: list[Path], engine: ProcessEngine
) -> None:
    array = np.random.default_rng(0).random((1000, 1000))
    twice = engine.submit(Double(array)).wait(30)["twice"]
    np.testing.assert_array_equal(twice, array * 2)
    twice[:] = 0  # nobody else's memory
    assert [len(list(place.iterdir())) for place in places] == [1, 1]  # the engine's own folder in each
    assert [file for place in places for file in place.rglob("arrays*")] == []
    base = twice
    while getattr(base, "base", None) is not None:
        base = base.base
    assert isinstance(base, memoryview)


def test_progress_and_pieces_arrive_in_order_before_the_end(engine: ProcessEngine) -> None:
    seen: list[Progress] = []
    job = engine.submit(Count(12), seen.append)
    assert job.wait(30) == 12
    pieces = [p.piece for p in seen if p.piece is not None]
    assert [int(p[0]) for p in pieces] == list(range(12))
    assert seen[-1].done == 12


def test_scores_between_many_losses_are_all_told(engine: ProcessEngine) -> None:
    seen: list[Progress] = []
    engine.submit(Look(), seen.append).wait(30)
    assert [p.values["score"] for p in seen if "score" in p.values] == [100.0, 200.0, 300.0]
    assert len(seen) < 300  # of the losses not all


def test_cancel_is_heard_soon_and_the_process_stays(engine: ProcessEngine) -> None:
    seen: list[Progress] = []
    job = engine.submit(Count(10_000), seen.append)
    while not seen:
        time.sleep(0.01)
    process = engine.process_id
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(3)
    assert job.state == "cancelled"
    assert engine.submit(Double(np.ones(1))).wait(30)["process"] == process


def test_a_waiting_job_is_cancelled_without_disturbing_the_running_one(engine: ProcessEngine) -> None:
    running = engine.submit(Count(20))
    waiting = engine.submit(Count(20))
    waiting.cancel()
    assert waiting.state == "cancelled"
    assert running.wait(30) == 20


def test_a_job_cancelled_while_the_process_starts_ends_at_once(engine: ProcessEngine) -> None:
    job = engine.submit(Count(1000))
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(2)


def test_a_deaf_task_is_ended_with_its_process_and_the_next_gets_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    engine = ProcessEngine(grace=0.4)
    seen: list[Progress] = []
    job = engine.submit(Deaf(), seen.append)
    while not seen:
        time.sleep(0.01)
    process = engine.process_id
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(5)
    assert not psutil.pid_exists(process or 0)
    assert engine.submit(Double(np.ones(1))).wait(30)["process"] != process
    engine.close()


def test_death_is_told_in_a_sentence_and_the_next_task_works(engine: ProcessEngine) -> None:
    job = engine.submit(Die())
    with raises_code("compute.process.ended", "ended by signal 9, as when memory runs out"):
        job.wait(30)
    assert "last words" in job.details
    assert engine.submit(Double(np.ones(2))).wait(30)["twice"].tolist() == [2, 2]


def test_a_process_that_died_while_idle_is_replaced(engine: ProcessEngine) -> None:
    first = engine.submit(Double(np.ones(1))).wait(30)["process"]
    psutil.Process(first).kill()
    assert engine.submit(Double(np.ones(1))).wait(30)["process"] != first


def test_errors_arrive_with_all_their_parts(engine: ProcessEngine) -> None:
    with pytest.raises(DataError, match="a thing is wrong: expected right, got wrong; mend it"):
        engine.submit(Fail(ours=True)).wait(30)
    job = engine.submit(Fail(ours=False))
    with raises_code("compute.fault", "KeyError", "'missing'"):
        job.wait(30)
    assert "Traceback" in job.details


def test_a_task_can_call_back_and_errors_of_the_call_reach_it(engine: ProcessEngine) -> None:
    big = np.ones(200_000)
    job = engine.submit(Ask(FromCaller(lambda n: big * n)))
    np.testing.assert_array_equal(job.wait(30), np.full(200_000, 42.0))

    def refuse(n: int) -> None:
        raise DataError("no answer", code="data.image.unreadable")

    with pytest.raises(DataError, match="no answer"):
        engine.submit(Ask(FromCaller(refuse))).wait(30)


def test_every_thread_gets_the_answer_to_its_own_question(engine: ProcessEngine) -> None:
    job = engine.submit(AskFromThreads(FromCaller(lambda n: np.full(20_000 if n % 2 else 1, n))))
    assert [int(answer[0]) for answer in job.wait(60)] == list(range(40))


def test_close_ends_everything(monkeypatch: pytest.MonkeyPatch, places: list[Path]) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    engine = ProcessEngine()
    seen: list[Progress] = []
    ended: list[Job] = []
    engine.submit(Count(10_000), seen.append, ended.append)
    engine.submit(Count(10_000), on_end=ended.append)
    while not seen:
        time.sleep(0.01)
    identity = engine.process_id
    assert all(list(place.iterdir()) for place in places)
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 2
    assert [job.state for job in ended] == ["cancelled", "cancelled"]
    assert not psutil.pid_exists(identity or 0)
    assert not any(list(place.iterdir()) for place in places)
    with raises_code("compute.engine.closed"):
        engine.submit(Count(1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("detached", [False, True])
def test_close_does_not_wait_for_what_a_library_started_in_the_process(
    engine: ProcessEngine, monkeypatch: pytest.MonkeyPatch, detached: bool
) -> None:
    child = engine.submit(Fork()).wait(60)
    if detached:  # out of reach: it keeps the pipe open, and nobody waits for it
        monkeypatch.setattr(os, "killpg", lambda identity, number: os.kill(identity, number))
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 4
    if detached:
        os.kill(child, signal.SIGKILL)
    for _ in range(100):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.02)
    else:
        pytest.fail("the child is there still")


def test_the_process_ends_when_its_parent_is_killed() -> None:
    code = """
        import sys, time
        from napari_unet.engine.process import ProcessEngine
        from support.tasks import Deaf
        engine = ProcessEngine()
        engine.submit(Deaf(), lambda p: print(engine.process_id, flush=True))
        time.sleep(60)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=5)
    assert not child.is_running()


def test_callbacks_run_where_the_dispatcher_puts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    calls: list[Job] = []
    engine = ProcessEngine(calls.append)
    seen: list[Progress] = []
    ended: list[Job] = []
    job = engine.submit(Count(3), seen.append, ended.append)
    job.wait(30)
    time.sleep(0.1)
    assert not seen
    assert not ended
    for call in calls:
        call()
    assert ended == [job]
    assert len(seen) >= 3
    engine.close()


def test_the_inline_engine_ends_jobs_the_same_way() -> None:
    engine = InlineEngine()
    ended: list[Job] = []
    assert engine.submit(Count(2, 0), on_end=ended.append).wait() == 2
    with raises_code("compute.fault"):
        engine.submit(Fail(ours=False), on_end=ended.append).wait()
    assert [j.state for j in ended] == ["done", "failed"]
    engine.close()
