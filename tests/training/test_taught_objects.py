"""What joined and cut objects become in training: a separation that is known near them, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.models.normalization import Normalization
from napari_unet.networks.layers.object_depth import distance_map
from napari_unet.settings import Separation, TrainingSettings
from napari_unet.training.feeding.prepared_sample import prepare_sample

LABELS = np.zeros((12, 20), np.uint8)
LABELS[2:10, 2:9], LABELS[2:10, 10:18] = 1, 1
WHOLE = np.zeros(LABELS.shape, np.int32)
WHOLE[2:10, 2:9], WHOLE[2:10, 10:18] = 1, 2
KNOWN = np.zeros(LABELS.shape, bool)
KNOWN[:, 6:13] = True


def separation_of(objects: np.ndarray | None, kind: Separation, **training: float) -> np.ndarray:
    mask = ReferenceMask(LABELS, objects, KNOWN.astype(np.float32))
    image = np.zeros((*LABELS.shape, 1), np.uint8)
    sample = Sample("a", lambda: image, lambda: mask)
    dataset = Dataset("one", "test", Path(), (sample,))
    settings = TrainingSettings(**training)
    prepared = prepare_sample(dataset, sample, Normalization(), settings, None, kind, connected=False)
    assert prepared.whole.separation is not None
    return prepared.whole.separation


def test_depth_is_that_of_whole_objects_where_they_are_known() -> None:
    found = separation_of(np.where(KNOWN, WHOLE, -WHOLE), "distance")
    unknown = (WHOLE > 0) & ~KNOWN
    assert (found[unknown] == -1).all()
    np.testing.assert_array_equal(found[~unknown], distance_map(WHOLE)[~unknown])
    assert found[5, 8] < found[5, 6]  # towards the cut it becomes less


@pytest.mark.parametrize("kind", ["star", "objects"])
def test_numbers_stay_and_unknown_ones_are_minus_one(kind: Separation) -> None:
    found = separation_of(np.where(KNOWN, WHOLE, -WHOLE), kind)
    np.testing.assert_array_equal(found, np.where(KNOWN | (WHOLE == 0), WHOLE, -1))


def test_without_cuts_nothing_of_objects_is_known() -> None:
    assert (separation_of(None, "distance") == -1).all()


def test_border_weights_take_unknown_objects_as_objects() -> None:
    signed = separation_of(np.where(KNOWN, WHOLE, -WHOLE), "distance", border_weight=5.0)
    np.testing.assert_array_equal(signed >= 0, KNOWN | (WHOLE == 0))
