"""What this machine can do, what is missing, and how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from napari_unet import __version__
from napari_unet.engine.hardware import (
    available_cores,
    configured_backend,
    precision_for,
    processor_features,
    processor_name,
)
from napari_unet.errors import SettingsError
from napari_unet.models import native

OURS = "napari-unet-workbench"
OPENCV = "opencv-python-headless"
PACKAGES = (
    OURS, "keras", "tensorflow", "torch", "jax", "openvino", "onnx", "numpy", "scipy", OPENCV, "tifffile",
    "imagecodecs", "pillow", "pydantic", "napari", "magicgui", "qtpy",
)  # fmt: skip
NEEDED = {
    "keras": "networks cannot be built",
    "scipy": "scores and weight maps cannot be computed",
    OPENCV: "images cannot be augmented",
    "tifffile": "TIFF cannot be read",
    "imagecodecs": "compressed TIFF cannot be read",
    "pillow": "PNG and JPEG cannot be read",
}
WITH_WINDOW = f'pip install "{OURS}[all]"'
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
# What brings each backend, and what brings it with an NVIDIA GPU on Linux.
BACKENDS = {"tensorflow": "pip install tensorflow", "jax": "pip install jax", "torch": "pip install torch"}
BACKENDS_ON_GPU = {
    "tensorflow": 'pip install "tensorflow[and-cuda]"',
    "jax": 'pip install "jax[cuda12]"',
    "torch": "pip install --force-reinstall torch",
}
SECONDS = 60
# Run apart, so that a backend that crashes or hangs takes nothing with it.
PROBE = """
import json, os, keras
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
    devices = ["CPU"]
    if not os.environ.get("KERAS_TORCH_DEVICE", "").startswith("cpu"):
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
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
        "backend", "devices", "precision", "inference", or "error".
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
        installed = ", ".join(f"{k} {v}" for k, v in self.versions.items() if v and k != OURS)
        out = [
            f"{OURS} {__version__} on Python {system['python']}, {system['platform']}",
            f"processor  {system['processor']}, {system['cores']} cores; "
            f"{', '.join(system['features']) or 'features unknown'}",
            f"memory     {system['memory'] / 2**30:.1f} GB, {system['memory_free'] / 2**30:.1f} GB free",
            f"backend    {backend.get('backend', '-')} on {', '.join(backend.get('devices', [])) or '-'}",
            f"precision  {backend.get('precision', '-')}",
            f"inference  {backend.get('inference', '-')}",
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
        "backend", and "devices", "precision" and "inference" (who runs networks), or "error" if it did
        not start.
    """
    name = configured_backend()
    if name in BACKENDS and importlib.util.find_spec(name) is None:
        return {"backend": name, "error": f"{name} is not installed"}
    try:
        answer = subprocess.run(
            [sys.executable, "-c", PROBE],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"backend": name, "error": f"did not start within {SECONDS} seconds"}
    for line in answer.stdout.splitlines():
        if line.startswith("PROBE"):
            found: dict[str, Any] = json.loads(line.removeprefix("PROBE"))
            gpus = _gpus(found)
            found["precision"] = precision_for(processor_features(), gpus[0] if gpus else None)
            try:
                found["inference"] = "Keras" if gpus or not native.is_chosen() else "OpenVINO"
            except SettingsError as error:
                found["runtime_error"] = error.sentence
            return found
    tail = answer.stderr.strip().splitlines()
    return {"backend": name, "error": tail[-1] if tail else f"ended with code {answer.returncode}"}


def _gpus(backend: dict[str, Any]) -> list[str]:
    return [d for d in backend.get("devices", []) if d.upper() != "CPU"]


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
    return [
        *_advice_on_packages(versions),
        *_advice_on_backend(versions, backend),
        *_advice_on_devices(system, backend),
        *_advice_on_system(system),
    ]


def _advice_on_packages(versions: dict[str, str]) -> list[Advice]:
    found = []
    if other := other_distribution():
        found.append(
            Advice(
                f"another project, napari-unet {other}, owns the same import name, napari_unet",
                f"pip uninstall napari-unet {OURS}, then pip install {OURS}",
                serious=True,
            )
        )
    for name, loss in NEEDED.items():
        if not versions[name] and not (name == OPENCV and importlib.util.find_spec("cv2")):
            found.append(Advice(f"{name} is not installed: {loss}", f"pip install {name}", serious=True))
    if sys.platform.startswith("linux") and (other := _version("opencv-python")):
        found.append(
            Advice(
                f"opencv-python {other} brings a Qt of its own, which can keep napari's window from opening",
                f"pip uninstall opencv-python, then pip install --force-reinstall {OPENCV}",
            )
        )
    if not versions["napari"]:
        found.append(Advice("napari is not installed", WITH_WINDOW))
    elif not any(versions[b] for b in QT_BINDINGS):
        found.append(Advice("no Qt binding: napari cannot open a window", WITH_WINDOW))
    return found


def _advice_on_backend(versions: dict[str, str], backend: dict[str, Any]) -> list[Advice]:
    if "error" not in backend:
        if wrong := backend.get("runtime_error"):
            return [Advice(wrong, f"without {native.VARIABLE} what is best is taken", serious=True)]
        if (versions["openvino"] and versions["onnx"]) or _gpus(backend):
            return []
        finding = "networks are run by Keras; OpenVINO runs them sooner on a processor"
        return [Advice(finding, f'pip install "{OURS}[fast]"')]
    if not versions["keras"]:  # without it no backend starts; that is reported
        return []
    name = backend.get("backend", "")
    if name not in BACKENDS:
        how = f"set KERAS_BACKEND to one of {', '.join(BACKENDS)}"
    else:
        others = [b for b in BACKENDS if b != name and versions[b]]
        how = BACKENDS[name] + (f", or set KERAS_BACKEND={others[0]}, which is installed" if others else "")
    return [Advice(f"the Keras backend does not start: {backend['error']}", how, serious=True)]


def _advice_on_devices(system: dict[str, Any], backend: dict[str, Any]) -> list[Advice]:
    found = []
    name = backend.get("backend", "")
    if system["features"] and "avx" not in system["features"] and platform.machine() in {"x86_64", "AMD64"}:
        how = f"{BACKENDS['torch']}, and set KERAS_BACKEND=torch"
        found.append(Advice("the processor has no AVX, which TensorFlow needs", how, name == "tensorflow"))
    if "error" in backend or _gpus(backend):
        return found
    if sys.platform == "win32" and name == "tensorflow":
        found.append(
            Advice(
                "TensorFlow has no GPU on native Windows from version 2.11 on",
                "install torch with CUDA and set KERAS_BACKEND=torch, or use WSL2",
            )
        )
    elif sys.platform == "darwin" and name == "tensorflow":
        how = f"{BACKENDS['torch']}, and set KERAS_BACKEND=torch"
        found.append(Advice("TensorFlow has no official GPU on macOS", how))
    elif sys.platform.startswith("linux") and name in BACKENDS and shutil.which("nvidia-smi"):
        found.append(Advice(f"there is an NVIDIA driver, but {name} sees no GPU", BACKENDS_ON_GPU[name]))
    return found


def _advice_on_system(system: dict[str, Any]) -> list[Advice]:
    found = []
    if not system["screen"]:
        found.append(Advice("no screen: the window cannot open here", "use the command line, or a desktop"))
    if not system["temporary_folder_writable"]:
        found.append(
            Advice("the temporary folder is not writable", "set TMPDIR to one that is", serious=True)
        )
    return found
