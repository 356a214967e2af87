from __future__ import annotations

import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from napari_unet.engine.hardware import (
    available_cores,
    default_precision,
    features_of_cpuinfo,
    features_of_sysctl,
    has_gpu,
    precision_for,
    processor_features,
    share_gpus,
    working_gpu,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    working_gpu.cache_clear()
    yield
    working_gpu.cache_clear()


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
    assert precision_for(frozenset(features), gpu) == expected


CARDS = [
    ("NVIDIA A100-SXM4-40GB", "mixed_bfloat16"),
    ("Tesla T4", "mixed_float16"),
    ("Tesla P100-PCIE-16GB", "float32"),
    (None, "mixed_bfloat16"),  # the processor with amx_bf16 does the work
]


def pretend(monkeypatch: pytest.MonkeyPatch, backend: str, card: str | None) -> None:
    """A machine with a card, or none, beside a processor that multiplies bfloat16 where the card must not."""
    names = [] if card is None else [card]
    asked = SimpleNamespace(
        get_visible_devices=lambda kind: names if kind == "GPU" else ["CPU"],
        experimental=SimpleNamespace(get_device_details=lambda name: {"device_name": name}),
    )
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=asked))
    devices = [SimpleNamespace(platform="gpu", device_kind=name) for name in names]
    nothing = [SimpleNamespace(platform="cpu", device_kind="cpu")]
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(devices=lambda: devices or nothing))
    cuda = SimpleNamespace(
        is_available=lambda: bool(names), device_count=lambda: len(names), get_device_name=names.__getitem__
    )
    mps = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, backends=mps))
    keras = SimpleNamespace(backend=SimpleNamespace(backend=lambda: backend))
    monkeypatch.setitem(sys.modules, "keras", keras)
    features = frozenset({"amx_bf16"}) if card is None or "P100" in card else frozenset()
    monkeypatch.setattr("napari_unet.engine.hardware.processor_features", lambda: features)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(("card", "expected"), CARDS)
def test_the_card_that_computes_decides_on_the_precision(
    monkeypatch: pytest.MonkeyPatch, backend: str, card: str | None, expected: str
) -> None:
    pretend(monkeypatch, backend, card)
    assert working_gpu() == card
    assert has_gpu() is (card is not None)
    assert default_precision() == expected


def test_a_card_that_the_person_turned_off_does_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "torch", "Tesla P100-PCIE-16GB")
    monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
    assert default_precision() == "mixed_bfloat16"


def test_memory_of_cards_is_shared_unless_the_person_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    share_gpus()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"
