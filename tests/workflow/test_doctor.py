from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from napari_unet import __version__
from napari_unet.engine.hardware import configured_backend
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


SYSTEM = {"features": ["avx"], "screen": True, "temporary_folder_writable": True}


def advice(
    versions: dict[str, str] | None = None,
    system: dict[str, object] | None = None,
    backend: dict[str, object] | None = None,
) -> dict[str, doctor.Advice]:
    """Findings about a machine that has everything, but for what is given."""
    has = dict.fromkeys((*doctor.PACKAGES, *doctor.QT_BINDINGS), "1.0") | (versions or {})
    runs = {"backend": "tensorflow", "devices": ["CPU"]} if backend is None else backend
    return {a.finding: a for a in doctor._advice(has, SYSTEM | (system or {}), runs)}


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(doctor, "_version", lambda _: "")


@pytest.mark.usefixtures("linux")
def test_a_whole_machine_gets_no_advice() -> None:
    assert advice() == {}


@pytest.mark.usefixtures("linux")
def test_what_runs_networks_sooner_is_named_where_a_processor_does_it() -> None:
    ((finding, found),) = advice({"openvino": ""}).items()
    assert "OpenVINO" in finding
    assert found.remedy == 'pip install "napari-unet-workbench[fast]"'
    assert not found.serious
    assert list(advice({"onnx": ""})) == [finding]  # by which networks get there
    on_gpu = {"backend": "tensorflow", "devices": ["CPU", "NVIDIA T4"]}
    assert advice({"openvino": ""}, backend=on_gpu) == {}


def test_a_mistyped_runtime_is_told_with_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PROBE", 'print(\'PROBE{"backend": "tensorflow", "devices": ["CPU"]}\')')
    monkeypatch.setenv("NAPARI_UNET_RUNTIME", "kera")
    found = doctor.examine()
    (told,) = [a for a in found.advice if "NAPARI_UNET_RUNTIME" in a.finding]
    assert "'kera'" in told.finding
    assert told.serious


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize("name", ["keras", "scipy", "tifffile", "imagecodecs", "pillow"])
def test_a_missing_package_comes_with_its_command(name: str) -> None:
    ((finding, found),) = advice({name: ""}).items()
    assert finding.startswith(f"{name} is not installed")
    assert found.remedy == f"pip install {name}"
    assert found.serious


@pytest.mark.usefixtures("linux")
def test_a_backend_that_is_chosen_but_not_there_names_another_that_is() -> None:
    broken = {"backend": "jax", "error": "jax is not installed"}
    (found,) = advice({"jax": ""}, backend=broken).values()
    assert found.remedy == "pip install jax, or set KERAS_BACKEND=tensorflow, which is installed"
    (alone,) = advice({"jax": "", "tensorflow": "", "torch": ""}, backend=broken).values()
    assert alone.remedy == "pip install jax"


@pytest.mark.usefixtures("linux")
def test_a_backend_is_not_blamed_for_a_missing_keras() -> None:
    broken = {"backend": "tensorflow", "error": "ModuleNotFoundError: No module named 'keras'"}
    (found,) = advice({"keras": ""}, backend=broken).values()
    assert found.remedy == "pip install keras"


def test_gpus_that_are_not_used_are_told(linux: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    (found,) = advice().values()
    assert found.remedy == 'pip install "tensorflow[and-cuda]"'
    assert advice(backend={"backend": "tensorflow", "devices": ["CPU", "NVIDIA H200"]}) == {}
    monkeypatch.setattr("sys.platform", "win32")
    assert list(advice()) == ["TensorFlow has no GPU on native Windows from version 2.11 on"]
    monkeypatch.setattr("sys.platform", "darwin")
    assert list(advice()) == ["TensorFlow has no official GPU on macOS"]


@pytest.mark.usefixtures("linux")
def test_without_avx_tensorflow_will_not_do() -> None:
    (found,) = advice(system={"features": ["avx512f"]}).values()
    assert "AVX" in found.finding
    assert found.serious
    assert advice(system={"features": []}) == {}  # unknown is not absent


def test_a_second_opencv_is_told(linux: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: "4.10" if name == "opencv-python" else "")
    (found,) = advice().values()
    assert "opencv-python 4.10 brings a Qt" in found.finding


def test_the_backend_is_found_as_keras_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert configured_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text("{broken")
    assert configured_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert configured_backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert configured_backend() == "torch"


def test_a_backend_that_is_not_installed_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: pytest.fail("started"))
    assert doctor.probe_backend() == {"backend": "torch", "error": "torch is not installed"}


@pytest.mark.usefixtures("healthy")
def test_the_report_is_json_and_names_this_project() -> None:
    found = json.loads(json.dumps(doctor.examine().to_json()))
    assert set(found) == {"versions", "system", "backend", "advice"}
    assert found["versions"]["napari-unet-workbench"] == __version__
    assert found["system"]["memory"] >= found["system"]["memory_free"] > 0
    assert found["system"]["temporary_folder_writable"] is True


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
