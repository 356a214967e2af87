"""The arrow of imports, and nothing heavy at the door."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "napari_unet"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
TIERS = (
    {"__init__"},
    {"settings", "errors"},
    {"atomic", "gpu_memory", "plain_json", "progress"},
    {"data", "networks", "models", "metrics", "engine"},
    {"training", "inference", "evaluation", "export"},
    {"workflow"},
    {"widgets", "plugin", "cli"},
)
TIER = {room: number for number, rooms in enumerate(TIERS) for room in rooms}
WITHIN_TIER = {("models", "networks")}
BACKENDS = {"keras", "tensorflow", "torch", "jax"}
HEAVY = BACKENDS | {
    "scipy",
    "cv2",
    "tifffile",
    "imagecodecs",
    "PIL",
    "skimage",
    "matplotlib",
    "jinja2",
    "zarr",
    "onnx",
    "roifile",
}
WINDOW = {"napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide2", "PySide6"}
DYNAMIC = {"import_module", "__import__"}


@dataclass(frozen=True)
class Import:
    """One name that a module imports; `at_door` if importing the module imports it too."""

    name: str
    at_door: bool


def modules(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def room_of(path: Path, root: Path) -> str:
    return Path(path.relative_to(root).parts[0]).stem


def package_of(path: Path, root: Path) -> list[str]:
    """What a relative import in this module starts from."""
    return [PACKAGE, *path.relative_to(root).parts[:-1]]


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def names_of(node: ast.AST, package: list[str]) -> list[str]:
    """Full names that one statement or call imports."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        module = [*start, *([node.module] if node.module else [])]
        return [".".join([*module, alias.name]) for alias in node.names]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = ast.unparse(node.func).split(".")[-1]
        name = node.args[0].value
        if called in DYNAMIC and isinstance(name, str):
            return [name]
    return []


def imports(node: ast.AST, package: list[str], at_door: bool = True) -> list[Import]:
    """What is imported below a node: in branches, classes and functions as well."""
    found = [Import(name, at_door) for name in names_of(node, package)]
    lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for field, value in ast.iter_fields(node):
        later = lazy or (field == "body" and is_typing_only(node))
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                found += imports(child, package, at_door and not later)
    return found


def complaint(room: str, item: Import) -> str:
    """What is wrong with one import, or nothing."""
    top, *rest = item.name.split(".")
    if top == PACKAGE and rest and rest[0] not in {room, "__version__"}:
        other = rest[0]
        if other not in TIER or room not in TIER:
            return "a room that is in no tier"
        if TIER[other] > TIER[room]:
            return "against the arrow"
        if TIER[other] == TIER[room] and (room, other) not in WITHIN_TIER:
            return "across rooms of one tier"
    if top in WINDOW and room not in {"widgets", "plugin"}:
        return "a window where none belongs"
    if top in HEAVY and item.at_door:
        return "heavy, at the door"
    return ""


def violations(root: Path) -> list[str]:
    found = []
    for path in modules(root):
        room = room_of(path, root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            f"{path.relative_to(root)} imports {item.name}: {wrong}"
            for item in imports(tree, package_of(path, root))
            if (wrong := complaint(room, item))
        ]
    return found


def test_imports_follow_the_arrow() -> None:
    assert violations(SOURCE) == []


def test_every_room_has_a_tier() -> None:
    rooms = {room_of(path, SOURCE) for path in modules(SOURCE)}
    assert {"data", "workflow", "widgets", "cli"} <= rooms <= set(TIER)


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("data/bad.py", "from napari_unet.workflow import train", "against the arrow"),
        ("data/bad.py", "from napari_unet import workflow", "against the arrow"),
        ("data/bad.py", "from ..workflow import train", "against the arrow"),
        ("data/formats/bad.py", "from ... import workflow", "against the arrow"),
        ("workflow/__init__.py", "from ..widgets import layers", "against the arrow"),
        ("__init__.py", "from napari_unet import settings", "against the arrow"),
        (
            "data/bad.py",
            "if TYPE_CHECKING:\n    from napari_unet.training.fit import Training",
            "against the arrow",
        ),
        ("metrics/bad.py", "import napari_unet.data.sample", "across rooms"),
        ("networks/bad.py", "from napari_unet.models import model", "across rooms"),
        ("inference/bad.py", "def f():\n    from napari_unet.training import fit", "across rooms"),
        ("inference/bad.py", "async def f():\n    import napari_unet.export.masks", "across rooms"),
        ("data/bad.py", "def f():\n    import_module('napari_unet.engine.task')", "across rooms"),
        ("data/bad.py", "from napari_unet.utils import anything", "in no tier"),
        ("training/bad.py", "import keras", "at the door"),
        ("training/bad.py", "try:\n    import torch\nexcept ImportError:\n    pass", "at the door"),
        ("training/bad.py", "class A:\n    from scipy import ndimage", "at the door"),
        ("training/bad.py", "if TYPE_CHECKING:\n    pass\nelse:\n    import PIL.Image", "at the door"),
        ("training/bad.py", "importlib.import_module('tensorflow')", "at the door"),
        ("workflow/bad.py", "def f():\n    import napari", "a window"),
        ("cli/bad.py", "if TYPE_CHECKING:\n    from qtpy.QtCore import QObject", "a window"),
        ("widgets/bad.py", "import cv2", "at the door"),
    ],
)
def test_what_is_wrong_is_seen(tmp_path: Path, path: str, code: str, expected: str) -> None:
    bad = tmp_path / path
    bad.parent.mkdir(parents=True, exist_ok=True)
    bad.write_text(code)
    found = violations(tmp_path)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("training/good.py", "def f():\n    import keras"),
        ("training/good.py", "if TYPE_CHECKING:\n    import keras"),
        ("models/good.py", "from napari_unet.networks import registry"),
        ("data/formats/good.py", "from ..sample import Sample\nfrom ...errors import DataError"),
        ("widgets/good.py", "import napari\nfrom napari_unet.workflow import train"),
        ("cli/good.py", "from napari_unet import __version__"),
    ],
)
def test_what_is_right_passes(tmp_path: Path, path: str, code: str) -> None:
    good = tmp_path / path
    good.parent.mkdir(parents=True, exist_ok=True)
    good.write_text(code)
    assert violations(tmp_path) == []


def names(root: Path, *rooms: str) -> list[str]:
    out = []
    for path in modules(root):
        if room_of(path, root) in rooms:
            parts = path.relative_to(root).with_suffix("").parts
            out.append(".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)]))
    return out


def loaded_by(wanted: list[str], folder: Path | None = None) -> set[str]:
    """Top names that a fresh interpreter loads with these modules."""
    code = (
        "import sys\n"
        f"sys.path[:0] = {[str(folder)] if folder else []!r}\n"
        "before = set(sys.modules)\n"
        f"for name in {wanted!r}: __import__(name)\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return {name.split(".")[0] for name in answer.stdout.split()}


@pytest.mark.parametrize(
    ("rooms", "forbidden"),
    [
        (("widgets", "plugin"), BACKENDS),
        (("workflow", "cli"), BACKENDS | WINDOW),
        (("data", "networks", "models", "metrics", "engine"), BACKENDS | WINDOW),
        (("training", "inference", "evaluation", "export"), BACKENDS | WINDOW),
    ],
)
def test_importing_rooms_loads_nothing_heavy(rooms: tuple[str, ...], forbidden: set[str]) -> None:
    wanted = names(SOURCE, *rooms)
    assert len(wanted) >= len(rooms)
    loaded = loaded_by(wanted)
    assert PACKAGE in loaded
    assert loaded & forbidden == set()


def test_importing_the_package_loads_nothing_else() -> None:
    assert loaded_by([PACKAGE]) == {PACKAGE}


def test_a_heavy_load_behind_another_module_is_seen(tmp_path: Path) -> None:
    package = tmp_path / PACKAGE / "widgets"
    package.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "bad.py").write_text("import innocent")
    (tmp_path / "innocent.py").write_text("import keras")
    (tmp_path / "keras.py").write_text("")
    assert violations(tmp_path / PACKAGE) == []
    wanted = names(tmp_path / PACKAGE, "widgets")
    assert wanted == [f"{PACKAGE}.widgets", f"{PACKAGE}.widgets.bad"]
    assert loaded_by(wanted, tmp_path) & BACKENDS == {"keras"}
