"""Keras comes without what serves nobody, and the packages are there for whoever wants them."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_unet.engine import fast_import, hardware

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

CODE = """
import gc, sys
from napari_unet.engine.fast_import import SPARED, import_keras
import_keras()
assert not set(SPARED) & set(sys.modules) and "jax" not in sys.modules, set(SPARED) & set(sys.modules)
assert gc.isenabled()
import keras
layer = keras.layers.Conv2D(1, 3)
assert layer(keras.ops.ones((1, 5, 5, 2))).shape == (1, 3, 3, 1)
import cv2, matplotlib
import_keras()
assert sys.modules["cv2"] is cv2
"""


def test_keras_works_without_what_is_spared() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, timeout=240)


def test_nothing_stays_hidden_when_keras_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setattr(sys, "path", [])
    for name in ("grain", "pydot"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError):
        fast_import.import_keras()
    assert "grain" not in sys.modules
    assert "pydot" not in sys.modules
    assert gc.isenabled()


@pytest.mark.parametrize("named", ["", "jax", "torch"])
def test_the_back_end_is_told_as_keras_tells_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", named)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert hardware.configured_backend() == (named or "tensorflow")
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert hardware.configured_backend() == (named or "jax")
    (tmp_path / "keras.json").write_text("[]")
    assert hardware.configured_backend() == (named or "tensorflow")
