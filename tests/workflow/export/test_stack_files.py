"""A stack is exported as one file, or as one a slice; its objects are numbered through, linked or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_unet.cli import main
from napari_unet.data.sample import Sample
from napari_unet.engine.inline import run_inline
from napari_unet.export.naming import plan_files
from napari_unet.export.segmented import SegmentedImage
from napari_unet.export.stacks import StackSlice, slices_of_files
from napari_unet.inference.postprocess import connected_objects
from napari_unet.workflow.export.export_task import ExportTask
from napari_unet.workflow.export.mask_sources import OpenedMask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLICES, SHAPE = 12, (10, 16)


def drawn(number: int) -> np.ndarray:
    """Two boxes of 4 x 4, of which the first moves one column every other slice; the second is in 0 to 4."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[0:4, number // 2 : number // 2 + 4] = 1
    if number < 5:
        mask[6:10, 10:14] = 1
    return mask


@dataclass(frozen=True)
class Drawn:
    """A source of these slices of a stack "cells", and of one image "flat"."""

    numbers: tuple[int, ...] = tuple(range(SLICES))

    def open(self) -> OpenedMask:
        def images(cancel: Any) -> Iterator[SegmentedImage]:
            for number in self.numbers:
                mask = drawn(number)
                yield SegmentedImage(
                    f"cells [{number}]", mask, lambda m=mask: connected_objects(m), ("cell",)
                )
            mask = drawn(0)
            yield SegmentedImage("flat", mask, lambda: connected_objects(mask), ("cell",))

        return OpenedMask((*(f"cells [{n}]" for n in self.numbers), "flat"), images)


PLACES = {f"cells [{n}]": StackSlice("cells", (n,), (SLICES,), depth=(3.0, "µm")) for n in range(SLICES)}


def export(out: Path, formats: tuple[str, ...], source: Drawn | None = None, **how: Any) -> Any:
    return run_inline(ExportTask(source or Drawn(), out, formats, slices=PLACES, **how))


def test_one_file_holds_all_slices(tmp_path: Path) -> None:
    wanted = np.stack([drawn(n) for n in range(SLICES)])
    result = export(tmp_path, ("tiff", "ome-tiff", "npy", "png"), one_file=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    slices = [f"cells_{n:02}_mask.png" for n in range(SLICES)]
    stacks = [f"{name}_mask.{suffix}" for name in ("cells", "flat") for suffix in ("npy", "ome.tif", "tif")]
    assert names == sorted([*slices, *stacks, "flat_mask.png"])
    assert sorted(path.name for path in result.paths) == names
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells_mask.tif"), wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "cells_mask.npy"), wanted)
    np.testing.assert_array_equal(np.load(tmp_path / "flat_mask.npy"), drawn(0))
    with tifffile.TiffFile(tmp_path / "cells_mask.ome.tif") as file:
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), wanted)
        assert 'PhysicalSizeZ="3.0"' in file.ome_metadata
    assert result.sentence.startswith("13 images in 19 files")
    assert "empty" not in result.sentence


def test_one_file_a_slice_is_numbered_with_zeros(tmp_path: Path) -> None:
    export(tmp_path, ("npy",))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"cells_{n:02}_mask.npy" for n in range(SLICES)),
        "flat_mask.npy",
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "cells_07_mask.npy"), drawn(7))


@pytest.mark.parametrize("linked", [False, True])
def test_no_number_of_a_stack_means_two_objects(tmp_path: Path, linked: bool) -> None:
    export(tmp_path, ("npy",), numbers="objects", one_file=True, link_objects=linked)
    stack = np.load(tmp_path / "cells_mask.npy")
    np.testing.assert_array_equal(stack > 0, np.stack([drawn(n) for n in range(SLICES)]) > 0)
    corners = [(int(page[0, n // 2]), int(page[6, 10])) for n, page in enumerate(stack)]
    if linked:  # moved by a column of four: 12 of 20 pixels overlap
        assert corners == [(1, 2)] * 5 + [(1, 0)] * 7
    else:
        assert corners == [
            *((2 * n + 1, 2 * n + 2) for n in range(5)),
            *((n + 6, 0) for n in range(5, SLICES)),
        ]
    np.testing.assert_array_equal(np.load(tmp_path / "flat_mask.npy"), connected_objects(drawn(0)))


def test_slices_without_a_mask_are_empty_and_that_is_said(tmp_path: Path) -> None:
    source = Drawn((0, 1, 4))
    result = export(tmp_path, ("tiff", "npy"), source, numbers="objects", one_file=True, link_objects=True)
    stack = np.load(tmp_path / "cells_mask.npy")
    assert stack.shape == (SLICES, *SHAPE)
    assert stack.any(axis=(1, 2)).tolist() == [n in (0, 1, 4) for n in range(SLICES)]
    assert stack[4, 0, 2] == 3  # nothing links over the gap
    assert "9 slices without a mask left empty" in result.sentence


def test_two_axes_stay_two_axes(tmp_path: Path) -> None:
    places = {f"cells [{n}]": StackSlice("cells", divmod(n, 4), (3, 4)) for n in range(SLICES)}
    task = ExportTask(Drawn(), tmp_path, ("tiff", "npy"), one_file=True, slices=places)
    run_inline(task)
    assert np.load(tmp_path / "cells_mask.npy").shape == (3, 4, *SHAPE)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells_mask.tif")[2, 1], drawn(9))
    assert [p.file_name for p in places.values()][:2] == ["cells_0_0", "cells_0_1"]


def test_stacks_of_one_name_and_patterns_have_files_of_their_own(tmp_path: Path) -> None:
    places = {f"{stack} [{n}]": StackSlice(stack, (n,), (2,)) for stack in ("a", "A") for n in range(2)}
    plan = plan_files(list(places), tmp_path, ["tiff"], "{name}-{index:03}", places, one_file=True)
    assert [path.name for path in plan.paths] == ["a-001.tif", "A-002.tif"]
    plan = plan_files(list(places), tmp_path, ["tiff"], slices=places, one_file=True)
    assert [path.name for path in plan.paths] == ["a_mask.tif", "A_mask_2.tif"]


def test_pages_of_files_are_slices() -> None:
    load = lambda: np.zeros((2, 2, 1), np.uint8)  # noqa: E731
    samples = [Sample(f"vol_{n:03}", load, image_name=f"in/vol.tif[{n}]") for n in range(3)]
    found = slices_of_files([*samples, Sample("one", load, image_name="one.tif")])
    assert list(found) == ["vol_000", "vol_001", "vol_002"]
    assert (found["vol_002"].stack, found["vol_002"].index, found["vol_002"].leading) == ("vol", (2,), (3,))
    assert found["vol_002"].file_name == "vol_002"


@pytest.mark.slow
@pytest.mark.parametrize("objects", [False, True])
def test_segment_and_export_write_one_file_if_asked(
    tmp_path: Path, grey_model: Path, objects: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = tmp_path / "vol.tif"
    pixels = np.random.default_rng(0).integers(0, 200, (4, 48, 40)).astype(np.uint8)
    tifffile.imwrite(volume, pixels, photometric="minisblack")
    common = [str(volume), "--model", str(grey_model)]
    kinds = ["--objects"] if objects else []
    assert main(["segment", *common, "--out", str(tmp_path / "each"), *kinds]) == 0
    assert main(["segment", *common, "--out", str(tmp_path / "one"), *kinds, "--one-file"]) == 0
    assert "1 mask in" in capsys.readouterr().out
    (whole,) = (tmp_path / "one").iterdir()
    assert whole.name == "vol.tif"
    each = sorted((tmp_path / "each").iterdir())
    assert [path.stem for path in each] == [f"vol_{n:03}" for n in range(4)]
    stack = tifffile.imread(whole)
    for page, path in zip(stack, each, strict=True):
        one = tifffile.imread(path) if objects else None
        if one is None:
            from PIL import Image

            one = np.asarray(Image.open(path))
            np.testing.assert_array_equal(page, one)
        else:
            np.testing.assert_array_equal(page > 0, one > 0)
    if objects:
        numbers = [set(np.unique(page[page > 0])) for page in stack]
        assert sum(map(len, numbers)) == len(set.union(*numbers)) == stack.max()
        numbered = ["--numbers", "objects", "--one-file", "--format", "tiff"]
        assert main(["export", *common, "--out", str(tmp_path / "export"), *numbered]) == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / "export" / "vol_mask.tif"), stack)
