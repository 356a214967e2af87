"""Paths that lead nowhere: one sentence and exit code 2 from every command, no traceback, no waiting."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.cli import main
from napari_unet.data.files.source import open_source
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Callable

COMMANDS: dict[str, Callable[[str, str], list[str]]] = {
    "segment": lambda path, out: ["segment", path, "--model", "nuclei", "--out", out],
    "segment --stream": lambda path, out: ["segment", path, "--model", "nuclei", "--out", out, "--stream"],
    "segment --model": lambda path, out: ["segment", "a.png", "--model", path, "--out", out],
    "train": lambda path, out: ["train", path, "--out", out],
    "evaluate": lambda path, out: ["evaluate", path, "--model", "nuclei", "--out", out],
    "evaluate --masks": lambda path, out: ["evaluate", "data", "--masks", path, "--out", out],
    "inspect": lambda path, out: ["inspect", path],
    "export": lambda path, out: ["export", path, "--model", "nuclei", "--format", "png", "--out", out],
    "export --masks": lambda path, out: ["export", "a.png", "--masks", path, "--format", "png", "--out", out],
}
WRITING = {
    "segment": lambda out: ["segment", "a.png", "--model", "nuclei", "--out", out],
    "train": lambda out: ["train", "data", "--out", out],
    "evaluate": lambda out: ["evaluate", "data", "--masks", "data/masks", "--out", out],
    "export": lambda out: ["export", "data", "--format", "png", "--out", out],
}
IMPOSSIBLE = {
    "an argument that is too long": "x" * 5000,
    "a name that is too long": "y" * 256 + ".png",
    "a long name in a pattern": "y" * 256 + "*.png",
    "NUL": "a\0b.png",
}
ODD = {
    **IMPOSSIBLE,
    "a path through a file": "a.png/b.png",
    "a link to nothing": "link.png",
    "links in a circle": "circle.png",
    "a pipe": "pipe.png",
    "a device": os.devnull,
    "a folder of a pipe": "folder",
}


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("images", "masks"):
        Path("data", name).mkdir(parents=True)
        for number in range(4):
            pixels = np.zeros((32, 32), np.uint8)
            pixels[4 + number : 20, 8:20] = 255
            Image.fromarray(pixels).save(Path("data", name, f"{number}.png"))
    Image.fromarray(pixels).save("a.png")
    Path("link.png").symlink_to("gone.png")
    Path("circle.png").symlink_to("circle.png")
    Path("folder").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe.png")
        os.mkfifo("folder/pipe.png")


def said(capsys: pytest.CaptureFixture[str], words: list[str]) -> str:
    assert main(words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines[-1].startswith("napari-unet: ")
    assert len([line for line in lines if not line.startswith("note: ")]) == 1
    assert len(lines[-1]) < 500
    return lines[-1]


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_cannot_be_read(command: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, COMMANDS[command](ODD[kind], "out"))
    assert not list(Path("out").glob("*"))  # the folder may have been tried


@pytest.mark.parametrize("kind", [*IMPOSSIBLE, "a path through a file"])
@pytest.mark.parametrize("command", WRITING)
def test_what_cannot_be_written(command: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("a.png").read_bytes()
    said(capsys, WRITING[command](ODD[kind]))
    assert Path("a.png").read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_folder_that_a_person_must_not_look_into(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system says it: whoever runs the tests may be allowed everything."""
    looked_at, listed = os.lstat, os.scandir

    def refused(path: object) -> OSError:
        return PermissionError(errno.EACCES, "Permission denied", str(path))

    def lstat(path: object, **more: object) -> os.stat_result:
        if "closed" in Path(os.fspath(path)).parts[:-1]:  # type: ignore[call-overload]
            raise refused(path)
        return looked_at(path, **more)  # type: ignore[call-overload, no-any-return]

    def scandir(path: object = ".") -> object:
        if Path(str(path)).name == "closed":
            raise refused(path)
        return listed(path)  # type: ignore[call-overload]

    Path("closed").mkdir()
    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(os, "scandir", scandir)
    assert "ermission denied" in said(capsys, COMMANDS[command]("closed/a.png", "out"))
    if command != "segment --model":
        assert "closed" in said(capsys, COMMANDS[command]("closed", "out"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes among this system's files")
def test_a_pipe_is_not_waited_for() -> None:
    with raises_code("data.file.special", "pipe.png"):
        open_source("pipe.png")
