from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_unet.data.files.channels import Channels
from napari_unet.engine.remote.compression import pack_bytes
from napari_unet.engine.remote.plain_objects import LENGTH, Inward, Outward, decode, encode
from napari_unet.engine.task import FromCaller
from napari_unet.errors import DataError
from napari_unet.settings import Recipe
from napari_unet.workflow.inputs.left_out import LeftOut
from support.errors import raises_code


def message(tree: object) -> bytes:
    """A message that was not made by ``encode``."""
    head = pack_bytes(json.dumps([tree, []]).encode())
    return LENGTH.pack(len(head)) + head


def test_what_tasks_and_results_are_made_of_comes_back_equal() -> None:
    obj = {
        "nothing": None, 1: [True, 2.5, "é\udcff"], "set": {1, 2}, "tuple": (frozenset({3}), slice(1, None)),
        "settings": Recipe(name="x"), "left": LeftOut("a", "b"), "channels": Channels(("red",), True),
        "bytes": b"\0\1", "nan": float("inf"), "path": Path("a/b"),
    }  # fmt: skip
    assert decode(encode(obj)) == obj
    assert isinstance(decode(encode(Channels())), Channels)


@pytest.mark.parametrize("shape", [(), (0, 3), (5, 7, 2), (300, 300)])
@pytest.mark.parametrize("dtype", ["u1", "f2", ">i4", "?", "f8"])
def test_arrays_keep_dtype_shape_and_every_bit_and_can_be_written_to(shape: Any, dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    back = decode(encode(array[::-1] if array.ndim else array))
    np.testing.assert_array_equal(back, array[::-1] if array.ndim else array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    if array.ndim:
        back[...] = 0


def test_zeros_travel_small_and_noise_as_it_is() -> None:
    assert len(encode(np.zeros(1_000_000, np.uint8))) < 2_000
    noise = np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8)
    assert 1_000_000 < len(encode(noise)) < 1_000_200


def test_an_error_comes_with_all_its_parts() -> None:
    error = DataError("x", code="data.file.missing", expected="a", got="b", remedy="c")
    back = decode(encode(error))
    assert type(back) is DataError
    assert (back.code, back.sentence) == (error.code, error.sentence)


def test_functions_become_calls_back() -> None:
    kept: list[FromCaller] = []
    sent = encode([FromCaller(max), lambda x: x + 1], Outward(keep=lambda f: kept.append(f) or len(kept) - 1))
    first, second = decode(sent, Inward(call=lambda number, *arguments: kept[number](*arguments)))
    assert (first(2, 3), second(4)) == (3, 5)


def test_large_arrays_travel_by_their_hash() -> None:
    array, small = np.arange(100_000), np.arange(10)
    blobs: dict[str, bytes] = {}
    sent = encode([array, small], Outward(blob=lambda raw: (blobs.update(h=bytes(raw)), "h")[1]))
    assert len(sent) < 1_000
    back = decode(sent, Inward(blob=lambda digest: bytearray(blobs[digest])))
    np.testing.assert_array_equal(back[0], array)
    np.testing.assert_array_equal(back[1], small)


@pytest.mark.parametrize(
    "tree",
    [
        {"object": ["os:system", {}]},
        {"object": ["subprocess:Popen", {"args": "touch x"}]},
        {"object": ["napari_unet.engine.process:ProcessEngine", {}]},  # no data
        {"object": ["napari_unet.atomic:shutil", {}]},  # imported there, not of ours
        {"object": ["napari_unet.workflow.inputs.left_out:LeftOut", {"name": "a"}]},  # fields are missing
        {"object": ["napari_unet.workflow.inputs.left_out:LeftOut.of", {}]},
        {"named": ["collections:namedtuple", []]},
        {"error": ["Exception", {"what": "", "code": ""}]},
        {"error": ["difflib", {"what": "", "code": ""}]},
        {"error": ["DataError", {"what": "", "code": "", "harm": ""}]},
        {"error": ["DataError", ["what", "code"]]},
        {"array": ["h", "|O", [1]]},
        {"array": [5, "|u1", [1]]},
        {"eval": "1"},
        {"call": "x"},
        {"_all": []},
        [1, 2],
        {},
        {"list": [], "tuple": []},
    ],
)
def test_nothing_but_data_of_this_program_is_taken(tree: object) -> None:
    with raises_code("compute.remote.content"):
        decode(message(tree), Inward(blob=lambda digest: bytearray(8)))


def test_a_pickle_and_rubbish_are_refused() -> None:
    for content in (pickle.dumps([1]), b"", b"\0" * 100, encode(1)[:-1]):
        with raises_code("compute.remote.content"):
            decode(content)
    nested: Any = 1
    for _ in range(200):
        nested = {"list": [nested]}
    with raises_code("compute.remote.content"):
        decode(message(nested))


def test_what_is_no_data_is_refused_before_it_is_sent() -> None:
    for obj in (object(), np.array([object()]), open, {"x": FromCaller(len)}):
        with raises_code("compute.remote.task"):
            encode(obj)
