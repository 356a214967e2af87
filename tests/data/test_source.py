from __future__ import annotations

import pickle
import struct
import zipfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.data.files import archive, source
from napari_unet.data.files.source import FolderSource, ZipSource, natural_key, open_source, shared_folders
from support.errors import raises_code
from support.file_builders import Write, zipped

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FILES = {"a/2.txt": b"two", "a/10.txt": b"ten", "b.txt": b"b"}


@pytest.fixture
def zip_of(tmp_path: Path) -> Any:
    def write(files: Any, name: Any = "set.zip", method: Any = zipfile.ZIP_DEFLATED) -> Any:
        path = tmp_path / name
        path.write_bytes(zipped(files, method))
        return path

    return write


def test_folder_and_zip_give_the_same_names_in_natural_order(
    folder: Write, zip_of: Callable[..., Path]
) -> None:
    for path in (folder(FILES), zip_of(FILES)):
        opened = open_source(path)
        assert opened.names() == ["a/2.txt", "a/10.txt", "b.txt"]
        assert dict(opened.sizes) == {"a/2.txt": 3, "a/10.txt": 3, "b.txt": 1}
        assert opened.read("a/10.txt") == b"ten"
        assert opened.head("a/10.txt", 2) == b"te"
        with opened.open("a/2.txt") as file:
            file.seek(1)
            assert file.read() == b"wo"


def test_what_operating_systems_strew_about_is_left_out(folder: Write, zip_of: Callable[..., Path]) -> None:
    junk = {
        "__MACOSX/a/._2.txt": b"",
        "a/.DS_Store": b"",
        ".git/x": b"",
        "a/Thumbs.db": b"",
        "desktop.ini": b"",
    }
    assert FolderSource(folder(FILES | junk)).names() == list(FolderSource(folder(FILES)).names())
    assert ZipSource(zip_of(FILES | junk)).names() == ["a/2.txt", "a/10.txt", "b.txt"]


def test_folders_that_hold_everything_are_left_out_but_not_those_that_tell_the_layout(
    folder: Write, zip_of: Callable[..., Path]
) -> None:
    wrapped = {f"set/v1/{name}": data for name, data in FILES.items()}
    for path in (folder(wrapped), zip_of(wrapped)):
        opened = open_source(path)
        assert opened.names() == ["a/2.txt", "a/10.txt", "b.txt"]
        assert opened.read("b.txt") == b"b"
    assert shared_folders(["x/train/images/1.png", "x/train/masks/1.png"]) == "x/"
    assert shared_folders(["x/01/t0.tif", "x/01/t1.tif"]) == "x/"
    assert shared_folders(["ab/1", "a/1"]) == ""
    assert shared_folders(["a/1", "1"]) == ""
    assert shared_folders([]) == ""


@given(st.lists(st.from_regex(r"[a-c0-9]{1,3}(/[a-c0-9]{1,3}){0,3}", fullmatch=True), min_size=1))
def test_the_shared_folders_are_at_the_front_of_every_name(names: Any) -> None:
    shared = shared_folders(names)
    assert all(name.startswith(shared) and len(name) > len(shared) for name in names)


@given(st.lists(st.text("ab01239_/", max_size=8), min_size=2))
def test_any_names_can_be_ordered(names: Any) -> None:
    ordered = sorted(names, key=natural_key)
    assert sorted(reversed(ordered), key=natural_key) == ordered


def test_numbers_are_ordered_by_value() -> None:
    names = ["s10", "s2", "s1", "s02", "s" + "9" * 5000]
    assert sorted(names, key=natural_key)[:4] == ["s1", "s02", "s2", "s10"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_in_a_zip_are_folders(zip_of: Callable[..., Path], method: Any) -> None:
    inner = zipped({"images/1.png": b"one", "masks/1.png": b"mask"})
    already = zipped({"test/2.png": b"two"})
    table = zipped({"runs.csv": b"id,rle"})
    path = zip_of(
        {"train.zip": inner, "test.zip": already, "runs.csv.zip": table, "depths.csv": b"id,z"}, method=method
    )
    opened = ZipSource(path)
    assert opened.names() == [
        "depths.csv",
        "runs.csv",
        "test/2.png",
        "train/images/1.png",
        "train/masks/1.png",
    ]
    assert opened.read("train/masks/1.png") == b"mask"
    assert opened.read("test/2.png") == b"two"
    assert opened.read("runs.csv") == b"id,rle"
    again = pickle.loads(pickle.dumps(opened))
    assert again.names() == opened.names()
    assert again.read("train/images/1.png") == b"one"


def test_a_stored_zip_in_a_zip_is_read_in_place(
    zip_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_NESTED_BYTES", 0)
    inner = zipped({"1.png": b"one" * 100})
    assert (
        ZipSource(zip_of({"train.zip": inner}, method=zipfile.ZIP_STORED)).read("train/1.png") == b"one" * 100
    )
    with raises_code("data.archive.large", "train.zip"):
        ZipSource(zip_of({"train.zip": inner, "b": b""}, "deflated.zip"))


def test_zips_of_a_download_in_a_folder_are_folders(folder: Write) -> None:
    inner = zipped({"images/1.png": b"one"})
    path = folder(
        {"dl/train.zip": inner, "dl/stage1_test.zip": inner, "dl/depths.csv": b"", "dl/other.zip": inner}
    )
    opened = FolderSource(path)
    assert opened.read("train/images/1.png") == b"one"
    assert "stage1_test/images/1.png" in opened.names()
    assert not any(name.startswith("other/") for name in opened.names())
    with opened.open("train/images/1.png") as file:
        assert file.read() == b"one"
    again = pickle.loads(pickle.dumps(opened))
    assert again.head("train/images/1.png", 2) == b"on"


def test_an_unpacked_zip_beside_its_folder_is_not_read_twice(folder: Write) -> None:
    path = folder({"train.zip": zipped({"1.png": b"zip"}), "train/1.png": b"file", "test.csv": b""})
    opened = FolderSource(path)
    assert opened.read("train/1.png") == b"file"
    assert opened.names() == ["test.csv", "train.zip", "train/1.png"]


def test_only_the_named_files_are_looked_at(folder: Write) -> None:
    opened = FolderSource(folder(FILES), only=["b.txt", "a/2.txt", "missing"])
    assert opened.names() == ["a/2.txt", "b.txt"]


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:/x", "a//x", "a\\..\\x"])
def test_names_that_point_out_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.zip"
    stand_in = "y" * len(name)
    path.write_bytes(zipped({stand_in: b"1"}).replace(stand_in.encode(), name.encode()))
    with raises_code("data.archive.outside"):
        ZipSource(path)


def test_a_dot_in_front_of_names_is_left_out(zip_of: Callable[..., Path]) -> None:
    assert ZipSource(zip_of({"./a/1.png": b"1", "./b.csv": b""})).names() == ["a/1.png", "b.csv"]


def test_a_name_that_points_out_of_an_inner_zip_is_refused(zip_of: Callable[..., Path]) -> None:
    inner = zipped({"yyyy": b"1"}).replace(b"yyyy", b"../y")
    with raises_code("data.archive.outside"):
        ZipSource(zip_of({"train.zip": inner}))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    path.write_bytes(zipped({"aaaa": b"1", "bbbb": b"2"}).replace(b"bbbb", b"aaaa"))
    with raises_code("data.archive.duplicate", "aaaa"):
        ZipSource(path)


def test_a_zip_bomb_is_told_by_its_declared_size(
    zip_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = zip_of({"bomb.png": b"\0" * 3_000_000})
    monkeypatch.setattr(archive, "BOMB_BYTES", 1_000_000)
    monkeypatch.setattr(archive, "MAX_RATIO", 500)
    with raises_code("data.archive.bomb", "bomb.png"):
        ZipSource(path)
    outer = zip_of({"train.zip": path.read_bytes()}, "outer.zip")
    with raises_code("data.archive.bomb"):
        ZipSource(outer)


def declaring(data: bytes, size: int) -> bytes:
    """A zip whose only entry declares another size, in both headers."""
    central = data.index(b"PK\x01\x02") + 24
    data = data[:22] + struct.pack("<I", size) + data[26:]
    return data[:central] + struct.pack("<I", size) + data[central + 4 :]


def test_a_declared_size_above_the_bound_is_refused_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "large.zip"
    path.write_bytes(declaring(zipped({"large.tif": b"abc"}, zipfile.ZIP_STORED), 3 * 2**30))
    with raises_code("data.archive.large", "large.tif", "2.0 GB", "3.0 GB"):
        ZipSource(path)


def test_an_entry_that_declares_too_little_cannot_unpack_to_more(tmp_path: Path) -> None:
    path = tmp_path / "lie.zip"
    path.write_bytes(declaring(zipped({"lie.png": b"\0" * 5_000_000}), 100))
    opened = ZipSource(path)
    with raises_code("data.file.unreadable", "lie.png"):
        opened.read("lie.png")


def test_a_large_file_is_refused_before_it_is_read(folder: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_FILE_BYTES", 2)
    opened = FolderSource(folder(FILES))
    assert opened.read("b.txt") == b"b"
    with raises_code("data.archive.large", "a/2.txt"):
        opened.read("a/2.txt")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_zip_cut_off_is_told(zip_of: Callable[..., Path], share: float) -> None:
    path = zip_of({f"{i}.png": bytes(range(256)) * 9 for i in range(20)})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with raises_code("data.archive.unreadable", "set.zip"):
        open_source(path)


def test_an_inner_zip_cut_off_is_told(zip_of: Callable[..., Path]) -> None:
    inner = zipped({"1.png": b"one" * 99})
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with raises_code("data.archive.unreadable", "train.zip"):
            ZipSource(zip_of({"train.zip": inner[:-30]}, method=method))


def test_a_damaged_entry_is_told_when_it_is_read(zip_of: Callable[..., Path]) -> None:
    path = zip_of({"good.txt": b"fine", "bad.txt": b"damaged"}, method=zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"damaged", b"damagex"))
    opened = ZipSource(path)
    assert opened.read("good.txt") == b"fine"
    with raises_code("data.file.unreadable", "bad.txt"):
        opened.read("bad.txt")


def test_an_encrypted_entry_is_told(tmp_path: Path) -> None:
    data = bytearray(zipped({"secret.png": b"abc"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "secret.zip"
    path.write_bytes(data)
    with raises_code("data.file.unreadable", "encrypted"):
        ZipSource(path).read("secret.png")


def test_too_many_files_are_told(
    folder: Write, zip_of: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 2)
    monkeypatch.setattr(source, "MAX_FILES", 2)
    for path in (folder(FILES), zip_of(FILES)):
        with raises_code("data.files.many"):
            open_source(path)


def test_missing_and_strange_paths_are_told(tmp_path: Path, folder: Write) -> None:
    with raises_code("data.file.missing"):
        open_source(tmp_path / "nothing")
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with raises_code("data.image.format"):
        open_source(text)
    with raises_code("data.file.missing", "no file c"):
        FolderSource(folder(FILES)).read("c")


def test_a_file_that_went_away_is_told(folder: Write) -> None:
    path = folder(FILES)
    opened = FolderSource(path)
    (path / "b.txt").unlink()
    for read in (opened.read, opened.open, lambda name: opened.head(name, 1)):
        with raises_code("data.file.unreadable", "b.txt"):
            read("b.txt")


def test_links_to_folders_are_not_followed(folder: Write) -> None:
    path = folder(FILES)
    try:
        (path / "a" / "loop").symlink_to(path, target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    assert FolderSource(path).names() == ["a/2.txt", "a/10.txt", "b.txt"]


def test_several_threads_read_at_once(zip_of: Callable[..., Path]) -> None:
    files = {f"{i}.bin": bytes([i]) * 20_000 for i in range(40)}
    opened = ZipSource(zip_of({"train.zip": zipped(files)}, method=zipfile.ZIP_STORED))
    names = [f"train/{i}.bin" for i in range(40)] * 5
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(opened.read, names))
    assert all(data == bytes([int(name[6:-4])]) * 20_000 for name, data in zip(names, read, strict=True))
