"""The command `project`: state, versions and packing of a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.running import DONE, run_task
from napari_unet.errors import OutputError, SettingsError

if TYPE_CHECKING:
    import argparse

NAME = "project"
ABOUT = "Look at a project, compare and roll back its models, pack it."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=Path, metavar="PATH", help="folder of the project")
    parser.add_argument(
        "action", nargs="?", choices=("status", "compare", "rollback", "pack"), default="status",
        help="status (default); compare A B; rollback [V], to the version before without V; pack",
    )  # fmt: skip
    parser.add_argument("versions", nargs="*", metavar="V", help="numbers of versions, like 2 or v002")
    parser.add_argument("--out", type=Path, metavar="ZIP", help="of pack (default: PATH.zip)")
    parser.add_argument("--images", action="store_true", help="pack the images as well")


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.pack import PackTask
    from napari_unet.workflow.project import Project
    from napari_unet.workflow.project_status import compare_lines, status_lines

    action, versions = options.action, [_version_number(text) for text in options.versions]
    fewest, most = {"compare": (2, 2), "rollback": (0, 1)}.get(action, (0, 0))
    if not fewest <= len(versions) <= most:
        wanted = {"compare": "two versions", "rollback": "one version, or none"}.get(action, "no versions")
        raise SettingsError(
            f"`project {action}` takes {wanted}",
            got=str(len(versions)),
            remedy="see `napari-unet project -h`",
        )
    if action == "pack":
        folder = options.folder.expanduser().resolve()
        out = options.out or folder.with_name(f"{folder.name}.zip")
        if out.exists():
            raise OutputError(f"{out} is there already", remedy="give another name with --out")
        run_task(PackTask(folder, out, options.images))
        print(f"packed in {out}, {out.stat().st_size:,} bytes")
    elif action == "rollback":
        with Project.open(options.folder) as project:
            version = project.models.roll_back(*versions)
        print(f"{version.name} is in use")
    else:
        project = Project.open(options.folder, read_only=True)
        if action == "compare":
            first, second = versions
            lines = compare_lines(first, second, project.models.compare(first, second))
        else:
            lines = status_lines(project)
        print("\n".join(lines))
    return DONE


def _version_number(text: str) -> int:
    digits = text.lower().removeprefix("v")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 10):
        raise SettingsError(f"{text!r} is no version", expected="a number like 2 or v002")
    return int(digits)
