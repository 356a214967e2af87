"""What benchmarks that run the program share: its commands, and where a data set is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def call(*words: object) -> str:
    """Run a command of the program; what it says of progress goes to the shell."""
    line = [str(word) for word in words]
    print("napari-unet " + " ".join(line), file=sys.stderr, flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "napari_unet.cli", *line], check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def find_set(data: Path, names: Sequence[str]) -> Path | None:
    """The folder or zip of the first of some sets that is there."""
    places = (place for name in names for place in (data / name, data / f"{name}.zip"))
    return next((place for place in places if place.exists()), None)
