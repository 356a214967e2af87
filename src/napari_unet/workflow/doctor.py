"""What this machine can do, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_unet import __version__
from napari_unet.engine.hardware import (
    available_cores,
    default_precision,
    processor_features,
    processor_name,
)

PACKAGES = (
    "keras", "tensorflow", "torch", "jax", "numpy", "scipy", "opencv-python-headless", "tifffile",
    "imagecodecs", "pillow", "pydantic", "napari", "magicgui", "qtpy",
)  # fmt: skip
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
BACKENDS = ("tensorflow", "jax", "torch")
SECONDS = 60
# Run apart, so that a backend that crashes or hangs takes nothing with it.
PROBE = """
import json, keras
name = keras.backend.backend()
devices = []
if name == "tensorflow":
    import tensorflow
    for d in tensorflow.config.list_physical_devices():
        more = tensorflow.config.experimental.get_device_details(d) if d.device_type == "GPU" else {}
        devices.append(more.get("device_name", d.device_type))
elif name == "jax":
    import jax
    devices = [d.device_kind for d in jax.devices()]
else:
    import torch
    devices = ["CPU"] + [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("Apple GPU")
print("PROBE" + json.dumps({"backend": name, "devices": devices}))
"""


@dataclass(frozen=True)
class Advice:
    """Something that is missing or odd, and what to do about it."""

    finding: str
    remedy: str
    serious: bool = False


@dataclass(frozen=True)
class Examination:
    """What doctor found.

    Attributes
    ----------
    versions : dict
        Package to version; "" where it is not installed.
    system : dict
        Platform, processor, features, cores, memory in bytes, screen.
    backend : dict
        "backend", "devices", "precision", or "error".
    advice : tuple of Advice
        What is missing.
    """

    versions: dict[str, str]
    system: dict[str, Any]
    backend: dict[str, Any]
    advice: tuple[Advice, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "versions": self.versions,
            "system": self.system,
            "backend": self.backend,
            "advice": [asdict(a) for a in self.advice],
        }

    def lines(self) -> list[str]:
        """As text for the shell."""
        system, backend = self.system, self.backend
        installed = ", ".join(f"{k} {v}" for k, v in self.versions.items() if v)
        out = [
            f"napari-unet-workbench {__version__} on Python {system['python']}, {system['platform']}",
            f"processor  {system['processor']}, {system['cores']} cores; "
            f"{', '.join(system['features']) or 'features unknown'}",
            f"memory     {system['memory'] / 2**30:.1f} GB, {system['memory_free'] / 2**30:.1f} GB free",
            f"backend    {backend.get('backend', '-')} on {', '.join(backend.get('devices', [])) or '-'}",
            f"precision  {backend.get('precision', '-')}",
            f"screen     {'yes' if system['screen'] else 'no'}",
            f"packages   {installed}",
        ]
        if not self.advice:
            out.append("nothing is missing")
        for advice in self.advice:
            out += [f"! {advice.finding}", f"    {advice.remedy}"]
        return out


def examine() -> Examination:
    """Look at the machine and the environment; takes some seconds to start the backend apart.

    Returns
    -------
    Examination
        With advice.
    """
    import psutil

    versions = {name: _version(name) for name in (*PACKAGES, *QT_BINDINGS)}
    memory = psutil.virtual_memory()
    system = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "features": sorted(processor_features()),
        "cores": available_cores(),
        "memory": int(memory.total),
        "memory_free": int(memory.available),
        "screen": screen_available(),
        "temporary_folder_writable": _writable(Path(tempfile.gettempdir())),
    }
    backend = probe_backend()
    return Examination(versions, system, backend, tuple(_advice(versions, system, backend)))


def screen_available() -> bool:
    """Whether a window can be opened here."""
    if sys.platform in {"win32", "darwin"}:
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def probe_backend() -> dict[str, Any]:
    """Start the Keras backend in a process of its own and ask for its devices.

    Returns
    -------
    dict
        "backend", "devices", "precision"; "error" if it did not start.
    """
    command = [sys.executable, "-c", PROBE]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"did not start within {SECONDS} seconds"}
    for line in answer.stdout.splitlines():
        if line.startswith("PROBE"):
            found: dict[str, Any] = json.loads(line.removeprefix("PROBE"))
            gpus = [d for d in found["devices"] if d.upper() != "CPU"]
            found["precision"] = default_precision(gpu=gpus[0] if gpus else None)
            return found
    tail = answer.stderr.strip().splitlines()
    return {"error": tail[-1] if tail else f"ended with code {answer.returncode}"}


def other_distribution() -> str:
    """Version of the other project on PyPI called napari-unet, if it is installed; else ""."""
    return _version("napari-unet")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _writable(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _advice(versions: dict[str, str], system: dict[str, Any], backend: dict[str, Any]) -> list[Advice]:
    found = []
    if other := other_distribution():
        found.append(
            Advice(
                f"another project, napari-unet {other}, owns the same import name, napari_unet",
                "pip uninstall napari-unet napari-unet-workbench, then pip install napari-unet-workbench",
                serious=True,
            )
        )
    if "error" in backend:
        how = "pip install tensorflow, or set KERAS_BACKEND to jax or torch and install that"
        found.append(Advice(f"the Keras backend does not start: {backend['error']}", how, serious=True))
    if not any(versions[b] for b in BACKENDS):
        found.append(Advice("no Keras backend is installed", "pip install tensorflow", serious=True))
    if not versions["napari"]:
        found.append(Advice("napari is not installed", 'pip install "napari-unet-workbench[all]"'))
    elif not any(versions[b] for b in QT_BINDINGS):
        found.append(
            Advice("no Qt binding: napari cannot open a window", 'pip install "napari-unet-workbench[all]"')
        )
    if not versions["imagecodecs"]:
        found.append(Advice("compressed TIFF cannot be read", "pip install imagecodecs"))
    if not system["screen"]:
        found.append(Advice("no screen: the window cannot open here", "use the command line, or a desktop"))
    if not system["temporary_folder_writable"]:
        found.append(
            Advice("the temporary folder is not writable", "set TMPDIR to one that is", serious=True)
        )
    gpus = [d for d in backend.get("devices", []) if d.upper() != "CPU"]
    if backend.get("backend") == "tensorflow" and not gpus:
        if sys.platform == "win32":
            found.append(
                Advice(
                    "TensorFlow has had no GPU on native Windows since 2.11",
                    "install torch with CUDA and set KERAS_BACKEND=torch, or use WSL2",
                )
            )
        if sys.platform == "darwin":
            found.append(
                Advice("TensorFlow has no official GPU on macOS", "install torch and set KERAS_BACKEND=torch")
            )
    if system["features"] and "avx" not in system["features"] and platform.machine() in {"x86_64", "AMD64"}:
        found.append(
            Advice(
                "the processor has no AVX, which TensorFlow needs", "set KERAS_BACKEND=torch", serious=True
            )
        )
    return found
