from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from napari_unet.engine.hardware import available_cores, default_precision
from napari_unet.workflow import doctor

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = {"backend": "tensorflow", "devices": ["CPU"], "precision": "float32"}
    monkeypatch.setattr(doctor, "probe_backend", lambda: backend)
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.mark.usefixtures("healthy")
def test_the_other_project_of_this_import_name_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not any("another project" in a.finding for a in doctor.examine().advice)
    info = tmp_path / "napari_unet-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: napari-unet\nVersion: 1.0.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = [a for a in doctor.examine().advice if "another project, napari-unet 1.0.0" in a.finding]
    assert len(found) == 1
    assert found[0].serious
    assert "pip uninstall napari-unet" in found[0].remedy


@pytest.mark.usefixtures("healthy")
def test_what_is_missing_comes_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    real = doctor._version
    monkeypatch.setattr(
        doctor, "_version", lambda name: "" if "Q" in name or name == "PySide6" else real(name)
    )
    monkeypatch.setattr("sys.platform", "linux")
    text = "\n".join(doctor.examine().lines())
    assert "no Qt binding" in text
    assert 'pip install "napari-unet-workbench[all]"' in text
    assert "no screen" in text


def test_a_backend_that_does_not_start_is_said_and_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "PROBE", "import os; os.abort()")
    assert "error" in doctor.probe_backend()
    monkeypatch.setattr(doctor, "PROBE", "raise ImportError('no such backend')")
    assert "no such backend" in doctor.probe_backend()["error"]
    monkeypatch.setattr(doctor, "SECONDS", 0.5)
    monkeypatch.setattr(doctor, "PROBE", "import time; time.sleep(60)")
    assert "did not start" in doctor.probe_backend()["error"]
    found = doctor.examine()
    assert any(a.serious and "backend does not start" in a.finding for a in found.advice)


def test_precision_follows_the_machine() -> None:
    assert default_precision(frozenset({"avx512_bf16"})) == "mixed_bfloat16"
    assert default_precision(frozenset({"avx2", "avx512f"})) == "float32"
    assert default_precision(frozenset(), "NVIDIA H200") == "mixed_bfloat16"
    assert default_precision(frozenset(), "Tesla T4") == "mixed_float16"
    assert available_cores() >= 1
