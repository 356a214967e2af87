"""How many objects, and how large, in words."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.metrics.object_measures import measure_objects
from napari_unet.metrics.object_words import count_in_words, objects_in_words, plural, short_number


@pytest.mark.parametrize(
    ("noun", "many"),
    [
        ("nucleus", "nuclei"), ("nuclei", "nuclei"), ("mitochondrion", "mitochondria"), ("cell", "cells"),
        ("mitochondria", "mitochondria"), ("synapse", "synapses"), ("cavity", "cavities"), ("bus", "buses"),
        ("vessel", "vessels"), ("process", "processes"), ("region", "regions"), ("Nucleus", "Nuclei"),
        ("axis", "axes"), ("day", "days"), ("bacteria", "bacteria"), ("box", "boxes"), ("cells", "cells"),
    ],
)  # fmt: skip
def test_plurals(noun: str, many: str) -> None:
    assert plural(noun) == many


def test_counts_and_numbers() -> None:
    assert count_in_words(1, "nucleus") == "1 nucleus"
    assert count_in_words(3298, "nucleus") == "3,298 nuclei"
    assert count_in_words(2, "foreground") == "2 objects"
    assert [short_number(v) for v in (0.01234, 5.678, 52.36, 1234.5)] == ["0.0123", "5.68", "52.4", "1,234"]


def test_a_sentence_by_hand() -> None:
    objects = np.zeros((10, 20), np.int32)
    objects[0:4, 0:4], objects[5:7, 0:4], objects[8:10, 10:20] = 1, 2, 3  # 16, 8, 20 pixels
    mask = (objects > 0).astype(np.uint8)
    table = measure_objects(objects, mask, spacing=(0.5, 0.5), unit="µm")
    assert objects_in_words(table, ["nucleus"]) == "3 nuclei, median area 16 px (4 µm²)"
    mask[objects == 3] = 2
    table = measure_objects(objects, mask)
    assert objects_in_words(table, ["nerve", "vessel"]) == "2 nerves and 1 vessel, median area 16 px"
    only = measure_objects(np.where(objects == 2, 2, 0), mask)
    assert objects_in_words(only, ["foreground"]) == "1 object, area 8 px"
    none = measure_objects(np.zeros((4, 4), np.int32), np.zeros((4, 4), np.uint8))
    assert objects_in_words(none, ["nucleus"]) == "no objects"
