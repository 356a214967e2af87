"""The parts of the benchmark: each gives rows, which are kept as JSON and put into a table."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from side_by_side import machine
from side_by_side.case import ENCODER_STEP, PAPER, SMALL, VOLUME, VOLUME_STEP, Case, write_case
from side_by_side.runtimes import INFERENCE, TRAINING, WITH_BFLOAT16, is_here
from side_by_side.turns import Contender, contenders, ratios, spread, take_turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Row = dict[str, Any]

OURS = "ours, image to mask"
LIMITS = {"float32": 1e-3, "mixed_bfloat16": 0.1}  # of the largest difference; else nothing is timed
STEP = Case("training step, 16 filters, 16 patches of 128x128", 16, 16, 128)
SHORT = {"float32": "float32", "mixed_bfloat16": "bfloat16"}


def apart(function: Any, *arguments: Any) -> Any:
    """Run a function in a process of its own, so that TensorFlow and others stay out of this one."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def precisions() -> list[str]:
    """float32, and bfloat16 where the processor multiplies it."""
    from napari_unet.engine.hardware import default_precision

    best = default_precision()
    return ["float32"] if best == "float32" else ["float32", best]


def limits(options: argparse.Namespace) -> list[Row]:
    """The machine's own limits, best program of each kind."""
    kinds = [
        (SHORT[p], n, f) for p in precisions() for n, f in machine.PRODUCTS[SHORT[p]].items() if is_here(n)
    ]
    rows: dict[str, Any] = {f"{p}, {n}": (build, () if n == "NumPy" else (p,), ()) for p, n, build in kinds}
    rows["copy"] = (machine.copy_by_torch, (), ())
    with contenders(rows) as programs:
        take_turns(programs, options.rounds)
        *products, copy = programs
    found = []
    for precision in dict.fromkeys(p for p, _, _ in kinds):
        own = [p for p in products if p.name.startswith(precision)]
        best = min(own, key=lambda p: statistics.median(p.seconds))
        rates = [machine.gflops(s) for s in best.seconds]
        found.append({"row": f"matrix product, {best.name}", "unit": "GFLOP/s", "values": rates})
    moved = [machine.gigabytes(s) for s in copy.seconds]
    return [*found, {"row": "copy, read and written, PyTorch", "unit": "GB/s", "values": moved}]


def inference(case: Case, options: argparse.Namespace) -> list[Row]:
    """A network by all programs, with the matrix product of its precision among them."""
    found = []
    for precision in precisions():
        with tempfile.TemporaryDirectory() as folder:
            gflop = apart(write_case, case, Path(folder))
            found += _inference(case, Path(folder), precision, gflop, options)
    return found


def _inference(
    case: Case, folder: Path, precision: str, gflop: float, options: argparse.Namespace
) -> list[Row]:
    names = [n for n in INFERENCE if is_here(n) and (precision == "float32" or n in WITH_BFLOAT16)]
    if options.quick and "PyTorch compiled" in names:
        names.remove("PyTorch compiled")
    images = case.images()
    wanted: dict[str, Any] = {n: (INFERENCE[n], (folder, case, precision), (images,)) for n in names}
    if precision != "float32":  # what the others reach in float32 is a target, too
        others = [n for n in names if not n.startswith("ours")] + ["ONNX Runtime"]
        wanted |= {
            f"{n} float32": (INFERENCE[n], (folder, case, "float32"), (images,)) for n in others if is_here(n)
        }
    kind = SHORT[precision]
    by = next((n for n in ("OpenVINO", "PyTorch") if is_here(n)), "NumPy")
    wanted["matrix product"] = (
        machine.PRODUCTS["float32" if by == "NumPy" else kind][by],
        () if by == "NumPy" else (kind,),
        (),
    )
    with contenders(wanted) as programs:
        *networks, limit = programs
        differences = compare(networks, LIMITS[precision])
        take_turns(programs, options.rounds)
    ours = next(p for p in networks if p.name == OURS)
    rows: list[Row] = []
    for one in networks:
        share = [gflop / s / machine.gflops(m) for s, m in zip(one.seconds, limit.seconds, strict=True)]
        rows.append(
            {
                "case": case.name,
                "precision": "float32" if one.name.endswith("float32") else SHORT[precision],
                "row": one.name.removesuffix(" float32"),
                "ms": 1e3 * statistics.median(one.seconds),
                "gflops": gflop / statistics.median(one.seconds),
                "of the matrix product": share,
                "ours is times as fast": ratios(ours, one),
                "building and first call (s)": one.building + one.first_call,
                "largest difference": differences[one.name],
                "seconds": one.seconds,
            }
        )
    return rows


def compare(programs: list[Contender], limit: float) -> dict[str, float]:
    """Largest difference of each program's probabilities from those of Keras, which must be small."""
    reference = next((p for p in programs if p.name == "ours, computed by Keras"), programs[0])
    found = {p.name: float(np.abs(p.first - reference.first).max()) for p in programs}
    print("largest differences:", ", ".join(f"{n} {d:.1e}" for n, d in found.items()), flush=True)
    wrong = [n for n, d in found.items() if not d <= limit]
    if wrong or reference.first.std() < 0.05:
        raise SystemExit(f"these do not compute the same network: {', '.join(wrong) or 'it is flat'}")
    return found


def training(case: Case, options: argparse.Namespace) -> list[Row]:
    """A step of a network on patches, the same loss and optimizer."""
    images = case.images()
    draw = np.random.default_rng(1)
    targets = np.ones((*images.shape[:-1], 2), np.float32)
    share = draw.random((case.batch, *(1 for _ in case.shape)))
    targets[..., 0] = share > draw.random((case.batch, *case.shape))
    found = []
    for precision in precisions():
        names = [n for n in TRAINING if is_here(n) and not (options.quick and n.endswith("compiled"))]
        with tempfile.TemporaryDirectory() as folder:
            gflop = 3 * apart(write_case, case, Path(folder))
            given = (images, targets)
            rows = {n: (TRAINING[n], (Path(folder), case, precision), given) for n in names}
            with contenders(rows) as programs:
                # The same first loss is the same network and loss; a like second one, a like update.
                first = [p.first for p in programs]
                for one in programs:
                    one.ask(1)
                later = [float(p.last) for p in programs]
                told = zip(names, first, later, strict=True)
                print("losses:", ", ".join(f"{n} {a:.4f}, {b:.4f}" for n, a, b in told), flush=True)
                if np.ptp(first) > (1e-3 if precision == "float32" else 0.05):
                    raise SystemExit("these do not compute the same loss")
                take_turns(programs, options.rounds)
        ours = programs[0]
        found += [
            {
                "case": case.name,
                "precision": SHORT[precision],
                "row": p.name,
                "ms": 1e3 * statistics.median(p.seconds),
                "gflops": gflop / statistics.median(p.seconds),
                "ours is times as fast": ratios(ours, p),
                "building and first call (s)": p.building + p.first_call,
                "first and second loss": [a, b],
                "seconds": p.seconds,
            }
            for p, a, b in zip(programs, first, later, strict=True)
        ]
    return found


def feeding(options: argparse.Namespace) -> list[Row]:
    """Steps of a whole training with augmentation against steps on batches that are ready."""
    import feeding as own

    rounds, steps = (2, 8) if options.quick else (min(options.rounds, 5), 20)
    return apart(partial(own.measure, rounds, steps))  # type: ignore[no-any-return]


def tiles(options: argparse.Namespace) -> list[Row]:
    """Files of 101x101 pixels to PNG, against the bare network."""
    from side_by_side.tiles import measure

    count = options.images or (200 if options.quick else 4000)
    return apart(measure, options.data, count)  # type: ignore[no-any-return]


def clicks(options: argparse.Namespace) -> list[Row]:
    """The first mask of a fresh process, and a warm one."""
    from side_by_side.clicks import measure

    return measure(1 if options.quick else 5)


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "limits": limits, "inference-64": partial(inference, PAPER), "inference-16": partial(inference, SMALL),
    "inference-3d": partial(inference, VOLUME), "training": partial(training, STEP),
    "training-encoder": partial(training, ENCODER_STEP),
    "training-3d": partial(training, VOLUME_STEP), "feeding": feeding, "tiles": tiles, "clicks": clicks,
}  # fmt: skip

__all__ = ["PARTS", "spread"]
