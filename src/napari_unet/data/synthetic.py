"""Small made-up data sets in the layouts of the real ones, quirks included.

They look enough like real images that a network learns from them, and nothing in them comes from real
images. The demo, the samples in napari's menu and the tests use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_unet.data.masks.run_length import encode_run_lengths
from napari_unet.data.sample import ReferenceMask
from napari_unet.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

TILE = 101  # pixels either way of a TGS tile


@dataclass(frozen=True, eq=False)
class SyntheticPicture:
    """A made-up image.

    Attributes
    ----------
    name : str
        What the layout calls it.
    image : numpy.ndarray
        (Y, X) or (Y, X, 3) uint8.
    mask : ReferenceMask
        Its truth.
    """

    name: str
    image: NDArray[np.uint8]
    mask: ReferenceMask


def _smooth(rng: np.random.Generator, shape: tuple[int, int], sigma: Any) -> NDArray[np.float64]:
    """A smooth random field with mean 0 and deviation 1."""
    from scipy import ndimage

    field = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-9))


def _grey(values: NDArray[np.float64], middle: float, spread: float) -> NDArray[np.uint8]:
    return np.clip(middle + spread * values, 0, 255).astype(np.uint8)


def salt_section(
    rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A seismic section: bent layers, and bodies of salt whose inside is dim and unlayered.

    Returns
    -------
    image : numpy.ndarray
        (Y, X) uint8.
    mask : numpy.ndarray
        (Y, X) uint8, 1 in salt.
    """
    from scipy import ndimage

    y = np.arange(shape[0])[:, None]
    bend = 22 * _smooth(rng, shape, (40, 60)) + 4 * _smooth(rng, shape, (12, 30))
    depth = y + bend
    length = int(depth.max() - depth.min()) + 8
    layers = ndimage.gaussian_filter(rng.standard_normal(length), 1.6)
    layers = (layers - layers.mean()) / layers.std()
    section = np.interp(depth - depth.min(), np.arange(length), layers)
    salt = _smooth(rng, shape, (28, 34)) > 0.55
    inside = 0.35 * _smooth(rng, shape, (2, 3)) - 0.1
    image = np.where(salt, inside, section)
    boundary = ndimage.gaussian_filter(salt.astype(float), 1.2)
    top = np.clip(np.gradient(boundary, axis=0), 0, None)
    image = image + 9 * top + 0.3 * rng.standard_normal(shape)
    return _grey(image, 118, 38), salt.astype(np.uint8)


def salt(count: int, rng: np.random.Generator) -> list[SyntheticPicture]:
    """Tiles cut side by side from sections; some black, one with a striped mask, as in the real set."""
    pictures: list[SyntheticPicture] = []
    while len(pictures) < count:
        image, mask = salt_section(rng, (TILE * 2, TILE * 4))
        for row in range(2):
            for column in range(4):
                window = np.s_[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
                tile, labels = image[window], mask[window]
                number = len(pictures)
                if number % 40 == 17:
                    tile, labels = np.zeros_like(tile), np.zeros_like(labels)
                elif number % 40 == 29:
                    labels = np.zeros_like(labels)
                    labels[:, :50] = 1
                pictures.append(
                    SyntheticPicture(f"{int(rng.integers(16**10)):010x}", tile, ReferenceMask(labels))
                )
    return pictures[:count]


def nerve(
    count: int, rng: np.random.Generator, shape: tuple[int, int] = (420, 580)
) -> list[SyntheticPicture]:
    """Frames of ultrasound with speckle, bands of tissue, and in two of five a nerve."""
    from scipy import ndimage

    frames = 5
    pictures = []
    unit = shape[0] / 420
    for number in range(count):
        subject, frame = number // frames + 1, number % frames + 1
        tissue = _smooth(rng, shape, (14 * unit, 60 * unit)) + 0.5 * _smooth(
            rng, shape, (5 * unit, 25 * unit)
        )
        y, x = np.mgrid[: shape[0], : shape[1]]
        mask = np.zeros(shape, np.uint8)
        if frame <= 2:
            cy, cx = rng.uniform(0.35, 0.6) * shape[0], rng.uniform(0.3, 0.7) * shape[1]
            ry, rx = rng.uniform(32, 46) * unit, rng.uniform(45, 65) * unit
            wobble = 0.12 * _smooth(rng, shape, 30 * unit)
            distance = np.hypot((y - cy) / ry, (x - cx) / rx) + wobble
            mask = (distance < 1).astype(np.uint8)
            rim = np.exp(-(((distance - 1) / 0.15) ** 2))
            pods = _smooth(rng, shape, 5 * unit)
            tissue = np.where(mask > 0, 0.3 * tissue - 0.9 + 0.6 * pods, tissue) + 1.2 * rim
        fade = np.linspace(1.0, 0.55, shape[0])[:, None]
        speckle = ndimage.gaussian_filter(rng.rayleigh(1.0, shape), (0.7, 1.4))
        image = fade * np.clip(95 + 38 * tissue, 8, 255) * (0.35 + 0.52 * speckle)
        picture = np.clip(image, 0, 255).astype(np.uint8)
        pictures.append(SyntheticPicture(f"{subject}_{frame}", picture, ReferenceMask(mask)))
    return pictures


def nuclei(count: int, rng: np.random.Generator, side: int = 256) -> list[SyntheticPicture]:
    """Nuclei, mostly glowing on black, one image in five dark on pink; some touch."""
    from scipy import ndimage

    pictures = []
    for number in range(count):
        shape = (side, side if number % 3 else side + side // 4)
        objects = np.zeros(shape, np.int32)
        y, x = np.mgrid[: shape[0], : shape[1]]
        for index in range(1, int(rng.integers(8, 36))):
            cy, cx = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
            angle, long, thin = rng.uniform(0, np.pi), rng.uniform(8, 14), rng.uniform(6, 9)
            u = (y - cy) * np.cos(angle) + (x - cx) * np.sin(angle)
            v = (x - cx) * np.cos(angle) - (y - cy) * np.sin(angle)
            body = (u / long) ** 2 + (v / thin) ** 2 < 1
            if (objects[body] > 0).mean() < 0.15 and body.sum() > 30:
                objects[body & (objects == 0)] = index
        numbers, renumbered = np.unique(objects, return_inverse=True)
        objects = renumbered.reshape(shape).astype(np.int32)
        strength = np.concatenate([[0.0], rng.uniform(0.45, 1.0, len(numbers) - 1)])[objects]
        body = ndimage.gaussian_filter(strength * (1 + 0.15 * _smooth(rng, shape, 2)), 1.3)
        name = "".join(f"{int(v):08x}" for v in rng.integers(2**32, size=8))
        noise = rng.standard_normal(shape)
        if number % 5 == 4:
            tissue = 0.8 + 0.06 * _smooth(rng, shape, 9)
            dye = np.array([0.5, 0.55, 0.25])
            ground = tissue[..., None] - np.array([0.0, 0.2, 0.03])
            colour = ground - dye * body[..., None]
            image = np.clip(255 * (colour + 0.02 * noise[..., None]), 0, 255).astype(np.uint8)
        else:
            glow = 0.06 + 0.03 * _smooth(rng, shape, 30) + rng.uniform(0.25, 0.7) * body
            grey = np.clip(255 * (glow + 0.015 * noise), 0, 255).astype(np.uint8)
            image = np.repeat(grey[..., None], 3, axis=2)
        labels = (objects > 0).astype(np.uint8)
        pictures.append(SyntheticPicture(name, image, ReferenceMask(labels, objects)))
    return pictures


def membranes(count: int, rng: np.random.Generator, side: int = 512) -> list[SyntheticPicture]:
    """Slices through packed cells: dark membranes, grainy insides, a few dark organelles."""
    from scipy import ndimage
    from scipy.spatial import cKDTree

    pictures = []
    seeds = rng.uniform(-30, side + 30, size=(int((side / 42) ** 2), 2))
    grid = np.moveaxis(np.mgrid[:side, :side], 0, -1).astype(float)
    for number in range(count):
        seeds = seeds + rng.normal(0, 2.0, seeds.shape)  # the next slice is much like the last
        place = grid + 7 * np.stack([_smooth(rng, (side, side), 18) for _ in range(2)], axis=-1)
        distance, _ = cKDTree(seeds).query(place, k=2)
        gap = distance[..., 1] - distance[..., 0]
        interior = gap > 3.5
        organelles = (_smooth(rng, (side, side), 7) > 2.0) & (gap > 14)
        image = 0.7 * _smooth(rng, (side, side), 1.5) + 0.6 * rng.standard_normal((side, side))
        image += -2.6 * np.exp(-((gap / 3.2) ** 2)) - 1.5 * ndimage.gaussian_filter(
            organelles.astype(float), 1.5
        )
        mask = ReferenceMask(interior.astype(np.uint8))
        pictures.append(SyntheticPicture(str(number), _grey(image, 165, 34), mask))
    return pictures


MAKERS: dict[str, Callable[..., list[SyntheticPicture]]] = {
    "salt": salt,
    "nerve": nerve,
    "nuclei": nuclei,
    "membranes": membranes,
}


def make_pictures(kind: str, count: int, seed: int = 0) -> list[SyntheticPicture]:
    """Make images with masks in memory.

    Parameters
    ----------
    kind : str
        "salt", "nerve", "nuclei" or "membranes".
    count : int
        How many.
    seed : int
        Same seed, same pictures.

    Returns
    -------
    list of SyntheticPicture
        As long as `count`.

    Raises
    ------
    SettingsError
        If there is no such kind.
    """
    if kind not in MAKERS:
        raise SettingsError(
            f"there are no synthetic {kind!r} images",
            code="settings.synthetic.unknown",
            expected=f"one of {', '.join(MAKERS)}",
        )
    return MAKERS[kind](count, np.random.default_rng(seed))


def write_synthetic(kind: str, folder: Path, count: int = 24, seed: int = 0) -> Path:
    """Write a made-up data set in the layout of its real model.

    Parameters
    ----------
    kind : str
        "salt" (TGS Salt), "nerve" (Ultrasound Nerve), "nuclei" (Data Science Bowl 2018) or
        "membranes" (ISBI 2012).
    folder : pathlib.Path
        Made if need be.
    count : int
        Images with masks; a quarter as many come without.
    seed : int
        Same seed, same files.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    SettingsError
        If there is no such kind.
    """
    extra = max(1, count // 4)
    pictures = make_pictures(kind, count + extra, seed)
    write = {
        "salt": _write_salt,
        "nerve": _write_nerve,
        "nuclei": _write_nuclei,
        "membranes": _write_membranes,
    }
    write[kind](folder, pictures[:count], pictures[count:], np.random.default_rng((seed, 1)))
    return folder


def _save(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        import tifffile

        tifffile.imwrite(path, pixels, compression="lzw", **options)
    else:
        from PIL import Image

        Image.fromarray(pixels).save(path)


def _write_salt(
    folder: Path, train: list[SyntheticPicture], test: list[SyntheticPicture], rng: np.random.Generator
) -> None:
    runs, depths = ["id,rle_mask"], ["id,z"]
    depths += [f"{picture.name},{int(rng.integers(50, 960))}" for picture in [*train, *test]]
    for picture in train:
        labels = picture.mask.labels
        _save(folder / f"train/images/{picture.name}.png", np.repeat(picture.image[..., None], 3, axis=2))
        stored = labels.astype(np.uint16) * 65535 if labels.any() else labels
        _save(folder / f"train/masks/{picture.name}.png", stored)
        runs.append(f"{picture.name},{encode_run_lengths(labels)}")
    for picture in test:
        _save(folder / f"test/images/{picture.name}.png", np.repeat(picture.image[..., None], 3, axis=2))
    (folder / "train.csv").write_text("\n".join(runs) + "\n")
    (folder / "depths.csv").write_text("\n".join(depths) + "\n")


def _write_nerve(
    folder: Path, train: list[SyntheticPicture], test: list[SyntheticPicture], rng: np.random.Generator
) -> None:
    runs = ["subject,img,pixels"]
    for picture in train:
        _save(folder / f"train/{picture.name}.tif", picture.image)
        _save(folder / f"train/{picture.name}_mask.tif", picture.mask.labels * np.uint8(255))
        runs.append(f"{picture.name.replace('_', ',')},{encode_run_lengths(picture.mask.labels)}")
    for number, picture in enumerate(test, start=1):
        _save(folder / f"test/{number}.tif", picture.image)
    (folder / "train_masks.csv").write_text("\n".join(runs) + "\n")


def _write_nuclei(
    folder: Path, train: list[SyntheticPicture], test: list[SyntheticPicture], rng: np.random.Generator
) -> None:
    for stage, pictures in (("stage1_train", train), ("stage1_test", test)):
        for picture in pictures:
            base = folder / stage / picture.name
            opaque = np.full((*picture.image.shape[:2], 1), 255, np.uint8)
            _save(base / "images" / f"{picture.name}.png", np.concatenate([picture.image, opaque], axis=2))
            objects = picture.mask.objects
            if stage == "stage1_test" or objects is None:
                continue
            for number in range(1, int(objects.max()) + 1):
                name = f"{int(rng.integers(2**32)):08x}{number:04x}.png"
                _save(base / "masks" / name, (objects == number).astype(np.uint8) * np.uint8(255))


def _write_membranes(
    folder: Path, train: list[SyntheticPicture], test: list[SyntheticPicture], rng: np.random.Generator
) -> None:
    for picture in train:
        _save(folder / f"train/image/{picture.name}.png", picture.image)
        _save(folder / f"train/label/{picture.name}.png", picture.mask.labels * np.uint8(255))
    for number, picture in enumerate(test):
        _save(folder / f"test/{number}.png", picture.image)
