"""Two devices that share each batch learn what one learns; the devices are virtual ones of the processor."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.engine.devices import data_parallel
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")]

SCRIPT = """
import json, sys
from pathlib import Path
import numpy as np
from napari_unet.engine.devices import data_parallel
from napari_unet.engine.inline import run_inline
from napari_unet.errors import SettingsError
from napari_unet.workflow.train.recipes import recipe
from napari_unet.workflow.train.train_task import TrainTask

data, out = Path(sys.argv[1]), Path(sys.argv[2])
told = {"alone": 0}
with data_parallel() as count:  # there is no graphics processor
    told["alone"] = count
try:
    with data_parallel(["cpu:0", "cpu:7"]):
        pass
except SettingsError as error:
    told["error"] = str(error)
changes = "filters=4 depth=1 epochs=1 steps_per_epoch=3 minutes=0 averaging=0 precision=float32".split()
rows, models = {}, {}
for name, devices, batch in (("one", (), 6), ("two", ("cpu:0", "cpu:1"), 5)):
    kept = rows.setdefault(name, [])
    chosen = recipe("fast", [*changes, f"batch_size={batch}"])
    task = TrainTask(data, out / name, chosen, on_epoch=kept.append, devices=devices)
    models[name] = run_inline(task)
told["losses"] = {name: [row["loss"] for row in kept] for name, kept in rows.items()}
told["devices"] = {}
for name, model in models.items():
    told["devices"][name] = max(len(v.value.sharding.device_set) for v in model.network.variables)
    np.savez(out / f"{name}.npz", *model.network.get_weights())
told["mask"] = [int(v.size) for v in (models["two"].probabilities(np.zeros((1, 32, 32, 1), np.float32)),)]
print("TOLD" + json.dumps(told))
"""


def test_two_devices_learn_what_one_learns(salt_folder: Path, tmp_path: Path) -> None:
    """A batch of 5 is filled up to 6, which each of two devices has 3 of: as 6 on one device."""
    # JAX compiles for longer than it computes here.
    flags = "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    answer = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(salt_folder), str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax", "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    lines = [line for line in answer.stdout.splitlines() if line.startswith("TOLD")]
    assert lines, answer.stderr[-2000:]
    told = json.loads(lines[0].removeprefix("TOLD"))
    assert told["alone"] == 1
    assert "there is no device cpu:7" in told["error"]
    assert "cpu:0 or cpu:1" in told["error"]
    assert told["devices"] == {"one": 1, "two": 2}
    np.testing.assert_allclose(told["losses"]["two"], told["losses"]["one"], rtol=1e-4)
    assert told["mask"] == [32 * 32]
    one, two = (np.load(tmp_path / f"{name}.npz") for name in ("one", "two"))
    assert one.files == two.files
    for name in one.files:
        # The optimizer divides by the gradient's own size: of one near 0 only the sign of noise is left.
        assert np.abs(two[name] - one[name]).mean() < 2e-4
    moved = [np.abs(one[name]).max() for name in one.files]
    assert max(moved) > 0.1


def test_another_back_end_refuses_to_share() -> None:
    import keras

    if keras.backend.backend() == "jax":
        pytest.skip("this is the one that can")
    with (
        raises_code("settings.devices.unsupported"),
        data_parallel(["cpu:0"]),
    ):
        pass
    with data_parallel() as count:
        assert count == 1
