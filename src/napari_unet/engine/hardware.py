"""What the machine can do: processor features, cores, memory, and the precision that suits it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

INTERESTING = ("avx", "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "neon", "asimd", "bf16")


@cache
def processor_features() -> frozenset[str]:
    """Instruction sets of the processor that matter here, as Linux calls them; empty if unknown."""
    words: set[str] = set()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith(("flags", "Features")):
                words |= set(line.split(":", 1)[1].split())
                break
    elif sys.platform == "darwin":
        answer = subprocess.run(
            ["sysctl", "-a"], capture_output=True, text=True, timeout=5, check=False
        ).stdout.lower()
        words |= {name for name in INTERESTING if f".{name}" in answer}
    return frozenset(words & set(INTERESTING))


@cache
def processor_name() -> str:
    """What the processor calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def available_cores() -> int:
    """Cores this process may use: affinity, and the limit of its control group."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else (os.cpu_count() or 1)
    quota = Path("/sys/fs/cgroup/cpu.max")
    if quota.exists():
        limit, period = [*quota.read_text().split(), "100000"][:2]
        if limit != "max":
            cores = min(cores, max(1, round(int(limit) / int(period))))
    return cores


def default_precision(features: frozenset[str] | None = None, gpu: str | None = None) -> str:
    """The fastest precision whose results are as good.

    Parameters
    ----------
    features : frozenset of str, optional
        Of the processor; this one's if not given.
    gpu : str, optional
        Name of the graphics processor, if one does the work.

    Returns
    -------
    str
        "mixed_bfloat16" where processor or GPU multiply bfloat16, "mixed_float16" on older GPUs,
        else "float32".
    """
    if gpu is not None:
        old = any(name in gpu.lower() for name in ("tesla t4", "v100", "gtx 16", "rtx 20", "titan", "p100"))
        return "mixed_float16" if old else "mixed_bfloat16"
    features = processor_features() if features is None else features
    return "mixed_bfloat16" if features & {"avx512_bf16", "amx_bf16"} else "float32"
