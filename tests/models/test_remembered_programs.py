"""A model that was compiled once runs in the next process without Keras, and answers the same."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.engine.hardware import may_have_gpu
from napari_unet.models import native
from napari_unet.models.model import CompiledModel, load_model, program_key_of
from napari_unet.models.model_folder import SETTINGS_FILE, WEIGHTS_FILE
from napari_unet.networks.onnx import remembered as programs
from napari_unet.networks.onnx.remembered import is_remembered, programs_folder, remember, remembered
from napari_unet.workflow.segment.without_keras import runs_without_keras
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT = """
import sys
from napari_unet.cli import main
code = main(["segment", sys.argv[1], "--model", sys.argv[2], "--out", sys.argv[3], "--quiet"])
print(code, "keras" in sys.modules, "tensorflow" in sys.modules)
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "programs"


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / SETTINGS_FILE).write_text("{}")
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    return folder


def test_other_weights_settings_or_precision_are_another_program(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model")
    keys = [program_key_of(folder, "float32"), program_key_of(folder, "float32")]
    assert keys[0] == keys[1]
    keys.append(program_key_of(folder, "mixed_bfloat16"))
    (folder / WEIGHTS_FILE).write_bytes(b"wejghts")
    keys.append(program_key_of(folder, "float32"))
    (folder / SETTINGS_FILE).write_text("{ }")
    keys.append(program_key_of(folder, "float32"))
    assert len(set(keys)) == 4


def test_what_is_damaged_or_was_never_there_is_not_given(cache: Path) -> None:
    assert remembered("a") is None
    remember("a", b"program")
    assert remembered("a") == b"program"
    file = cache / "a.onnx"
    file.write_bytes(file.read_bytes()[:-1])
    assert is_remembered("a")
    assert remembered("a") is None


def test_those_used_least_recently_go_first(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_BYTES", 60)  # two of 16 + 10 bytes
    monkeypatch.setattr(programs, "MOST_OF_ONE", 12)
    for age, name in enumerate("ab"):
        remember(name, b"0123456789")
        os.utime(cache / f"{name}.onnx", (1000 + age, 1000 + age))
    assert remembered("a")  # which is a use
    remember("c", b"0123456789")
    assert sorted(file.stem for file in cache.iterdir()) == ["a", "c"]
    remember("large", bytes(13))
    assert not is_remembered("large")


def test_a_disk_that_refuses_and_none_are_no_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv(programs.VARIABLE, str(tmp_path / "file"))
    remember("a", b"program")
    assert remembered("a") is None
    monkeypatch.setenv(programs.VARIABLE, "none")
    assert programs_folder() is None
    remember("a", b"program")
    assert remembered("a") is None


def test_keras_is_asked_for_a_gpu_where_a_driver_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(sys, "platform", "linux")
    assert not may_have_gpu(tmp_path)
    (tmp_path / "nvidiactl").touch()
    assert may_have_gpu(tmp_path)
    (tmp_path / "nvidiactl").unlink()
    monkeypatch.setenv("KERAS_BACKEND", "jax")  # which may have a TPU
    assert may_have_gpu(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert may_have_gpu(tmp_path)


@pytest.mark.slow
def test_a_compiled_model_answers_as_its_network_until_that_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setenv(native.VARIABLE, "openvino")
    folder = write_tiny_model(tmp_path / "model")
    model = load_model(folder)
    images = np.random.default_rng(0).standard_normal((2, 32, 32, 1)).astype(np.float32)
    wanted = model.outputs(images)
    program = remembered(program_key_of(folder, "float32"))
    assert program is not None
    compiled = native.compile_program(program, "float32")
    assert compiled is not None
    known = model.recipe, model.normalization, model.classes, model.provenance
    other = CompiledModel(*known, compiled, folder, "float32")
    np.testing.assert_allclose(other.outputs(images), wanted, atol=1e-6)
    assert other._loaded is None
    assert other.hash == model.hash  # loads the network
    head = other.network.get_layer("logits")
    head.set_weights([np.zeros_like(w) for w in head.get_weights()])
    other.weights_changed()
    np.testing.assert_allclose(other.outputs(images), 0.5, atol=1e-6)
    assert native.compile_program(b"no program", "float32") is None


@pytest.mark.slow
def test_the_second_process_segments_without_keras(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    if may_have_gpu():
        pytest.skip("Keras computes on the graphics processor")
    from PIL import Image

    monkeypatch.setenv(native.VARIABLE, "auto")
    folder = write_tiny_model(tmp_path / "model")
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "a.png")
    said = []
    for number in range(2):
        assert runs_without_keras(folder) is bool(number)
        words = [str(tmp_path / "images"), str(folder), str(tmp_path / f"masks{number}")]
        done = subprocess.run(
            [sys.executable, "-c", SEGMENT, *words], stdout=subprocess.PIPE, text=True, check=True
        )
        said.append(done.stdout.splitlines()[-1])
    assert said == ["0 True True", "0 False False"]
    first, second = ((tmp_path / f"masks{n}" / "a.png").read_bytes() for n in range(2))
    assert first == second
