"""Made-up models of volumes, of which every answer is known.

Run as a script it writes them where a process may not load TensorFlow: those of the window.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_unet.models.ensemble import AnyModel, Ensemble
    from napari_unet.models.model import Model
    from napari_unet.settings import Dimensions, Separation

SHAPE = (14, 37, 45)  # of smooth noise


def thresholding(path: Path, dimensions: str, behind: int = 0, axis: int = 0) -> Path:
    """A model that calls a voxel foreground if it is bright, or if the one `behind` it is: 1 or 0 slices.

    In three dimensions behind may also be along Y or X, by `axis`.
    """
    from napari_unet.models.model import Model, save_model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    slices = 3 if dimensions == "2.5d" else 0
    channels = slices or 1
    settings = NetworkSettings(
        filters=2, depth=1, normalization="none", block="plain", dimensions=dimensions, slices=slices,
        input_channels=channels,
    )  # fmt: skip
    network = build_network(settings, 0)
    for layer in network.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])

    def passes(name: str, channel: int = 0, behind: int = 0) -> None:
        """The first filter gives on one channel of the voxel itself, or of one behind it."""
        kernel, bias = network.get_layer(name).get_weights()
        place = [n // 2 for n in kernel.shape[:-2]]
        place[axis] -= behind
        kernel[(*place, channel, 0)] = 1
        network.get_layer(name).set_weights([kernel, bias])

    if dimensions == "3d":
        passes("down0_conv1", behind=behind)
    else:
        passes("down0_conv1", channels // 2 - behind)
    for name in ("down0_conv2", "decode0_conv1", "decode0_conv2", "logits"):
        passes(name)
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel * 100, bias - 10])
    recipe = Recipe(network=settings, inference=InferenceSettings(flips="none"))
    normalization = Normalization(channels=channels, intensities="range")
    return save_model(Model(recipe, normalization, ("cells",), network), path)


def rods(slices: int = 6) -> np.ndarray:
    """(Z, 8, 10) bool: two rods through slices; one of them has a gap of two slices in the middle."""
    bright = np.zeros((slices, 8, 10), bool)
    bright[:, 1:3, 1:4] = True
    bright[:, 5:7, 6:9] = True
    bright[slices // 2 - 1 : slices // 2 + 1, 5:7, 6:9] = False
    return bright


def smooth() -> np.ndarray:
    """(Z, Y, X) uint8."""
    from scipy import ndimage

    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(SHAPE), (1, 2, 2))
    return np.asarray(np.rint((noise - noise.min()) / np.ptp(noise) * 255), np.uint8)


def made_model(
    dimensions: Dimensions,
    separation: Separation = "none",
    scale: float = 1.0,
    classes: int = 1,
    seed: int = 2,
) -> Model:
    """A network of random weights of which about half of the voxels are foreground."""
    from napari_unet.models.model import Model
    from napari_unet.models.normalization import Normalization
    from napari_unet.networks.registry import build_network
    from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe

    slices = 3 if dimensions == "2.5d" else 0
    channels = slices or 1
    settings = NetworkSettings(
        filters=2, depth=1, normalization="none", dimensions=dimensions, slices=slices,
        input_channels=channels, separation=separation, classes=classes,
        activation="sigmoid" if classes == 1 else "softmax",
    )  # fmt: skip
    network = build_network(settings, seed)
    image = smooth()[:8, :32, :32].astype(np.float32)
    image = (image - image.mean()) / image.std()
    seen = image[None, ..., None] if dimensions == "3d" else np.moveaxis(image[None, :channels], 1, 3)
    logits = np.asarray(network.predict_on_batch(seen))
    last = next(layer for layer in reversed(network.layers) if layer.get_weights())
    kernel, bias = last.get_weights()
    axes = tuple(range(logits.ndim - 1))
    spread = 3 / logits.std(axis=axes)
    last.set_weights([kernel * spread, (bias - np.median(logits, axis=axes)) * spread])
    recipe = Recipe(network=settings, inference=InferenceSettings(flips="none", tile=4096, core=0.55))
    return Model(
        recipe, Normalization(channels=channels, scale=scale), ("cells", "others")[:classes], network
    )


def made_ensemble(folder: Path, *members: Model) -> Ensemble:
    """Of these models, of which the first counts twice."""
    from napari_unet.models.ensemble import Ensemble, Member
    from napari_unet.models.model import save_model

    paths = [save_model(model, folder / f"member-{number}") for number, model in enumerate(members)]
    shares = [2 / (len(paths) + 1), *[1 / (len(paths) + 1)] * (len(paths) - 1)]
    first = members[0]
    both = tuple(Member(path, share) for path, share in zip(paths, shares, strict=True))
    return Ensemble(first.recipe, first.normalization, first.classes, {}, both)


def write_noise(folder: Path, thick: float) -> np.ndarray:
    """Smooth noise, one slice of which is black: em.tif, and em.ome.zarr with chunks along Z.

    Voxels are 4 nm wide and `thick` nm along Z.
    """
    import tifffile
    import zarr

    values = smooth()
    values[6] = 0
    tifffile.imwrite(
        folder / "em.tif", values, imagej=True, resolution=(0.25, 0.25),
        metadata={"axes": "ZYX", "spacing": thick, "unit": "nm"},
    )  # fmt: skip
    group = zarr.open_group(folder / "em.ome.zarr", mode="w", zarr_format=3)
    group.create_array("0", shape=SHAPE, dtype="uint8", chunks=(5, 16, 16))[...] = values
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [thick, 4.0, 4.0]}]
    found = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [found]}
    return values


def mask_and_objects(
    folder: Path, model: AnyModel, anisotropy: float, **changes: object
) -> tuple[np.ndarray, np.ndarray]:
    """Of em.tif as a volume that fits into memory, with these settings changed."""
    from napari_unet.data.catalog import open_images
    from napari_unet.inference.volumes.volume_objects import find_volume_objects
    from napari_unet.workflow.segment.segment_samples import segment_samples

    settings = model.recipe.inference.model_copy(update=changes)
    found = list(segment_samples(open_images([folder / "em.tif"]), model, settings))
    mask = np.stack([one.mask for one in found])
    separation = None
    if found[0].separation is not None:
        separation = np.stack([one.separation for one in found if one.separation is not None])
    probabilities = np.stack([one.probabilities for one in found])
    kind = found[0].separation_kind
    return mask, find_volume_objects(mask, settings, probabilities, separation, kind, anisotropy)


if __name__ == "__main__":
    for dimensions in ("2.5d", "3d"):
        thresholding(Path(sys.argv[1]) / dimensions, dimensions, behind=1)
