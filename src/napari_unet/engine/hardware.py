"""What the machine can do: processor features, cores, memory, and the precision that suits it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from napari_unet.gpu_memory import share_gpus as share_gpus
from napari_unet.quiet_import import import_keras_quietly

INTERESTING = frozenset(
    {
        "avx", "avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16",
    }
)  # fmt: skip
SYSCTL = {
    "hw.optional.avx1_0": "avx",
    "hw.optional.avx2_0": "avx2",
    "hw.optional.avx512f": "avx512f",
    "hw.optional.avx512vnni": "avx512_vnni",
    "hw.optional.advsimd": "asimd",
    "hw.optional.arm.feat_bf16": "bf16",
}
# By the names the drivers give. The first multiply neither half precision faster; the second, float16 alone.
FLOAT32_GPUS = re.compile(
    r"\b(gtx (7|9|10)\d\d|gt \d+|(tesla|quadro) [kmp]\d+|titan xp?$|mx\d{3}|apple|metal)", re.I
)
FLOAT16_GPUS = re.compile(r"\b(t4|v100|gtx 16\d\d|rtx 20[678]0|quadro rtx|t\d{3,4}|titan (v|rtx))", re.I)


@cache
def processor_features() -> frozenset[str]:
    """Instruction sets of the processor that matter here, as Linux calls them; empty if unknown."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        return features_of_cpuinfo(cpuinfo.read_text(errors="replace"))
    if sys.platform == "darwin":
        try:
            answer = subprocess.run(
                ["sysctl", "hw.optional"], capture_output=True, text=True, timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return frozenset()
        return features_of_sysctl(answer.stdout)
    return frozenset()


def features_of_cpuinfo(text: str) -> frozenset[str]:
    """Read the features out of Linux's ``/proc/cpuinfo``."""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(value.split()) & INTERESTING
    return frozenset()


def features_of_sysctl(text: str) -> frozenset[str]:
    """Read the features out of what ``sysctl hw.optional`` says on macOS: what is absent is there as 0."""
    pairs = (line.lower().partition(":") for line in text.splitlines())
    present = {name.strip() for name, _, value in pairs if value.strip() == "1"}
    return frozenset(SYSCTL[name] for name in present & SYSCTL.keys())


@cache
def processor_name() -> str:
    """What the processor calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def available_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may use: affinity, and the limit of its control group.

    Parameters
    ----------
    groups : pathlib.Path
        Where the control group's files are; elsewhere in tests.

    Returns
    -------
    int
        At least 1.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    limit = _group_limit(groups)
    return cores if limit is None else min(cores, max(1, round(limit)))


def _group_limit(groups: Path) -> float | None:
    """Cores that the control group allows, in the files of version 2 or 1; None without a limit."""
    try:
        if (groups / "cpu.max").exists():
            quota, period = [*(groups / "cpu.max").read_text().split(), "100000"][:2]
        else:
            quota = (groups / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (groups / "cpu/cpu.cfs_period_us").read_text().strip()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no control groups, or "max"
        return None
    return limit if limit > 0 else None


def has_gpu() -> bool:
    """Whether Keras computes on a graphics processor."""
    return working_gpu() is not None


@cache
def working_gpu() -> str | None:
    """Name of the graphics processor on which Keras computes in this process; None if it has none."""
    share_gpus()  # whoever asks imports what computes next
    if "keras" not in sys.modules and not may_have_gpu():
        return None
    import_keras_quietly()
    import keras

    backend = keras.backend.backend()
    try:
        found = GPU_NAMES[backend]() if backend in GPU_NAMES else []
    except (AttributeError, ImportError, RuntimeError, ValueError):  # without one, each says it in its way
        return None
    return found[0] if found else None


def may_have_gpu(devices: Path = Path("/dev")) -> bool:
    """Whether Keras has to be asked, which takes seconds: not on Linux without the files of any driver.

    Parameters
    ----------
    devices : pathlib.Path
        Where these files are; elsewhere in tests.
    """
    if sys.platform != "linux" or configured_backend() != "tensorflow":
        return True
    return any((devices / name).exists() for name in ("nvidiactl", "dxg", "kfd"))


def configured_backend() -> str:
    """What Keras will compute with, by the rules of its own."""
    backend = os.environ.get("KERAS_BACKEND", "")
    if not backend:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        with contextlib.suppress(OSError, ValueError, AttributeError):
            backend = str(json.loads((home / "keras.json").read_text(encoding="utf-8")).get("backend", ""))
    return backend or "tensorflow"


def _tensorflow_gpus() -> list[str]:
    import tensorflow

    details = tensorflow.config.experimental.get_device_details
    devices = tensorflow.config.get_visible_devices("GPU")
    return [str(details(device).get("device_name", "GPU")) for device in devices]


def _jax_gpus() -> list[str]:
    import jax

    return [str(d.device_kind) for d in jax.devices() if d.platform != "cpu"]


def _torch_gpus() -> list[str]:
    import torch

    if os.environ.get("KERAS_TORCH_DEVICE", "").startswith("cpu"):
        return []
    if torch.cuda.is_available():
        return [str(torch.cuda.get_device_name(n)) for n in range(torch.cuda.device_count())]
    return ["Apple GPU"] if torch.backends.mps.is_available() else []


GPU_NAMES = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}


def default_precision() -> str:
    """The fastest precision whose results are as good, on the device where Keras computes in this process."""
    gpu = working_gpu()
    return precision_for(processor_features() if gpu is None else frozenset(), gpu)


def precision_for(features: frozenset[str], gpu: str | None) -> str:
    """The fastest precision whose results are as good, on a certain device.

    Parameters
    ----------
    features : frozenset of str
        Of the processor.
    gpu : str or None
        Name of the graphics processor, if one does the work.

    Returns
    -------
    str
        "mixed_bfloat16" where processor or GPU multiply bfloat16, "mixed_float16" on GPUs that have
        only that (Volta, Turing), else "float32".
    """
    if gpu is not None:
        if FLOAT32_GPUS.search(gpu):
            return "float32"
        return "mixed_float16" if FLOAT16_GPUS.search(gpu) else "mixed_bfloat16"
    return "mixed_bfloat16" if features & {"avx512_bf16", "amx_bf16"} else "float32"
