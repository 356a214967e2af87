"""Objects of volumes are numbered in three dimensions, from labels of slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_unet.settings import InferenceSettings
from napari_unet.widgets.canvas.label_numbering import IGNORED_OBJECT, LabelNumbering
from napari_unet.widgets.canvas.stacks.volume_numbers import number_volume


class Known:
    """Knows of four slices in two volumes; nothing was said of them."""

    def __init__(self, joined: dict[str, np.ndarray] | None = None) -> None:
        self.marks = joined or {}
        self.entries: dict[str, Any] = {}

    def volume_of(self, identifier: str) -> str:
        return "first" if identifier in "ab" else "second"

    def joined(self, identifier: str) -> np.ndarray | None:
        return self.marks.get(identifier)

    def said(self, identifier: str) -> None:
        return None


def number(masks: np.ndarray, joined: dict[str, np.ndarray] | None = None) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros(masks.shape, np.int32)
    numbering = None
    for z, mask in enumerate(masks):
        objects = np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape) * (
            (mask > 0) & (mask < 255)
        )
        numbering = LabelNumbering.of(mask, 2, objects, numbering)
        labels[z] = numbering.labels
    assert numbering is not None
    ids = {(z,): "abcd"[z] for z in range(len(masks))}
    found, class_of = number_volume(
        labels,
        ids,
        numbering,
        Known(joined),
        InferenceSettings(),
        1.0,  # type: ignore[arg-type]
    )
    return np.stack([found[(z,)] for z in range(len(masks))]), class_of


def test_an_object_has_one_number_through_a_volume_and_never_in_two_volumes() -> None:
    masks = np.zeros((4, 2, 5), np.uint8)
    masks[:, 0, 0] = 1  # through all slices
    masks[0, 0, 4] = 2
    masks[2:, 0, 3] = 2
    numbers, class_of = number(masks)
    np.testing.assert_array_equal(numbers > 0, masks > 0)
    assert numbers[0, 0, 0] == numbers[1, 0, 0] != numbers[2, 0, 0] == numbers[3, 0, 0]
    assert len(np.unique(numbers)) == 1 + 4
    np.testing.assert_array_equal(class_of[numbers], masks)


def test_what_a_person_joined_is_one_object_and_ignored_pixels_stay() -> None:
    masks = np.zeros((2, 1, 5), np.uint8)
    masks[:, 0, 0] = masks[:, 0, 4] = 1
    masks[1, 0, 2] = 255
    apart, _ = number(masks)
    assert apart[0, 0, 0] != apart[0, 0, 4]
    assert apart[1, 0, 2] == IGNORED_OBJECT
    masks[0, 0, 1:4] = 2  # another class lies between them
    bridge = np.ones((1, 5), bool)
    joined, class_of = number(masks, {"a": bridge})
    assert joined[0, 0, 0] == joined[1, 0, 0] == joined[0, 0, 4] == joined[1, 0, 4]
    assert class_of[joined[0]].tolist() == masks[0].tolist()
