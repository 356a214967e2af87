"""From nothing to the first mask, each time in a fresh process, and the clicks after it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from side_by_side.case import Case, write_case

STEPS = ("import", "build", "weights", "first mask", "warm mask")
ONE = """
import json, sys, time
import numpy as np
image = np.random.default_rng(0).integers(0, 255, (256, 256), np.uint8)
told, start = {}, time.perf_counter()
def step(name):
    global start
    told[name] = time.perf_counter() - start
    start = time.perf_counter()
from napari_unet.engine.fast_import import import_keras
import_keras()
from napari_unet.data.sample import Sample
from napari_unet.engine.hardware import default_precision
from pathlib import Path
from napari_unet.models.model import Model
from napari_unet.models.model_folder import WEIGHTS_FILE, read_settings
from napari_unet.models.weights import load_weights
from napari_unet.networks.registry import build_network
from napari_unet.workflow.segment.segment_samples import segment_samples
step("import")
path = Path(sys.argv[1])
recipe, normalization, classes, provenance = read_settings(path)
network = build_network(recipe.network, precision=default_precision())
step("build")
load_weights(network, path / WEIGHTS_FILE, str(path))
model = Model(recipe, normalization, classes, network, provenance)
step("weights")
def click():
    (result,) = segment_samples([Sample("a", lambda: image)], model)
    assert result.mask.shape == image.shape
click()
step("first mask")
warm = []
for _ in range(8):
    click()
    step("warm mask")
    warm.append(told["warm mask"])
told["warm mask"] = sorted(warm)[len(warm) // 2]
print(json.dumps(told))
"""


def measure(times: int) -> list[dict[str, Any]]:
    """Rows with seconds of each step, by OpenVINO where it is installed, and by Keras."""
    from napari_unet.models.native import is_installed

    runtimes = ["openvino", "keras"] if is_installed() else ["keras"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runtimes}
    with tempfile.TemporaryDirectory() as folder:
        with get_context("spawn").Pool(1) as pool:
            pool.apply(write_case, (Case("click", 16, 1), Path(folder)))
        for number in range(times + 1):
            for name in runtimes:
                answer = subprocess.run(
                    [sys.executable, "-c", ONE, str(Path(folder) / "model")],
                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
                    env={**os.environ, "NAPARI_UNET_RUNTIME": name},
                )  # fmt: skip
                if number:  # the first brings the files into memory
                    found[name].append(json.loads(answer.stdout.splitlines()[-1]))
    rows = []
    for name, runs in found.items():
        middle = {step: statistics.median(run[step] for run in runs) for step in STEPS}
        total = [sum(run[step] for step in STEPS[:-1]) for run in runs]
        rows.append({"row": f"network by {name}", **middle, "to the first mask": total})
    return rows
