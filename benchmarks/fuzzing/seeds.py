"""Whole files to begin with: small, made here, of every kind and layout that the program reads."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIDE = 48
Files = dict[str, bytes]


def picture(kind: str = "uint8", channels: int = 0, seed: int = 0) -> NDArray[Any]:
    """Bright spots on a noisy ground: (Y, X) or (Y, X, C)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    values = rng.normal(0.25, 0.05, (SIDE, SIDE))
    for y, x in rng.integers(6, SIDE - 6, (5, 2)):
        values += 0.5 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 12)
    if channels:
        values = np.stack([values * (1 - 0.1 * c) for c in range(channels)], axis=-1)
    top = np.iinfo(kind).max if np.dtype(kind).kind in "iu" else 1
    return (values.clip(0, 1) * top).astype(kind)


def mask(seed: int = 0) -> NDArray[np.uint8]:
    """Spots as 0 and 255."""
    return ((picture(seed=seed) > 110) * 255).astype(np.uint8)


def encoded(pixels: NDArray[Any], kind: str, mode: str = "", **options: Any) -> bytes:
    """A file of Pillow's."""
    from PIL import Image

    file = io.BytesIO()
    shown = Image.fromarray(pixels)
    (shown.convert(mode) if mode else shown).save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """A file of tifffile's."""
    import tifffile

    kind = {k: options.pop(k) for k in ("ome", "imagej", "bigtiff", "byteorder") if k in options}
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **kind) as writer:
        writer.write(pixels, **options)
    return file.getvalue()


def packed(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return out.getvalue()


def npy(pixels: NDArray[Any]) -> bytes:
    """An array of NumPy's."""
    out = io.BytesIO()
    np.save(out, pixels, allow_pickle=False)
    return out.getvalue()


def png_seeds() -> list[Files]:
    """Grey, 16 bit, colour, alpha, palette, one bit, interlaced text."""
    return [
        {"a.png": encoded(picture(), "PNG")},
        {"a.png": encoded(picture("uint16"), "PNG")},
        {"a.png": encoded(picture(channels=3), "PNG")},
        {"a.png": encoded(picture(channels=4), "PNG")},
        {"a.png": encoded(picture(channels=2), "PNG")},
        {"a.png": encoded(picture(), "PNG", "P")},
        {"a.png": encoded(picture(), "PNG", "1")},
        {"a.png": encoded(picture(), "PNG", dpi=(72, 72), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")},
    ]


def picture_seeds(suffix: str, kind: str, **options: Any) -> list[Files]:
    """Grey and colour in a format of Pillow's."""
    return [{f"a.{suffix}": encoded(picture(channels=c), kind, **options)} for c in (0, 3)]


def jpeg_seeds() -> list[Files]:
    """Grey, colour, turned by EXIF, CMYK, progressive."""
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    return [
        *picture_seeds("jpg", "JPEG"),
        {"a.jpg": encoded(picture(channels=3), "JPEG", exif=exif)},
        {"a.jpg": encoded(picture(channels=3), "JPEG", "CMYK")},
        {"a.jpg": encoded(picture(channels=3), "JPEG", progressive=True)},
    ]


def tiff_seeds() -> list[Files]:
    """Layouts that do not compress: strips, OME, ImageJ, BigTIFF, min-is-white, palette, pages."""
    stack = np.stack([picture("uint16", seed=s) for s in range(3)])
    colours = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    return [
        {"a.tif": tiff(picture())},
        {"a.tif": tiff(picture("uint16"), byteorder=">")},
        {"a.tif": tiff(picture("float32"))},
        {"a.tif": tiff(picture("int32"), resolution=(1e4, 1e4))},
        {"a.tif": tiff(picture(channels=3), photometric="rgb")},
        {"a.tif": tiff(picture(), tile=(16, 16))},
        {"a.tif": tiff(picture(), bigtiff=True)},
        {"a.tif": tiff(picture(), photometric="miniswhite")},
        {"a.tif": tiff(picture(), photometric="palette", colormap=colours)},
        {"a.tif": tiff(mask() > 0)},
        {"a.tif": tiff(stack, photometric="minisblack")},
        {"a.tif": tiff(stack, imagej=True, resolution=(2, 2), metadata={"unit": "um", "axes": "ZYX"})},
        {"a.ome.tif": tiff(stack, ome=True, photometric="minisblack",
                           metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5,
                                     "Channel": {"Name": ["a", "b", "c"]}})},
    ]  # fmt: skip


def packed_tiff_seeds() -> list[Files]:
    """LZW, Deflate, PackBits, JPEG, Zstandard, LZMA, predictors, tiles."""
    ways: list[dict[str, Any]] = [
        {"compression": "lzw"},
        {"compression": "lzw", "predictor": True},
        {"compression": "lzw", "tile": (16, 16)},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": True, "tile": (16, 16)},
        {"compression": "packbits"},
        {"compression": "jpeg"},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "webp"},
        {"compression": "jpeg2000"},
    ]
    depths = [{"a.tif": tiff(picture(kind), compression="lzw")} for kind in ("uint16", "float32")]
    colour = {"webp": 3, "jpeg2000": 0}
    return [
        *depths,
        *({"a.tif": tiff(picture(channels=colour.get(w["compression"], 0)), **w)} for w in ways),
        {"a.tif": tiff(picture(channels=3), compression="lzw", photometric="rgb")},
    ]


def lzw_seeds() -> list[Files]:
    """LZW alone, in which imagecodecs is known to have ended a process."""
    stack = np.stack([picture("uint16", seed=s) for s in range(3)])
    return [
        *(s for s in packed_tiff_seeds()[:5]),
        {"a.tif": tiff(mask(), compression="lzw", rowsperstrip=8)},
        {"a.tif": tiff(stack, compression="lzw", photometric="minisblack")},
    ]


def dataset_seeds() -> list[Files]:
    """Images and masks in folders, a table of pairs, run lengths, one file an object, classes by name."""
    both = {}
    for n in range(3):
        both[f"images/{n}.png"] = encoded(picture(seed=n), "PNG")
        both[f"masks/{n}.png"] = encoded(mask(n), "PNG")
    numbered = {
        f"masks/{n}.tif": tiff((mask(n) // 255 * (1 + n)).astype(np.uint16), compression="zlib")
        for n in range(3)
    }
    images = {k: v for k, v in both.items() if k.startswith("images")}
    return [
        both,
        {**images, **numbered},
        {**images, **numbered, "classes.json": b'["cell", "nucleus", "other"]'},
        bowl_files(),
    ]


def bowl_files() -> Files:
    """One file an object, as the Data Science Bowl has it."""
    files = {}
    for n in range(2):
        files[f"stage1_train/id{n}/images/id{n}.png"] = encoded(picture(seed=n), "PNG")
        for part in range(2):
            one = np.zeros((SIDE, SIDE), np.uint8)
            one[8 + 20 * part : 20 + 20 * part, 5:20] = 255
            files[f"stage1_train/id{n}/masks/{n}{part}.png"] = encoded(one, "PNG")
    return files


def table_seeds() -> list[Files]:
    """Pairs of files, and run lengths."""
    from napari_unet.data.masks.run_length import encode_run_lengths

    images = {f"images/{n}.png": encoded(picture(seed=n), "PNG") for n in range(3)}
    masks = {f"truth/{n}.png": encoded(mask(n), "PNG") for n in range(3)}
    pairs = "image,mask\n" + "".join(f"images/{n}.png,truth/{n}.png\n" for n in range(3))
    runs = "id,rle_mask\n" + "".join(f"{n},{encode_run_lengths(mask(n))}\n" for n in range(3))
    objects = "ImageId,EncodedPixels\n" + "".join(f"{n},1 3 60 4\n{n},200 7\n" for n in range(3))
    return [
        {**images, **masks, "table.csv": pairs.encode()},
        {**images, "table.csv": runs.encode()},
        {**images, "table.csv": objects.encode()},
        {**images, "table.csv": ("\ufeff" + pairs.replace("truth", "images")).encode()},
    ]


def zip_seeds() -> list[Files]:
    """A data set in a zip, in a zip of zips stored and deflated."""
    files = dataset_seeds()[0]
    inner = {k.removeprefix("images/"): v for k, v in files.items() if k.startswith("images")}
    masks = {k.removeprefix("masks/"): v for k, v in files.items() if k.startswith("masks")}
    nested = {"images.zip": packed(inner), "masks.zip": packed(masks)}
    return [
        {"a.zip": packed(files)},
        {"a.zip": packed(nested, zipfile.ZIP_STORED)},
        {"a.zip": packed(nested)},
        {"a.zip": packed({**bowl_files(), "notes.txt": b"x"}, zipfile.ZIP_STORED)},
    ]


def npy_seeds() -> list[Files]:
    """Images as arrays."""
    return [{"a.npy": npy(picture(kind)[..., None])} for kind in ("uint8", "float32", "uint16")]


def split_seeds() -> list[Files]:
    """A split."""
    from napari_unet.data.split import Split

    split = Split(("a", "b"), ("c",), ("d",), groups={i: i for i in "abcd"}, data="set")
    return [{"split.json": json.dumps(split.to_json()).encode()}]


def zarr_seeds() -> list[Files]:
    """OME-Zarr of both versions, plain arrays."""
    from tempfile import TemporaryDirectory

    import zarr

    from napari_unet.export.ome_zarr import describe

    seeds = []
    for version in ("0.4", "0.5"):
        with TemporaryDirectory() as name:
            root = zarr.open_group(name, mode="w", zarr_format=2 if version == "0.4" else 3)
            for level, side in (("0", 48), ("1", 24)):
                array = root.create_array(level, shape=(2, side, side), chunks=(1, 24, 24), dtype="uint8")
                array[:] = np.stack([picture(seed=s)[:side, :side] for s in range(2)])
            axes = [{"name": "c", "type": "channel"}] + [
                {"name": a, "type": "space", "unit": "micrometer"} for a in "yx"
            ]
            levels = [
                {"path": p, "coordinateTransformations": [{"type": "scale", "scale": [1.0, s, s]}]}
                for p, s in (("0", 0.5), ("1", 1.0))
            ]
            channels = [{"label": c, "color": "FF0000"} for c in "ab"]
            about = {"multiscales": [{"version": version, "axes": axes, "datasets": levels}]}
            describe(root, {**about, "omero": {"channels": channels}}, version)
            seeds.append(files_of(Path(name), "a.ome.zarr/"))
    return seeds


def files_of(folder: Path, prefix: str = "") -> Files:
    """All files below a folder, whole."""
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    return {prefix + p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


IMAGES: dict[str, Callable[[], list[Files]]] = {
    "PNG": png_seeds,
    "JPEG": jpeg_seeds,
    "TIFF": tiff_seeds,
    "TIFF, compressed": packed_tiff_seeds,
    "TIFF, LZW": lzw_seeds,
    "WebP": lambda: [*picture_seeds("webp", "WEBP"), *picture_seeds("webp", "WEBP", lossless=True)],
    "JPEG 2000": lambda: picture_seeds("jp2", "JPEG2000"),
    "GIF": lambda: picture_seeds("gif", "GIF"),
    "BMP": lambda: picture_seeds("bmp", "BMP"),
}
