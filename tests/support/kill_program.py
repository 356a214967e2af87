"""A person at work, until killed: paints, undoes, marks done, saves, fine-tunes, keeps, rolls back, packs.

Before each step it writes down what shall be true after it, and afterwards that it is done. The log is
written without a buffer, so that what was logged outlives the kill.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.sample import Sample
from napari_unet.engine.task import FromCaller
from napari_unet.errors import TrainingError
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.project.pack import pack_project
from napari_unet.project.project import Project
from napari_unet.settings import FineTuneSettings
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.finetune.project_examples import collect_examples
from napari_unet.workflow.inputs.image_reference import CallReference
from napari_unet.workflow.inputs.labelled_images import LabelledImage

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from napari_unet.project.model_versions import ModelStore

SHAPE = (40, 50)
IMAGE = np.zeros((*SHAPE, 1), np.uint8)
LEARNING = 1.5  # seconds of a round
IDS = tuple(f"picture {n}/{'a' if n % 2 else 'ä'}" for n in range(5))


def digest(mask: np.ndarray, verified: np.ndarray, done: bool) -> str:
    """What tells one state of an image from all others."""
    return hashlib.blake2b(mask.tobytes() + verified.tobytes() + bytes([done]), digest_size=8).hexdigest()


def prediction(identifier: str) -> np.ndarray:
    """What the model said, the same in every process."""
    return np.random.default_rng(IDS.index(identifier)).integers(0, 3, SHAPE).astype(np.uint8)


def state_of_models(project: Project) -> list[Any]:
    """Numbers of the versions, and which is in use."""
    current = project.models.current
    return [[v.number for v in project.models.versions()], None if current is None else current.number]


def write_weights(folder: Path, content: bytes) -> None:
    (folder / "model.weights.h5").write_bytes(content)


class Person:
    """Keeps its own, plain account of every mask."""

    def __init__(self, project: Project, log: int, seed: int) -> None:
        self.project, self.log, self.random = project, log, random.Random(seed)
        self.models = threading.Lock()  # a version is added, kept or rolled back at a time
        self.truth: dict[str, tuple[np.ndarray, np.ndarray, bool]] = {}
        for identifier in IDS:
            if identifier in project.corrections:
                c = project.corrections[identifier]
                self.truth[identifier] = (c.mask, c.verified, c.stats.done)
            else:
                self.truth[identifier] = (prediction(identifier), np.zeros(SHAPE, bool), False)

    def write(self, **line: Any) -> None:
        os.write(self.log, json.dumps({**line, "t": time.monotonic()}).encode() + b"\n")

    def step(self) -> None:
        kind = self.random.choices(
            ["paint", "paint and undo", "done", "revert", "save", "add", "keep", "roll back", "pack"],
            [60, 10, 3, 2, 4, 2, 2, 2, 1],
        )[0]
        identifier = self.random.choice(IDS)
        if kind in {"paint", "paint and undo"}:
            self.paint(identifier, undo=kind != "paint")
        elif kind == "done" and identifier in self.project.corrections:
            mask, verified, done = self.truth[identifier]
            self.change(identifier, (mask, verified, not done), lambda c: c.set_done(identifier, not done))
        elif kind == "revert" and identifier in self.project.corrections:
            after = (prediction(identifier), np.zeros(SHAPE, bool), False)
            self.change(identifier, after, lambda c: c.revert(identifier))
        elif kind == "save":
            self.project.corrections.save()
        elif kind == "pack":
            self.project.save()
            pack_project(self.project, self.project.folder / "reports" / "pack.zip", False, ignore_progress)
        elif kind in {"add", "keep", "roll back"}:
            with self.models:
                self.version(kind)

    def paint(self, identifier: str, undo: bool) -> None:
        before, verified, done = self.truth[identifier]
        after = before.copy()
        y, x, size = (
            self.random.randrange(SHAPE[0]),
            self.random.randrange(SHAPE[1]),
            self.random.randrange(1, 9),
        )
        after[max(y - size, 0) : y + size, max(x - size, 0) : x + size] = self.random.choice([0, 1, 2, 255])
        if np.array_equal(before, after):
            return
        painted = (after, verified | (after != before), done)
        self.change(identifier, painted, lambda c: c.record(identifier, before, after))
        if undo:
            self.change(identifier, (before, verified, done), lambda c: c.record(identifier, after, before))

    def change(self, identifier: str, after: tuple[np.ndarray, np.ndarray, bool], act: Any) -> None:
        told = digest(*after)
        self.write(will=identifier, state=told)
        act(self.project.corrections)
        self.truth[identifier] = after
        self.write(did=identifier, state=told)

    def version(self, kind: str) -> None:
        store = self.project.models
        numbers, _ = state_of_models(self.project)
        if kind == "add":
            content = self.random.randbytes(5000)
            self.add(store, lambda folder: write_weights(folder, content), content)
        elif kind == "keep" and numbers:
            number = self.random.choice(numbers)
            self.write(will="models", state=[numbers, number])
            store.keep(number)
        elif kind == "roll back" and len(store._kept()) > 1:
            self.write(will="models", state=[numbers, store._kept()[-2]])
            store.roll_back()
        self.write(did="models", state=state_of_models(self.project))

    def add(self, store: ModelStore, model: Any, content: bytes) -> None:
        numbers, current = state_of_models(self.project)
        self.write(will="models", state=[[*numbers, max(numbers, default=0) + 1], current])
        store.add(model, note=hashlib.blake2b(content).hexdigest())

    def learn(self, learner: Connection, start: Path) -> None:
        """Have it learned round after round while the other thread paints; versions are added, and kept."""
        samples = {i: Sample(i, lambda: IMAGE) for i in IDS}
        while True:
            corrections = collect_examples(self.project, samples, None, {}).corrections
            if not corrections:
                time.sleep(0.05)
                continue
            out = self.project.new_folder("runs", "fine-tune") / "model"
            self.write(did="fine-tune", state="began")
            learner.send((start, out, [(c.id, c.labels, c.weights) for c in corrections]))
            if not learner.recv():  # only what judges is done so far
                continue
            with self.models:
                self.add(self.project.models, out, (out / "model.weights.h5").read_bytes())
                self.write(did="models", state=state_of_models(self.project))
                self.write(did="fine-tune", state="added")
                numbers, _ = state_of_models(self.project)
                self.write(will="models", state=[numbers, numbers[-1]])
                self.project.models.keep(numbers[-1])
                self.write(did="models", state=state_of_models(self.project))


def start_learner() -> Connection:
    """The computing process, which ends with the one that started it; gives back the way to it."""
    here, there = multiprocessing.Pipe()
    if os.fork():
        there.close()
        return here
    die_with_parent = 1
    ctypes.CDLL(None).prctl(die_with_parent, signal.SIGKILL)
    here.close()
    from support.tiny_models import without_graphs

    without_graphs()
    try:
        while True:
            start, out, items = there.recv()
            there.send(one_round(start, out, items))
    finally:
        os._exit(1)


def one_round(start: Path, out: Path, items: list[tuple[str, Any, Any]]) -> bool:
    """Fine-tune; whether there was anything to learn from."""
    corrections = [
        LabelledImage(CallReference(i, FromCaller(lambda: IMAGE)), labels, weights)
        for i, labels, weights in items
    ]
    settings = FineTuneSettings(seconds=LEARNING, patch=32)
    try:
        FineTuneTask(start, tuple(corrections), out, settings).run(ignore_progress, CancelToken())
    except TrainingError:
        return False
    return True


def make_model(folder: str) -> None:
    """The tiny network that learns, made where Keras is loaded."""
    from support.tiny_models import without_graphs, write_tiny_model

    without_graphs()
    write_tiny_model(Path(folder), classes=("one", "two"), filters=1, depth=1)


def work(folder: str, log: str, seed: int, start: str = "") -> None:
    """Open the project and work on it until killed; with a model to start from, learn beside that."""
    learner = start_learner() if start else None  # ahead of all threads and locks
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    person = Person(Project.open(folder), handle, seed)
    person.write(did="open", state=None)
    if learner is not None:
        threading.Thread(target=person.learn, args=(learner, Path(start)), daemon=True).start()
    while True:
        person.step()
        time.sleep(person.random.random() * 0.01)
