"""What the library reaches on a graphics processor, beside plain PyTorch on the same one.

    KERAS_BACKEND=jax python benchmarks/gpu.py
    KERAS_BACKEND=torch python benchmarks/gpu.py --precision mixed_bfloat16
    KERAS_BACKEND=jax python benchmarks/gpu.py --filters 2 --side 32 --batches 1 2 --image 64 --seconds 0.01

Measures a U-Net of the paper's size with practical blocks: latency of one 512x512 image and the best
throughput over some batches, steps of training, tiles of a large image through the library's own tiling with
reading and blending, and whether augmentation keeps up with the steps. TFLOP/s are held against the matrix
product of the same card, in the same precision. It runs on a processor, too, with small sizes, where the
figures mean little. Where Keras computes with TensorFlow, PyTorch shares the card with it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NAPARI_UNET_RUNTIME", "keras")  # what this is about, on a processor as well
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs memory beside JAX
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # and beside TensorFlow

import numpy as np

from side_by_side.case import Case, network_settings, settle, write_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Run = Callable[[np.ndarray], np.ndarray]

HALVES = {"float32": "float32", "mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}
# Half precisions differ more: what is compared are probabilities.
LIMITS = {"float32": 1e-2, "mixed_bfloat16": 0.1, "mixed_float16": 0.1}


def clock(call: Callable[[], object], seconds: float) -> float:
    """Median seconds of a call, after two that do not count; runs at least 3 times and about that long."""
    for _ in range(2):
        call()
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < 3 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        call()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)


def card() -> str:
    """Name of what PyTorch computes on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "processor"


def torch_device() -> str:
    """Where PyTorch computes."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Until PyTorch's work is done."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def product_rate(precision: str, seconds: float, side: int) -> float:
    """TFLOP/s of a matrix product in the precision of the network, as PyTorch does it."""
    import torch

    kind = getattr(torch, HALVES[precision])
    matrix = torch.randn(side, side, device=torch_device(), dtype=kind)

    def call() -> None:
        torch.mm(matrix, matrix)
        wait()

    return 2 * side**3 / clock(call, seconds) / 1e12


def our_model(options: argparse.Namespace) -> Any:
    """The model, in the precision asked for."""
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, Recipe

    settings = network_settings(Case("gpu", options.filters, 1))
    network = build_network(settings, 0, options.precision)
    settle(network, images_of(1, options.side))
    inference = InferenceSettings(
        tile=options.side, flips="none", batch_pixels=options.side**2 * options.batches[-1]
    )
    return Model(Recipe(name="gpu", network=settings, inference=inference), Normalization(), ("a",), network)


def images_of(count: int, side: int) -> np.ndarray:
    """(N, Y, X, 1) float32."""
    return np.random.default_rng(0).standard_normal((count, side, side, 1)).astype(np.float32)


def targets_of(count: int, side: int) -> np.ndarray:
    """(N, Y, X, 2) float32: class and weight."""
    targets = np.ones((count, side, side, 2), np.float32)
    targets[..., 0] = np.random.default_rng(1).random((count, side, side)) < 0.3
    return targets


def their_network(model: Any, options: argparse.Namespace, folder: Path) -> Any:
    """The same network in PyTorch, on its device, channels last."""
    import torch

    from side_by_side.torch_unet import torch_unet

    write_arrays(model.network, folder / "arrays.npz")
    network = torch_unet(folder / "arrays.npz", Case("gpu", options.filters, 1))
    return network.to(torch_device(), memory_format=torch.channels_last)


def their_inference(
    model: Any, options: argparse.Namespace, folder: Path
) -> Callable[[np.ndarray], np.ndarray]:
    """From images to probabilities in the memory of the processor, as ours goes."""
    import torch

    from side_by_side.torch_unet import fused

    network = fused(their_network(model, options, folder))
    if options.compile:
        network = torch.compile(network)
    device, kind = torch_device(), getattr(torch, HALVES[options.precision])
    halved = options.precision != "float32"

    def run(images: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode(), torch.autocast(device, kind, enabled=halved):
            found = torch.sigmoid(network(given).float())
        return np.asarray(found.permute(0, 2, 3, 1).cpu())

    return run


def inference(model: Any, options: argparse.Namespace, folder: Path, limit: float) -> list[dict[str, Any]]:
    """Latency and throughput of both, batch by batch; images and answers travel to the card and back."""
    from napari_unet.networks.graphs.cost import flop

    one = flop(model.network, (options.side, options.side)) / 1e12
    ours, theirs = model.probabilities, their_inference(model, options, folder)
    few = images_of(2, options.side)
    difference = float(np.abs(ours(few) - theirs(few)).max())
    print(f"largest difference of a probability {difference:.1e}", flush=True)
    if not difference <= LIMITS[options.precision]:
        raise SystemExit("these do not compute the same network")
    rows = []
    for batch in options.batches:
        images = images_of(batch, options.side)
        for name, run in (("ours", ours), ("PyTorch", theirs)):
            seconds = clock(partial(run, images), options.seconds)
            rate = batch * one / seconds
            rows.append(
                {"program": name, "batch": batch, "ms": 1e3 * seconds, "images a second": batch / seconds,
                 "TFLOP/s": rate, "of the matrix product": rate / limit}
            )  # fmt: skip
    return rows


def training(model: Any, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Steps of both, the same loss and optimizer; images come from the memory of the processor."""
    import torch

    from napari_unet.settings import TrainingSettings
    from napari_unet.training.fit import compile_network
    from napari_unet.training.losses import make_loss
    from side_by_side.torch_unet import torch_loss

    network = their_network(model, options, folder).train()
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, eps=1e-7)
    device, kind = torch_device(), getattr(torch, HALVES[options.precision])
    scaler = torch.amp.GradScaler(device, enabled=kind == torch.float16)
    settings = TrainingSettings()
    compile_network(model.network, make_loss(model.recipe.network, settings), settings)

    def their_step(images: np.ndarray, targets: np.ndarray) -> float:
        given, wanted = (torch.from_numpy(a).to(device).permute(0, 3, 1, 2) for a in (images, targets))
        optimizer.zero_grad()
        with torch.autocast(device, kind, enabled=options.precision != "float32"):
            logits = network(given)
        loss = torch_loss(logits.float(), wanted)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return float(loss.detach())

    def our_step(images: np.ndarray, targets: np.ndarray) -> float:
        return float(np.ravel(model.network.train_on_batch(images, targets))[0])

    side, batch = options.side // 2, options.batches[-1]
    given = images_of(batch, side), targets_of(batch, side)
    rows = []
    for name, step in (("ours", our_step), ("PyTorch", their_step)):
        seconds = clock(partial(step, *given), options.seconds)
        rows.append({"program": name, "batch": batch, "side": side, "ms": 1e3 * seconds})
    return rows


def large_image(model: Any, options: argparse.Namespace) -> dict[str, Any]:
    """One image by tiles, against the network alone on as many pixels as it was shown."""
    from napari_unet.data.sample import Sample
    from napari_unet.inference.tiling import plan_tiles
    from napari_unet.workflow.segment.segment_samples import segment_samples

    image = np.random.default_rng(2).integers(0, 255, (options.image, options.image), np.uint8)
    settings = model.recipe.inference

    def whole() -> None:
        for _ in segment_samples([Sample("a", lambda: image)], model):
            pass

    plan = plan_tiles(image.shape, model.sizes, settings.tile, settings.overlap)
    batch = options.batches[-1]
    images = images_of(batch, plan.tile_shape[0])
    run = model.probabilities
    bare = clock(lambda: run(images), options.seconds) / batch * len(plan)
    seconds = clock(whole, options.seconds)
    return {
        "megapixels": image.size / 1e6, "tiles": len(plan), "seconds": seconds, "bare network": bare,
        "megapixels a second": image.size / 1e6 / seconds, "ratio": seconds / bare,
    }  # fmt: skip


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--image", type=int, default=8192, help="side of the large image")
    parser.add_argument("--precision", choices=list(HALVES), default="mixed_bfloat16")
    parser.add_argument("--product", type=int, default=8192, help="side of the matrices")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each figure is measured for")
    parser.add_argument("--compile", action="store_true", help="torch.compile for PyTorch's inference")
    parser.add_argument("--feeding", type=int, default=5, help="rounds of it; 0 leaves it out")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import keras

    limit = product_rate(options.precision, options.seconds, options.product)
    model = our_model(options)
    found: dict[str, Any] = {
        "card": card(), "backend": f"keras {keras.__version__} on {keras.backend.backend()}",
        "devices": keras.distribution.list_devices() if keras.backend.backend() != "torch" else [card()],
        "precision": options.precision, "filters": options.filters, "side": options.side,
        "matrix product (TFLOP/s)": limit,
    }  # fmt: skip
    print(", ".join(f"{name}: {value}" for name, value in found.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        found["inference"] = inference(model, options, Path(folder), limit)
        show(found["inference"])
        found["large image"] = large_image(model, options)
        show([found["large image"]])
        found["training"] = training(model, options, Path(folder))
        show(found["training"])
    if options.feeding:
        import feeding as own

        found["feeding"] = own.measure(options.feeding, 25)
        for row in found["feeding"]:
            share = statistics.median(row["share"])
            print(f"feeding, {row['row']}: {share:.3f} of the step rate on ready data")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def show(rows: Sequence[dict[str, Any]]) -> None:
    """A Markdown table."""
    print("\n| " + " | ".join(rows[0]) + " |\n| " + " | ".join("---" for _ in rows[0]) + " |")
    for row in rows:
        cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
