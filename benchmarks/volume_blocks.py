"""Volumes block by block: memory against size, and voxels a second beside the network alone.

    python benchmarks/volume_blocks.py [--gigabytes 0.25 2] [--filters 2] [--depth 1] [--objects]

A volume of smooth noise (float32, OME-Zarr) is segmented by an untrained U-Net in three dimensions, in a
process of its own. Printed are how much that process grew, how long it took, and how many voxels it made in a
second. Beside that stand the same network on a tile of the same size, by Keras and by OpenVINO where that is
installed. With --objects, connected pieces over the borders of blocks get numbers.

    python benchmarks/volume_blocks.py --seams MODEL VOLUME.tif

Printed are how far the probabilities of a trained model, put together from tiles, are from those of the whole
volume at once, and what share of the voxels lies on another side of 0.5, for what tiles see around what they
answer for (--around) and the ramp between neighbours (--ramp). Tiles are --tile voxels long along X, and hold
all of --crop along Z and Y.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE = 128  # voxels of a piece of the file
VALUE = 4  # bytes
RIM = 96  # voxels at the end of X that do not count with --seams: the last tile may reach beyond
VOXEL_SIZE = [10.0, 10.0, 10.0]


def write_volume(path: Path, gigabytes: float) -> tuple[int, int, int]:
    """Write smooth noise as an OME-Zarr of about so many gigabytes; gives (Z, Y, X)."""
    import zarr
    from scipy import ndimage

    side = round((gigabytes * 2**30 / VALUE) ** (1 / 3))
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((SIDE,) * 3), 3, mode="wrap").astype(np.float32)
    group = zarr.open_group(path, mode="w", zarr_format=3)
    array = group.create_array(
        "0", shape=(side,) * 3, dtype="float32", chunks=(SIDE,) * 3, compressors=None, fill_value=0
    )
    for z in range(0, side, SIDE):
        for y in range(0, side, SIDE):
            for x in range(0, side, SIDE):
                size = [min(SIDE, side - start) for start in (z, y, x)]
                part = noise[: size[0], : size[1], : size[2]] + rng.normal(0, 0.01, size).astype(np.float32)
                array[z : z + SIDE, y : y + SIDE, x : x + SIDE] = part
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": VOXEL_SIZE}]
    found = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [found]}
    return side, side, side


def make_model(path: Path, filters: int, depth: int) -> None:
    """An untrained network that calls about a tenth of smooth noise foreground."""
    from scipy import ndimage

    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    settings = NetworkSettings(filters=filters, depth=depth, dimensions="3d", block="plain")
    network = build_network(settings, 0)
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal((64, 64, 64)), 3)
    logits = np.asarray(network.predict_on_batch((noise / noise.std())[None, ..., None].astype(np.float32)))
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel, bias - np.quantile(logits, 0.9)])
    recipe = Recipe(network=settings, inference=InferenceSettings(flips="none"))
    save_model(Model(recipe, Normalization(), ("cells",), network), path)


def segment(volume: Path, model: Path, out: Path, memory: float, objects: bool) -> dict[str, float]:
    """Segment in this process; gives seconds, megabytes it grew by, voxels, and voxels of a tile."""
    import resource

    import zarr

    from napari_unet.data.files.lazy_files import open_lazy
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.model import load_model
    from napari_unet.settings import LargeImageSettings
    from napari_unet.workflow.large_images.segment_large import segment_stack
    from napari_unet.workflow.large_images.volumes.volume_plan import plan_large_volume

    precision = default_precision()
    loaded = load_model(model, precision)
    stack = open_lazy(volume)
    large = LargeImageSettings(memory=memory)
    planned = plan_large_volume(stack, loaded, loaded.recipe.inference, large)
    loaded.outputs(np.zeros((1, *(one.at_least(32) for one in loaded.sizes.per_axis(3)), 1), np.float32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    segment_stack(stack, loaded, out, large=large, precision=precision, objects=objects, overwrite=True)
    seconds = time.monotonic() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    tile = int(np.prod(planned.plan.tile_shape))
    labels = zarr.open_group(out, mode="r")["0"]
    count = max(int(labels[z : z + SIDE].max()) for z in range(0, labels.shape[0], SIDE)) if objects else 0
    return {
        "seconds": seconds, "grown": grown, "voxels": float(np.prod(planned.stack.size)),
        "computed": float(tile * len(planned.plan)), "tile": tile, "objects": count,
        **alone(loaded, load_model(model), planned.plan.tile_shape),
    }  # fmt: skip


def alone(model: Any, exact: Any, shape: tuple[int, ...], rounds: int = 3) -> dict[str, float]:
    """Voxels a second of the network on one tile; `exact` is the same in float32, which others convert."""
    tile = np.random.default_rng(0).standard_normal((1, *shape, 1)).astype(np.float32)
    speeds = {}
    for name, run in runtimes(model, exact, tile):
        run(tile)
        times = []
        for _ in range(rounds):
            start = time.monotonic()
            run(tile)
            times.append(time.monotonic() - start)
        speeds[name] = tile.size / min(times)
    return speeds


def runtimes(model: Any, exact: Any, tile: np.ndarray) -> Any:
    """Name and callable of each runtime that is there."""
    yield "Keras", model.outputs
    try:
        import openvino
    except ImportError:
        return
    converted = openvino.convert_model(exact.inference_network, input=list(tile.shape))
    compiled = openvino.Core().compile_model(converted, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    yield "OpenVINO", lambda batch: compiled([batch])[0]


def seams(options: argparse.Namespace) -> Iterator[str]:
    """How far tiles are from the whole; a line for each way to lay them."""
    import tifffile

    from napari_unet.engine.hardware import default_precision
    from napari_unet.inference import tiling
    from napari_unet.models.model import load_model
    from napari_unet.models.volumes.normalized_volume import normalized_volume

    model, (z, y, x) = load_model(options.seams[0], default_precision()), options.crop
    prepared = normalized_volume(model.normalization, tifffile.imread(options.seams[1])[..., None])
    prepared = prepared[:z, :y, :x]
    whole = model.probabilities(prepared[None])[0]
    for around, ramp in zip(options.around, options.ramp, strict=True):
        tiling.AROUND_VOXELS, tiling.VOXEL_RAMP = around, ramp
        plan = tiling.plan_volume(prepared.shape[:3], model.sizes, z * y * options.tile)
        total = np.zeros_like(whole)
        for number in range(len(plan)):
            plan.add(total, number, model.probabilities(plan.cut(prepared, number)[None])[0])
        whole_here, total = whole[:, :, :-RIM], total[:, :, :-RIM]
        away = np.abs(total - whole_here)
        tiles = f"{' x '.join(map(str, plan.tile_shape))} at {', '.join(map(str, plan.columns.starts))}"
        other = ((total > 0.5) != (whole_here > 0.5)).mean()
        yield (
            f"{around} voxels around, ramp {ramp}, tiles of {tiles}: apart by {away.mean():.1e} in the mean, "
            f"{np.percentile(away, 99.9):.1e} for one voxel of 1000, {away.max():.1e} at most; "
            f"{other:.1e} of the voxels on another side of 0.5"
        )


def main() -> None:
    """Print a row for each size."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.25, 2.0])
    parser.add_argument("--filters", type=int, default=2)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--memory", type=float, default=0.8, help="as of `napari-unet segment --memory`")
    parser.add_argument("--objects", action="store_true")
    parser.add_argument("--inside", nargs=3, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seams", nargs=2, type=Path, metavar=("MODEL", "VOLUME"))
    parser.add_argument("--around", type=int, nargs="+", default=[14])
    parser.add_argument("--ramp", type=int, nargs="+", default=[4])
    parser.add_argument("--crop", type=int, nargs=3, default=[32, 64, 240], metavar=("Z", "Y", "X"))
    parser.add_argument("--tile", type=int, default=128)
    options = parser.parse_args()
    if options.seams:
        for line in seams(options):
            print(line, flush=True)
        return
    if options.inside:
        volume, model, out = options.inside
        print(json.dumps(segment(volume, model, out, options.memory, options.objects)))
        return
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        make_model(model, options.filters, options.depth)
        for gigabytes in options.gigabytes:
            volume, out = Path(folder) / "volume.ome.zarr", Path(folder) / "out.ome.zarr"
            shape = write_volume(volume, gigabytes)
            words = [sys.executable, __file__, "--inside", str(volume), str(model), str(out)]
            words += ["--memory", str(options.memory), *["--objects"] * options.objects]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout.splitlines()[-1])
            speeds = ", ".join(
                f"{name} alone {found[name] / 1e6:.2f}" for name in ("Keras", "OpenVINO") if name in found
            )
            print(
                f"{gigabytes:g} GB, {' x '.join(map(str, shape))}, {found['objects']:,} objects: "
                f"grew by {found['grown']:.0f} MB; "
                f"{found['seconds']:.0f} s; Mvoxels a second: "
                f"{found['voxels'] / found['seconds'] / 1e6:.2f} of the volume, "
                f"{found['computed'] / found['seconds'] / 1e6:.2f} of tiles; {speeds}",
                flush=True,
            )


if __name__ == "__main__":
    main()
