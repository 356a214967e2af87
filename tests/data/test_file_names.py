"""Files are found whatever program, system or drive wrote their names."""

from __future__ import annotations

import io
import unicodedata
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from napari_unet.data.catalog import find_format, open_dataset, open_images
from napari_unet.data.file_names import find_name, is_junk, name_key
from napari_unet.data.files.source import open_source
from napari_unet.errors import DataError
from support.errors import raises_code
from support.file_builders import Write, corner, grey, png

if TYPE_CHECKING:
    from pathlib import Path

NFC, NFD = (unicodedata.normalize(form, "Zelle_ä") for form in ("NFC", "NFD"))


def write(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def pairs(image: str = "images", mask: str = "masks", count: int = 3) -> dict[str, bytes]:
    images = {f"{image}/s{n}.png": png(grey(n)) for n in range(count)}
    return images | {f"{mask}/s{n}.png": png(corner()) for n in range(count)}


def test_letters_composed_and_taken_apart_are_one_name(tmp_path: Path) -> None:
    root = write(tmp_path, {f"images/{NFC}.png": png(grey()), f"masks/{NFD}.PNG": png(corner())})
    dataset = open_dataset(root)
    assert [(s.id, s.image_name, s.mask_name) for s in dataset.samples] == [
        (NFC, f"images/{NFC}.png", f"masks/{NFD}.PNG")
    ]
    assert name_key(NFD.upper()) == name_key(NFC)


def test_the_very_name_comes_first_and_two_candidates_are_none() -> None:
    assert find_name(NFD, [NFC, NFD]) == NFD
    assert find_name(NFD, [NFC]) == NFC
    assert find_name("A.PNG", ["a.png"]) == "a.png"
    assert find_name("A.png", ["a.png", "a.PNG"]) is None


def test_linked_folders_and_files_are_followed_and_loops_end(tmp_path: Path) -> None:
    store = write(tmp_path / "store", pairs())
    root = tmp_path / "set"
    root.mkdir()
    (root / "images").symlink_to(store / "images")
    (root / "masks").mkdir()
    for n in range(3):
        (root / "masks" / f"s{n}.png").symlink_to(store / "masks" / f"s{n}.png")
    (root / "masks" / "again").symlink_to(root)
    (root / "images" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    source = open_source(root)
    assert [n for n in source.names() if n.startswith("images/")] == [f"images/s{n}.png" for n in range(3)]
    assert source.broken_links == ("images/lost.png",)
    dataset = open_dataset(root)
    assert len(dataset) == 3
    broken = [p for p in dataset.problems if p.kind == "broken link"]
    assert [p.names for p in broken] == [("images/lost.png",)]


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").symlink_to(tmp_path / "gone")
    with raises_code("data.link.broken", "set", "gone"):
        open_source(tmp_path / "set")


def zip_of(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            archive.writestr(info, data)
    return path


def test_backslashes_in_a_zip_part_folders(tmp_path: Path) -> None:
    files = {f"set\\{name.replace('/', chr(92))}": data for name, data in pairs().items()}
    path = zip_of({"set\\": b"", "set\\images\\": b"", **files}, tmp_path / "set.zip")
    dataset = open_dataset(path)
    assert [s.image_name for s in dataset.samples] == [f"images/s{n}.png" for n in range(3)]
    assert np.array_equal(dataset[1].read_image()[..., 0], grey(1))


@pytest.mark.parametrize("name", ["..\\a.png", "\\a.png", "C:\\a.png", "x\\..\\..\\a.png", "\\\\host\\a.png"])
def test_names_that_lead_out_of_a_zip_are_still_refused(tmp_path: Path, name: str) -> None:
    with raises_code("data.archive.outside"):
        open_source(zip_of({name: png(grey())}, tmp_path / "set.zip"))


def test_utf8_names_without_the_flag_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mac.zip"
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("images/Q1.png", png(grey()))
        archive.writestr("masks/Q1.png", png(corner()))
    # What the archive utility of macOS writes: the bytes of UTF-8, and no flag that says so.
    path.write_bytes(raw.getvalue().replace(b"Q1.png", "ä.png".encode()))
    assert [(s.id, s.mask_name) for s in open_dataset(path).samples] == [("ä", "masks/ä.png")]


@pytest.mark.parametrize(
    "name",
    [
        "images/@eaDir/s0.png/SYNOPHOTO_THUMB_M.jpg", "__MACOSX/images/._s0.png", "images/._s0.png",
        ".DS_Store", "Thumbs.db", "THUMBS.DB", "#recycle/s0.png", "@Recycle/s0.png", ".AppleDouble/s0.png",
        "$RECYCLE.BIN/s0.png", "System Volume Information/s0.png", ".ipynb_checkpoints/s0-checkpoint.png",
        ".thumbnails/s0.png", "images/.@__thumb/s0.png",
    ],
)  # fmt: skip
def test_what_systems_leave_is_nobodys_image(tmp_path: Path, name: str) -> None:
    assert is_junk(name)
    root = write(tmp_path, {**pairs(), name: png(grey(9))})
    assert name not in open_source(root).sizes
    assert len(open_images([root])) == 3


@pytest.mark.parametrize("name", ["a.png", "..", "dir.with.dots/a.png", "recycle/a.png", "my @eaDir.png"])
def test_ordinary_names_are_no_junk(name: str) -> None:
    assert not is_junk(name)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_tables_of_any_spreadsheet_are_read(tmp_path: Path, delimiter: str, encoding: str) -> None:
    root = write(tmp_path, {f"a/{NFC}.png": png(grey(1)), "b/y.png": png(corner())})
    name = unicodedata.normalize("NFD" if encoding == "utf-8" else "NFC", NFC)
    lines = [("Image", "MASK", "score"), (f"a\\{name}.png", '"b/y.png"', "0,5"), ("", "", "")]
    if delimiter == ",":
        lines[1] = (*lines[1][:2], '"0,5"')
    text = "\r\n".join(delimiter.join(line) for line in lines)
    (root / "pairs.csv").write_bytes(text.encode(encoding))
    for path in (root, root / "pairs.csv"):
        dataset = open_dataset(path)
        assert [(s.image_name, s.mask_name) for s in dataset.samples] == [(f"a/{NFC}.png", "b/y.png")]
        assert np.array_equal(dataset[0].read_image()[..., 0], grey(1))


def test_the_line_that_excel_reads_first_is_no_header(tmp_path: Path) -> None:
    root = write(tmp_path, {"a.png": png(grey()), "b.png": png(corner())})
    (root / "pairs.tsv").write_text("sep=;\nimage;mask\na.png;b.png\n")
    assert [s.id for s in open_dataset(root / "pairs.tsv").samples] == ["a"]


def test_absolute_paths_below_the_table_are_taken_and_others_are_not(tmp_path: Path) -> None:
    root = write(tmp_path / "set", {"a.png": png(grey()), "b.png": png(corner())})
    (root / "pairs.csv").write_text(f"image,mask\n{root}/a.png,{root}/x/../b.png\n")
    assert [(s.image_name, s.mask_name) for s in open_dataset(root / "pairs.csv").samples] == [
        ("a.png", "b.png")
    ]
    (tmp_path / "link").symlink_to(root)
    (root / "pairs.csv").write_text(f"image,mask\n{tmp_path}/link/a.png,{root}/b.png\n")
    assert len(open_dataset(tmp_path / "link" / "pairs.csv")) == 1
    write(tmp_path, {"out.png": png(grey())})
    for outside in (f"{tmp_path}/out.png", "../out.png", "C:\\set\\out.png"):
        (root / "pairs.csv").write_text(f"image,mask\n{outside},b.png\n")
        with raises_code("data.table.path"):
            open_dataset(root / "pairs.csv")


def test_run_lengths_with_semicolons_are_read(tmp_path: Path) -> None:
    root = write(tmp_path, {"img/a.png": png(grey()), "img/b.png": png(grey(1))})
    (root / "train.csv").write_text("id;rle_mask\r\na;1 2\r\nb;\r\n")
    dataset = open_dataset(root)
    assert [(s.id, int(s.read_mask().labels.sum())) for s in dataset.samples] == [("a", 2), ("b", 0)]


def test_a_folder_of_images_without_masks_opens(tmp_path: Path) -> None:
    root = write(
        tmp_path, {f"{folder}/p{n}.png": png(grey(n)) for n in (2, 10) for folder in ("left", "right")}
    )
    assert find_format(root) == "images"
    dataset = open_dataset(root)
    assert (dataset.format, len(dataset)) == ("images", 0)
    assert [s.id for s in dataset.unlabelled] == ["p2", "p10", "p2_2", "p10_2"]
    assert [s.image_name for s in dataset.unlabelled] == [
        f"{f}/p{n}.png" for f in ("left", "right") for n in (2, 10)
    ]


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("x.czi", b"ZISRAWFILE", r"x\.czi is not an image format that can be read: \.czi.*OME-TIFF"),
        ("README.md", b"# hello", r"README\.md is not an image: .*got a \.md file"),
        ("scan", b"\x89PNG\r\n\x1a\n", r"scan is a PNG image whose name does not say so"),
        ("scan", b"\xff\x4f\xff\x51", r"scan is a JPEG 2000 image .*ends in \.jp2; rename the file"),
    ],
)
def test_an_unreadable_file_is_called_what_it_is(
    tmp_path: Path, name: str, data: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=sentence):
        open_images([tmp_path / name])


@pytest.mark.parametrize("link", ["sibling", "whole", "deeper"])
def test_no_image_is_listed_twice_by_links_within_a_data_set(tmp_path: Path, link: str) -> None:
    folder = tmp_path / "set"
    deep = folder / "a" / "b" / "images" if link == "deeper" else folder / "a" / "images"
    for number in range(3):
        for kind in (deep, folder / "a" / "masks"):
            kind.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 9), 50 * number, np.uint8)).save(kind / f"{number}.png")
    if link == "sibling":
        (folder / "a" / "latest").symlink_to("images")
    elif link == "whole":
        (folder / "z").symlink_to("a")
    else:
        (folder / "a" / "images").symlink_to("b/images")
    (folder / "up").symlink_to("..")  # past the set, and around to it
    found = open_source(folder)
    names = ["images/0.png", "images/1.png", "images/2.png", "masks/0.png", "masks/1.png", "masks/2.png"]
    assert [name.removeprefix("a/") for name in found.sizes] == names


@pytest.mark.parametrize(
    ("folder", "parted"),
    [("C:\\Users\\Bo\\set\\", "\\"), ("/data/bo/set/", "/"), ("\\\\nas\\x\\set\\", "\\")],
)
def test_a_table_made_on_another_computer_finds_the_files_that_moved_with_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, folder: Write, parted: str
) -> None:
    lines = ["image;mask"]
    for number in range(3):
        for kind in ("pics", "truth"):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(np.full((8, 9), 50 * number, np.uint8)).save(tmp_path / kind / f"{number}.png")
        lines.append(f"{folder}pics{parted}{number}.png;{folder}truth{parted}{number}.png")
    (tmp_path / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    found = open_dataset(tmp_path / "table.csv")
    assert [(s.image_name, s.mask_name) for s in found.samples] == [
        (f"pics/{n}.png", f"truth/{n}.png") for n in range(3)
    ]
    assert any("those of the same names here were taken" in text for text in caplog.messages)


def test_a_table_of_files_elsewhere_does_not_take_others_of_the_same_last_name(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "0.png")
    (tmp_path / "table.csv").write_text("image,mask\n/far/images/0.png,/far/masks/0.png\n", encoding="utf-8")
    with raises_code("data.table.path"):
        open_dataset(tmp_path / "table.csv")


def test_masks_as_cellpose_names_them(tmp_path: Path) -> None:
    for number in range(3):
        for name in (f"img{number}.png", f"img{number}_cp_masks.png"):
            Image.fromarray(np.full((8, 9), 50 * number, np.uint8)).save(tmp_path / name)
    found = open_dataset(tmp_path)
    assert [(s.image_name, s.mask_name) for s in found.samples] == [
        (f"img{n}.png", f"img{n}_cp_masks.png") for n in range(3)
    ]


def test_a_folder_of_a_microscopes_files_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE")
    with pytest.raises(DataError, match=r"a\.czi is not an image format that can be read: \.czi.*OME-TIFF"):
        open_dataset(tmp_path)
