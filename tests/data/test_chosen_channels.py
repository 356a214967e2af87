"""Channels chosen after opening are those that `--channel` reads; an image is known by all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile

from napari_unet.data.catalog import open_dataset
from napari_unet.data.files.channels import (
    Channels,
    channels_of,
    dataset_with_channels,
    read_whole,
    whole_of,
    with_channels,
)
from napari_unet.data.files.reading import ImageReading, reading_images
from napari_unet.data.image_hash import image_hash
from napari_unet.data.sample import Sample
from napari_unet.project.project import Project
from napari_unet.session.images.image_channels import ImageChannels
from napari_unet.workflow.inputs.image_reference import CallReference, FileReference, References, refer

if TYPE_CHECKING:
    from pathlib import Path

PLANES = np.arange(3 * 20 * 16, dtype=np.uint16).reshape(3, 20, 16)
NAMES = ["phase", "DAPI", "GFP"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "set"
    root.mkdir()
    for number in range(2):
        tifffile.imwrite(
            root / f"f{number}.ome.tif", PLANES + number, ome=True, photometric="minisblack",
            metadata={"axes": "CYX", "Channel": {"Name": NAMES}},
        )  # fmt: skip
    return root


@pytest.mark.parametrize("numbers", [("1",), ("2", "0"), ()])
def test_what_is_chosen_later_is_what_the_command_line_reads(folder: Path, numbers: tuple[str, ...]) -> None:
    with reading_images(ImageReading(channels=numbers)):
        read = open_dataset(folder)
    chosen = dataset_with_channels(open_dataset(folder), numbers)
    assert read.channels == chosen.channels == numbers
    for one, other in zip(read.unlabelled, chosen.unlabelled, strict=True):
        np.testing.assert_array_equal(one.read_image(), other.read_image())
        assert channels_of(one) == channels_of(other)
    wanted = [int(n) for n in numbers] or [0, 1, 2]
    np.testing.assert_array_equal(chosen.unlabelled[1].read_image(), np.moveaxis(PLANES[wanted] + 1, 0, -1))
    assert channels_of(chosen.unlabelled[1]).names == tuple(NAMES[n] for n in wanted)
    assert channels_of(chosen.unlabelled[1]).colour is False


def test_an_image_stays_the_same_whichever_channel_is_read(folder: Path) -> None:
    sample = open_dataset(folder).unlabelled[0]
    one, other = with_channels(sample, ("1",)), with_channels(sample, ("2",))
    assert one.load_image != other.load_image
    assert whole_of(one) == whole_of(other) == whole_of(sample)
    np.testing.assert_array_equal(read_whole(one), np.moveaxis(PLANES, 0, -1))
    assert with_channels(one, ()).load_image == sample.load_image


def test_channels_of_an_image_that_is_no_file() -> None:
    pixels = np.moveaxis(PLANES, 0, -1)
    sample = Sample("s", lambda: pixels)
    chosen = with_channels(sample, ("2",))
    np.testing.assert_array_equal(chosen.read_image(), pixels[..., 2:])
    np.testing.assert_array_equal(read_whole(chosen), pixels)
    np.testing.assert_array_equal(with_channels(chosen, ("0", "1")).read_image(), pixels[..., :2])
    grey = with_channels(Sample("g", lambda: pixels[..., :1]), ("2",))
    np.testing.assert_array_equal(grey.read_image(), pixels[..., :1])


def test_a_reference_takes_the_channels_along(folder: Path) -> None:
    dataset = dataset_with_channels(open_dataset(folder), ("1",))
    reference = refer(dataset.unlabelled[1], dataset)
    assert isinstance(reference, FileReference)
    assert reference.channels == ("1",)
    found = References().sample(reference)
    np.testing.assert_array_equal(found.read_image()[..., 0], PLANES[1] + 1)
    # An image that only the caller has tells what its channels are, too.
    alone = refer(open_dataset(folder).unlabelled[0], None)
    assert isinstance(alone, CallReference)
    assert channels_of(References().sample(alone)) == Channels(tuple(NAMES), False)


def test_a_project_remembers_the_channel_and_knows_its_images_by_all(folder: Path, tmp_path: Path) -> None:
    opened = open_dataset(folder)
    project = Project.create(tmp_path / "p", dataset_with_channels(opened, ("1",)))
    assert project.file.data.channels == ("1",)
    whole = np.moveaxis(PLANES, 0, -1)
    first = project.file.images[0]
    assert first.hash == image_hash(whole)
    assert first.shape == (20, 16, 3)
    project.read_channels(("2",))
    np.testing.assert_array_equal(project.images.sample(first.id).read_image()[..., 0], PLANES[2])
    project.close()
    again = Project.open(tmp_path / "p")
    assert again.file.data.channels == ("2",)
    np.testing.assert_array_equal(again.images.sample(first.id).read_image()[..., 0], PLANES[2])
    assert again.images.check().good
    # Moved, it is found again, though another channel is read than when it was made.
    moved = folder.rename(tmp_path / "elsewhere")
    assert again.relink(moved).good
    assert again.file.data.channels == ("2",)
    again.close()


def test_channels_are_counted_from_one_and_have_names() -> None:
    named = ImageChannels(2, ("phase", "DAPI"))
    assert [named.title(n) for n in range(2)] == ["1 phase", "2 DAPI"]
    assert ImageChannels(3, colour=True).title(2) == "3 blue"
    assert ImageChannels(4).title(3) == "4"
    assert named.chosen(("1",)) == ImageChannels(1, ("DAPI",))
    assert named.chosen(("7",)) is named  # an image that has fewer
    assert ImageChannels(3, colour=True).chosen(("1",)) == ImageChannels(1)
