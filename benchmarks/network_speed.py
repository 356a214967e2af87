"""What a megapixel costs in each network, against the U-Net of as many filters, in turns.

    python benchmarks/network_speed.py [--networks segnet scse_unet] [--filters 16] [--rounds 9]

Prints seconds of all cores a megapixel and their ratio to those of the U-Net: median (lowest to highest).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

if TYPE_CHECKING:
    from collections.abc import Callable


def answers_of(name: str, filters: int) -> Callable[[np.ndarray], np.ndarray]:
    """A network with random weights, as the program runs it."""
    from napari_unet.engine.hardware import default_precision
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import NetworkSettings, Recipe

    settings = NetworkSettings(name=name, filters=filters)
    network = build_network(settings, 0, precision=default_precision())
    return Model(Recipe(network=settings), Normalization(), ("foreground",), network).outputs


def main() -> None:
    """Run in turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["segnet", "scse_unet"])
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    from napari_unet.engine.fast_import import import_keras

    import_keras()
    names = ["unet", *options.networks]
    networks = {name: answers_of(name, options.filters) for name in names}
    image = np.random.default_rng(0).standard_normal((1, options.side, options.side, 1)).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(options.rounds + 1):  # the first is what building costs
        for name, answer in networks.items():
            answer(image)
            start = time.process_time()
            answer(image)
            if turn:
                seconds[name].append(time.process_time() - start)
    print("| network | seconds of all cores a megapixel | against the U-Net |\n| --- | --- | --- |")
    for name in names:
        ratios = [a / b for a, b in zip(seconds[name], seconds["unet"], strict=True)]
        cost = statistics.median(seconds[name]) / image.size * 1e6
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {cost:.3f} | {spread} |")


if __name__ == "__main__":
    main()
