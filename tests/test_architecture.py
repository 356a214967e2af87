"""The arrow of imports, and nothing heavy at the door."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "napari_unet"
TIERS = (
    {"settings", "errors"},
    {"atomic", "progress"},
    {"data", "networks", "models", "metrics", "engine"},
    {"training", "inference", "evaluation", "export"},
    {"workflow"},
    {"widgets", "plugin", "cli"},
)
TIER = {room: number for number, rooms in enumerate(TIERS) for room in rooms}
WITHIN_TIER = {("models", "networks")}
HEAVY = {"keras", "tensorflow", "torch", "jax", "scipy", "cv2", "tifffile", "imagecodecs", "PIL", "skimage"}
WINDOW = {"napari", "qtpy", "magicgui", "superqt", "PyQt6", "PySide6"}


def modules(root: Path) -> list[Path]:
    return sorted(root.rglob("*.py"))


def room_of(path: Path, root: Path) -> str:
    return Path(path.relative_to(root).parts[0]).stem


def imported(tree: ast.AST) -> list[tuple[str, bool]]:
    """Full names of what a module imports, and whether at module level."""
    top = {id(node) for node in ast.iter_child_nodes(tree)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
    return found


def violations(root: Path) -> list[str]:
    found = []
    for path in modules(root):
        room = room_of(path, root)
        for name, at_top in imported(ast.parse(path.read_text())):
            parts = name.split(".")
            where = f"{path.relative_to(root)} imports {name}"
            if parts[0] == "napari_unet" and len(parts) > 1:
                other = parts[1]
                if other not in TIER or room not in TIER or other == room:
                    continue
                if TIER[other] > TIER[room]:
                    found.append(f"{where}: against the arrow")
                if TIER[other] == TIER[room] and (room, other) not in WITHIN_TIER:
                    found.append(f"{where}: across rooms of one tier")
            if parts[0] in HEAVY and at_top:
                found.append(f"{where}: heavy, at the door")
            if parts[0] in WINDOW and room not in {"widgets", "plugin"}:
                found.append(f"{where}: a window where none belongs")
    return found


def test_imports_follow_the_arrow() -> None:
    assert violations(SOURCE) == []


def test_every_room_has_a_tier() -> None:
    rooms = {room_of(p, SOURCE) for p in modules(SOURCE)} - {"__init__"}
    assert rooms <= set(TIER)


@pytest.mark.parametrize(
    ("room", "line", "complaint"),
    [
        ("data", "from napari_unet.workflow import train", "against the arrow"),
        ("metrics", "import napari_unet.data.sample", "across rooms"),
        ("data", "import napari_unet.engine.task", "across rooms"),
        ("training", "import keras", "at the door"),
        ("workflow", "def f():\n    import napari", "a window"),
        ("inference", "def f():\n    from napari_unet.training import fit", "across rooms"),
    ],
)
def test_the_check_sees_what_is_wrong(tmp_path: Path, room: str, line: str, complaint: str) -> None:
    (tmp_path / room).mkdir()
    (tmp_path / room / "bad.py").write_text(line)
    found = violations(tmp_path)
    assert len(found) == 1
    assert complaint in found[0]


def names(*rooms: str) -> list[str]:
    out = []
    for path in modules(SOURCE):
        if room_of(path, SOURCE) in rooms:
            parts = path.relative_to(SOURCE.parent).with_suffix("").parts
            out.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return out


@pytest.mark.parametrize(
    ("rooms", "forbidden"),
    [
        (("widgets", "plugin"), {"keras", "tensorflow", "torch", "jax"}),
        (("workflow", "cli"), {"keras", "tensorflow", "torch", "jax", "napari", "qtpy", "PyQt6", "PySide6"}),
        ((), {"numpy", "pydantic", "keras", "napari"}),
    ],
)
def test_importing_loads_nothing_heavy(rooms: tuple[str, ...], forbidden: set[str]) -> None:
    wanted = names(*rooms) or ["napari_unet"]
    code = f"import sys\nfor m in {wanted!r}: __import__(m)\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert "napari_unet" in loaded
    assert loaded & forbidden == set()
