"""The window's choice of a channel is the command line's: same pixels in, same mask out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.engine.inline import InlineEngine
from napari_unet.models.card import ModelCard
from napari_unet.progress import CancelToken, ignore_progress
from napari_unet.session.channel_memory import remembered_channels
from napari_unet.session.images.collection import Collection
from napari_unet.session.session import Session
from napari_unet.workflow.segment.segment_task import SegmentTask
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("step_by_step")


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "grey")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two TIFF files of three channels that were measured one by one."""
    root = tmp_path / "set"
    root.mkdir()
    noise = np.random.default_rng(0)
    for number in range(2):
        planes = noise.integers(0, 4000, (3, 32, 24)).astype(np.uint16)
        tifffile.imwrite(root / f"f{number}.ome.tif", planes, ome=True, metadata={"axes": "CYX"})
    return root


@pytest.fixture
def session(no_pause: None) -> Iterator[Session]:
    session = Session(InlineEngine(), lambda function: function())
    yield session
    session.close()


def show(session: Session, folder: Path, model: Path) -> Collection:
    dataset = open_dataset(folder)
    collection = Collection(dataset.name, (*dataset.samples, *dataset.unlabelled), dataset)
    session.workspace.choose_model(ModelCard.read(model))
    session.workspace.show(collection)
    return collection


def masks(session: Session, collection: Collection) -> list[Any]:
    session.segment(collection.ids)
    return [session.workspace.mask(i) for i in collection.ids]


def test_the_mask_of_a_channel_is_that_of_the_command(
    session: Session, folder: Path, grey: Path, tmp_path: Path
) -> None:
    collection = show(session, folder, grey)
    session.channels.choose(("2",))
    found = masks(session, collection)
    with reading_images(ImageReading(channels=("2",))):
        written = SegmentTask((folder,), grey, tmp_path / "out").run(ignore_progress, CancelToken())
    assert len(written) == 2
    for mask, path in zip(found, written, strict=True):
        np.testing.assert_array_equal(mask > 0, np.asarray(Image.open(path)) > 0)
    session.channels.choose(("0",))
    assert [row.status for row in session.workspace.rows()] == ["new", "new"]
    assert not np.array_equal(masks(session, collection)[0], found[0])


def test_three_measured_channels_are_no_colour(session: Session, folder: Path, grey: Path) -> None:
    collection = show(session, folder, grey)
    assert masks(session, collection) == [None, None]
    assert all("got 3" in row.problem for row in session.workspace.rows())
    # Nor are those of an image that only the window has.
    alone = Collection("alone", [entry.sample for entry in collection.entries.values()])
    session.workspace.show(alone)
    collection.close()
    assert masks(session, alone) == [None, None]
    assert session.workspace.mismatch(3, False).startswith("The model takes images with 1 channel")
    assert session.workspace.mismatch(3, True) == ""


def test_a_choice_is_remembered_for_these_images_and_no_others(
    session: Session, folder: Path, grey: Path, tmp_path: Path
) -> None:
    first = show(session, folder, grey)
    session.channels.choose(("1",))
    session.wait_idle()
    assert remembered_channels(first) == ("1",)
    again = show(session, folder, grey)
    session.wait_idle()
    assert again is not first
    assert again.channels == ("1",)
    assert again.dataset is not None
    assert again.dataset.channels == ("1",)
    other = folder.with_name("other")
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    assert show(session, other, grey).channels == ()
    session.wait_idle()
    # All of them again, which is remembered as well.
    third = show(session, folder, grey)
    session.wait_idle()
    session.channels.choose(())
    session.wait_idle()
    assert remembered_channels(third) == ()
