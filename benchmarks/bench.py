"""All benchmarks that compare side by side, each bounded in time, into one page: make bench.

    python benchmarks/bench.py [--only small-files first-mask] [--page docs/benchmarks/bench.md] [--again]

The page says what each command printed. One that takes longer than its bound is stopped, and one that fails
says why; the others run all the same. A run that was interrupted resumes: what is measured already is in
bench.json next to the page. --again measures everything once more.
Run it on a quiet machine: seconds mean something there alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
# Name: what it measures, script and arguments, seconds at most.
PARTS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "limits": ("Limits of this machine", ("peers.py", "limits", "--quick", "--rounds", "5"), 120),
    "inference-16": (
        "Small network by other programs",
        ("peers.py", "inference-16", "--quick", "--rounds", "7"),
        250,
    ),
    "inference-64": (
        "The paper's network by other programs",
        ("peers.py", "inference-64", "--quick", "--rounds", "5"),
        250,
    ),
    "training": (
        "Step of training",
        ("peers.py", "training", "training-encoder", "--quick", "--rounds", "7"),
        400,
    ),
    "small-files": ("Thousands of small files", ("small_files.py", "--rounds", "3"), 350),
    "first-mask": ("The first mask of a cold start", ("first_mask.py",), 200),
    "networks": ("Networks against the U-Net", ("network_speed.py",), 200),
    "large-images": ("Large images", ("large_image.py", "--up-to", "400", "--kinds", "zarr"), 450),
    "cores": ("One core and more", ("cores.py", "--rounds", "3", "--kinds", "cores"), 200),
    "devices": ("One device and more", ("cores.py", "--rounds", "1", "--kinds", "devices"), 200),
    "nuclei": ("One image of nuclei by other programs", ("nuclei_peers.py",), 240),
    "busy-dock": ("The dock opens while a training runs", ("window.py", "--busy-dock"), 140),
}
SCREEN = {"window.py"}  # scripts that need one


def run(arguments: tuple[str, ...], limit: int) -> str:
    """What a script printed, or what went wrong with it."""
    script, *words = arguments
    command = [sys.executable, str(HERE / script), *words]
    if script in SCREEN:
        if shutil.which("xvfb-run") is None:
            return "not measured: there is no xvfb-run (Debian: apt-get install xvfb)"
        command = ["xvfb-run", "-a", "-s", "-screen 0 1280x800x24", *command]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            process = subprocess.Popen(command, stdout=out, stderr=err, text=True, start_new_session=True)
        except OSError as error:
            return f"failed: {error}"
        ended = ""
        try:
            if process.wait(timeout=limit):
                err.seek(0)
                ended = f"failed: {(err.read().strip() or 'no message').splitlines()[-1]}"
        except subprocess.TimeoutExpired:
            ended = f"stopped after {limit} s"
        finally:
            _end(process)
        out.seek(0)
        return "\n".join(filter(None, (out.read().strip("\n"), ended)))


def _end(process: subprocess.Popen[str]) -> None:
    """End a script with all that it started."""
    if process.poll() is not None:
        return
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def page(found: dict[str, str], facts: dict[str, object]) -> str:
    """All that was printed, in Markdown."""
    lines = ["# One run of all benchmarks", "", "    make bench", ""]
    lines += [f"{name.capitalize()}: {value}." for name, value in facts.items() if value]
    for name, (title, arguments, _) in PARTS.items():
        if name not in found:
            continue
        lines += ["", f"## {title}", "", f"    python benchmarks/{' '.join(arguments)}", ""]
        text = found[name].strip("\n")
        lines += [text] if text.startswith("|") else ["```text", text, "```"]
    return "\n".join(lines) + "\n"


def measured(path: Path, facts: dict[str, object]) -> dict[str, str]:
    """What an interrupted run on this machine measured; nothing of a run that came to its end."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        found = {str(name): str(text) for name, text in said["found"].items() if name in PARTS}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
    return found if said.get("facts") == facts and set(found) != set(PARTS) else {}


def main() -> None:
    """Run all; write the page after each, so that what was measured stays."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="these, also if they are measured")
    parser.add_argument("--page", type=Path, default=HERE.parent / "docs" / "benchmarks" / "bench.md")
    parser.add_argument("--again", action="store_true", help="measure everything once more")
    options = parser.parse_args()
    from napari_unet.engine.hardware import available_cores, default_precision, processor_name

    facts: dict[str, object] = {
        "processor": processor_name(), "cores": available_cores(), "precision": default_precision(),
    }  # fmt: skip
    kept = options.page.with_name("bench.json")
    found = {} if options.again else measured(kept, facts)
    for name in options.only or [name for name in PARTS if name not in found]:
        title, arguments, limit = PARTS[name]
        start = time.perf_counter()
        print(f"== {title}", flush=True)
        found[name] = run(arguments, limit)
        print(found[name], f"({time.perf_counter() - start:.0f} s)", flush=True)
        options.page.write_text(page(found, facts), encoding="utf-8")
        kept.write_text(json.dumps({"facts": facts, "found": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
