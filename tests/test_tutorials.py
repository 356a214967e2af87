"""The tutorials work: their commands and Python run from start to end, in order, on made-up images.

Only the amount of training is smaller here. What a page does in the window, tests/widgets and
docs/make_screenshots.py do.
"""

from __future__ import annotations

import re
import shlex
import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.cli import main
from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import write_synthetic
from napari_unet.project.project import Project
from napari_unet.workflow import demo
from napari_unet.workflow.train.recipes import recipe
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parents[1] / "docs" / "tutorials"
ZIP = "tgs-salt-identification-challenge.zip"
BLOCK = re.compile(
    r"^```python\n(?P<python>.*?)^```|(?P<shell>(?:^ {4}\S[^\n]*\n)+)", re.MULTILINE | re.DOTALL
)
# Not of this program: they install, or ask another server.
OF_OTHERS = ("python -m venv", "pip install", "unet/bin/pip", "python -c ")
SMALL = "--set filters=2 --set depth=1 --set patch=32 --set batch_size=2 --set megapixels=0.01"
SHORTER = {
    "--recipe tgs-salt": f"--recipe tgs-salt {SMALL}",
    "--set dimensions=auto --minutes 30": f"--set dimensions=auto {SMALL}",
    "--out salt --minutes 30": f"--out salt --overwrite {SMALL}",  # after the one above
    "--minutes 2": "--minutes 0.03",
    "--out better": "--out better --minutes 0.03",
    "napari-unet demo": "napari-unet demo --no-window --minutes 0.03",
    '["minutes=30"]': str(["filters=2", "depth=1", "patch=32", "batch_size=2", "megapixels=0.01"]),
    'Path("salt")': 'Path("salt-by-python")',
}


@pytest.fixture(scope="module")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of built-in models with a small one in place of `nuclei`."""
    folder = tmp_path_factory.mktemp("built-in")
    write_tiny_model(folder / "nuclei", classes=("nucleus",), filters=2, depth=1)
    return folder


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch, built_in: Path) -> None:
    """The built-in model and that of `napari-unet demo` are small, and the demo makes fewer images."""
    monkeypatch.setattr("napari_unet.models.shipped.FOLDER", built_in)
    less = [word for word in SMALL.split() if "=" in word and "megapixels" not in word] + [
        "steps_per_epoch=4"
    ]
    monkeypatch.setattr(demo, "recipe", lambda name, changes: recipe(name, [*changes, *less]))
    monkeypatch.setattr(demo, "DemoTask", partial(demo.DemoTask, images=20))
    monkeypatch.setattr(demo, "FIRST_IMAGES", 2)


def nothing(folder: Path) -> None:
    """The page makes its own images."""


def ten_images(folder: Path) -> None:
    """Images without masks, and the project in which a person corrected six of them."""
    source = write_synthetic("nuclei", folder / "source", 10)
    (folder / "my-images").mkdir()
    for number, file in enumerate(sorted(source.glob("stage1_train/*/images/*.png"))):
        with Image.open(file) as image:
            image.convert("L").crop((0, 0, 64, 64)).save(folder / "my-images" / f"{number}.png")
    shutil.rmtree(source)
    painted = np.zeros((64, 64), np.uint8)
    painted[8:24, 8:24] = 1
    with Project.create(
        folder / "PROJECT", open_dataset(folder / "my-images"), classes=("nucleus",)
    ) as project:
        for identifier in project.ids[:6]:
            project.corrections.record(identifier, np.zeros_like(painted), painted)
            project.corrections.set_done(identifier)


def salt(folder: Path) -> None:
    """The competition's zip, and images of one's own."""
    source = write_synthetic("salt", folder / "source", 24)
    with zipfile.ZipFile(folder / ZIP, "w") as archive:
        for file in sorted(source.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(source))
    shutil.copy(source / "train.csv", folder)  # "unpack that one file"
    (folder / "my-tiles").mkdir()
    for file in sorted(source.glob("train/images/*.png"))[:3]:
        shutil.copy(file, folder / "my-tiles")
    shutil.rmtree(source)


def volumes(folder: Path) -> None:
    """Two blocks of slices with balls in them, and masks; voxels twice as thick as wide."""
    depth, row, column = np.mgrid[:12, :32, :32]
    for name in ("images", "masks"):
        (folder / "my-volumes" / name).mkdir(parents=True)
    for number in range(2):
        ball = ((depth - 6) * 2) ** 2 + (row - 12 - 6 * number) ** 2 + (column - 16) ** 2 < 80
        noise = np.random.default_rng(number).integers(0, 40, ball.shape)
        for name, pixels in (("images", noise + 120 * ball), ("masks", ball)):
            tifffile.imwrite(
                folder / "my-volumes" / name / f"block-{number}.tif", pixels.astype(np.uint8), imagej=True,
                resolution=(2, 2), metadata={"axes": "ZYX", "spacing": 1.0, "unit": "um"},
            )  # fmt: skip
    known = np.full(ball.shape, 255, np.uint8)  # all but three slices of the last block are unknown
    known[[1, 6, 11]] = ball[[1, 6, 11]]
    for name, pixels in (("images", noise + 120 * ball), ("masks", known)):
        (folder / "my-corrections" / name).mkdir(parents=True)
        tifffile.imwrite(
            folder / "my-corrections" / name / "block.tif", pixels.astype(np.uint8), imagej=True,
            metadata={"axes": "ZYX"},
        )  # fmt: skip


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """Python and shell of a page, in order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [("python", m["python"]) if m["python"] else ("shell", m["shell"]) for m in found]


def shortened(code: str) -> str:
    for long, short in SHORTER.items():
        code = code.replace(long, short)
    return code


def run_in_shell(line: str) -> None:
    command = shlex.split(line, comments=True)
    if command[0].startswith("my-volumes/"):  # a listing of files
        return
    assert command[0] == "napari-unet", (
        f"{line}: say in this test how it is run, or that others answer for it"
    )
    words = [name for word in command[1:] for name in (_matching(word) if "*" in word else [word])]
    assert main(words) == 0, line


def _matching(pattern: str) -> list[str]:
    """The files that a shell would put in place of it."""
    return sorted(str(file) for file in Path().glob(pattern))


@pytest.mark.parametrize(
    ("page", "prepare", "made"),
    [
        ("first-mask.md", nothing, ["demo/report/report.html", "demo/model/settings.json"]),
        ("ten-images.md", ten_images, ["masks/0.png", "results/0_mask.tif", "results/measurements.csv"]),
        (
            "tgs-salt.md",
            salt,
            ["report/report.html", "submission.csv", "held-out.csv", "salt-by-python/settings.json"],
        ),
        ("volumes.md", volumes, ["report/report.html", "masks/block-0.ome.tif", "masks/block-1.ome.tif"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_tutorial_runs_from_start_to_end(
    page: str,
    prepare: Callable[[Path], None],
    made: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    for language, code in blocks_of(PAGES / page):
        if language == "python":
            exec(compile(shortened(code), page, "exec"), {})
            continue
        for line in code.splitlines():
            if not line.strip().startswith(OF_OTHERS):
                run_in_shell(shortened(line.strip()))
    missing = [name for name in made if not (tmp_path / name).is_file()]
    assert missing == [], sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))[:80]


def test_every_tutorial_is_run() -> None:
    assert {page.name for page in PAGES.glob("*.md")} == {
        "first-mask.md", "ten-images.md", "tgs-salt.md", "volumes.md",
    }  # fmt: skip


def test_what_is_shortened_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    assert [long for long in SHORTER if long not in text] == []
    assert recipe("tgs-salt").name == "tgs-salt"
