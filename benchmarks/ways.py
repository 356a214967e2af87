"""Ways to run one and the same network on a processor, each in a fresh process.

    python benchmarks/ways.py [--filters 16] [--batch 4] [--side 256] [--calls 6] [WAY ...]

Prints GFLOP/s by the clock, and seconds that all cores together computed for a call, which other programs
disturb less (programs whose threads wait by spinning look worse by them than they are).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

from side_by_side.case import Case, write_case

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[np.ndarray], Any]

ONEDNN = {"TF_ENABLE_ONEDNN_OPTS": "1"}
PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0"}


def by_keras(folder: Path, case: Case) -> Run:
    """As Keras runs it, batch normalization folded."""
    os.environ["NAPARI_UNET_RUNTIME"] = "keras"
    from napari_unet.models.model import load_model

    return load_model(folder / "model").probabilities


def by_graph(folder: Path, case: Case, *, xla: bool = False) -> Run:
    """As a TensorFlow function whose weights are constants, so that the graph may be changed around them."""
    import tensorflow
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from napari_unet.models.model import load_model

    network = load_model(folder / "model").inference_network
    function = tensorflow.function(lambda x: network(x, training=False), jit_compile=xla)
    shape = tensorflow.TensorSpec((case.batch, case.side, case.side, 1), tensorflow.float32)
    concrete = function.get_concrete_function(shape)
    run = concrete if xla else convert_variables_to_constants_v2(concrete)
    return lambda images: tensorflow.nest.flatten(run(tensorflow.constant(images)))[0].numpy()


def by_xla(folder: Path, case: Case) -> Run:
    """Compiled by XLA."""
    return by_graph(folder, case, xla=True)


def by_openvino_fixed(folder: Path, case: Case) -> Run:
    """OpenVINO, compiled for this batch and size alone."""
    from side_by_side.runtimes import openvino

    return openvino(folder, case, "float32")


def by_openvino(folder: Path, case: Case) -> Run:
    """OpenVINO, for every batch and size: what ``Model.probabilities`` does where it is installed."""
    os.environ["NAPARI_UNET_RUNTIME"] = "openvino"
    from napari_unet.models.model import load_model

    return load_model(folder / "model").probabilities


def by_onnx_runtime(folder: Path, case: Case) -> Run:
    """ONNX Runtime."""
    from side_by_side.runtimes import onnx_runtime

    return onnx_runtime(folder, case, "float32")


def by_training(folder: Path, case: Case) -> Run:
    """Not inference: a step of training by Keras, as in peers.py, in the processor's best precision."""
    from napari_unet.engine.hardware import default_precision
    from side_by_side.runtimes import train_ours

    targets = np.ones((case.batch, case.side, case.side, 2), np.float32)
    targets[:, : case.side // 3, :, 0] = 0
    step = train_ours(folder, case, default_precision())
    return lambda images: step(images, targets)


def by_training_apart(folder: Path, case: Case) -> Run:
    """The same with batch normalization as Keras computes it, by operations of their own."""
    import keras

    from napari_unet.networks.layers import batch_norm

    batch_norm._fused = lambda: keras.layers.BatchNormalization  # type: ignore[assignment]
    return by_training(folder, case)


def by_training_xla(folder: Path, case: Case) -> Run:
    """The same, compiled by XLA."""
    import keras

    built = keras.Model.compile
    keras.Model.compile = lambda self, **options: built(self, **options | {"jit_compile": True})
    return by_training(folder, case)


def by_training_slow_adamw(folder: Path, case: Case) -> Run:
    """The same with AdamW as Keras computes it, by operations of their own."""
    import keras

    from napari_unet.training import adamw

    adamw._in_one = lambda: keras.optimizers.AdamW  # type: ignore[assignment]
    return by_training(folder, case)


WAYS: dict[str, tuple[Callable[[Path, Case], Run], dict[str, str]]] = {
    "keras": (by_keras, PLAIN),
    "keras-onednn": (by_keras, ONEDNN),
    "constants": (by_graph, PLAIN),
    "constants-onednn": (by_graph, ONEDNN),
    "xla": (by_xla, PLAIN),
    "onnxruntime": (by_onnx_runtime, {}),
    "openvino-fixed": (by_openvino_fixed, {}),
    "openvino": (by_openvino, {}),
    "train": (by_training, PLAIN),
    "train-onednn": (by_training, ONEDNN),
    "train-apart": (by_training_apart, PLAIN),
    "train-apart-onednn": (by_training_apart, ONEDNN),
    "train-slow-adamw-onednn": (by_training_slow_adamw, ONEDNN),
    "train-xla-onednn": (by_training_xla, ONEDNN),
}


def one(way: str, folder: Path, case: Case, gflop: float, calls: int) -> None:
    """Run and print one way."""
    images = case.images()
    gflop *= 3 if way.startswith("train") else 1  # the way back is about two more ways there
    run = WAYS[way][0](folder, case)
    start = time.perf_counter()
    run(images)
    first = time.perf_counter() - start
    run(images)
    clock, cores = [], []
    for _ in range(calls):
        before = time.perf_counter(), time.process_time()
        run(images)
        clock.append(time.perf_counter() - before[0])
        cores.append(time.process_time() - before[1])
    print(
        f"{way:23s} {gflop / statistics.median(clock):5.0f} GFLOP/s (best {gflop / min(clock):.0f}), "
        f"{statistics.median(cores):.3f} s of the cores a call, first call {first:.1f} s",
        flush=True,
    )


def main() -> None:
    """Start a process for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ways", nargs="*", metavar="WAY", help=f"of {', '.join(WAYS)}; all if not given")
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    case = Case("ways", options.filters, options.batch, options.side)
    if options.one:
        one(options.ways[0], Path(options.one[0]), case, float(options.one[1]), options.calls)
        return
    with tempfile.TemporaryDirectory() as folder:
        gflop = write_case(case, Path(folder))
        for way in options.ways or WAYS:
            command = [sys.executable, __file__, way, "--one", folder, str(gflop)]
            for name in ("filters", "batch", "side", "calls"):
                command += [f"--{name}", str(getattr(options, name))]
            subprocess.run(
                command, env={**os.environ, **WAYS[way][1]}, stderr=subprocess.DEVNULL, check=False
            )


if __name__ == "__main__":
    main()
