"""The arrow of imports, no circles, and nothing heavy at the door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "napari_unet"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
TIERS = (
    {"__init__"},
    {"settings", "errors"},
    {"atomic", "gpu_memory", "plain_json", "progress", "setting_values", "value_tables"},
    {"quiet_import"},
    {"metrics"},
    {"networks"},
    {"data", "models", "engine"},
    {"training", "inference", "evaluation", "export", "project"},
    {"workflow"},
    {"session"},
    {"widgets", "cli"},
    {"plugin"},
)
APART = {("cli", "session"), ("plugin", "cli")}  # imports that run downward and are wrong all the same
# The same inside a room: its folders, and the modules that lie beside them. Lowest first, as above.
PARTS = {
    "workflow": (
        {"versions", "network_facts", "machine"},
        {"inputs"},
        {"segment"},
        {"train", "large_images", "review", "export"},
        {"evaluate", "ensemble", "demo", "doctor", "inspect", "import_model", "measure_volume"},
        {"finetune"},
        {"replay", "strokes"},
        {"journeys"},
    ),
    "session": (
        {"images"},
        {"overall_score", "auto_project", "outcome"},
        {"found_project"},
        {"task_runner"},
        {"workspace"},
        {"run_history", "projects"},
        {"channel_memory", "compute_place", "disk_masks", "export_masks", "painting", "quality"},
        {"learn", "fill_between"},
        {"session"},
    ),
    "session/learn": (
        {"facts", "large_strokes", "verdict"},
        {"background_job", "candidate_version"},
        {"new_model", "strokes"},
        {"learning"},
    ),
    "evaluation": (
        {"compare", "confidence", "leakage", "score"},
        {"error_map", "volume_scores"},
        {"report"},
    ),
    "networks": (
        {"sizes", "layers", "graphs"},
        {"architecture"},
        {"encoders"},
        {"registry"},
        {"heads", "transfer"},
        {"deep_contextual", "deeplab", "encoder_unet", "fcn", "unet", "mask_rcnn"},
        {"attention_unet", "scse_unet"},
        {"segnet", "unet_plus_plus"},
        {"onnx"},
    ),
    "training": (
        {"adamw", "entropy", "checkpoint", "feeding", "schedule"},
        {"regions"},
        {"learner", "losses"},
        {"snapshots"},
        {"fit"},
        {"fine_tune", "forecast", "warm"},
        {"strokes"},
    ),
    "project": (
        {"lock"},
        {"corrections", "model_version", "project_file"},
        {"image_links", "layout", "model_versions"},
        {"new_project"},
        {"project"},
        {"pack", "status"},
    ),
    "export": (
        {"masks", "models", "outlines", "segmented", "submission"},
        {"coco", "geojson", "imagej_roi", "label_files", "ome_zarr", "over_time", "tables", "volumes"},
        {"formats", "label_store", "stacks"},
        {"naming"},
    ),
    "widgets": (
        {"parts"},
        {"images", "learn", "canvas"},
        {"strokes"},
        {"segment"},
        {"objects", "review"},
        {"dock"},
        {"workbench"},
    ),
}
# What is wrong today and known. A line goes with its cause: one that is true no longer fails the test, too.
KNOWN_UPWARD: list[str] = []
KNOWN_CIRCLES: list[list[str]] = []
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


def part_of(path: Path, root: Path) -> str:
    """The folder or module inside a room; empty for the room's own ``__init__``."""
    parts = path.relative_to(root).parts
    return "" if len(parts) < 2 or parts[1] == "__init__.py" else Path(parts[1]).stem


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


def floors(tiers: Sequence[set[str]]) -> dict[str, int]:
    return {room: number for number, rooms in enumerate(tiers) for room in rooms}


def against(tiers: Sequence[set[str]], one: str, other: str, what: str) -> str:
    """What is wrong if one of these rooms imports another, or nothing."""
    floor = floors(tiers)
    if one not in floor or other not in floor:
        return f"a {what} that is in no tier"
    if floor[other] > floor[one]:
        return "against the arrow"
    if floor[other] == floor[one]:
        return f"across {what}s of one tier"
    return ""


def complaint(room: str, part: str, item: Import) -> str:
    """What is wrong with one import, or nothing."""
    top, *rest = item.name.split(".")
    if top == PACKAGE and rest and rest[0] not in {room, "__version__", "PROGRAM"}:
        if (room, rest[0]) in APART:
            return "past the room between them"
        return against(TIERS, room, rest[0], "room")
    if top == PACKAGE and room in PARTS and len(rest) > 1 and part not in {"", rest[1]}:
        return against(PARTS[room], part, rest[1], "part")
    if top in WINDOW and room not in {"widgets", "plugin"}:
        return "a window where none belongs"
    if top in HEAVY and item.at_door:
        return "heavy, at the door"
    return ""


def nested(path: Path, root: Path, item: Import) -> str:
    """What is wrong with one import inside a folder of a room, or nothing."""
    inside = path.relative_to(root).as_posix()
    for key in PARTS:
        start = f"{PACKAGE}.{key.replace('/', '.')}."
        if "/" in key and inside.startswith(f"{key}/") and item.name.startswith(start):
            one, other = (
                Path(inside.removeprefix(f"{key}/")).parts[0],
                item.name.removeprefix(start).split(".")[0],
            )
            if Path(one).stem not in ("__init__", other):
                return against(PARTS[key], Path(one).stem, other, "part")
    return ""


def violations(root: Path) -> list[str]:
    found = []
    for path in modules(root):
        room = room_of(path, root)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            f"{path.relative_to(root)} imports {item.name}: {wrong}"
            for item in imports(tree, package_of(path, root))
            if (wrong := complaint(room, part_of(path, root), item) or nested(path, root, item))
        ]
    return found


def dotted(path: Path, root: Path) -> str:
    """models.card of models/card.py, data of data/__init__.py."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph(root: Path) -> dict[str, set[str]]:
    """Each module with those of the package that it imports anywhere, for type checking as well."""
    paths = {dotted(path, root): path for path in modules(root)}
    found: dict[str, set[str]] = {}
    for name, path in paths.items():
        found[name] = set()
        for item in imports(ast.parse(path.read_text(encoding="utf-8")), package_of(path, root)):
            top, *rest = item.name.split(".")
            for end in range(len(rest), 0, -1) if top == PACKAGE else ():
                if (other := ".".join(rest[:end])) in paths:
                    found[name].add(other)
                    break
        found[name].discard(name)  # for workers of Dask, which are to find it by its name
    return found


def circles(root: Path) -> list[list[str]]:
    """Groups of modules each of which leads to all others of its group by imports."""
    below = graph(root)
    reach: dict[str, set[str]] = {}
    for name in below:
        seen: set[str] = set()
        todo = list(below[name])
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo += below[one]
        reach[name] = seen
    groups = {tuple(sorted({b for b in reach[a] if a in reach[b]})) for a in below if a in reach[a]}
    return [list(group) for group in sorted(groups)]


def test_imports_follow_the_arrow() -> None:
    assert violations(SOURCE) == KNOWN_UPWARD


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(SOURCE) == KNOWN_CIRCLES


def test_no_two_classes_have_one_name() -> None:
    """A name that stands twice is looked up twice."""
    found: dict[str, list[str]] = {}
    for path in modules(SOURCE):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(str(path.relative_to(SOURCE)))
    assert len(found) > 300
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


SMALL_EQUALS = {"cli", "data/formats"}  # one short module a command or layout


def test_no_folder_is_crowded() -> None:
    crowded = {}
    for folder in {path.parent for path in modules(SOURCE)}:
        count = len([path for path in folder.glob("*.py") if path.name != "__init__.py"])
        if count > 15 and folder.relative_to(SOURCE).as_posix() not in SMALL_EQUALS:
            crowded[folder.relative_to(SOURCE).as_posix()] = count
    assert crowded == {}


def test_every_room_has_a_tier() -> None:
    rooms = {room_of(path, SOURCE) for path in modules(SOURCE)}
    assert {"data", "workflow", "widgets", "cli"} <= rooms <= set(floors(TIERS))


@pytest.mark.parametrize("room", PARTS)
def test_every_part_of_a_room_has_a_tier(room: str) -> None:
    paths = [p for p in modules(SOURCE) if p.relative_to(SOURCE).as_posix().startswith(f"{room}/")]
    parts = {part_of(path, SOURCE / Path(room).parent) for path in paths}
    assert len(parts) > 3
    assert parts - {""} <= set(floors(PARTS[room]))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"data/a.py": "from napari_unet.data.b import f", "data/b.py": ""}, []),
        (
            {
                "data/a.py": "from napari_unet.data.b import f",
                "data/b.py": "from napari_unet.data.a import g",
            },
            [["data.a", "data.b"]],
        ),
        (
            {
                "data/a.py": "def f():\n    from napari_unet.data import b",
                "data/b.py": "if TYPE_CHECKING:\n    from napari_unet.data.c import C",
                "data/c.py": "from . import a",
                "data/d.py": "from napari_unet.data import a",
            },
            [["data.a", "data.b", "data.c"]],
        ),
        (
            {"data/__init__.py": "from napari_unet.data import a", "data/a.py": "import napari_unet.data"},
            [["data", "data.a"]],
        ),
    ],
)
def test_circles_are_found(tmp_path: Path, files: dict[str, str], expected: list[list[str]]) -> None:
    for path, code in files.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(code)
    assert circles(tmp_path) == expected


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("data/bad.py", "from napari_unet.workflow import train", "against the arrow"),
        ("data/bad.py", "from napari_unet import workflow", "against the arrow"),
        ("data/bad.py", "from ..workflow import train", "against the arrow"),
        ("data/formats/bad.py", "from ... import workflow", "against the arrow"),
        ("workflow/__init__.py", "from ..widgets import canvas", "against the arrow"),
        (
            "workflow/bad.py",
            "from napari_unet.session.images.collection import Collection",
            "against the arrow",
        ),
        ("project/bad.py", "from napari_unet.workflow.inputs import content_path", "against the arrow"),
        ("project/bad.py", "from napari_unet.export import masks", "across rooms"),
        ("cli/bad.py", "from napari_unet.session.session import Session", "past the room"),
        ("cli/bad.py", "from napari_unet.widgets import workbench", "across rooms"),
        ("workflow/inputs/bad.py", "from napari_unet.workflow.finetune import rounds", "against the arrow"),
        ("workflow/train/bad.py", "from ..evaluate import evaluate_task", "against the arrow"),
        (
            "workflow/train/bad.py",
            "def f():\n    from napari_unet.workflow.review import queue",
            "across parts",
        ),
        ("workflow/new/bad.py", "from napari_unet.workflow.inputs import content_path", "part that is in no"),
        (
            "session/images/collection.py",
            "from napari_unet.session.session import Session",
            "against the arrow",
        ),
        (
            "widgets/parts/bad.py",
            "if TYPE_CHECKING:\n    from napari_unet.widgets.canvas import overlays",
            "against the arrow",
        ),
        ("__init__.py", "from napari_unet import settings", "against the arrow"),
        (
            "data/bad.py",
            "if TYPE_CHECKING:\n    from napari_unet.training.fit import Training",
            "against the arrow",
        ),
        ("metrics/bad.py", "import napari_unet.data.sample", "against the arrow"),
        ("networks/bad.py", "from napari_unet.models import model", "against the arrow"),
        ("models/bad.py", "from napari_unet.data import sample", "across rooms"),
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
        ("widgets/workbench.py", "import napari\nfrom napari_unet.workflow import train"),
        ("widgets/workbench.py", "from napari_unet.widgets.parts import keys"),
        ("workflow/train/good.py", "from napari_unet.workflow.train import recipes"),
        ("workflow/replay/good.py", "from napari_unet.workflow.finetune import rounds"),
        ("workflow/evaluate/__init__.py", "from napari_unet.workflow.segment import predict_task"),
        ("session/session.py", "from napari_unet.session.learn.learning import Learning"),
        ("plugin/good.py", "from napari_unet.session.images.layer_metadata import METADATA_KEY"),
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
        (("workflow", "session", "cli"), BACKENDS | WINDOW),
        (("data", "networks", "models", "metrics", "engine"), BACKENDS | WINDOW),
        (("training", "inference", "evaluation", "export", "project"), BACKENDS | WINDOW),
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


WALKED = re.compile(r"^\d+\. `([\w/]+\.py)`: `([\w.]+)`", re.MULTILINE)


def test_the_walks_through_the_code_name_functions_that_exist() -> None:
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = WALKED.findall(text)
    assert len(steps) >= 25
    missing = []
    for file, name in steps:
        body: list[ast.stmt] = ast.parse((SOURCE / file).read_text(encoding="utf-8")).body
        for part in name.split("."):
            found = [
                node
                for node in body
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part
            ]
            if not found:
                missing.append(f"{file}: {name}")
                break
            body = found[0].body
    assert missing == []
