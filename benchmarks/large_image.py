"""Cost per pixel and memory of images from 1 to 400 megapixels, against the bare network in the same run.

    python benchmarks/large_image.py --up-to 25
    python benchmarks/large_image.py --up-to 400 --plot docs/images/large-images.png

Makes images of 1, 4, 25, 100 and 400 megapixels as OME-Zarr and tiled TIFF, segments each in a process of
its own and prints: seconds; the bare network's seconds for as many pixels (its best rate over some sizes, in
the same process); their ratio; how many pixels the network was shown for each of the image; the operations
it did against those for as many pixels without borders, as of most of the context only the way down is
computed (both are less with more memory); and how far the memory grew above what program and model take.
Only the ratios mean something on a machine that others use.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SIDES = {1: 1_000, 4: 2_000, 25: 5_000, 100: 10_000, 400: 20_000}
PIECE = 500  # pixels; images are mosaics of made-up pieces, so that none is ever in memory


def piece(seed: int) -> np.ndarray:
    """Bright discs on noise: (PIECE, PIECE) uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:PIECE, :PIECE]
    image = rng.normal(40, 6, (PIECE, PIECE))
    for _ in range(40):
        cy, cx, radius = rng.uniform(0, PIECE), rng.uniform(0, PIECE), rng.uniform(6, 16)
        image[(y - cy) ** 2 + (x - cx) ** 2 < radius**2] += 90
    return image.clip(0, 255).astype(np.uint8)


def rows_of(side: int, pieces: list[np.ndarray]) -> Any:
    """The image from top to bottom, PIECE rows at a time."""
    rng = np.random.default_rng(0)
    for _ in range(side // PIECE):
        yield np.concatenate([pieces[n] for n in rng.integers(0, len(pieces), side // PIECE)], axis=1)


def make(path: Path, side: int) -> None:
    """Write an image, never all of it at once."""
    import tifffile
    import zarr

    pieces = [piece(seed) for seed in range(16)]
    if path.suffix == ".zarr":
        group = zarr.open_group(path, mode="w", zarr_format=3)
        array = group.create_array("0", shape=(side, side), dtype="uint8", chunks=(PIECE, PIECE))
        for number, rows in enumerate(rows_of(side, pieces)):
            array[number * PIECE : (number + 1) * PIECE] = rows
        scale = [{"type": "scale", "scale": [1.0, 1.0]}]
        axes = [{"name": name, "type": "space"} for name in "yx"]
        shown = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
        group.attrs["ome"] = {"version": "0.5", "multiscales": [shown]}
        return
    whole = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.uint8, (side, side))
    for number, rows in enumerate(rows_of(side, pieces)):
        whole[number * PIECE : (number + 1) * PIECE] = rows
    tifffile.imwrite(path, whole, tile=(512, 512), compression="zlib", bigtiff=True)
    path.with_suffix(".npy").unlink()


def write_model(path: Path, filters: int) -> None:
    """A network with random weights: its speed does not depend on them."""
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    network = NetworkSettings(filters=filters)
    recipe = Recipe(name="benchmark", network=network, inference=InferenceSettings(flips="none"))
    normalization = Normalization(intensities="robust")
    save_model(Model(recipe, normalization, ("foreground",), build_network(network, 0)), path)


def memory(name: str) -> int:
    """Bytes of this process, by /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise SystemExit("this benchmark reads /proc, which is Linux's")


def bare_rate(model: Any, sides: tuple[int, ...] = (256, 512, 1024)) -> float:
    """Seconds a pixel of the network alone, at the best of some sizes."""
    best = []
    for side in sides:
        batch = np.zeros((max(1, 2**17 // side**2), side, side, 1), np.float32)
        model.outputs(batch)
        times = []
        for _ in range(4):
            start = time.perf_counter()
            model.outputs(batch)
            times.append(time.perf_counter() - start)
        best.append(sorted(times)[1] / batch[..., 0].size)
    return min(best)


def one(image: Path, model_path: Path, out: Path, gigabytes: float) -> dict[str, float]:
    """Segment one image; then the bare network in the same process."""
    from napari_unet.data.files.lazy_files import open_lazy
    from napari_unet.engine.fast_import import import_keras
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.model import load_model
    from napari_unet.settings import LargeImageSettings
    from napari_unet.workflow.large_images.plan import plan_large_image
    from napari_unet.workflow.large_images.segment_large import segment_stack

    import_keras()
    precision = default_precision()
    model = load_model(model_path, precision)
    large = LargeImageSettings(memory=gigabytes)
    stack = open_lazy(image)
    plan = plan_large_image(stack, model, model.recipe.inference, large).plan
    work = work_of(plan, model.inference_network, stack.shape[:2])
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present again
    start_memory = memory("VmRSS")
    start = time.perf_counter()
    segment_stack(stack, model, out, None, large, precision=precision)
    seconds = time.perf_counter() - start
    grew = memory("VmHWM") - start_memory
    rate = bare_rate(model)  # afterwards, lest what it took is there to be had again
    height, width, _ = stack.shape
    shown = len(plan) * plan.tile_shape[0] * plan.tile_shape[1]
    return {
        "megapixels": height * width / 1e6,
        "seconds": seconds,
        "bare": rate * height * width,
        "ratio": seconds / (rate * height * width),
        "shown": shown / (height * width),
        "work": work,
        "grew": grew / 2**20,
        "tile": plan.tile_shape[0],
    }


def work_of(plan: Any, network: Any, shape: tuple[int, int]) -> float:
    """Operations of all blocks against those of the network on so many pixels without any border."""
    from napari_unet.networks.graphs.cost import flop
    from napari_unet.networks.graphs.partial_output import partial_output

    found = partial_output(network) if plan.partial else None
    of_tile = (
        flop(network, plan.tile_shape) if found is None else found.flop(plan.tile_shape, plan.part_shape)
    )
    return of_tile * len(plan) / (flop(network, (256, 256)) / 256**2 * shape[0] * shape[1])


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Ratio by size."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    for kind in ("OME-Zarr", "tiled TIFF"):
        own = [row for row in rows if row["kind"] == kind]
        axes.plot([r["megapixels"] for r in own], [r["ratio"] for r in own], "o-", label=kind)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set(xlabel="megapixels", ylabel="seconds / bare network's seconds")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--up-to", type=int, default=25, help="megapixels (default: 25)")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--memory", type=float, default=1.0, help="gigabytes (default: 1)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["zarr", "tif"], choices=["zarr", "tif"])
    parser.add_argument("--folder", type=Path, help="for the images; a temporary one if not given")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        image, model, out, gigabytes = options.one
        print(json.dumps(one(Path(image), Path(model), Path(out), float(gigabytes))))
        return
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        model = Path(folder) / "model"
        write_model(model, options.filters)
        print("megapixels  kind        seconds   bare  ratio  shown  work  tile  memory grew (MB)")
        for megapixels, side in SIDES.items():
            if megapixels > options.up_to:
                continue
            for suffix in options.kinds:
                image = Path(folder) / f"image.{suffix}"
                make(image, side)
                runs = []
                for _ in range(options.repeat):
                    out = Path(folder) / "out.ome.zarr"
                    words = [str(image), str(model), str(out), str(options.memory)]
                    answer = subprocess.run(
                        [sys.executable, __file__, "--one", *words],
                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                    )  # fmt: skip
                    runs.append(json.loads(answer.stdout.splitlines()[-1]))
                    shutil.rmtree(out)
                row = sorted(runs, key=lambda run: run["ratio"])[len(runs) // 2]
                row["kind"] = "OME-Zarr" if suffix == "zarr" else "tiled TIFF"
                rows.append(row)
                print(
                    f"{megapixels:10d}  {row['kind']:10s} {row['seconds']:8.1f} {row['bare']:6.1f} "
                    f"{row['ratio']:6.2f} {row['shown']:6.2f} {row['work']:5.2f} {row['tile']:5.0f} "
                    f"{row['grew']:8.0f}",
                    flush=True,
                )
                shutil.rmtree(image) if image.is_dir() else image.unlink()
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
