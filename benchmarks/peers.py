"""Our networks beside PyTorch, ONNX Runtime and OpenVINO: the same network, weights and images, in turns.

    python benchmarks/peers.py                       # all parts; make bench
    python benchmarks/peers.py --quick
    python benchmarks/peers.py inference-16 training --rounds 9

Parts: limits (matrix products and copies), inference-64 and inference-16 (filters), inference-3d and
training-3d (a network of volumes; ratios are those of voxels a second, too), training, training-encoder
(a decoder on EfficientNet-Lite0), feeding (a whole training with augmentation against steps on ready
batches), tiles (thousands of small files to PNG), clicks (from nothing to the first mask). Each program
runs in a process of its own and waits while another computes. What they answer is compared first, and
nothing is timed where it differs. Ratios are of neighbouring turns: median (lowest to highest). Seconds
mean something on this machine alone. Peers that are not installed are left out:
pip install "napari-unet-workbench[bench]".
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from side_by_side.machine import own_kernels
from side_by_side.parts import PARTS
from side_by_side.tables import markdown


def main() -> None:
    """Run parts; print and keep what they measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if not given")
    parser.add_argument("--rounds", type=int, help="turns of each program (default: 7; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="a few minutes, without torch.compile")
    parser.add_argument("--data", type=Path, help="folder of small images for tiles; made up if not given")
    parser.add_argument("--images", type=int, help="how many for tiles (default: 4000; 200 with --quick)")
    parser.add_argument("--json", type=Path, default=Path("peers.json"), help="gets what was measured")
    parser.add_argument("--markdown", type=Path, help="gets the tables")
    options = parser.parse_args()
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"there is no part {unknown[0]}")
    options.rounds = options.rounds or (3 if options.quick else 7)
    own_kernels()
    found = json.loads(options.json.read_text()) if options.json.exists() else {}
    found["machine"] = machine()
    for name in options.parts or PARTS:
        start = time.perf_counter()
        print(f"== {name}", flush=True)
        found[name] = PARTS[name](options)
        print(markdown({name: found[name]}))
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
        options.json.write_text(json.dumps(found, indent=1))
    if options.markdown:
        options.markdown.write_text(markdown(found))


def machine() -> dict[str, object]:
    """Processor and versions."""
    from importlib.metadata import PackageNotFoundError, version

    from napari_unet.engine.hardware import available_cores, processor_features, processor_name

    versions = {"python": platform.python_version()}
    for package in ("keras", "tensorflow", "torch", "onnxruntime", "openvino"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    return {
        "processor": processor_name(),
        "features": sorted(processor_features()),
        "cores": available_cores(),
        "versions": versions,
    }


if __name__ == "__main__":
    main()
