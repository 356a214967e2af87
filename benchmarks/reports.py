"""How long a report takes beside the scoring, and how large it is.

python benchmarks/reports.py [--images 3200] [--side 101]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from napari_unet.data.sample import ReferenceMask
from napari_unet.evaluation.report.report_data import ReportData
from napari_unet.evaluation.report.report_files import write_report
from napari_unet.evaluation.report.report_page import Background
from napari_unet.evaluation.score import Evaluation
from napari_unet.settings import EvaluationSettings, Recipe


def blob(rng: np.random.Generator, side: int) -> np.ndarray:
    """A soft disc anywhere: (side, side, 1) float32 in [0, 1]."""
    y, x = np.mgrid[:side, :side]
    middle, radius = rng.random(2) * side, rng.random() * side / 2
    distance = np.hypot(y - middle[0], x - middle[1])
    return np.asarray(1 / (1 + np.exp((distance - radius) / 4)), np.float32)[..., None]


def main() -> None:
    """Score discs against others, and write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=3200)
    parser.add_argument("--side", type=int, default=101)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    plain = Evaluation(settings=EvaluationSettings(scores="overlap"), competition="tgs-salt")
    found = ReportData(Evaluation(settings=EvaluationSettings(scores="overlap"), competition="tgs-salt"))
    spent = {"scores alone": 0.0, "scores, curves and small masks": 0.0}
    images = {}
    for number in range(options.images):
        truth, likely = blob(rng, options.side), blob(rng, options.side)
        name = f"image {number}"
        images[name] = (255 * truth).astype(np.uint8)
        labels, mask = (truth[..., 0] > 0.5).astype(np.uint8), (likely[..., 0] > 0.5).astype(np.uint8)
        about = name, f"group {number // 8}", "held-out", ReferenceMask(labels), mask
        start = time.perf_counter()
        plain.add(*about)
        middle = time.perf_counter()
        found.add(*about, likely)
        spent["scores alone"] += middle - start
        spent["scores, curves and small masks"] += time.perf_counter() - middle

    def read(name: str) -> tuple[np.ndarray, ReferenceMask]:
        return images[name], ReferenceMask((images[name][..., 0] > 127).astype(np.uint8))

    start = time.perf_counter()
    background = Background(
        "discs",
        "napari-unet-workbench",
        curve=found.threshold_curve(),
        reliable=found.reliability(),
        threshold=0.5,
        galleries=found.galleries(read),
        recipe=Recipe(),
    )
    with tempfile.TemporaryDirectory() as folder:
        about_data = {"name": "discs"}
        write_report(
            Path(folder), found.evaluation, model={}, data=about_data, settings={}, background=background
        )
        spent["drawing and writing"] = time.perf_counter() - start
        print(f"{options.images:,} images of {options.side} x {options.side}")
        for what, seconds in spent.items():
            print(f"{what:<32}{seconds:8.2f} s")
        for path in sorted(Path(folder).iterdir()):
            print(f"{path.name:<32}{path.stat().st_size / 1e6:8.2f} MB")


if __name__ == "__main__":
    main()
