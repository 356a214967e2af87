"""Graphics processors lend memory as it is needed, in every process that computes.

TensorFlow and JAX read this from the environment when they start, so that it must be there before the first
import of either. Neither is imported here: what would import them is asked what the environment says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPY = """
import os, sys
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras", "jax"):
            asked = "TF_FORCE_GPU_ALLOW_GROWTH", "XLA_PYTHON_CLIENT_PREALLOCATE"
            said = [os.environ.get(v, "unset") for v in asked]
            with open(os.environ["SPY"], "a") as file:
                print(name, *said, file=file)
            raise ImportError("enough is known")
sys.meta_path.insert(0, Spy())
"""
ENTRIES = {
    "command line": "from napari_unet.cli.shared.running import start_backend; start_backend()",
    "worker": (
        "import io, sys, types\n"
        "from napari_unet.engine import worker\n"
        "class Serving:\n"
        "    def __init__(self, *_): pass\n"
        "    def serve(self): import keras\n"
        "worker.Worker = Serving\n"
        "worker.main()"
    ),
    "script": "from napari_unet.engine.hardware import default_precision; default_precision(); import keras",
    "loading a model": "from napari_unet.models.model import load_model; load_model('nuclei', 'float32')",
    "large image on a cluster": (
        "from types import SimpleNamespace\n"
        "from napari_unet.workflow.large_images.cluster_run import _prepare; _prepare(SimpleNamespace())"
    ),
    "evaluation on a cluster": (
        "from types import SimpleNamespace\n"
        "from napari_unet.workflow.evaluate.cluster_evaluation import _prepare; _prepare(SimpleNamespace())"
    ),
    "training on a cluster": (
        "from types import SimpleNamespace; from pathlib import Path\n"
        "from napari_unet.workflow.ensemble import cluster_training as train_cluster\n"
        "train_cluster.WhileRunning = lambda _: SimpleNamespace(check=lambda: None)\n"
        "train_cluster._train(SimpleNamespace(task=SimpleNamespace(out=Path('none')), running=None))"
    ),
    "benchmark": "import runpy; runpy.run_path('benchmarks/folding.py', run_name='__main__')",
}


def first_import(code: str, folder: Path) -> str:
    """What the environment said when a program first asked for Keras or what is under it."""
    (folder / "sitecustomize.py").write_text(SPY)
    log = folder / "log"
    log.touch()
    free = {k: v for k, v in os.environ.items() if "ALLOW_GROWTH" not in k and "PREALLOCATE" not in k}
    paths = os.pathsep.join([str(folder), *sys.path])
    subprocess.run(
        [sys.executable, "-c", code], env={**free, "PYTHONPATH": paths, "SPY": str(log)}, cwd=ROOT,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return (log.read_text().splitlines() or ["nothing was imported"])[0]


@pytest.mark.parametrize("entry", ENTRIES)
def test_memory_is_shared_before_the_back_end_starts(entry: str, tmp_path: Path) -> None:
    assert first_import(ENTRIES[entry], tmp_path) in ("keras true false", "tensorflow true false")


def test_without_asking_the_spy_sees_that_nothing_is_set(tmp_path: Path) -> None:
    assert first_import("import keras", tmp_path) == "keras unset unset"
