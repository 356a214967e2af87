from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from napari_unet.engine.remote.compression import pack_bytes, unpack_bytes
from napari_unet.engine.remote.manifest import Manifests
from napari_unet.engine.remote.outputs import OutputWatch, parts_of
from napari_unet.engine.remote.returned_files import ReturnedFiles
from napari_unet.engine.remote.store import RECENT, Store, StoredFile, safe_path, tree_id
from support.errors import raises_code

if TYPE_CHECKING:
    from pathlib import Path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", 1000)


def put(store: Store, content: bytes) -> StoredFile:
    store.add(digest(content), [content])
    return StoredFile("x", digest(content), len(content))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\0b", "..", "x" * 5000])
def test_no_path_leads_out(name: str) -> None:
    with raises_code("compute.remote.path"):
        safe_path(name)


@pytest.mark.parametrize("name", ["C:/x", "a\\..\\x", "con", "a/NUL.txt", "x:stream"])
def test_no_path_leads_out_on_windows(name: str) -> None:
    with raises_code("compute.remote.path"):
        safe_path(name, windows=True)
    safe_path(name, windows=False)


def test_a_content_is_in_the_cache_whole_or_not_at_all(store: Store) -> None:
    one = put(store, b"abc")
    assert store.has(one.hash, 3)
    assert not store.has(one.hash, 4)
    assert store.read(one.hash) == b"abc"
    with raises_code("compute.remote.damaged"):
        store.add(digest(b"right"), [b"wrong"])
    assert not store.has(digest(b"right"), 5)
    for wrong in ("../../x", "A" * 64, "", digest(b"x") + "/.."):
        with raises_code("compute.remote.path"):
            store.blob(wrong)
    assert [path.name for path in store.blobs.rglob("*") if path.is_file()] == [one.hash]


def test_a_tree_has_its_contents_under_its_name_and_stays_where_it_is(store: Store, tmp_path: Path) -> None:
    one = put(store, b"abc")
    files = [StoredFile("", "", 0), StoredFile("empty", "", 0), StoredFile("in/a.tif", one.hash, 3)]
    place = store.tree("data", files)
    assert place == store.tree("data", files)
    assert place.name == "data"
    assert (place / "in/a.tif").read_bytes() == b"abc"
    assert list((place / "empty").iterdir()) == []
    assert store.has_tree(tree_id("data", files))
    assert store.tree("a.tif", [StoredFile("", one.hash, 3)]).read_bytes() == b"abc"
    for name, path in (("..", "a"), ("a/b", "a"), ("data", "../a"), ("data", "/tmp/a"), ("", "a")):
        with raises_code("compute.remote.path"):
            store.tree(name, [StoredFile(path, one.hash, 3)])
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


def test_what_was_not_used_for_long_makes_room(store: Store) -> None:
    old, new = put(store, b"o" * 500), put(store, b"n" * 400)
    tree = store.tree("t", [StoredFile("", old.hash, 500)])
    long_ago = time.time() - RECENT - 10
    for path in (store.blob(old.hash), tree.parent):
        os.utime(path, (long_ago, long_ago))
    assert store.used() == 900  # a link is not counted twice
    store.make_room(50)
    assert store.has(old.hash, 500)
    os.utime(store.blob(old.hash), (long_ago, long_ago))
    store.make_room(300)
    assert not store.has(old.hash, 500)
    assert not tree.exists()
    assert store.has(new.hash, 400)  # used a moment ago
    with raises_code("compute.remote.cache"):
        store.make_room(1001)


def test_a_place_to_write_begins_as_it_is_there_or_with_what_was_left(store: Store) -> None:
    one = put(store, b"abc")
    key = digest(b"key")
    place = store.work_folder(key, "out", [StoredFile("a.txt", one.hash, 3)])
    assert (place / "a.txt").read_bytes() == b"abc"
    (place / "a.txt").write_bytes(b"changed")
    assert store.read(one.hash) == b"abc"
    (place / "part.unfinished").mkdir()
    again = store.work_folder(key, "out", [StoredFile("a.txt", one.hash, 3)], "*.unfinished")
    assert sorted(path.name for path in again.iterdir()) == ["a.txt", "part.unfinished"]
    assert (again / "a.txt").read_bytes() == b"abc"
    assert (store.work_folder(key, "out", [], "*") / "part.unfinished").is_dir()
    assert not store.work_folder(key, "out", []).exists()  # a task of its own begins with nothing
    with raises_code("compute.remote.path"):
        store.work_folder("../x", "out", [])


def test_a_manifest_names_every_file_and_follows_links_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "in").mkdir(parents=True)
    (data / "in/b.txt").write_bytes(b"b")
    (data / "a.txt").write_bytes(b"a")
    (data / "in/round").symlink_to(data)
    (data / "link.txt").symlink_to(data / "a.txt")
    manifests = Manifests()
    files, sources = manifests.look(data)
    assert [(one.path, one.hash) for one in files if one.hash] == [
        ("a.txt", digest(b"a")), ("in/b.txt", digest(b"b")), ("link.txt", digest(b"a"))
    ]  # fmt: skip
    assert sources[digest(b"b")] == data / "in/b.txt"
    (data / "a.txt").write_bytes(b"longer")
    assert manifests.look(data)[0][1].hash == digest(b"longer")
    (alone,) = manifests.look(data / "a.txt")[0]
    assert alone == StoredFile("", digest(b"longer"), 6)


def test_only_what_changed_is_handed_over(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    (place / "old").write_text("x")
    written = OutputWatch(place)
    assert list(written.changes(ended=False)) == []
    (place / "old").unlink()
    (place / "in").mkdir()
    (place / "in/new").write_text("y")
    (place / ".partial-1").write_text("z")
    assert list(written.changes(ended=False)) == [("old", None), ("in", False), ("in/new", True)]
    assert list(written.changes(ended=False)) == []
    assert list(written.changes(ended=True)) == [(".partial-1", True)]


def test_a_file_comes_in_parts_with_the_hash_of_all_at_the_end(tmp_path: Path) -> None:
    content = os.urandom(2**20 + 5)
    (tmp_path / "a.npy").write_bytes(content)
    parts = list(parts_of(tmp_path / "a.npy", lambda raw: raw))
    assert b"".join(unpack_bytes(part) for part, _ in parts) == content
    assert [last for _, last in parts] == ["", digest(content)]
    (tmp_path / "a.json").write_bytes(b'"/far/x"')
    ((part, last),) = parts_of(tmp_path / "a.json", lambda raw: raw.replace(b"/far", b"/here"))
    assert (bytes(unpack_bytes(part)), last) == (b'"/here/x"', digest(b'"/here/x"'))
    (tmp_path / "none").write_bytes(b"")
    ((part, last),) = parts_of(tmp_path / "none", lambda raw: raw)
    assert (bytes(unpack_bytes(part)), last) == (b"", digest(b""))


def test_files_come_into_their_place_and_nowhere_else(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (place / "link").symlink_to(outside)
    returned = ReturnedFiles([place])
    returned.take("file", 0, "a/b.txt", pack_bytes(b"one "))
    assert not (place / "a/b.txt").exists()
    returned.take("file", 0, "a/b.txt", pack_bytes(b"two"), digest(b"one two"))
    assert (place / "a/b.txt").read_bytes() == b"one two"
    for path in ("../x", "/tmp/x", "link/x", "a/../../x"):
        with raises_code("compute.remote.path"):
            returned.take("file", 0, path, pack_bytes(b"x"), digest(b"x"))
        with raises_code("compute.remote.path"):
            returned.take("gone", 0, path)
    for place_number in (1, -1):
        with pytest.raises(IndexError):
            returned.take("gone", place_number, "a")
    with raises_code("compute.remote.damaged"):
        returned.take("file", 0, "a/b.txt", pack_bytes(b"x"), digest(b"y"))
    assert (place / "a/b.txt").read_bytes() == b"one two"
    returned.take("file", 0, "c", pack_bytes(b"begun"))
    returned.drop()
    assert sorted(path.name for path in place.iterdir()) == ["a", "link"]
    returned.take("gone", 0, "a")
    assert not (place / "a").exists()
    assert list(outside.iterdir()) == []
