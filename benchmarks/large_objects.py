"""Objects of large images, told apart in each way: objects a second, and how far the memory grows.

    python benchmarks/large_objects.py --megapixels 4 36
    python benchmarks/large_objects.py --megapixels 4 36 100 400

Makes images of discs that touch as OME-Zarr. In place of a network, a few lines say of each block what a
network might; `large_image.py` measures the cost of networks. The rest is `napari-unet segment --objects`:
blocks, answers on disk, cores, watershed, numbers, coarser levels. Each run has a process of its own. Printed
are objects, seconds for blocks and for objects, objects a second of the latter, and how far the memory grew
above what program and model take. With `--format tiff` the mask becomes a tiled TIFF.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from large_image import PIECE, make, memory

WAYS = ("connected", "shape", "probability", "distance", "specks", "border", "star")  # specks: distance, too
RADIUS = 11 / 1024  # of the polygons, in shares of 1024 pixels
AROUND = 8  # pixels that are read around a block


def made_up(values: np.ndarray, separation: str) -> np.ndarray:
    """What a network might say of discs: (Y, X, 1 + ...) float32 of (Y, X) uint8."""
    from scipy import ndimage

    bright = values.astype(np.float32) / 255
    probability = ndimage.gaussian_filter(bright, 1).clip(0, 0.5) * 2
    depth = ((ndimage.gaussian_filter(bright, 4) - 0.15) * 3).clip(0, 1)
    found = [probability]
    if separation != "none":
        found.append(1 - depth if separation == "border" else depth)
    if separation == "star":
        found += [np.full(depth.shape, RADIUS, np.float32)] * 32
    return np.stack(found, axis=-1).astype(np.float32)


def one(image: Path, way: str, out: Path) -> dict[str, Any]:
    """Segment an image, objects told apart in one way."""
    from napari_unet.data.files.lazy_files import open_lazy
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe
    from napari_unet.workflow.large_images import answers
    from napari_unet.workflow.large_images.segment_large import segment_stack

    least = 0.3 if way == "specks" else 0.0
    way = "distance" if least else way
    learned = way in {"distance", "border", "star"}
    network = NetworkSettings(filters=4, depth=2, separation=way if learned else "none")
    settings = InferenceSettings(flips="none", objects="auto" if learned else way, least_depth=least)
    recipe = Recipe(name="benchmark", network=network, inference=settings)
    model = Model(recipe, Normalization(), ("discs",), build_network(network, 0))
    stack = open_lazy(image)
    height, width, _ = stack.shape

    def read(self: Any, block: Any, measured: Any) -> Any:
        rows, columns = self.large.plan.result(block.number)
        around = [
            slice(max(part.start - AROUND, 0), min(part.stop + AROUND, size))
            for part, size in ((rows, height), (columns, width))
        ]
        inner = tuple(
            slice(part.start - wide.start, part.stop - wide.start)
            for part, wide in zip((rows, columns), around, strict=True)
        )
        return self.large.stack.read((), *around)[..., 0], inner

    def of(self: Any, blocks: Any, tiles: Any) -> list[np.ndarray]:
        return [
            made_up(values, network.separation)[inner][..., : self.large.channels] for values, inner in tiles
        ]

    answers.BlockAnswers.read = read  # type: ignore[method-assign]
    answers.BlockAnswers.of = of  # type: ignore[method-assign]
    Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present again
    before, start, blocks = memory("VmRSS"), time.perf_counter(), 0.0

    def watch(progress: Any) -> None:
        nonlocal blocks
        if progress.piece is not None:
            blocks = time.perf_counter() - start

    segment_stack(stack, model, out, objects=True, on_progress=watch)
    seconds = time.perf_counter() - start - blocks
    grew = memory("VmHWM") - before
    return {"objects": highest(out), "blocks": blocks, "seconds": seconds, "grew": grew / 2**20}


def highest(path: Path) -> int:
    """The highest number in a mask."""
    import tifffile
    import zarr

    if path.is_dir():
        array = zarr.open_group(path, mode="r")["0"]
        return max(int(np.asarray(array[y : y + 1024]).max()) for y in range(0, array.shape[0], 1024))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        return max(int(segment[0].max()) for segment in page.segments() if segment[0] is not None)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megapixels", type=int, nargs="+", default=[4, 36])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--format", choices=("zarr", "tiff"), default="zarr")
    parser.add_argument("--folder", type=Path, help="for the images; a temporary one if not given")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        image, way, out = options.one
        print(json.dumps(one(Path(image), way, Path(out))))
        return
    print("megapixels  way          objects  blocks (s)  objects (s)  objects a second  memory grew (MB)")
    for megapixels in options.megapixels:
        side = round((megapixels * 1e6) ** 0.5 / PIECE) * PIECE
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            image = Path(folder) / "image.zarr"
            make(image, side)
            for way in options.ways:
                out = Path(folder) / f"{way}.ome.{'zarr' if options.format == 'zarr' else 'tif'}"
                answer = subprocess.run(
                    [sys.executable, __file__, "--one", str(image), way, str(out)],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                )  # fmt: skip
                row = json.loads(answer.stdout.splitlines()[-1])
                print(
                    f"{side * side / 1e6:10.0f}  {way:11s} {row['objects']:8d} {row['blocks']:11.1f} "
                    f"{row['seconds']:12.1f} {row['objects'] / row['seconds']:17.0f} {row['grew']:17.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
