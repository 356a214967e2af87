"""A network on whole tiles and on parts of tiles, told where each part begins or compiled for that place.

    python benchmarks/parts.py [--filters 16] [--tiles 784 1024 1904]

Prints seconds a megapixel of what comes out, by OpenVINO in the processor's precision, best of some calls.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from side_by_side.case import Case, write_case

if TYPE_CHECKING:
    from collections.abc import Callable

CALLS = 5
HALO = 112  # of a U-Net of depth 4


def best(call: Callable[[], Any], pixels: int) -> float:
    """Seconds a megapixel."""
    call()
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken) / pixels * 1e6


def main() -> int:
    """Run all sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--tiles", type=int, nargs="+", default=[784, 1024, 1904])
    options = parser.parse_args()
    os.environ["NAPARI_UNET_RUNTIME"] = "openvino"
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models import native
    from napari_unet.models.model import load_model
    from napari_unet.networks.graphs.partial_output import partial_output

    with tempfile.TemporaryDirectory() as folder:
        write_case(Case("parts", options.filters, 1, 256), Path(folder))
        model = load_model(Path(folder) / "model", default_precision())
    plan = partial_output(model.inference_network)
    assert plan is not None
    draw = np.random.default_rng(0)
    print("tile   whole  part anywhere  part at its place")
    for side in options.tiles:
        tile, part = (side, side), (side - 2 * HALO, side - 2 * HALO)
        image = draw.standard_normal((1, *tile, 1)).astype(np.float32)
        found = [best(partial(model.outputs, image), part[0] * part[1])]
        for place in (None, (HALO, HALO)):
            run = native.compile_part(
                plan, model.recipe.network, model.normalization.scale, tile, part, place
            )
            assert run is not None
            told = [] if place else [np.array([HALO, HALO], np.int64)]
            found.append(best(partial(run, image, *told), part[0] * part[1]))
        print(f"{side:4d}  {found[0]:6.3f}  {found[1]:13.3f}  {found[2]:17.3f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
