from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.catalog import open_dataset
from napari_unet.data.synthetic import MAKERS, make_pictures, write_synthetic
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path

LAYOUTS = {"salt": "tgs-salt", "nerve": "ultrasound-nerve", "nuclei": "dsb2018", "membranes": "isbi2012"}


@pytest.mark.parametrize("kind", MAKERS)
def test_written_sets_are_read_back_as_their_model_and_equal(kind: str, tmp_path: Path) -> None:
    count = 5
    dataset = open_dataset(write_synthetic(kind, tmp_path / kind, count, seed=3))
    assert dataset.format == LAYOUTS[kind]
    assert len(dataset) == count
    assert len(dataset.unlabelled) == 1
    assert dataset.problems == ()
    pictures = {p.name: p for p in make_pictures(kind, count + 1, seed=3)[:count]}
    for sample in dataset.samples:
        picture = pictures[sample.id]
        image = picture.image if picture.image.ndim == 3 else picture.image[..., None]
        read = sample.read_image()
        np.testing.assert_array_equal(read, np.broadcast_to(image, read.shape))
        mask = sample.read_mask()
        np.testing.assert_array_equal(mask.labels, picture.mask.labels)
        if picture.mask.objects is not None:
            assert mask.objects is not None
            assert len(np.unique(mask.objects)) == len(np.unique(picture.mask.objects))


@pytest.mark.parametrize("kind", MAKERS)
def test_the_seed_decides(kind: str) -> None:
    one, two, other = (make_pictures(kind, 2, seed)[1].image for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_the_quirks_are_those_of_the_real_set(salt_folder: Path) -> None:
    def modes(folder: str) -> set[str]:
        found = set()
        for path in (salt_folder / "train" / folder).iterdir():
            with Image.open(path) as picture:
                found.add(picture.mode)
        return found

    assert modes("masks") == {"I;16", "L"}
    assert modes("images") == {"RGB"}
    header = (salt_folder / "train.csv").read_text().splitlines()[0]
    assert header == "id,rle_mask"


def test_neighbouring_tiles_are_one_group(salt_folder: Path) -> None:
    groups = open_dataset(salt_folder).groups()
    assert len(set(groups)) < len(groups) / 2


def test_no_threshold_solves_it() -> None:
    for kind in ("salt", "nerve", "membranes"):
        best = 0.0
        pictures = make_pictures(kind, 4, 0)
        for level in range(5, 255, 10):
            for sign in (1, -1):
                both = union = 0
                for p in pictures:
                    guess = sign * p.image.astype(int) > sign * level
                    both += int((guess & (p.mask.labels > 0)).sum())
                    union += int((guess | (p.mask.labels > 0)).sum())
                best = max(best, both / union)
        everything = np.mean([p.mask.labels.mean() for p in pictures])
        assert best < max(0.6, everything + 0.15)


def test_unknown_kinds() -> None:
    with raises_code("settings.synthetic.unknown", "'cats'"):
        make_pictures("cats", 1)
