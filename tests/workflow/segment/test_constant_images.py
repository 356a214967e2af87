"""Images in which there is nothing to see get an empty mask, and one note names them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.models.model import load_model
from napari_unet.workflow.segment.segment_samples import segment_samples

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


def test_one_note_names_all_constant_images(grey_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat = np.full((32, 32, 1), 7, np.uint8)
    ramp = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32, 1)
    samples = [Sample("a", lambda: flat), Sample("b", lambda: ramp), Sample("c", lambda: flat)]
    results = {result.sample.id: result for result in segment_samples(samples, load_model(str(grey_model)))}
    assert [name for name, one in results.items() if not one.probabilities.any()] == ["a", "c"]
    assert caplog.messages == ["2 images are constant: nothing to see, so the mask is empty: a, c"]
