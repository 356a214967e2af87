from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from napari_unet.engine.hardware import (
    available_cores,
    default_precision,
    features_of_cpuinfo,
    features_of_sysctl,
    processor_features,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_features_come_from_the_line_of_flags_alone() -> None:
    text = "model name\t: avx512_bf16 lookalike\nflags\t\t: fpu avx avx2 amx_bf16\nbugs\t\t: avx512f\n"
    assert features_of_cpuinfo(text) == {"avx", "avx2", "amx_bf16"}
    assert features_of_cpuinfo("Features\t: fp asimd bf16 crc32\n") == {"asimd", "bf16"}
    assert features_of_cpuinfo("") == frozenset()


def test_features_that_macos_lists_as_absent_are_absent() -> None:
    intel = "hw.optional.avx1_0: 1\nhw.optional.avx2_0: 1\nhw.optional.avx512f: 0\n"
    assert features_of_sysctl(intel) == {"avx", "avx2"}
    assert features_of_sysctl("hw.optional.AdvSIMD: 1\nhw.optional.arm.FEAT_BF16: 1\n") == {"asimd", "bf16"}


def test_this_machine_is_read_without_error() -> None:
    assert isinstance(processor_features(), frozenset)
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "300000 100000"}, 3),
        ({"cpu.max": "150000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({}, 8),
    ],
)
def test_the_limit_of_the_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")
    assert available_cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("features", "gpu", "expected"),
    [
        ({"avx512_bf16"}, None, "mixed_bfloat16"),
        ({"amx_bf16"}, None, "mixed_bfloat16"),
        ({"avx2", "avx512f", "avx512_vnni"}, None, "float32"),
        ({"asimd", "bf16"}, None, "float32"),
        (set(), None, "float32"),
        (set(), "NVIDIA H200", "mixed_bfloat16"),
        (set(), "NVIDIA GeForce RTX 3090", "mixed_bfloat16"),
        (set(), "NVIDIA RTX 2000 Ada Generation", "mixed_bfloat16"),
        (set(), "Tesla T4", "mixed_float16"),
        (set(), "NVIDIA GeForce RTX 2080 Ti", "mixed_float16"),
        (set(), "Tesla V100-SXM2-16GB", "mixed_float16"),
        ({"amx_bf16"}, "NVIDIA GeForce GTX 1080 Ti", "float32"),
        ({"amx_bf16"}, "Tesla P100-PCIE-16GB", "float32"),
        (set(), "Apple GPU", "float32"),
    ],
)
def test_precision_follows_what_does_the_work(features: set[str], gpu: str | None, expected: str) -> None:
    assert default_precision(frozenset(features), gpu) == expected
