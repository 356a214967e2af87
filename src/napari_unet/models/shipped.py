"""The models that come with the program, taken by name wherever a model is taken."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "shipped"
SETTINGS = "settings.json"
CARD = "card.md"


def shipped_models() -> dict[str, Path]:
    """Name to folder of every model that comes with the program, in the order of the alphabet."""
    return {file.parent.name: file.parent for file in sorted(FOLDER.glob(f"*/{SETTINGS}"))}


def is_shipped(path: Path) -> bool:
    """Whether a folder is that of a model that comes with the program."""
    return Path(path).parent == FOLDER


def locate(model: Path | str) -> Path:
    """Where a model is.

    Parameters
    ----------
    model : path or str
        A folder, a zip, or the name of a model that comes with the program.

    Returns
    -------
    pathlib.Path
        What is there under this path goes first: a folder of one's own that is called as a built-in model
        hides that. ``./nuclei`` says plainly that the folder is meant. Otherwise that of the built-in
        model, or the path as it is.
    """
    path = Path(model)
    if path.exists() or len(path.parts) != 1 or path.parent != Path() or str(model).startswith("."):
        return path
    return shipped_models().get(str(path), path)
