"""Large images on a Dask cluster of real processes on this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
import zarr
from scipy import ndimage

from napari_unet.cli import main
from napari_unet.data.files.lazy_files import open_lazy
from napari_unet.engine.cluster import Cluster, connect
from napari_unet.errors import Cancelled, DataError
from napari_unet.models.model import load_model, save_model
from napari_unet.progress import CancelToken, Progress
from napari_unet.settings import LargeImageSettings
from napari_unet.workflow.ensemble.run_folder import RUNNING, home_of
from napari_unet.workflow.ensemble.train_members import TrainMembersTask
from napari_unet.workflow.evaluate.evaluate_task import EvaluateTask
from napari_unet.workflow.large_images.segment_large import SegmentLargeTask, segment_stack
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask
from support.errors import raises_code
from support.volume_models import rods, thresholding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.slow, pytest.mark.graphs]  # as the workers compute
ROOT = Path(__file__).parents[3]
SMALL = LargeImageSettings(memory=0.15)  # of which the program itself takes most: the smallest tiles


def start(*words: str, log: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
    }
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]],
            stdout=file, stderr=file, env=environment,
        )  # fmt: skip


@contextmanager
def worker(scheduler: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(
        "dask_worker", "--scheduler-file", str(scheduler), "--no-nanny", "--no-dashboard",
        "--nthreads", "2", "--local-directory", str(log.parent), log=log,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("scheduler")
    file = folder / "scheduler.json"
    process = start(
        "dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
        "--scheduler-file", str(file), log=folder / "log.txt",
    )  # fmt: skip
    until = time.monotonic() + 60
    while not file.exists() and time.monotonic() < until:
        assert process.poll() is None, (folder / "log.txt").read_text()
        time.sleep(0.05)
    yield file
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def image_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    noise = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((900, 1100)), 4)
    path = tmp_path_factory.mktemp("images") / "a.zarr"
    zarr.create_array(path, data=(noise * 8000 + 30_000).clip(0, 65_535).astype(np.uint16), chunks=(128, 128))
    return path


def wait_for_workers(cluster: Cluster, count: int) -> None:
    cluster.client.wait_for_workers(count, timeout=120)


def test_a_worker_is_killed_and_the_mask_is_the_same(
    scheduler: Path, tmp_path: Path, grey_model: Path, image_path: Path
) -> None:
    # Within the test, so that they travel by value: workers do not know the tests.
    def failing(number: int) -> int:
        if number == 3:
            raise DataError("three cannot be read", code="data.image.unreadable", remedy="leave it out")
        return number * number

    def slow(number: int) -> int:
        time.sleep(0.2)
        return number

    model = load_model(grey_model)
    settings = model.recipe.inference.model_copy(update={"minimum_size": 200})
    stack = open_lazy(image_path)
    local = segment_stack(stack, model, tmp_path / "local.ome.zarr", settings, SMALL)
    expected = np.asarray(zarr.open_group(local, mode="r")["0"])
    assert 0.1 < expected.mean() < 0.9
    with (
        worker(scheduler, tmp_path / "1.txt") as first,
        worker(scheduler, tmp_path / "2.txt"),
        connect(str(scheduler)) as cluster,
    ):
        wait_for_workers(cluster, 2)
        finished: list[object] = []

        def kill(progress: Progress) -> None:
            if progress.piece is not None:
                finished.append(progress.piece)
                if len(finished) == 5:
                    first.send_signal(signal.SIGKILL)

        out = segment_stack(
            stack, model, tmp_path / "far.ome.zarr", settings, SMALL,
            cluster=cluster, source=grey_model, on_progress=kill,
        )  # fmt: skip
        assert first.wait(10) == -signal.SIGKILL
        assert len(cluster.client.nthreads()) == 1
        assert len(finished) > 20
        for level in range(3):
            np.testing.assert_array_equal(
                np.asarray(zarr.open_group(out, mode="r")[str(level)]),
                np.asarray(zarr.open_group(local, mode="r")[str(level)]),
            )
        # Errors of a worker come as they were raised; what is stopped stops; a worker sees every path.
        with pytest.raises(DataError, match="three cannot be read; leave it out"):
            list(cluster.spread(failing, range(9), CancelToken()))
        cancel = CancelToken()
        results = cluster.spread(slow, range(10_000), cancel)
        assert next(results)[0] < 10
        cancel.cancel()
        with pytest.raises(Cancelled):
            list(results)
        with raises_code("settings.cluster.storage", "/nowhere"):
            cluster.check(["/nowhere"])
        task = SegmentLargeTask(
            (image_path,), grey_model, tmp_path / "task", settings, SMALL, cluster=str(scheduler)
        )
        # Both in the precision that this machine chooses.
        (far,) = task.run(lambda progress: None, CancelToken())
        (near,) = replace(task, out=tmp_path / "near", cluster="").run(lambda progress: None, CancelToken())
        np.testing.assert_array_equal(
            np.asarray(zarr.open_group(far, mode="r")["0"]), np.asarray(zarr.open_group(near, mode="r")["0"])
        )


QUICK = ("epochs=1", "steps_per_epoch=2", "filters=2", "depth=1", "batch_size=2", "patch=32")


def weights_of(folder: Path) -> list[np.ndarray]:
    return [np.asarray(w) for w in load_model(folder).network.get_weights()]


def test_scores_and_members_are_those_of_this_process(
    scheduler: Path, tmp_path: Path, grey_model: Path, salt_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.workflow.evaluate.cluster_evaluation.TOGETHER", 2)
    ignored, never = (lambda _: None), CancelToken()
    local = EvaluateTask(salt_folder, tmp_path / "local", grey_model, inspect=False)
    local.run(ignored, never)
    train = TrainTask(salt_folder, tmp_path / "here", recipe("fast", QUICK))
    TrainMembersTask(train, "seeds", 2).run(ignored, never)
    with (
        worker(scheduler, tmp_path / "1.txt") as first,
        worker(scheduler, tmp_path / "2.txt"),
        connect(str(scheduler)) as cluster,
    ):
        wait_for_workers(cluster, 2)
        done: list[float] = []

        def kill(progress: Progress) -> None:
            done.append(progress.done)
            if progress.done == 2:
                first.send_signal(signal.SIGKILL)

        # A client of one's own, which stays open.
        far = replace(local, report=tmp_path / "far", cluster=cluster.client)
        far.run(kill, never)
        assert first.wait(10) == -signal.SIGKILL
        assert done[-1] == 24
        for name in ("iou.csv",):
            assert (tmp_path / "far" / name).read_text() == (tmp_path / "local" / name).read_text()

        def overall(name: str) -> object:
            return json.loads((tmp_path / name / "report.json").read_text())["overall"]

        assert overall("far") == overall("local")
        there = replace(train, out=tmp_path / "there")
        TrainMembersTask(there, "seeds", 2, cluster=str(scheduler)).run(ignored, never)
        for name in ("01-seed", "02-seed"):
            ours, theirs = (weights_of(tmp_path / where / "members" / name) for where in ("here", "there"))
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)
        there = replace(there, overwrite=True)
        with raises_code("settings.cluster.unsupported"):
            TrainMembersTask(there, "snapshots", 2, cluster=cluster.client).run(ignored, never)
        with raises_code("settings.cluster.unsupported"):
            replace(far, model=None, masks=salt_folder / "masks").run(ignored, never)


def test_volumes_are_scored_as_here_and_read_as_a_person_said(scheduler: Path, tmp_path: Path) -> None:
    """Pages of a file that says nothing of its axes are slices, and numbers in masks are objects."""
    bright = np.stack([rods(10), rods(10)[::-1]]).astype(np.uint8)
    objects = np.cumsum(bright, axis=2, dtype=np.uint16) * bright  # any numbers, more than there are classes
    for kind, values in (("images", bright * 200), ("masks", objects)):
        (tmp_path / "em" / kind).mkdir(parents=True)
        for name, volume in zip("ab", values, strict=True):
            tifffile.imwrite(tmp_path / "em" / kind / f"{name}.tif", volume, metadata=None)
    with worker(scheduler, tmp_path / "1.txt"):
        for dimensions in ("3d", "2d"):
            model = load_model(
                thresholding(tmp_path / dimensions, dimensions, behind=int(dimensions == "3d"))
            )
            planes = model.recipe.inference.model_copy(update={"orthogonal": dimensions == "2d"})
            model = replace(model, recipe=model.recipe.model_copy(update={"inference": planes}))
            path = save_model(model, tmp_path / f"{dimensions}-own")
            command = ["evaluate", str(tmp_path / "em"), "--model", str(path), "--axes", "ZYX", "--out"]
            masks_are = ["--masks-are", "objects"]
            here, far = (tmp_path / f"{dimensions}-{place}" for place in ("here", "far"))
            assert main([*command, str(here), *masks_are]) == 0
            assert main([*command, str(far), *masks_are, "--cluster", str(scheduler)]) == 0
            ours, theirs = (json.loads((path / "report.json").read_text()) for path in (here, far))
            assert len(ours["volumes"]) == 2
            assert theirs["volumes"] == ours["volumes"]
            assert theirs["overall"] == ours["overall"]
            assert (far / "iou.csv").read_text() == (here / "iou.csv").read_text()


@contextmanager
def meanwhile(act: Callable[[], bool]) -> Iterator[None]:
    """Try something again and again in another thread, until it says that it is done."""
    left = threading.Event()
    done: list[bool] = []

    def look() -> None:
        while not left.wait(0.02):
            if act():
                done.append(True)
                return

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
    assert done


def test_results_in_order_do_not_pile_up(scheduler: Path, tmp_path: Path) -> None:
    def work(number: int) -> int:
        (tmp_path / str(number)).touch()
        while number == 0 and not (tmp_path / "go").exists():
            time.sleep(0.02)
        return number * number

    started: list[int] = []

    def look() -> bool:
        if len(list(tmp_path.glob("[0-9]*"))) < 6:
            return False
        time.sleep(1)
        started.extend(int(path.name) for path in tmp_path.glob("[0-9]*"))
        (tmp_path / "go").touch()
        return True

    logs = tmp_path / "logs"
    logs.mkdir()
    with (
        worker(scheduler, logs / "1.txt"),
        worker(scheduler, logs / "2.txt"),
        connect(str(scheduler)) as cluster,
    ):
        wait_for_workers(cluster, 2)
        with meanwhile(look):
            found = list(cluster.spread_in_order(work, range(40), CancelToken()))
    assert found == [(number, number * number) for number in range(40)]
    # Three of each of two workers: the one that all wait for, and five that wait for it.
    assert sorted(started) == [0, 1, 2, 3, 4, 5]


def test_members_outlive_a_worker_and_trainings_that_were_stopped(
    scheduler: Path, tmp_path: Path, salt_folder: Path
) -> None:
    ignored, never = (lambda _: None), CancelToken()
    # Without validation, as it depends on the time how often there is one.
    short = recipe("fast", [*QUICK, "epochs=40", "validation=0"])
    endless = recipe("fast", [*QUICK, "epochs=100000", "validation=0"])
    train = TrainTask(salt_folder, tmp_path / "here", short)
    TrainMembersTask(train, "seeds", 2).run(ignored, never)
    out = tmp_path / "there"
    home = home_of(out)

    def states() -> list[Path]:
        return list(home.glob("*/*/training-state.npz"))

    with (
        worker(scheduler, tmp_path / "1.txt") as first,
        worker(scheduler, tmp_path / "2.txt") as second,
        connect(str(scheduler)) as cluster,
    ):
        wait_for_workers(cluster, 2)
        pids = cluster.client.run(os.getpid)
        cancel = CancelToken()

        def stop() -> bool:
            if states():
                cancel.cancel()
            return cancel.cancelled

        task = TrainMembersTask(replace(train, out=out, recipe=endless), "seeds", 2, cluster=cluster.client)
        with meanwhile(stop), pytest.raises(Cancelled):
            task.run(ignored, cancel)
        (stopped,) = home.iterdir()
        assert not (stopped / RUNNING).exists()
        killed: list[int] = []
        before: dict[str, list[str]] = {}

        def kill() -> bool:
            """A worker, when each that has a member to train is in the middle of it."""
            training = [address for address, keys in cluster.client.processing().items() if keys]
            logs = [path.parent / "metrics.csv" for path in states() if stopped not in path.parents]
            if not training or len([log for log in logs if log.exists()]) < len(training):
                return False
            before.update({log.parent.name: log.read_text().splitlines() for log in logs if log.exists()})
            killed.append(pids[training[0]])
            os.kill(killed[0], signal.SIGKILL)
            return True

        # Those that were stopped never end by themselves: the workers would not be free for these.
        again = TrainMembersTask(replace(train, out=out), "seeds", 2, cluster=cluster.client)
        with meanwhile(kill):
            again.run(ignored, never)
        dead = {first.pid: first, second.pid: second}[killed[0]]
        assert dead.wait(10) == -signal.SIGKILL
        assert len(cluster.client.nthreads()) == 1
    assert before
    for name in ("01-seed", "02-seed"):
        ours, theirs = (weights_of(tmp_path / where / "members" / name) for where in ("here", "there"))
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
        # A row for each epoch, with the seconds of those before the kill: they were not done again.
        rows = (out / "members" / name / "metrics.csv").read_text().splitlines()
        assert len(rows) == 1 + 40
        assert rows[: len(before.get(name, []))] == before.get(name, [])


def test_a_damaged_image_costs_itself_only(
    scheduler: Path, tmp_path: Path, salt_folder: Path, grey_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Segmenting by blocks, scoring, and training members, all by the workers of a cluster."""
    grey = np.random.default_rng(0).integers(0, 255, (96, 96), dtype=np.uint8)
    files = [tmp_path / f"{name}.tif" for name in "abc"]
    for file in files:
        tifffile.imwrite(file, grey, rowsperstrip=8, compression="zlib")
    with tifffile.TiffFile(files[1]) as tiff:
        start = tiff.pages[0].dataoffsets[-1]
    content = bytearray(files[1].read_bytes())
    content[start : start + 40] = b"\xff" * 40  # its header is whole: a worker finds the damage
    files[1].write_bytes(content)
    data = Path(shutil.copytree(salt_folder, tmp_path / "data"))
    broken = sorted((data / "train" / "images").iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:200])
    left = f"1 image left out: train/images/{broken.name}"

    def last_line() -> str:
        return capsys.readouterr().err.strip().splitlines()[-1]

    with worker(scheduler, tmp_path / "1.txt"), connect(str(scheduler)) as cluster:
        wait_for_workers(cluster, 1)
        by = ["--cluster", str(scheduler)]
        out = tmp_path / "out"
        command = ["segment", *map(str, files), "--model", str(grey_model), "--out", str(out), "--stream"]
        assert main([*command, *by]) == 3
        assert last_line() == "1 image left out: b.tif"
        assert sorted(path.name for path in out.glob("*.ome.zarr")) == ["a.ome.zarr", "c.ome.zarr"]
        report = tmp_path / "report"
        assert main(["evaluate", str(data), "--model", str(grey_model), "--out", str(report), *by]) == 3
        assert last_line() == left
        told = json.loads((report / "report.json").read_text())
        assert [item["code"] for item in told["left_out"]] == ["data.image.unreadable"]
        assert len(told["images"]) == 23
        train = ["train", str(data), "--out", str(tmp_path / "members"), "--seeds", "2"]
        assert main([*train, *(word for s in QUICK for word in ("--set", s)), *by]) == 3
        assert last_line() == left


def test_a_cluster_that_is_not_there_is_said(scheduler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_unet.engine.cluster.PATIENCE", 1.0)
    with (
        raises_code("settings.cluster.missing", "tcp://127.0.0.1:9"),
        connect("tcp://127.0.0.1:9"),
    ):
        pass
    with connect(str(scheduler)) as cluster, raises_code("settings.cluster.empty"):
        cluster.check()
