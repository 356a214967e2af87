"""Strokes on a large image teach by parts, prepared as parts of the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.models.normalization import Normalization
from napari_unet.project.corrections.correction import IGNORE
from napari_unet.project.corrections.disk_mask import DiskMask
from napari_unet.session.images.collection import Collection
from napari_unet.session.learn import large_strokes
from napari_unet.session.learn.large_strokes import (
    known_labels,
    labelled_parts,
    measure_large,
    middle_of,
    painted_parts,
)
from napari_unet.settings import TrainingSettings
from napari_unet.training.feeding.prepared_sample import prepare_sample
from napari_unet.workflow.inputs.image_reference import References
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.large_images.layers.stroke_mask import make_stroke_mask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHAPE = (300, 200)
IMAGE = np.random.default_rng(0).integers(0, 100, (*SHAPE, 1), np.uint8)
IMAGE[:150] += 100  # bright above, dark below: no part is like the whole


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_strokes, "CELL", 100)
    monkeypatch.setattr(large_strokes, "MARGIN", 20)


@pytest.fixture
def entry(tmp_path: Path, small_parts: None) -> Iterator[Any]:
    """An image in a collection, with its mask of strokes on disk."""
    sample = Sample("a", lambda: IMAGE, load_region=lambda rows, columns: IMAGE[rows, columns])
    (found,) = Collection("layers", [sample]).entries.values()
    path = make_stroke_mask(sample, (*SHAPE, 1), tmp_path, "a strokes", ("one",))
    found.use_disk(DiskMask(path, "a"))
    yield found
    found.disk.close()


def paint(disk: DiskMask, rows: slice, columns: slice, label: int) -> None:
    before = disk.mask()
    after = before.copy()
    after[rows, columns] = label
    disk.paint(before, after, (0, 0))


def test_a_stroke_is_in_the_part_of_its_cell_alone(entry: Any) -> None:
    paint(entry.disk, slice(90, 110), slice(10, 12), 1)  # over the border of two cells
    parts = painted_parts(entry.disk)
    assert parts == {(0, 0, 120, 120): 1, (80, 0, 220, 120): 1}
    above, below = (known_labels(entry.disk, box) for box in parts)
    assert (above != IGNORE).sum() == (below != IGNORE).sum() == 20  # each half of it once
    assert (above[90:100, 10:12] == 1).all()
    assert (below[20:30, 10:12] == 1).all()
    entry.disk.undo()
    assert painted_parts(entry.disk) == {(0, 0, 120, 120): 2, (80, 0, 220, 120): 2}  # others than before
    assert painted_parts(entry.disk, live=True) == {}


def test_parts_are_prepared_as_the_whole_image_is(entry: Any) -> None:
    paint(entry.disk, slice(210, 214), slice(30, 40), 0)
    (item,) = labelled_parts(entry)
    assert (item.id, item.group) == ("a [180:300, 0:120]", "a")
    sample = item.sample(References())
    dataset = as_dataset("strokes", [sample], ("one",))
    normalization = Normalization()
    found = prepare_sample(dataset, sample, normalization, TrainingSettings()).whole
    np.testing.assert_allclose(found.image, normalization.prepare(IMAGE)[180:300, :120], atol=1e-5)
    assert found.weights.sum() == 40
    assert (found.labels[found.weights > 0] == 0).all()
    half = normalization.model_copy(update={"scale": 0.5})
    assert prepare_sample(dataset, sample, half, TrainingSettings()).whole.image.shape == (60, 60, 1)


def test_of_a_huge_image_blocks_all_over_it_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_strokes, "BLOCK", 50)
    monkeypatch.setattr(large_strokes, "LOOKED_AT", 50 * 50 * 8)
    read: list[tuple[int, int]] = []

    def region(rows: slice, columns: slice) -> Any:
        read.append((rows.start, columns.start))
        return IMAGE[rows, columns]

    found = measure_large(Sample("a", lambda: IMAGE, load_region=region), SHAPE, Normalization())
    assert len(set(read)) == 8
    assert len({x for _, x in read}) > 1
    pixels = IMAGE / 255
    assert found.mean[0] == pytest.approx(float(pixels.mean()), rel=0.2)
    assert found.deviation[0] == pytest.approx(float(pixels.std()), rel=0.2)


def test_a_preview_shows_the_middle_of_a_view() -> None:
    assert middle_of(10, 30, 100) == slice(10, 30)
    assert middle_of(0, 5000, 6000) == slice(1988, 3012)
    assert middle_of(5990, 6000, 6000) == slice(5990, 6000)
    assert middle_of(0, 2000, 600) == slice(0, 600)
