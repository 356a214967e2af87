"""The window without anything that computes: another machine does it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.engine.task import describe_failure
from support.errors import check

if TYPE_CHECKING:
    from pathlib import Path


def test_a_computer_without_keras_says_where_it_can_compute() -> None:
    for name in ("keras", "tensorflow"):
        error = describe_failure(ModuleNotFoundError(f"No module named {name!r}", name=name))
        check(error, "compute.package.missing", name, "ssh box", "pip install napari-unet-workbench")
    check(describe_failure(ModuleNotFoundError("No module named 'x'", name="x")), "compute.fault")


@pytest.mark.slow
def test_a_session_without_keras_segments_on_another_machine_as_this_one_does(
    tmp_path: Path, salt_folder: Path, grey_model: Path
) -> None:
    (tmp_path / "data").symlink_to(salt_folder)
    (tmp_path / "model").symlink_to(grey_model)
    worker = f"{sys.executable} -m napari_unet.cli worker --cache {tmp_path / 'cache'} --wait 5"
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "QT_QPA_PLATFORM": "offscreen",
        "NAPARI_UNET_HOME": str(tmp_path / "home"),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "support.client", worker, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failures"] == []
    assert found["loaded"] == []
    assert found["sentence"].startswith("Version ")
    assert "of 20 GB" in found["sentence"]
    # In a process of its own: graphs round otherwise than the single steps in which tests compute.
    here = [sys.executable, "-m", "napari_unet.cli", "segment", str(salt_folder), "--quiet"]
    subprocess.run(
        [*here, "--model", str(grey_model), "--out", str(tmp_path / "here")], env=environment, check=True
    )
    masks = open_dataset(tmp_path / "here")
    assert len(masks.unlabelled) + len(masks.samples) == len(found["masks"]) > 0
    for sample in (*masks.samples, *masks.unlabelled):
        there = np.array(found["masks"][sample.id])
        np.testing.assert_array_equal(there > 0, sample.read_image()[..., 0] > 0)
