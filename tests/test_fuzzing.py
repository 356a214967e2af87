"""Damaged files of every kind: some of what `make fuzz` opens, and what each class of its findings was."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_unet.data.files.arrays import read_array, read_arrays
from napari_unet.data.split import Split
from napari_unet.errors import DataError, TrainingError
from napari_unet.models.provenance import check_provenance
from napari_unet.plain_json import MOST_DEEP, parse_json
from support.errors import raises_code

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
DEEP = "[" * 100_000


@pytest.mark.slow
def test_some_damaged_files_of_every_kind() -> None:
    answer = subprocess.run(
        [sys.executable, str(BENCHMARKS / "fuzz.py"), "250", "--seed", "1", "--seconds", "20"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr[-4000:]
    kinds, inputs = answer.stdout.splitlines()[-1].split()[:2]
    assert kinds == "all" and int(inputs) >= 240


def test_inputs_follow_from_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from fuzzing.kinds import KINDS
    from fuzzing.worker import damaged

    seeds = KINDS["CSV"].seeds()
    assert damaged("CSV", seeds, 3, 0) == damaged("CSV", seeds, 3, 0)
    assert damaged("CSV", seeds, 3, 0) != damaged("CSV", seeds, 4, 0)
    assert damaged("CSV", seeds, 3, 0) != damaged("CSV", seeds, 3, 1)


def test_json_nested_without_end_is_refused() -> None:
    whole = "[" * MOST_DEEP + "]" * MOST_DEEP
    assert json.dumps(parse_json(whole)) == whole
    for text in (f"[{whole}]", DEEP, DEEP + "]" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000):
        with pytest.raises(ValueError, match=r"lists within one another|Expecting"):
            parse_json(text)
    assert parse_json(b'["[[[[", {"a": "]"}]') == ["[[[[", {"a": "]"}]


def split_with(**changes: object) -> object:
    return {**Split(("a",), ("b",), groups={"a": "a"}).to_json(), **changes}


@pytest.mark.parametrize(
    "text", [DEEP, json.dumps(split_with(seed=float("inf"))), json.dumps(split_with(train="ab"))]
)
def test_a_split_of_another_form(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        Split.load(tmp_path / "split.json")


def test_a_project_of_another_form(tmp_path: Path) -> None:
    from napari_unet.project.project_file import read_project_file

    image = {"id": "a", "hash": "", "shape": [float("inf"), 1, 1], "group": "a"}
    data = {"kind": "memory", "path": "", "relative": "", "format": ""}
    whole = {
        "format": "napari-unet project", "version": 1, "name": "p", "created": "", "classes": ["a"],
        "data": data, "settings": {}, "images": [image],
    }  # fmt: skip
    for text in (DEEP, json.dumps(whole)):
        (tmp_path / "project.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError):
            read_project_file(tmp_path)


def test_a_run_record_nested_without_end(tmp_path: Path) -> None:
    from napari_unet.workflow.replay.run_record import RunRecord

    (tmp_path / "record.json").write_text(DEEP, encoding="utf-8")
    with raises_code("data.record.unreadable"):
        RunRecord.load(tmp_path / "record.json")


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def described(kind: str, shape: str) -> str:
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    "header",
    [
        described("'|u1'", "(60000, 60000, 1)"),  # 3.6 GB in a file of a hundred bytes
        described("'|u1'", "(99999999999999999999, 1, 1)"),
        described("'|u1'", "(-1, 8, 1)"),
        described("'|u1'", "(True, 8, 1)"),
        described("'|u1'", "(8.0, 8, 1)"),
        described("'|O'", "(1, 1, 1)"),  # a pickle
        described("'<M8[s]'", "(1, 1, 1)"),
        described("[('a', '<f4')]", "(1, 1, 1)"),
        described("'|u1'", "(8, 8, 1"),
    ],
)
def test_an_array_that_declares_what_it_does_not_hold(tmp_path: Path, header: str) -> None:
    from napari_unet.data.lossless_images import read_exactly

    (tmp_path / "a.npy").write_bytes(npy(header, bytes(64)))
    with raises_code("data.file.unreadable"):
        read_exactly(tmp_path / "a.npy")


def test_arrays_are_what_numpy_wrote(tmp_path: Path) -> None:
    for number, array in enumerate((np.arange(12, dtype=">i2").reshape(3, 4, 1), np.eye(3)[::-1].T)):
        np.save(tmp_path / f"{number}.npy", array)
        found = read_array(tmp_path / f"{number}.npy")
        assert found.dtype.isnative and found.dtype == array.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, array)
        found[:] = 0
    np.savez(tmp_path / "a.npz", one=np.arange(3), two=np.float32(2))
    both = read_arrays(tmp_path / "a.npz")
    assert both.keys() == {"one", "two"} and both["one"].tolist() == [0, 1, 2] and both["two"] == 2


def test_a_state_of_a_training_that_is_packed_or_has_other_names(tmp_path: Path) -> None:
    from napari_unet.training.checkpoint import TrainingState, load_state, save_state

    path = tmp_path / "state.npz"
    save_state(TrainingState(step=3, variables=[np.ones(2, np.float32)]), path, "same")
    assert load_state(path, "same").step == 3
    names = np.frombuffer(json.dumps({"version": 1, "fingerprint": "same", "strange": 1}).encode(), np.uint8)
    zeros = io.BytesIO()
    np.save(zeros, np.zeros(2**20))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header", b"{}")  # no array of NumPy
    with raises_code("training.state.unreadable"):
        load_state(path)
    np.savez(path, header=names)
    with pytest.raises(TrainingError, match="strange"):
        load_state(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("variables_0.npy", zeros.getvalue())  # a thousand times as large as it looks
    with pytest.raises(TrainingError, match="compressed"):
        load_state(path)


@pytest.mark.parametrize(
    "content",
    [
        [["data", {}]],
        {"data": 0.5},
        {"scores": []},
        {"split": {"train": "ab"}},
        {"ensemble": {"members": ["a"], "weights": ["x"]}},
        {"image_hashes": {"a": 1}, "split": {"train": ["a"]}},
        {"image_hashes": {"a": "0"}},
        {"seconds": "long"},
        {"steps": float("inf")},
    ],
)
def test_a_provenance_of_another_form(content: object) -> None:
    with pytest.raises(ValueError):
        check_provenance(content)


def test_a_provenance_as_it_should_be() -> None:
    whole = {"data": {"name": "a"}, "split": {"train": ["a"]}, "image_hashes": {"a": "0"}, "steps": 3}
    assert check_provenance(whole) == whole
    assert check_provenance({}) == {}


def test_a_model_zip_whose_content_is_damaged(tmp_path: Path) -> None:
    from napari_unet.models.model_folder import read_description

    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("settings.json", json.dumps({"format": "napari-unet model", "note": "x" * 999}))
    data = bytearray(path.read_bytes())
    start = 30 + len("settings.json")
    data[start] = 0xFF  # a kind of block that Deflate does not have
    path.write_bytes(bytes(data))
    with raises_code("model.unreadable"):
        read_description(path)


def test_weights_that_point_elsewhere_or_declare_too_much(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    from napari_unet.models.hdf5 import open_hdf5

    (tmp_path / "secret").write_bytes(bytes(40))
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("a", shape=(2**40,), dtype="f4", chunks=(1024,))  # takes no room in the file
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.create_dataset("a", shape=(10,), dtype="f4", external=[(str(tmp_path / "secret"), 0, 40)])
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["a"] = h5py.ExternalLink("other.h5", "/")
    for name, words in (("large", "1,099,511,627,776"), ("outside", "another file"), ("link", "elsewhere")):
        with pytest.raises(ValueError, match=words), open_hdf5(tmp_path / f"{name}.h5", 100):
            pass


@pytest.mark.parametrize("rows", [0, 2**31])
def test_strips_of_a_tiff_that_cannot_be(tmp_path: Path, rows: int) -> None:
    import tifffile

    from napari_unet.data.files.lazy_files import open_lazy

    path = tmp_path / "a.tif"
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(path, pixels, compression="lzw")
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].tags["RowsPerStrip"].valueoffset
        kind = file.pages[0].tags["RowsPerStrip"].dtype
    data = bytearray(path.read_bytes())
    size = 2 if int(kind) == 3 else 4
    data[place : place + size] = min(rows, 2 ** (8 * size) - 1).to_bytes(size, "little")
    path.write_bytes(bytes(data))
    try:
        stack = open_lazy(path)
        found = stack.read((), slice(0, 8), slice(0, 8))[..., 0]
    except DataError:
        return
    np.testing.assert_array_equal(found, pixels)  # rows beyond the image mean no harm


def test_a_gif_whose_frame_is_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    from napari_unet.data.files.image_files import decode_image

    file = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (0, 200)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # Pillow refuses more than twice as many
    with raises_code("data.image.unreadable"):
        decode_image(file.getvalue(), "a.gif", 1)


def test_a_stack_of_more_pages_than_the_file_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_unet.data.files import pages
    from napari_unet.data.files.image_files import image_header
    from napari_unet.data.files.source import FolderSource

    file = io.BytesIO()
    from PIL import Image

    Image.fromarray(np.zeros((48, 48), np.uint8)).save(file, "TIFF")
    (tmp_path / "a.tif").write_bytes(file.getvalue())
    header = replace(image_header(file.getvalue(), "a.tif"), pages=2**32 - 1)
    monkeypatch.setattr(pages, "read_header", lambda *_: header)
    with raises_code("data.image.bomb"):
        pages.count_pages_in(FolderSource(tmp_path), "a.tif")
    assert len(pages.page_samples(FolderSource(tmp_path), "a.tif")) == 1  # which cannot be read


@pytest.mark.parametrize("found", [{"axes": [{}, {}], "datasets": [{"path": "0"}]}, {"datasets": [[]]}])
def test_metadata_of_zarr_of_another_form(tmp_path: Path, found: object) -> None:
    import zarr

    from napari_unet.data.files.lazy_files import open_lazy

    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.create_array("0", shape=(8, 8), chunks=(8, 8), dtype="uint8")
    root.attrs["multiscales"] = [found]
    with raises_code("data.file.unreadable"):
        open_lazy(tmp_path / "a.zarr")


def test_a_tiff_of_too_many_samples_a_pixel(tmp_path: Path) -> None:
    import tifffile

    from napari_unet.data.files.lazy_files import open_lazy

    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((4, 4, 1025), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(DataError, match="1025 channels"):
        open_lazy(tmp_path / "a.tif")


def test_a_chunk_of_zarr_that_is_damaged(tmp_path: Path) -> None:
    import zarr

    from napari_unet.data.files.lazy_files import open_lazy

    array = zarr.create_array(tmp_path / "a.zarr", shape=(8, 8), chunks=(4, 8), dtype="uint8", zarr_format=2)
    array[:] = np.arange(64).reshape(8, 8)
    (tmp_path / "a.zarr" / "1.0").write_bytes(b"no chunk")
    stack = open_lazy(tmp_path / "a.zarr")
    np.testing.assert_array_equal(
        stack.read((), slice(0, 4), slice(0, 8))[..., 0], np.arange(32).reshape(4, 8)
    )
    with pytest.raises(DataError):
        stack.read((), slice(4, 8), slice(0, 8))


@pytest.mark.parametrize("text", ["{", DEEP, '{"a": 1}', "[1, 2]", '[""]', "\xff"])
def test_names_of_classes_of_another_form(tmp_path: Path, text: str) -> None:
    from napari_unet.data.files.source import FolderSource
    from napari_unet.data.formats.declared_classes import declared_classes

    (tmp_path / "classes.json").write_text(text, encoding="latin-1")
    with raises_code("data.classes.malformed"):
        declared_classes(FolderSource(tmp_path))


def test_a_tiff_that_lacks_strips() -> None:
    import tifffile

    from napari_unet.data.files.image_files import decode_image

    file = io.BytesIO()
    tifffile.imwrite(file, np.ones((8, 8), np.uint8), compression="zlib", rowsperstrip=8)
    data = bytearray(file.getvalue())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tag = tiff.pages[0].tags["RowsPerStrip"]
    data[tag.valueoffset] = 2  # four strips, of which the file names one
    with pytest.raises(DataError, match="1 of 4 strips"):
        decode_image(bytes(data), "a.tif")


def test_names_longer_than_the_system_allows(tmp_path: Path) -> None:
    from napari_unet.data.file_names import name_on_disk

    (tmp_path / "a.png").write_bytes(b"")
    assert name_on_disk(tmp_path, "a.png") == "a.png"
    assert name_on_disk(tmp_path, "a" * 5000) is None
    assert name_on_disk(tmp_path, "b/" + "a" * 300) is None
