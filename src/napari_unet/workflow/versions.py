"""Versions of the packages that decide on a result."""

from __future__ import annotations

import platform
from importlib import metadata

PACKAGES = ("napari-unet-workbench", "keras", "tensorflow", "torch", "jax", "numpy", "scipy", "napari")


def versions() -> tuple[tuple[str, str], ...]:
    """Names and versions of Python and of the packages that compute, those that are installed."""
    found = [("Python", platform.python_version())]
    for package in PACKAGES:
        try:
            found.append((package, metadata.version(package)))
        except metadata.PackageNotFoundError:
            continue
    found.append(("System", f"{platform.system()} {platform.release()}, {platform.machine()}"))
    return tuple(found)
