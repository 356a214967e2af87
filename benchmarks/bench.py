"""All benchmarks that compare side by side, each bounded in time, into one page: make bench.

    python benchmarks/bench.py [--only small-files first-mask] [--page docs/benchmarks/bench.md]

The page says what each command printed. One that takes longer than its bound is stopped, which the page says.
Run it on a quiet machine: seconds mean something there alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
# Name: what it measures, script and arguments, seconds at most.
PARTS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "peers": (
        "The same network by other programs",
        ("peers.py", "limits", "inference-16", "inference-64", "training", "--quick", "--rounds", "5"),
        900,
    ),
    "small-files": ("Thousands of small files", ("small_files.py", "--rounds", "3"), 400),
    "first-mask": ("The first mask of a cold start", ("first_mask.py",), 200),
    "networks": ("Networks against the U-Net", ("network_speed.py",), 200),
    "large-images": ("Large images", ("large_image.py", "--up-to", "400", "--kinds", "zarr"), 900),
    "cores": ("One core and more", ("cores.py",), 400),
}


def run(arguments: tuple[str, ...], limit: int) -> str:
    """What a script printed, or what went wrong with it."""
    script, *words = arguments
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / script), *words],
            capture_output=True, text=True, timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as stopped:
        printed = stopped.stdout.decode() if isinstance(stopped.stdout, bytes) else stopped.stdout or ""
        return f"{printed}\nstopped after {limit} s"
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return f"{done.stdout}\nfailed: {last}"
    return done.stdout


def page(found: dict[str, str], facts: dict[str, object]) -> str:
    """All that was printed, in Markdown."""
    lines = ["# One run of all benchmarks", "", "    make bench", ""]
    lines += [f"{name.capitalize()}: {value}." for name, value in facts.items() if value]
    for name, printed in found.items():
        title, arguments, _ = PARTS[name]
        lines += ["", f"## {title}", "", f"    python benchmarks/{' '.join(arguments)}", ""]
        text = printed.strip("\n")
        lines += [text] if text.startswith("|") else ["```text", text, "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all; write the page after each, so that what was measured stays."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks" / "bench.md")
    options = parser.parse_args()
    from napari_unet.engine.hardware import available_cores, default_precision, processor_name

    facts: dict[str, object] = {
        "processor": processor_name(), "cores": available_cores(), "precision": default_precision(),
    }  # fmt: skip
    found: dict[str, str] = {}
    for name in options.only:
        title, arguments, limit = PARTS[name]
        start = time.perf_counter()
        print(f"== {title}", flush=True)
        found[name] = run(arguments, limit)
        print(found[name], f"({time.perf_counter() - start:.0f} s)", flush=True)
        options.page.write_text(page(found, facts), encoding="utf-8")


if __name__ == "__main__":
    main()
