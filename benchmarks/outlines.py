"""How many random masks come back to the pixel from outlines: exported by this program, read as masks.

Masks have holes, touching objects, single pixels, L-shapes, pieces over corners, and objects at the border.
Hypothesis draws them, and looks for the simplest that fails. Polygons of any corners are held against
shapely.

Run: python benchmarks/outlines.py [COUNT]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import shapely
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.outlines.fill import fill
from napari_unet.data.outlines.outline import DrawnOutline, Polygon, ring
from napari_unet.export.formats import FORMATS
from napari_unet.export.outlines import trace
from napari_unet.export.segmented import SegmentedImage
from napari_unet.inference.postprocess import connected_objects

COUNT = 10_000
ON_EDGE = 1e-6  # pixels: a centre so near an edge may be on either side of it
SEEN: Counter[str] = Counter()


def draws(count: int) -> settings:
    """As many examples, all different, without a limit on time."""
    phases = (Phase.generate, Phase.shrink)
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


MASKS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12), elements=st.integers(0, 3)
)
CORNERS = st.lists(
    st.tuples(st.floats(0, 24, width=32), st.floats(0, 18, width=32)), min_size=3, max_size=9, unique=True
)


def count_kinds(mask: np.ndarray, objects: np.ndarray) -> None:
    """Count what is special in a mask."""
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    SEEN["at the border"] += bool(border.any())
    for number in range(1, int(objects.max()) + 1):
        outlines = trace(objects == number)
        SEEN["objects"] += 1
        SEEN["with holes"] += any(outline.holes for outline in outlines)
        SEEN["of one pixel"] += int((objects == number).sum() == 1)
        SEEN["with more than four corners"] += len(outlines[0].exterior) > 4
        SEEN["of several pieces"] += len(outlines) > 1
    across = (objects[:, 1:] != objects[:, :-1]) & (objects[:, 1:] > 0) & (objects[:, :-1] > 0)
    down = (objects[1:] != objects[:-1]) & (objects[1:] > 0) & (objects[:-1] > 0)
    SEEN["masks with touching objects"] += bool(across.any() or down.any())


def check_round_trip(kind: str, mask: np.ndarray, objects: np.ndarray, folder: Path) -> None:
    """Export, read, and compare classes and objects."""
    entry = FORMATS[kind]
    Image.fromarray(np.zeros(mask.shape, np.uint8)).save(folder / "a.png")
    image = SegmentedImage("a", mask, lambda: objects, ("zebra", "ant", "bee"), file_name="a.png")
    path = folder / f"a{entry.suffix}"
    if entry.gather is not None:
        with entry.gather(path, "objects") as add:
            add(image)
    else:
        assert entry.write is not None
        entry.write(path, image, "objects")
    found = open_dataset(folder).samples[0].read_mask()
    path.unlink()
    assert found.objects is not None
    assert np.array_equal(found.labels, mask), kind
    assert np.array_equal(found.objects, objects), kind


def round_trips(kind: str, count: int, folder: Path) -> int:
    """How many masks came back; one that does not ends the program."""
    tried = Counter[str]()

    @draws(count)
    @given(mask=MASKS, joined=st.booleans())
    def round_trip(mask: np.ndarray, joined: bool) -> None:
        mask[0, 0] = mask[0, 0] or int(not mask.any())
        objects = connected_objects(mask)
        if joined:  # every class is one object of several pieces, some within others
            order = np.unique(mask[mask > 0])
            objects = np.where(mask > 0, np.searchsorted(order, mask) + 1, 0).astype(np.int32)
        count_kinds(mask, objects)
        check_round_trip(kind, mask, objects, folder)
        tried["masks"] += 1

    round_trip()
    return tried["masks"]


def polygons(count: int) -> int:
    """How many polygons have the pixels that shapely gives them; one that has not ends the program."""
    tried = Counter[str]()

    @draws(count)
    @given(corners=CORNERS)
    def filled(corners: list[tuple[float, float]]) -> None:
        points = np.array(corners)
        away = points - points.mean(axis=0)
        points = points[np.argsort(np.arctan2(away[:, 1], away[:, 0]), kind="stable")]
        polygon = shapely.Polygon(points)
        if not polygon.is_valid or polygon.area == 0:
            return
        outline = DrawnOutline("", (Polygon((ring(points, "it"),)),), 1)
        top, left, pixels = fill(outline, (18, 24), "it")
        whole = np.zeros((18, 24), bool)
        whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        y, x = np.mgrid[:18, :24] + 0.5
        clear = shapely.distance(polygon.exterior, shapely.points(x, y)) > ON_EDGE
        assert np.array_equal(whole[clear], shapely.contains_xy(polygon, x, y)[clear])
        tried["polygons"] += 1

    filled()
    return tried["polygons"]


def main() -> int:
    """Print a table; an example that fails ends the program."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else COUNT
    print("| outlines | tried | with a wrong pixel | seconds |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for kind in ("geojson", "coco", "imagej-roi"):
            start = time.perf_counter()
            tried = round_trips(kind, count, Path(place))
            seconds = time.perf_counter() - start
            print(f"| masks, `{kind}` there and back | {tried:,} | 0 | {seconds:.0f} |", flush=True)
    start = time.perf_counter()
    tried = polygons(count)
    print(f"| polygons, compared with shapely | {tried:,} | 0 | {time.perf_counter() - start:.0f} |")
    print("\n" + ", ".join(f"{number:,} {kind}" for kind, number in SEEN.most_common()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
