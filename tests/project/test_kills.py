"""The program is killed at random moments: nothing older than a second is lost, and no file is broken."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.models.model_folder import read_settings
from napari_unet.project.project import Project
from support import kill_program

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PEOPLE = 5  # who work side by side, each on a project of their own
LEARN_EVERY = 10  # one of so many kills comes while it is being learned
KILLS = 20 if sys.platform != "win32" else 3  # of each
LEARNS = sys.platform == "linux"  # where a process can be made to end in the moment its parent is killed
IMAGE = kill_program.IMAGE


def read_log(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text().split("\n") if log.exists() else []
    return [json.loads(line) for line in lines[:-1]]  # the last is empty, or torn


def check_masks(
    project: Project, start: dict[str, str], log: list[dict[str, Any]], killed: float
) -> dict[str, int]:
    """Compare every mask with the log; gives back how many steps of each were old enough to be demanded."""
    demanded = {}
    for identifier in kill_program.IDS:
        states, sure = [start[identifier]], 0
        for line in log:
            if line.get("will") == identifier:
                states.append(line["state"])
            elif line.get("did") == identifier and line["t"] < killed - 1:
                sure = len(states) - 1
        found = state_of(project, identifier)
        assert found in states[sure:], f"{identifier}: lost {sure} of {len(states)} steps"
        demanded[identifier] = sure
    return demanded


def state_of(project: Project, identifier: str) -> str:
    if identifier not in project.corrections:
        return kill_program.digest(
            kill_program.prediction(identifier), np.zeros(kill_program.SHAPE, bool), False
        )
    c = project.corrections[identifier]
    assert c.stats.verified == c.verified.sum()
    return kill_program.digest(c.mask, c.verified, c.stats.done)


def check_models(project: Project, start: list[Any], log: list[dict[str, Any]]) -> None:
    allowed = [start]
    for line in log:
        if line.get("will") == "models":
            allowed = [allowed[0], line["state"]]
        elif line.get("did") == "models":
            allowed = [line["state"]]
    assert kill_program.state_of_models(project) in allowed
    for version in project.models.versions():
        content = (version.path / "model.weights.h5").read_bytes()
        assert hashlib.blake2b(content).hexdigest() == version.note


def check_runs(folder: Path) -> int:
    """What a round has written is a whole model or none; gives back how many are whole."""
    whole = 0
    for settings in folder.glob("runs/*/model/settings.json"):
        read_settings(settings.parent)
        with h5py.File(settings.parent / "model.weights.h5") as weights:
            assert len(weights)
        whole += 1
    return whole


def check_pack(folder: Path) -> int:
    pack = folder / "reports" / "pack.zip"
    if not pack.exists():
        return 0
    with zipfile.ZipFile(pack) as archive:
        assert archive.testzip() is None
        assert "project.json" in archive.namelist()
    return 1


def wait_for(log: Path, words: str, most: float = 60) -> None:
    end = time.monotonic() + most
    while time.monotonic() < end and not (log.exists() and words in log.read_text()):
        time.sleep(0.005)


def kill_again_and_again(folder: Path, seed: int, model: Path) -> dict[str, int]:
    """One project, killed many times; what is found after each is where the next begins."""
    forked = sys.platform != "win32"
    context: Any = multiprocessing.get_context("forkserver" if forked else "spawn")
    chance = random.Random(seed)
    counts = {"kills": 0, "demanded": 0, "steps": 0, "restored": 0, "packs": 0, "versions": 0, "learned": 0}
    with Project.create(folder, [Sample(i, lambda: IMAGE) for i in kill_program.IDS]) as project:
        start = {i: state_of(project, i) for i in kill_program.IDS}
        models = kill_program.state_of_models(project)
    changed: set[str] = set()  # one that was killed before its first stroke was written has no history
    for number in range(KILLS):
        log = folder.with_name(f"{folder.name}-{number}.log")
        learns = LEARNS and number % LEARN_EVERY == LEARN_EVERY - 1
        arguments = (str(folder), str(log), seed * 1000 + number, str(model) if learns else "")
        process = context.Process(target=kill_program.work, args=arguments, daemon=True)
        process.start()
        if learns and number == KILLS - 1:  # in the moment after a round has become a version
            wait_for(log, '"added"', 240)
            time.sleep(chance.uniform(0, 0.05))
        elif learns:  # anywhere from the first step's being built to the round after
            wait_for(log, '"began"')
            time.sleep(chance.uniform(0, 2 * kill_program.LEARNING))
        else:
            if chance.random() < 0.9:  # some are killed while they open the project
                wait_for(log, '"open"')
            time.sleep(chance.uniform(0, 1.6))
        killed = time.monotonic()
        process.kill()
        process.join()
        lines = read_log(log)
        # Looked at without changing anything, every other time; so journals of several runs pile up.
        with Project.open(folder, read_only=bool(number % 2)) as project:
            assert not project.restored.problems
            demanded = check_masks(project, start, lines, killed)
            counts["demanded"] += sum(demanded.values())
            changed |= {identifier for identifier, steps in demanded.items() if steps}
            check_models(project, models, lines)
            if not project.read_only:
                assert not list(folder.rglob(".partial-*"))
            counts["restored"] += project.restored.strokes
            start = {i: state_of(project, i) for i in kill_program.IDS}
            models = kill_program.state_of_models(project)
            for identifier in changed:
                assert len(project.corrections.versions(identifier)) > 1
        counts["kills"] += 1
        counts["steps"] += len(lines) // 2
        counts["packs"] += check_pack(folder)
        check_runs(folder)
    with Project.open(folder) as project:
        assert {i: state_of(project, i) for i in kill_program.IDS} == start
        assert not project.restored.strokes or KILLS % 2 == 0
        # Every stroke of all runs is in the history: it leads back to where it all began.
        for identifier in project.corrections:
            project.corrections.revert_to(identifier, 0)
            back = project.corrections[identifier]
            assert np.array_equal(back.mask, kill_program.prediction(identifier))
            assert not back.verified.any()
        counts["versions"] += len(project.models.versions())
    counts["learned"] += check_runs(folder)
    assert not list(folder.rglob(".partial-*"))
    return counts


def test_killed_a_hundred_times(tmp_path: Path) -> None:
    context: Any = multiprocessing.get_context("forkserver" if sys.platform != "win32" else "spawn")
    if sys.platform != "win32":
        # What takes seconds to load is loaded once.
        context.set_forkserver_preload(["support.kill_program", "keras"])
    model = tmp_path / "start"
    if LEARNS:
        maker = context.Process(target=kill_program.make_model, args=(str(model),))
        maker.start()
        maker.join()
        assert maker.exitcode == 0
    with ThreadPoolExecutor(PEOPLE) as people:
        runs = [
            people.submit(kill_again_and_again, tmp_path / f"project {n}", n, model) for n in range(PEOPLE)
        ]
        results = [run.result() for run in runs]
    total = {key: sum(r[key] for r in results) for key in results[0]}
    print(total)
    assert total["kills"] == PEOPLE * KILLS
    # The kills came where they should: between strokes, with something to restore and to demand.
    assert total["restored"] > 100
    assert total["demanded"] > 100
    assert total["packs"] > 0
    assert total["versions"] > 0
    assert total["learned"] >= PEOPLE or not LEARNS
