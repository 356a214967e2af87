"""Another machine at the end of ssh: a real sshd on the loopback, and a line that is slow, late and cut.

python benchmarks/remote.py [--cuts 100] [--only masks,weights,clicks,strokes]

Needs Debian's openssh-server and openssh-client. The key is made for the run; nothing but the loopback is
listened on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = "/usr/sbin/sshd"
DELAY = 0.025  # seconds each way
RATE = 10e6  # bytes a second
CUT = 5.0  # seconds that a connection lives
CHUNK = 2**14
SIDE = 512


class Proxy:
    """Leads connections to a port, late, slowly, and for a while.

    Parameters
    ----------
    goal : int
        Port on the loopback.
    delay, rate, cut : float
        Seconds each way; bytes a second, 0: any; seconds that a connection lives, 0: any.
    """

    def __init__(self, goal: int, delay: float = 0.0, rate: float = 0.0, cut: float = 0.0) -> None:
        self.goal, self.delay, self.rate = goal, delay, rate
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.cuts, self.life = 0, cut
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut all connections."""
        there, self._open = self._open, []
        self._end(there)

    def _end(self, there: list[socket.socket]) -> None:
        self.cuts += any(one.fileno() >= 0 for one in there)
        for one in there:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            one, _ = self.listener.accept()
            other = socket.create_connection(("127.0.0.1", self.goal))
            self._open += [one, other]
            if self.life:
                threading.Timer(self.life, self._end, [[one, other]]).start()
            for source, goal in ((one, other), (other, one)):
                threading.Thread(target=self._lead, args=(source, goal), daemon=True).start()

    def _lead(self, source: socket.socket, goal: socket.socket) -> None:
        import queue

        late: queue.Queue[tuple[float, bytes]] = queue.Queue(int(max(64, self.rate * 0.5 / CHUNK)))

        def write() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, chunk = late.get()
                    time.sleep(max(0.0, due - time.monotonic()))
                    if not chunk:
                        goal.shutdown(socket.SHUT_WR)
                        return
                    goal.sendall(chunk)

        threading.Thread(target=write, daemon=True).start()
        free = time.monotonic()
        with contextlib.suppress(OSError):
            while chunk := source.recv(CHUNK):
                free = max(free, time.monotonic()) + (len(chunk) / self.rate if self.rate else 0.0)
                late.put((free + self.delay, chunk))
        late.put((0.0, b""))


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[int | None]:
    """A server on the loopback with keys of its own; its port, or None where there is no sshd."""
    if not (Path(SSHD).exists() and shutil.which("ssh") and shutil.which("ssh-keygen")):
        yield None
        return
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    search = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"])
    modules = os.pathsep.join(path for path in sys.path if path)
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {folder / 'host'}",
        f"AuthorizedKeysFile {folder / 'key.pub'}", "StrictModes no", "UsePAM no",
        "PasswordAuthentication no",
        f"SetEnv PATH={search} PYTHONPATH={modules}", f"PidFile {folder / 'pid'}",
    ]  # fmt: skip
    (folder / "conf").write_text("\n".join(lines) + "\n")
    server = subprocess.Popen([SSHD, "-D", "-f", folder / "conf", "-E", folder / "log"])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def far(folder: Path, port: int, cache: str) -> str:
    """The command that leads to the worker."""
    options = f"-p {port} -i {folder / 'key'} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    worker = f"napari-unet worker --cache {folder / cache}"
    return f"ssh {options} -o LogLevel=ERROR -o BatchMode=yes 127.0.0.1 {worker}"


def make_data(folder: Path, count: int, side: int) -> None:
    """Discs in noise, with their masks."""
    from PIL import Image

    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    for room in ("images", "masks"):
        (folder / room).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        image, mask = np.full((side, side), 20.0), np.zeros((side, side), bool)
        for _ in range(side // 16):
            row, column = random.integers(0, side, 2)
            inside = (rows - row) ** 2 + (columns - column) ** 2 < random.integers(4, 12) ** 2
            image[inside] = 170
            mask |= inside
        pixels = np.clip(image + random.normal(0, 8, image.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{number:03d}.png")
        Image.fromarray((mask * 255).astype(np.uint8)).save(folder / f"masks/{number:03d}.png")


def command(*arguments: object, on: str = "") -> float:
    """Run napari-unet; gives its seconds."""
    started = time.monotonic()
    words = [sys.executable, "-m", "napari_unet.cli", *map(str, arguments), "--quiet"]
    subprocess.run([*words, *(["--on", on] if on else [])], check=True)
    return time.monotonic() - started


def same_masks(one: Path, other: Path) -> bool:
    """Whether two folders have the same files, byte for byte."""
    names = sorted(path.name for path in one.iterdir())
    same = names == sorted(path.name for path in other.iterdir())
    return same and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def same_weights(one: Path, other: Path) -> bool:
    """Whether two models have the same weights, bit for bit."""
    import h5py

    def weights(path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with h5py.File(path / "model.weights.h5") as file:
            file.visititems(lambda name, at: found.update({name: at[()]} if hasattr(at, "shape") else {}))
        return found

    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(np.array_equal(first[n], second[n]) for n in first)


class Clicks:
    """Segments one image after another with an engine, as the window does."""

    def __init__(self, folder: Path, words: str) -> None:
        from napari_unet.engine.process import ProcessEngine
        from napari_unet.engine.remote.command import command_of
        from napari_unet.engine.remote.near_end import FarProcess
        from napari_unet.workflow.journeys import journey_of

        self.engine = ProcessEngine()
        if words:
            self.engine = ProcessEngine(start=lambda: FarProcess(command_of(words), journey_of))
        self.folder, self.out = folder, folder / f"click-{bool(words)}"
        self.out.mkdir(exist_ok=True)

    def click(self, name: str, wait: float = 600) -> float:
        """Segment an image; gives the seconds."""
        from napari_unet.data.catalog import open_dataset
        from napari_unet.models.model_folder import read_settings
        from napari_unet.models.shipped import locate
        from napari_unet.workflow.inputs.image_reference import FileReference
        from napari_unet.workflow.segment.predict_task import PredictTask

        model = locate("nuclei")
        data = open_dataset(self.folder / "click")
        reference = FileReference(data.path, data.format, name)
        task = PredictTask(model, (reference,), self.out, read_settings(model)[0].inference)
        started = time.monotonic()
        self.engine.submit(task).wait(wait)
        return time.monotonic() - started


def warm_clicks(folder: Path, words: str, times: int) -> tuple[float, float]:
    """Median seconds of a click on a warm worker, and the mean megabytes that it moves."""
    clicks = Clicks(folder, words)
    try:
        for _ in range(3):
            clicks.click("000")
        before = sum(getattr(clicks.engine._process, "traffic", (0, 0)))
        seconds = [clicks.click("000") for _ in range(times)]
        moved = sum(getattr(clicks.engine._process, "traffic", (0, 0))) - before
    finally:
        clicks.engine.close()
    return statistics.median(seconds), moved / times / 1e6


def strokes_and_cuts(folder: Path, words: str, proxy: Proxy, cuts: int) -> tuple[int, int, float]:
    """Paint while a far worker computes and its line is cut; strokes painted, strokes lost, p99 of a pump."""
    import queue

    from napari_unet.data.catalog import open_dataset
    from napari_unet.engine.chosen import ChosenEngine, ComputeHost
    from napari_unet.models.card import ModelCard
    from napari_unet.models.shipped import locate
    from napari_unet.session.images.collection import Collection
    from napari_unet.session.session import Session
    from napari_unet.workflow.journeys import journey_of, travels

    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    pauses: list[float] = []

    def pump() -> None:
        started = time.perf_counter()
        with contextlib.suppress(queue.Empty):
            waiting.get_nowait()()
        pauses.append(time.perf_counter() - started)

    host = ComputeHost()
    session = Session(ChosenEngine(waiting.put, host, journey_of, travels), waiting.put, host)
    session.place.use_default(words)
    session.runner.failed.connect(lambda sentence, _: print(sentence, file=sys.stderr, flush=True))
    data = open_dataset(folder / "click")
    collection = Collection(data.name, (*data.samples, *data.unlabelled), data)
    session.workspace.choose_model(ModelCard.read(locate("nuclei")))
    session.workspace.show(collection)
    session.wait_idle(pump, 60)
    session.projects.use_folder(folder / "project")
    session.wait_idle(pump, 60)
    first = collection.ids[0]
    session.segment([first])
    session.wait_idle(pump, 300)
    random, painted = np.random.default_rng(0), 0
    while proxy.cuts < cuts:
        if not session.runner.busy:
            session.segment(list(collection.ids[1:]))
        mask = np.array(collection.mask(first, session.workspace.inference))
        row, column = random.integers(0, SIDE - 20, 2)
        started = time.perf_counter()
        mask[row : row + 20, column : column + 20] = 1 - mask[row, column]
        session.painting.correct(first, mask)
        pauses.append(time.perf_counter() - started)
        painted += 1
        until = time.monotonic() + 0.1
        while time.monotonic() < until:
            pump()
            time.sleep(0.001)
        process = getattr(session.runner.engine._far, "_process", None)  # type: ignore[attr-defined]
        if process is not None and process._channel.connected and painted % 3 == 0:
            proxy.cut()  # a connection that is there; one that is being made would be cut in vain
    session.runner.cancel()
    session.wait_idle(pump, 300)
    wanted = np.array(collection.mask(first, session.workspace.inference))
    session.close()
    from napari_unet.project.project import Project

    with Project.open(folder / "project", read_only=True) as project:
        there = np.array(project.corrections[first].mask)
        lost = int((there != wanted).any())
    return painted, lost, float(np.quantile(pauses, 0.99))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--only", default="", help="masks, weights, clicks or strokes")
    options = parser.parse_args()
    rows: list[tuple[str, str]] = []

    def wanted(what: str) -> bool:
        return not options.only or what in options.only.split(",")

    def tell(what: str, found: str) -> None:
        rows.append((what, found))
        print(f"{what}: {found}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with ssh_server(folder) as port:
            if port is None:
                raise SystemExit("there is no sshd: apt-get install openssh-server")
            make_data(folder / "data", 12, 128)
            make_data(folder / "click", 4, SIDE)
            shutil.rmtree(folder / "click/masks")
            rough = Proxy(port, DELAY, RATE, CUT)
            late = Proxy(port, DELAY, RATE)
            by_hand = Proxy(port, DELAY, RATE)
            if wanted("masks"):
                segment = ("segment", folder / "click/images", "--model", "nuclei", "--out")
                command(*segment, folder / "masks-here")
                command(*segment, folder / "masks-ssh", on=far(folder, port, "cache-1"))
                tell(
                    "masks over ssh, same bytes", str(same_masks(folder / "masks-here", folder / "masks-ssh"))
                )
                command(*segment, folder / "masks-cut", on=far(folder, rough.port, "cache-2"))
                same = same_masks(folder / "masks-here", folder / "masks-cut")
                tell(f"masks over the rough line, same bytes ({rough.cuts} cuts)", str(same))
            if wanted("weights"):
                train = (
                    "train", folder / "data", "--seed", "3", "--set", "training.megapixels=1", "--set",
                    "training.patch=64", "--set", "network.filters=8", "--set", "network.depth=3", "--out",
                )  # fmt: skip
                command(*train, folder / "model-here")
                command(*train, folder / "model-ssh", on=far(folder, port, "cache-1"))
                same = same_weights(folder / "model-here", folder / "model-ssh")
                tell("weights over ssh, same bits", str(same))
                before = rough.cuts
                command(*train, folder / "model-cut", on=far(folder, rough.port, "cache-2"))
                same = same_weights(folder / "model-here", folder / "model-cut")
                tell(f"weights over the rough line, same bits ({rough.cuts - before} cuts)", str(same))
            if wanted("clicks"):
                here, _ = warm_clicks(folder, "", 15)
                there, moved = warm_clicks(folder, far(folder, late.port, "cache-1"), 15)
                bound = here + 2 * 2 * DELAY + moved * 1e6 / RATE
                tell("warm click here", f"{1000 * here:.0f} ms")
                tell("warm click there", f"{1000 * there:.0f} ms, {moved:.2f} MB")
                tell("here + 2 round trips + transfer", f"{1000 * bound:.0f} ms")
            if wanted("strokes"):
                painted, lost, pause = strokes_and_cuts(
                    folder, far(folder, by_hand.port, "cache-1"), by_hand, options.cuts
                )
                tell(f"strokes lost of {painted}, {by_hand.cuts} cuts", str(lost))
                tell("longest of 99 % of the session's turns", f"{1000 * pause:.1f} ms")
    print("| what | found |\n| --- | --- |")
    for what, found in rows:
        print(f"| {what} | {found} |")


if __name__ == "__main__":
    main()
