"""The command `measure`: objects of a volume as a table and as meshes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import add_overwrite_argument, run_task

if TYPE_CHECKING:
    import argparse

NAME = "measure"
ABOUT = "Measure the objects of a volume: table and meshes."
EXAMPLES = (
    "measure masks/em.ome.tif --out measured",
    "measure masks/em.ome.tif --meshes stl --voxel-size 50x4.6x4.6nm --out measured",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "mask", type=Path, metavar="MASK", help="TIFF of a volume with a number for each object."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="Folder of table and meshes.")
    parser.add_argument(
        "--meshes", choices=("stl", "ply"), help="Write the surface of each object to a file of its own."
    )
    parser.add_argument(
        "--voxel-size", default="", metavar="SIZE",
        help="Size of a voxel, z, y and x, like 50x4.6x4.6nm (default: as the file says).",
    )  # fmt: skip
    add_overwrite_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.workflow.measure_volume import MeasureVolumeTask

    task = MeasureVolumeTask(
        options.mask, options.out, options.meshes, options.voxel_size, overwrite=options.overwrite
    )
    table = run_task(task)
    lines = [f"{len(table)} object{'s' * (len(table) != 1)} in {task.table}"]
    if not table.unit:
        lines.append("the size of a voxel is not known: give --voxel-size for volumes in physical units")
    facts = {"objects": len(table), "table": task.table, "unit": table.unit}
    if options.meshes:
        facts["meshes"] = task.mesh_folder
        lines.append(f"meshes in {task.mesh_folder}")
    show(options, facts, lines)
    return 0
