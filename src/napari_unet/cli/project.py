"""The command `project`: state, versions, images and packing of a project."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, add_overwrite_argument, run_task
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    import argparse

    from napari_unet.project.project import Project

NAME = "project"
ABOUT = "Look at a project, compare, keep and roll back its models, find moved images again, pack it."
EXAMPLES = ("project my-project", "project my-project keep 2", "project my-project pack --out my-project.zip")
TAKES = {  # fewest and most words behind an action, and what they are
    "compare": (2, 2, "two versions"),
    "keep": (1, 1, "one version"),
    "rollback": (0, 1, "one version, or none"),
    "relink": (1, 1, "the data set, where it is now"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=Path, metavar="PATH", help="Folder of the project.")
    parser.add_argument(
        "action", nargs="?", choices=("status", "compare", "keep", "rollback", "relink", "pack"),
        default="status",
        help="What to do: show the status (default), compare A B, keep V (use this version), rollback [V], "
        "relink DATA where the images are now, or pack the project.",
    )  # fmt: skip
    parser.add_argument(
        "words",
        nargs="*",
        default=[],
        metavar="V",
        help="Numbers of versions, such as 2 or v002; or the data set.",
    )
    parser.add_argument("--out", type=Path, metavar="ZIP", help="Zip that pack writes (default: PATH.zip).")
    parser.add_argument("--images", action="store_true", help="Pack the images as well.")
    add_overwrite_argument(parser)
    parser.add_argument(
        "--force", action="store_true", help="Relink even if images are missing or have changed."
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    action = options.action
    fewest, most, wanted = TAKES.get(action, (0, 0, "nothing more"))
    if not fewest <= len(options.words) <= most:
        raise SettingsError(
            f"`project {action}` takes {wanted}",
            code="settings.arguments.count",
            got=str(len(options.words)),
            remedy="see `napari-unet project -h`",
        )
    if action == "pack":
        _pack(options)
    elif action == "relink":
        _relink(options)
    elif action in ("keep", "rollback"):
        _use(options, [_version_number(text) for text in options.words])
    else:
        _show(options, [_version_number(text) for text in options.words])
    return DONE


def _pack(options: argparse.Namespace) -> None:
    from napari_unet.project.pack import PackTask

    folder = options.folder.expanduser().resolve()
    out = options.out or folder.with_name(f"{folder.name}.zip")
    run_task(PackTask(folder, out, options.images, options.overwrite))
    size = out.stat().st_size
    show(options, {"zip": out, "bytes": size}, [f"packed in {out}, {size:,} bytes"])


def _relink(options: argparse.Namespace) -> None:
    from napari_unet.project.project import Project

    (data,) = options.words
    with Project.open(options.folder) as project:
        check = project.relink(Path(data), accept_different=options.force)
    where = Path(data).resolve()
    facts = {"project": options.folder, "images": where, "check": check.sentence}
    show(options, facts, [check.sentence, f"{options.folder} has its images from {where}"])


def _use(options: argparse.Namespace, versions: list[int]) -> None:
    from napari_unet.project.project import Project

    with Project.open(options.folder) as project:
        models = project.models
        version = models.keep(*versions) if options.action == "keep" else models.roll_back(*versions)
    show(options, {"in_use": version.name}, [f"{version.name} is in use"])


def _show(options: argparse.Namespace, versions: list[int]) -> None:
    from napari_unet.project.project import Project
    from napari_unet.project.status import compare_lines, status_lines

    project = Project.open(options.folder, read_only=True)
    if options.action == "compare":
        first, second = versions
        difference = project.models.compare(first, second)
        show(options, [asdict(one) for one in difference], compare_lines(first, second, difference))
    else:
        show(options, _status_facts(project), status_lines(project))


def _status_facts(project: Project) -> dict[str, Any]:
    current = project.models.current
    return {
        "name": project.name,
        "images": len(project.ids),
        "split": {part: len(getattr(project.split, part)) for part in ("train", "validation", "held_out")},
        "corrected": list(project.corrections.touched()),
        "versions": [asdict(version) for version in project.models.versions()],
        "in_use": None if current is None else current.name,
        "notes": list(project.notes),
    }


def _version_number(text: str) -> int:
    digits = text.lower().removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise SettingsError(
            f"{text!r} is no version", code="settings.version.malformed", expected="a number like 2 or v002"
        )
    return int(digits)
