"""How long opening a set of 4,000 TGS-like images takes, and how much memory, from folder and zip.

Every line is a fresh process that imports the package, opens the set and reads nothing else; then
1,000 images and masks are read. Memory is the peak resident set of the whole process.

Run: python benchmarks/open_data.py [COUNT]
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from napari_unet.data.masks.run_length import encode_run_lengths

SIZE = 101
STEP = 12
LIMIT_SECONDS, LIMIT_MEGABYTES = 1.0, 100.0

OPEN = """
import json, sys, time
start = time.perf_counter()
from napari_unet.data.catalog import open_dataset
imported = time.perf_counter()
dataset = open_dataset(sys.argv[1])
opened = time.perf_counter()
def peak():
    # Not getrusage: on Linux its maximum starts with what the parent process held.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 2**10
    except OSError:
        import psutil
        info = psutil.Process().memory_info()
        return getattr(info, "peak_wset", info.rss) / 2**20
peak_open = peak()
start_reading = time.perf_counter()
for sample in dataset.samples[:1000]:
    dataset.image(sample), dataset.mask(sample)
reading = time.perf_counter() - start_reading
print(json.dumps({"count": len(dataset), "import": imported - start, "open": opened - imported,
                  "peak": peak_open, "rate": len(dataset.samples[:1000]) / reading}))
"""


def png(pixels: np.ndarray) -> bytes:
    """A PNG file in memory."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def make_files(count: int, seed: int = 0) -> dict[str, bytes]:
    """Files of a set in the layout of the TGS challenge, by name."""
    rng = np.random.default_rng(seed)
    rows = np.arange(SIZE)[:, None]
    files: dict[str, bytes] = {}
    ids = [f"{value:010x}" for value in rng.choice(2**40, count, replace=False)]
    table, depths = ["id,rle_mask"], ["id,z"]
    for identifier in ids:
        # Noise in steps packs to about 9 kB, as the tiles of the challenge do.
        grey = (rng.normal(120, 40, (SIZE, SIZE)).clip(0, 255) // STEP * STEP).astype(np.uint8)
        mask = np.broadcast_to(rows > rng.integers(0, 160), (SIZE, SIZE))
        files[f"train/images/{identifier}.png"] = png(np.stack([grey] * 3, -1))
        depth = np.uint16 if mask.any() else np.uint8
        files[f"train/masks/{identifier}.png"] = png(mask.astype(depth) * np.iinfo(depth).max)
        table.append(f"{identifier},{encode_run_lengths(mask)}")
        depths.append(f"{identifier},{rng.integers(50, 960)}")
    files["train.csv"] = "\n".join(table).encode()
    files["depths.csv"] = "\n".join(depths).encode()
    return files


def write(files: dict[str, bytes], root: Path) -> dict[str, Path]:
    """Write the files as a folder, a zip, and a zip with a zip, as Kaggle gives them."""
    folder = root / "folder"
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    plain, inner = root / "plain.zip", io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            if name.startswith("train/"):
                archive.writestr(name.removeprefix("train/"), data)
    paths = {"folder": folder, "zip": plain}
    for label, method in (("zip in zip, stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        path = root / f"nested-{method}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("train.zip"), inner.getvalue(), method)
            for name, data in files.items():
                if "/" not in name:
                    archive.writestr(name, data)
        paths[label if "zip" in label else f"zip in zip, {label}"] = path
    return paths


def main() -> int:
    """Print a table; exit code 1 where a limit is missed."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    missed = False
    with tempfile.TemporaryDirectory() as name:
        paths = write(make_files(count), Path(name))
        print(f"limits: open {LIMIT_SECONDS} s, peak {LIMIT_MEGABYTES:.0f} MB")
        print(f"{'':22} {'images':>6} {'import s':>9} {'open s':>7} {'peak MB':>8} {'pairs read/s':>13}")
        for label, path in paths.items():
            done = subprocess.run(
                [sys.executable, "-c", OPEN, str(path)], capture_output=True, text=True, check=True
            )
            row = json.loads(done.stdout)
            print(
                f"{label:22} {row['count']:6} {row['import']:9.3f} {row['open']:7.3f} "
                f"{row['peak']:8.1f} {row['rate']:13.0f}"
            )
            missed |= row["open"] >= LIMIT_SECONDS or row["peak"] >= LIMIT_MEGABYTES
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
